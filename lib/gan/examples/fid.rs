//! Prints the Fréchet distance of SqueezeNet's features between two folders, zips or shards of images.
//!
//!     cargo run --release -p gan --example fid faces-32.safetensors fakes/
//!
//! With `Extractor::inception` and the published weights it is the FID.

use std::path::Path;

use gan::Result;
use gan::device::Device;
use gan::metrics::features::Extractor;
use gan::metrics::{ImageSet, frechet, measure};
use gan::precision::Precision;
use gan::progress::Silent;

fn main() -> Result<()> {
    let [a, b] = [1, 2].map(|i| std::env::args_os().nth(i).expect("two folders, zips or shards of images"));
    let extractor = Extractor::squeezenet(Precision::F32, &Device::Cpu)?;
    let stats = |path| measure(&ImageSet::open(Path::new(path))?, &extractor, 50, false, &Silent);
    let (a, b) = (stats(&a)?, stats(&b)?);
    println!("{:.6}", frechet::distance(&a.stats.gaussian, &b.stats.gaussian)?);
    Ok(())
}
