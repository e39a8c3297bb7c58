//! GANs whose two networks are multilayer perceptrons: linear layers with an activation after each, no batch-norm.
//!
//! An image is flattened as it lies in memory, channels last: number (y·W + x)·C + c of a layer is channel c of pixel
//! (x, y). For gray images that is also PyTorch's `view(batch, H·W)`; of a PyTorch model of color images, which counts
//! channel by channel, the first rows of D and the last ones of G would have to change places.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::layer::{Layer, Network};
use crate::nn::ops::{Activation, Geometry, Weight};
use crate::rng::{Stream, uniforms};
use crate::{Error, Result};

/// The sizes of an MLP GAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// The image's side in pixels, 1 to 256.
    pub size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// The length of a latent vector.
    pub nz: usize,
    /// The widths of the generator's hidden layers, from the latents on.
    pub hidden_g: Vec<usize>,
    /// The widths of the discriminator's hidden layers, from the images on.
    pub hidden_d: Vec<usize>,
    /// The slope below zero of the generator's hidden activations, in [0, 1): 0 is ReLU, else LeakyReLU.
    pub slope_g: f64,
    /// The same of the discriminator's.
    pub slope_d: f64,
}

impl MlpConfig {
    /// LossValue in an image.
    fn pixels(&self) -> usize {
        self.size * self.size * self.channels
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Invalid(what));
        if !(1..=256).contains(&self.size) {
            return refuse(format!("image size {}: an MLP takes 1 to 256 (prep --size)", self.size));
        }
        if ![1, 3].contains(&self.channels) {
            return refuse(format!("{} channels: an MLP takes 1 or 3", self.channels));
        }
        if !(1..=4096).contains(&self.nz) {
            return refuse(format!("nz {}: must be 1 to 4096", self.nz));
        }
        for (name, hidden) in [("hidden_g", &self.hidden_g), ("hidden_d", &self.hidden_d)] {
            check_hidden(hidden).map_err(|wrong| Error::Invalid(format!("{name}: {wrong}")))?;
        }
        for (name, slope) in [("slope_g", self.slope_g), ("slope_d", self.slope_d)] {
            if !(0.0..1.0).contains(&slope) {
                return refuse(format!("{name} {slope}: must be at least 0 and below 1"));
            }
        }
        Ok(())
    }

    /// LossValue from the latents through the layers of the generator to the image.
    pub(super) fn generator_widths(&self) -> Vec<usize> {
        [&[self.nz], &self.hidden_g[..], &[self.pixels()]].concat()
    }

    pub(super) fn generator(&self, seed: Option<u64>, device: &Device) -> Result<Network> {
        let hidden = Activation::LeakyRelu(self.slope_g as f32);
        let widths = self.generator_widths();
        let mut layers = linear_layers(&widths, hidden, Activation::Tanh, seed, Stream::Generator, device)?;
        layers.push(Layer::Reshape([self.size, self.size, self.channels]));
        Ok(Network::new(layers, device))
    }

    pub(super) fn discriminator(&self, seed: u64, device: &Device) -> Result<Network> {
        let widths = [&[self.pixels()], &self.hidden_d[..], &[1]].concat();
        let (hidden, logit) = (Activation::LeakyRelu(self.slope_d as f32), Activation::Identity);
        let mut layers = vec![Layer::Reshape([1, 1, self.pixels()])];
        layers.extend(linear_layers(&widths, hidden, logit, Some(seed), Stream::Discriminator, device)?);
        Ok(Network::new(layers, device))
    }
}

/// Checks the widths of hidden layers; the error says what is wrong with them.
pub(crate) fn check_hidden(widths: &[usize]) -> Result<(), String> {
    match widths.iter().find(|width| !(1..=4096).contains(*width)) {
        Some(width) => Err(format!("{width} is not in 1 to 4096")),
        None if widths.len() > 16 => Err(format!("{} hidden layers; at most 16 are possible", widths.len())),
        None => Ok(()),
    }
}

/// Linear layers from each width to the next, named as in PyTorch's `nn.Sequential`, where every activation counts as a
/// module: 0, 2, 4, …
///
/// Weights and biases start as `nn.Linear` starts them, uniform in ±1/√(inputs); each layer has its own random stream.
/// Without a seed they are zeros.
fn linear_layers(
    widths: &[usize],
    hidden: Activation,
    last: Activation,
    seed: Option<u64>,
    stream: Stream,
    device: &Device,
) -> Result<Vec<Layer>> {
    let layer = |(i, pair): (usize, &[usize])| {
        let (input, output) = (pair[0], pair[1]);
        let mut numbers = vec![0.0; (input + 1) * output];
        if let Some(seed) = seed {
            uniforms(seed, stream, i as u64, &mut numbers);
            let bound = 1.0 / (input as f32).sqrt();
            numbers.iter_mut().for_each(|v| *v = bound * (2.0 * *v - 1.0));
        }
        let bias = numbers.split_off(input * output);
        let weight = Tensor::from_vec(numbers, (output, input), device)?.t()?.force_contiguous()?;
        Ok(Layer::Conv {
            name: (2 * i).to_string(),
            geometry: Geometry::K1S1P0,
            weight: Weight::new(weight.reshape((1, 1, input, output))?),
            bias: Some(Tensor::from_vec(bias, output, device)?),
            activation: if i + 2 == widths.len() { last } else { hidden },
        })
    };
    widths.windows(2).enumerate().map(layer).collect()
}
