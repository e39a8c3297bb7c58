//! DCGAN (Radford, Metz, Chintala 2016) as PyTorch's DCGAN tutorial has it, for images of 32, 64 or 128 pixels.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::layer::{Layer, Network};
use crate::nn::ops::{Activation, BatchStats, Geometry, Weight};
use crate::rng::{Stream, par_normals};
use crate::{Error, Result};

/// The paper's standard deviation of the initial weights (Radford et al. 2016, section 4), the tutorial's of the initial
/// batch-norm scales, too.
const INIT_STD: f64 = 0.02;

fn init_std() -> f64 {
    INIT_STD
}

/// The sizes of a DCGAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcganConfig {
    /// The image's side in pixels: 32, 64 or 128.
    pub size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// The length of a latent vector.
    pub nz: usize,
    /// The generator's width: channels of its last hidden layer.
    pub ngf: usize,
    /// The discriminator's width: channels of its first layer.
    pub ndf: usize,
    /// The discriminator's LeakyReLU slope, in [0, 1).
    pub leaky_slope: f64,
    /// Standard deviation of the initial convolution weights N(0, σ), in [0, 1].
    #[serde(default = "init_std")]
    pub init_std: f64,
    /// Standard deviation of the initial batch-norm scales N(1, σ), in [0, 1].
    #[serde(default = "init_std")]
    pub norm_init_std: f64,
}

/// Draws the initial weights of one network, layer by layer; without a seed they are zeros.
struct Init<'a> {
    config: &'a DcganConfig,
    seed: Option<u64>,
    stream: Stream,
    layers: Vec<Layer>,
    device: &'a Device,
}

impl Init<'_> {
    /// `n` numbers N(mean, std); each layer has its own random stream.
    fn normal(&self, mean: f32, std: f64, n: usize) -> Vec<f32> {
        let mut numbers = vec![0.0; n];
        if let Some(seed) = self.seed {
            par_normals(seed, self.stream, self.layers.len() as u64, &mut numbers);
            numbers.iter_mut().for_each(|v| *v = mean + std as f32 * *v);
        }
        numbers
    }

    /// A convolution's weight `[4, 4, c, s]`, drawn in PyTorch's order of elements, `[s, c, 4, 4]`.
    fn weight(&self, c: usize, s: usize) -> Result<Weight> {
        let drawn = self.normal(0.0, self.config.init_std, s * c * 16);
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

    fn batch_norm(&mut self, index: usize, channels: usize, activation: Activation) -> Result<()> {
        let zeros = || Tensor::zeros(channels, DType::F32, self.device);
        let gamma = self.normal(1.0, self.config.norm_init_std, channels);
        let layer = Layer::BatchNorm {
            name: format!("main.{index}"),
            gamma: Tensor::from_vec(gamma, channels, self.device)?,
            beta: zeros()?,
            running: BatchStats { mean: zeros()?, var: zeros()?.ones_like()? },
            activation,
        };
        self.layers.push(layer);
        Ok(())
    }
}

impl DcganConfig {
    /// How often a side is halved from the image down to 4×4.
    fn halvings(&self) -> usize {
        (self.size / 4).ilog2() as usize
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Invalid(what));
        if ![32, 64, 128].contains(&self.size) {
            return refuse(format!("image size {}: DCGAN takes 32, 64 or 128 (prep --size)", self.size));
        }
        if ![1, 3].contains(&self.channels) {
            return refuse(format!("{} channels: DCGAN takes 1 or 3", self.channels));
        }
        for (name, value) in [("nz", self.nz), ("ngf", self.ngf), ("ndf", self.ndf)] {
            if !(1..=4096).contains(&value) {
                return refuse(format!("{name} {value}: must be 1 to 4096"));
            }
        }
        if !(0.0..1.0).contains(&self.leaky_slope) {
            return refuse(format!("leaky_slope {}: must be at least 0 and below 1", self.leaky_slope));
        }
        for (name, std) in [("init_std", self.init_std), ("norm_init_std", self.norm_init_std)] {
            if !(0.0..=1.0).contains(&std) {
                return refuse(format!("{name} {std}: must be 0 to 1"));
            }
        }
        Ok(())
    }

    /// Channels from the latents through the layers of the generator to the image.
    pub(super) fn generator_widths(&self) -> Vec<usize> {
        let hidden = (0..self.halvings()).rev().map(|i| self.ngf << i);
        std::iter::once(self.nz).chain(hidden).chain([self.channels]).collect()
    }

    pub(super) fn generator(&self, seed: Option<u64>, device: &Device) -> Result<Network> {
        let mut init = Init { config: self, seed, stream: Stream::Generator, layers: vec![], device };
        for (i, pair) in self.generator_widths().windows(2).enumerate() {
            let (input, output) = (pair[0], pair[1]);
            let last = i == self.halvings();
            let geometry = if i == 0 { Geometry::K4S1P0 } else { Geometry::K4S2P1 };
            let weight = init.weight(output, input)?;
            let name = format!("main.{}", 3 * i);
            let activation = if last { Activation::Tanh } else { Activation::Identity };
            init.layers.push(Layer::ConvTranspose { name, geometry, weight, activation });
            if !last {
                init.batch_norm(3 * i + 1, output, Activation::RELU)?;
            }
        }
        Ok(Network::new(init.layers, device))
    }

    pub(super) fn discriminator(&self, seed: u64, device: &Device) -> Result<Network> {
        let leaky = Activation::LeakyRelu(self.leaky_slope as f32);
        let (seed, stream) = (Some(seed), Stream::Discriminator);
        let mut init = Init { config: self, seed, stream, layers: vec![], device };
        let weight = init.weight(self.channels, self.ndf)?;
        let geometry = Geometry::K4S2P1;
        let name = "main.0".into();
        init.layers.push(Layer::Conv { name, geometry, weight, bias: None, activation: leaky });
        let mut input = self.ndf;
        for i in 1..self.halvings() {
            let output = self.ndf << i;
            let weight = init.weight(input, output)?;
            let (name, activation) = (format!("main.{}", 3 * i - 1), Activation::Identity);
            init.layers.push(Layer::Conv { name, geometry, weight, bias: None, activation });
            init.batch_norm(3 * i, output, leaky)?;
            input = output;
        }
        let weight = init.weight(input, 1)?;
        let name = format!("main.{}", 3 * self.halvings() - 1);
        let (geometry, activation) = (Geometry::K4S1P0, Activation::Identity);
        init.layers.push(Layer::Conv { name, geometry, weight, bias: None, activation });
        Ok(Network::new(init.layers, device))
    }
}
