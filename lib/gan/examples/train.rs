//! Draws 256 demo faces, trains a small DCGAN on them for 40 steps, and prints the path of its generator.
//!
//!     cargo run --release -p gan --example train

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gan::Result;
use gan::data::shard::{self, Shard, ShardOptions};
use gan::data::source::Source;
use gan::device::Device;
use gan::progress::Silent;
use gan::recipe::Recipe;
use gan::train::{Run, RunDir};
use serde_json::json;

fn main() -> Result<()> {
    let stop = AtomicBool::new(false);
    let path = Path::new("faces-32.safetensors");
    let mut options = ShardOptions::default();
    options.fit.size = Some(32);
    shard::make(path, &Source::demo(256, 0), &options, &Silent, &stop)?;

    let recipe =
        Recipe::load("demo")?.with(&[("steps", json!(40)), ("ngf", json!(16)), ("ndf", json!(16))])?;
    let (shard, device) = (Shard::open(path)?, Device::Cpu);
    let dir = RunDir::create(None, path, false)?;
    let outcome = Run::new(&recipe, &shard, &device)?.train(&dir, &stop, &Silent)?;
    println!("{} ({:.0} images/s)", outcome.generator.display(), outcome.images_per_second);
    Ok(())
}
