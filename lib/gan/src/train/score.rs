//! Scores a generator in training: the distance of its images from the training images.

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

/// The largest number of G's images measured, 32 chunks; at most as many as real ones.
const FAKES: usize = 32 * CHUNK;
/// The largest number of training images measured, chosen at random.
const REALS: usize = 10_000;

/// The embedded SqueezeNet, and the statistics of the training images.
pub struct Scorer {
    extractor: Extractor,
    real: Gaussian,
    /// The number of training images measured.
    pub reals: usize,
    /// The number of G's images measured.
    pub fakes: usize,
}

impl Scorer {
    /// Measures the images of `shard` on `device`. A CPU takes some seconds per thousand images.
    ///
    /// # Errors
    /// The shard has one image, which has no covariance.
    pub fn new(shard: &Shard, seed: u64, device: &Device) -> Result<Scorer> {
        let extractor = Extractor::squeezenet(Precision::F32, device)?;
        let mut order = permutation(seed, Stream::Score, u64::MAX >> 8, shard.len());
        order.truncate(REALS);
        let (height, width, channels) = (shard.height(), shard.width(), shard.channels());
        let mut statistics = RunningCovariance::new(extractor.dims());
        for indices in order.chunks(CHUNK) {
            let mut bytes = vec![0; indices.len() * height * width * channels];
            let each = bytes.chunks_exact_mut(height * width * channels).zip(indices);
            each.for_each(|(out, &i)| shard.pixels(i, out));
            statistics.push(&extractor.run(&to_images(&bytes, (height, width, channels)))?);
        }
        let fakes = FAKES.min(order.len());
        Ok(Scorer { extractor, real: statistics.gaussian()?, reals: order.len(), fakes })
    }

    /// The Fréchet distance of SqueezeNet features between the images of `generator` and the training images.
    /// The latents are the same each time.
    ///
    /// # Errors
    /// The generator makes NaN.
    pub fn score(&self, generator: &Network, model: &ModelConfig, seed: u64, device: &Device) -> Result<f64> {
        let mut statistics = RunningCovariance::new(self.extractor.dims());
        for first in (0..self.fakes).step_by(CHUNK) {
            let z = latents(seed, Stream::Score, first as u64, CHUNK, model.latent_size(), device)?;
            let mut fakes = to_images(&images(generator, &z)?, model.image_shape());
            fakes.truncate(self.fakes - first);
            statistics.push(&self.extractor.run(&fakes)?);
        }
        frechet::distance(&self.real, &statistics.gaussian()?)
    }
}

/// Bytes `[B, H, W, C]` as RGB images.
fn to_images(bytes: &[u8], (height, width, channels): (usize, usize, usize)) -> Vec<Image> {
    let image = |bytes: &[u8]| match channels {
        1 => Image::from_gray(width, height, bytes),
        _ => Image { width, height, rgb: bytes.to_vec() },
    };
    bytes.chunks_exact(height * width * channels).map(image).collect()
}
