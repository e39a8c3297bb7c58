//! Writes 64 images of a generator as PNGs into `fakes/`, and a grid of them.
//!
//!     cargo run --release -p gan --example sample G.safetensors

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gan::Result;
use gan::checkpoint::{self, foreign::LayoutHints};
use gan::device::Device;
use gan::progress::Silent;
use gan::sample::{Latents, Sampler, write_folder};

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or("G.safetensors".into());
    let (device, stop) = (Device::Cpu, AtomicBool::new(false));
    // The weights may also be those of a PyTorch generator (.pth); the hints say what such a file does not.
    let generator = checkpoint::generator(Path::new(&path), &LayoutHints::default(), &device)?;
    let latents = Latents::from_seed(0, 64, generator.latent_size);
    let sampler = Sampler::new(&generator, &device, 64, &stop, &Silent);
    write_folder(&sampler, &latents, Path::new("fakes"), Some(Path::new("grid.png")), false)?;
    println!("fakes/ and grid.png");
    Ok(())
}
