//! Loads batches: gathers images and noise on one thread, and moves them to the device on another.

use std::sync::mpsc::SyncSender;

use candle_core::{DType, Tensor};

use super::setup::{Position, Setup};
use crate::Result;
use crate::data::image::to_unit;
use crate::data::shard::Dtype;
use crate::rng::{Stream, normals, permutation};

/// The inputs of a step.
pub struct Batch<'a> {
    setup: &'a Setup<'a>,
    /// The step.
    pub at: Position,
    /// The number of images.
    pub count: usize,
    /// `[count, H, W, C]`.
    real: Pixels,
    /// The latents of D's fakes, `[count, nz]`.
    noise: Vec<f32>,
    /// Those of G's update, where the recipe draws fresh ones.
    fresh: Option<Vec<f32>>,
}

enum Pixels {
    /// In [−1, 1].
    Floats(Vec<f32>),
    /// x means x/127.5 − 1, which the device computes: a quarter of the bytes to copy.
    Bytes(Vec<u8>),
}

impl Batch<'_> {
    /// The batch on the device: real images, latents, and fresh latents for G.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn into_tensors(self) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let &Setup { ref model, device, .. } = self.setup;
        let (h, w, c) = model.image_shape();
        let shape = (self.count, h, w, c);
        let real = match self.real {
            Pixels::Floats(real) => Tensor::from_vec(real, shape, device)?,
            Pixels::Bytes(real) => {
                Tensor::from_vec(real, shape, device)?.to_dtype(DType::F32)?.affine(1.0 / 127.5, -1.0)?
            }
        };
        let latents = |z| Tensor::from_vec(z, (self.count, model.latent_size()), device);
        Ok((real, latents(self.noise)?, self.fresh.map(latents).transpose()?))
    }
}

/// Loads the batches of a run.
pub struct Loader<'a> {
    setup: &'a Setup<'a>,
    /// Whether images are copied to the device as bytes.
    bytes: bool,
}

impl<'a> Loader<'a> {
    pub fn new(setup: &'a Setup<'a>) -> Loader<'a> {
        let bytes = setup.shard.dtype() == Dtype::U8 || setup.recipe.augment.is_some();
        Loader { setup, bytes: bytes && !setup.device.is_cpu() }
    }

    /// Sends the batches of all steps after the first `taken`, in order, until the run drops the receiver.
    pub fn send(&self, taken: u64, batches: &SyncSender<Batch<'a>>) {
        let &Setup { recipe, shard, .. } = self.setup;
        let (steps, epoch_steps) = (self.setup.steps(), self.setup.epoch_steps());
        for epoch in taken / epoch_steps.. {
            let order = permutation(recipe.seed, Stream::Shuffle, epoch, shard.len());
            for (step, indices) in (epoch * epoch_steps + 1..).zip(order.chunks(recipe.schedule.batch_size)) {
                if step > steps {
                    return;
                }
                if step > taken && batches.send(self.load(indices, self.setup.position(step))).is_err() {
                    return;
                }
            }
        }
    }

    /// The images of these indices, and the latents of the step at `at`.
    pub fn load(&self, indices: &[usize], at: Position) -> Batch<'a> {
        let &Setup { recipe, shard, ref model, .. } = self.setup;
        let (count, index, size) = (indices.len(), at.step - 1, model.image_shape());
        let elements = size.0 * size.1 * size.2;
        let real = if self.bytes || recipe.augment.is_some() {
            let mut bytes = vec![0; count * elements];
            for (place, (out, &i)) in bytes.chunks_exact_mut(elements).zip(indices).enumerate() {
                shard.pixels(i, out);
                if let Some(augment) = &recipe.augment {
                    augment.apply(recipe.seed, index, place, size, out);
                }
            }
            match self.bytes {
                true => Pixels::Bytes(bytes),
                false => Pixels::Floats(bytes.into_iter().map(to_unit).collect()),
            }
        } else {
            let mut real = vec![0.0; count * elements];
            shard.gather(indices, &mut real);
            Pixels::Floats(real)
        };
        let latents = |stream| {
            let mut z = vec![0.0; count * model.latent_size()];
            normals(recipe.seed, stream, index, &mut z);
            z
        };
        let fresh = recipe.schedule.fresh_noise.then(|| latents(Stream::FreshNoise));
        Batch { setup: self.setup, at, count, real, noise: latents(Stream::Noise), fresh }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use candle_core::Device;

    use super::*;
    use crate::data::image::Transform;
    use crate::data::shard::{self, Shard, ShardOptions};
    use crate::data::source::Source;
    use crate::progress::Silent;
    use crate::recipe::Recipe;

    #[test]
    fn a_batch_copied_as_bytes_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.safetensors");
        let fit = Transform { crop: None, size: Some(64), filter: Default::default() };
        let options =
            ShardOptions { fit, gray: false, dtype: Dtype::U8, strict: true, ..ShardOptions::default() };
        shard::make(&path, &Source::demo(9, 0), &options, &Silent, &AtomicBool::new(false)).unwrap();
        let shard = Shard::open(&path).unwrap();
        for name in ["celeba", "cats"] {
            let recipe = Recipe::load(name).unwrap();
            assert_eq!(recipe.augment.is_some(), name == "cats");
            let images = [false, true].map(|bytes| {
                let setup = Setup::new(&recipe, &shard, &Device::Cpu).unwrap();
                let batch = Loader { bytes, ..Loader::new(&setup) }.load(&[3, 0, 8], setup.position(6));
                assert_eq!(matches!(batch.real, Pixels::Bytes(_)), bytes);
                batch.into_tensors().unwrap().0.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            });
            assert_eq!(images[0].len(), 3 * 64 * 64 * 3);
            assert!(images[0].iter().zip(&images[1]).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
        }
    }
}
