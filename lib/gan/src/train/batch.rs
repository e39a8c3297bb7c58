//! What each step of a run learns from: gathered from the shard on one thread, moved to the device on another.

use std::ops::Range;
use std::sync::mpsc::SyncSender;

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::data::image::to_unit;
use crate::data::shard::{Dtype, Shard};
use crate::recipe::Recipe;
use crate::rng::{Stream, normals, permutation};

/// What a step learns from.
pub struct Batch {
    /// How many images.
    pub count: usize,
    /// Height, width and channels of each.
    size: (usize, usize, usize),
    /// The length of a latent vector.
    nz: usize,
    /// `[count, H, W, C]`.
    real: Pixels,
    /// The latents of D's fakes, `[count, nz]`.
    noise: Vec<f32>,
    /// Those of G's update, where the recipe draws it its own.
    fresh: Option<Vec<f32>>,
}

/// Pixels on their way to where they are trained on.
enum Pixels {
    /// In [−1, 1].
    Floats(Vec<f32>),
    /// x stands for x/127.5 − 1, which the device computes: a quarter of the bytes to move there.
    Bytes(Vec<u8>),
}

/// A batch on the device: real images, latents, latents of G's own.
pub type Inputs = (Tensor, Tensor, Option<Tensor>);

impl Batch {
    /// Moves it to `device`.
    ///
    /// # Errors
    /// There is no room.
    pub fn on(self, device: &Device) -> Result<Inputs> {
        let (h, w, c) = self.size;
        let shape = (self.count, h, w, c);
        let real = match self.real {
            Pixels::Floats(real) => Tensor::from_vec(real, shape, device)?,
            Pixels::Bytes(real) => {
                Tensor::from_vec(real, shape, device)?.to_dtype(DType::F32)?.affine(1.0 / 127.5, -1.0)?
            }
        };
        let latents = |z| Tensor::from_vec(z, (self.count, self.nz), device);
        Ok((real, latents(self.noise)?, self.fresh.map(latents).transpose()?))
    }
}

/// The batches of a run.
pub struct Batches<'a> {
    shard: &'a Shard,
    recipe: &'a Recipe,
    nz: usize,
    /// Whether images go as bytes.
    bytes: bool,
}

impl<'a> Batches<'a> {
    /// Those of a run of `recipe` on `shard` with latents of `nz` numbers, to be trained on on `device`.
    pub fn new(shard: &'a Shard, recipe: &'a Recipe, nz: usize, device: &Device) -> Batches<'a> {
        let bytes = shard.dtype() == Dtype::U8 || recipe.augment.is_some();
        Batches { shard, recipe, nz, bytes: bytes && !device.is_cpu() }
    }

    /// Sends the batches of these steps of a run, counted from 0, in their order, or as many as are taken: a run that stops
    /// drops the receiver.
    pub fn send(&self, steps: Range<u64>, to: &SyncSender<Batch>) {
        let per_epoch = self.recipe.schedule.epoch_steps(self.shard.len());
        for epoch in steps.start / per_epoch.. {
            let order = permutation(self.recipe.seed, Stream::Shuffle, epoch, self.shard.len());
            for (step, indices) in (epoch * per_epoch..).zip(order.chunks(self.recipe.schedule.batch_size)) {
                if step >= steps.end || step >= steps.start && to.send(self.gather(indices, step)).is_err() {
                    return;
                }
            }
        }
    }

    /// The images of these indices, and the latents of `step`, counted from 0.
    pub fn gather(&self, indices: &[usize], step: u64) -> Batch {
        let (shard, count) = (self.shard, indices.len());
        let size = (shard.height(), shard.width(), shard.channels());
        let numbers = size.0 * size.1 * size.2;
        let pixels = |place: usize, i: usize, out: &mut [u8]| {
            shard.pixels(i, out);
            if let Some(augment) = &self.recipe.augment {
                augment.apply(self.recipe.seed, step, place, size, out);
            }
        };
        let real = if self.bytes {
            let mut real = vec![0; count * numbers];
            let each = real.chunks_exact_mut(numbers).zip(indices).enumerate();
            each.for_each(|(place, (out, &i))| pixels(place, i, out));
            Pixels::Bytes(real)
        } else {
            let mut real = vec![0.0; count * numbers];
            match self.recipe.augment {
                None => shard.gather(indices, &mut real),
                Some(_) => {
                    let mut bytes = vec![0; numbers];
                    for (place, (out, &i)) in real.chunks_exact_mut(numbers).zip(indices).enumerate() {
                        pixels(place, i, &mut bytes);
                        out.iter_mut().zip(&bytes).for_each(|(out, &x)| *out = to_unit(x));
                    }
                }
            }
            Pixels::Floats(real)
        };
        let latents = |stream| {
            let mut z = vec![0.0; count * self.nz];
            normals(self.recipe.seed, stream, step, &mut z);
            z
        };
        let fresh = self.recipe.schedule.fresh_noise.then(|| latents(Stream::FreshNoise));
        Batch { count, size, nz: self.nz, real, noise: latents(Stream::Noise), fresh }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::data::image::Transform;
    use crate::data::shard::{self, ShardOptions};
    use crate::data::source::Source;
    use crate::progress::Silent;

    #[test]
    fn a_batch_that_goes_as_bytes_is_the_same() {
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
                let batch =
                    Batches { bytes, ..Batches::new(&shard, &recipe, 7, &Device::Cpu) }.gather(&[3, 0, 8], 5);
                assert_eq!(matches!(batch.real, Pixels::Bytes(_)), bytes);
                batch.on(&Device::Cpu).unwrap().0.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            });
            assert_eq!(images[0].len(), 3 * 64 * 64 * 3);
            assert!(images[0].iter().zip(&images[1]).all(|(a, b)| (a - b).abs() < 1e-6), "{name}");
        }
    }
}
