//! The score of a generator in training: how far its images are from those that it learns from.

use candle_core::Device;

use crate::Result;
use crate::data::image::Image;
use crate::data::shard::Shard;
use crate::metrics::features::Extractor;
use crate::metrics::frechet::{self, Gaussian, RunningCovariance};
use crate::nn::Network;
use crate::nn::model::ModelConfig;
use crate::precision::Precision;
use crate::rng::{Stream, permutation};
use crate::sample::{CHUNK, images, latents};

/// Images of G that are measured, but no more than there are real ones: 32 chunks.
const FAKES: usize = 32 * CHUNK;
/// Real images that are measured: a random choice of so many.
const REALS: usize = 10_000;

/// SqueezeNet, whose weights are built in, and the statistics of the real images.
pub struct Scorer {
    extractor: Extractor,
    real: Gaussian,
    /// How many real images that is of.
    pub reals: usize,
    /// How many of G's images are measured.
    pub fakes: usize,
}

impl Scorer {
    /// Measures the images of `shard` on `device`: some seconds for each thousand on a CPU.
    ///
    /// # Errors
    /// A single image, which has no covariance.
    pub fn new(shard: &Shard, seed: u64, device: &Device) -> Result<Scorer> {
        let extractor = Extractor::squeezenet(Precision::F32, device)?;
        let mut order = permutation(seed, Stream::Score, u64::MAX >> 8, shard.len());
        order.truncate(REALS);
        let (height, width, channels) = (shard.height(), shard.width(), shard.channels());
        let mut moments = RunningCovariance::new(extractor.dims());
        for indices in order.chunks(CHUNK) {
            let mut bytes = vec![0; indices.len() * height * width * channels];
            let each = bytes.chunks_exact_mut(height * width * channels).zip(indices);
            each.for_each(|(out, &i)| shard.pixels(i, out));
            moments.push(&extractor.run(&to_images(&bytes, (height, width, channels)))?);
        }
        let fakes = FAKES.min(order.len());
        Ok(Scorer { extractor, real: moments.gaussian()?, reals: order.len(), fakes })
    }

    /// The Fréchet distance of the features of what `generator` makes of latents that are the same each time, in evaluation
    /// mode.
    ///
    /// # Errors
    /// NaN from the generator.
    pub fn score(&self, generator: &Network, model: &ModelConfig, seed: u64, device: &Device) -> Result<f64> {
        let mut moments = RunningCovariance::new(self.extractor.dims());
        for first in (0..self.fakes).step_by(CHUNK) {
            let z = latents(seed, Stream::Score, first as u64, CHUNK, model.latent_size(), device)?;
            let mut made = to_images(&images(generator, &z)?, model.image_shape());
            made.truncate(self.fakes - first);
            moments.push(&self.extractor.run(&made)?);
        }
        frechet::distance(&self.real, &moments.gaussian()?)
    }
}

/// Bytes `[B, H, W, C]` as images; gray ones become RGB.
fn to_images(bytes: &[u8], (height, width, channels): (usize, usize, usize)) -> Vec<Image> {
    let image = |bytes: &[u8]| match channels {
        1 => Image::from_gray(width, height, bytes),
        _ => Image { width, height, rgb: bytes.to_vec() },
    };
    bytes.chunks_exact(height * width * channels).map(image).collect()
}
