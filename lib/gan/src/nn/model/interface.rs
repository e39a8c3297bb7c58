//! What an architecture is, and how its networks get their initial weights.

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::config::Wrong;
use crate::nn::layer::{BatchNorm, Layer};
use crate::nn::ops::{Activation, BatchStats, Weight};
use crate::rng::{Stream, par_normals, uniforms};

/// Height, width and channels of an image.
pub type ImageShape = (usize, usize, usize);

/// The layers of a network.
pub type Layers = Vec<Box<dyn Layer>>;

/// A pair of networks for square images of 1 or 3 channels. Adding one is a file that implements this for a
/// table of settings, and a line in `architectures!` (mod.rs).
pub trait Architecture {
    /// The values that the ranges of single keys do not decide, and the image sizes that it makes.
    ///
    /// # Errors
    /// What is wrong.
    fn check_image(&self, size: usize) -> Result<(), String>;

    /// Checks the settings that depend on each other.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    fn check(&self) -> Result<(), Wrong> {
        Ok(())
    }

    /// Its name and sizes, such as `DCGAN 64×64×3, nz 100`, for images of `shape`.
    fn describe(&self, shape: ImageShape) -> String;

    /// The length of a latent vector.
    fn latent_size(&self) -> usize;

    /// At most as many elements as a generator's weights have. A file of fewer is refused before memory is
    /// allocated.
    fn min_generator_elements(&self, shape: ImageShape) -> usize;

    /// The generator's layers: latents `[B, 1, 1, nz]` → `[B, H, W, C]` in [−1, 1].
    ///
    /// # Errors
    /// The device is out of memory.
    fn generator(&self, shape: ImageShape, init: &mut Init) -> Result<Layers>;

    /// The discriminator's layers: `[B, H, W, C]` → logits `[B, 1, 1, 1]`.
    ///
    /// # Errors
    /// The device is out of memory.
    fn discriminator(&self, shape: ImageShape, init: &mut Init) -> Result<Layers>;
}

/// Initial weights. Each call draws from a random stream of its own, so a layer's weights do not depend on
/// the sizes of others. Without a seed they are zeros: such a network's weights are to be loaded.
pub struct Init<'a> {
    seed: Option<u64>,
    stream: Stream,
    next: u64,
    device: &'a Device,
}

impl<'a> Init<'a> {
    /// Draws from `stream` of `seed`, onto `device`.
    pub fn new(seed: Option<u64>, stream: Stream, device: &'a Device) -> Init<'a> {
        Init { seed, stream, next: 0, device }
    }

    /// The next layer's number.
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// `n` values N(mean, std).
    fn normal(&mut self, mean: f32, std: f64, n: usize) -> Vec<f32> {
        let (mut values, layer) = (vec![0.0; n], self.next());
        if let Some(seed) = self.seed {
            par_normals(seed, self.stream, layer, &mut values);
            values.iter_mut().for_each(|v| *v = mean + std as f32 * *v);
        }
        values
    }

    /// The weight `[4, 4, c, s]` of a convolution, N(0, std), drawn in PyTorch's order of elements, `[s, c,
    /// 4, 4]`.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn conv4(&mut self, c: usize, s: usize, std: f64) -> Result<Weight> {
        let drawn = self.normal(0.0, std, s * c * 16);
        let mut weight = vec![0.0; drawn.len()];
        // candle's permute would take longer than the drawing.
        for channel in 0..c {
            for k in 0..16 {
                let kernels = drawn.chunks_exact(16).skip(channel).step_by(c);
                let out = &mut weight[(k * c + channel) * s..][..s];
                out.iter_mut().zip(kernels).for_each(|(out, kernel)| *out = kernel[k]);
            }
        }
        Ok(Weight::new(Tensor::from_vec(weight, (4, 4, c, s), self.device)?))
    }

    /// A batch-norm with scales N(1, std) and shifts 0.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn batch_norm(
        &mut self,
        name: String,
        channels: usize,
        std: f64,
        activation: Activation,
    ) -> Result<BatchNorm> {
        let gamma = Tensor::from_vec(self.normal(1.0, std, channels), channels, self.device)?;
        let zeros = || Tensor::zeros(channels, DType::F32, self.device);
        let running = BatchStats { mean: zeros()?, var: zeros()?.ones_like()? };
        Ok(BatchNorm { name, gamma, beta: zeros()?, running, activation })
    }

    /// Weight `[1, 1, input, output]` and bias `[output]` of a linear layer as `nn.Linear` starts them,
    /// uniform in ±1/√input.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn linear(&mut self, input: usize, output: usize) -> Result<(Weight, Tensor)> {
        let (mut values, layer) = (vec![0.0; (input + 1) * output], self.next());
        if let Some(seed) = self.seed {
            uniforms(seed, self.stream, layer, &mut values);
            let bound = 1.0 / (input as f32).sqrt();
            values.iter_mut().for_each(|v| *v = bound * (2.0 * *v - 1.0));
        }
        let bias = Tensor::from_vec(values.split_off(input * output), output, self.device)?;
        let weight = Tensor::from_vec(values, (output, input), self.device)?.t()?.force_contiguous()?;
        Ok((Weight::new(weight.reshape((1, 1, input, output))?), bias))
    }
}
