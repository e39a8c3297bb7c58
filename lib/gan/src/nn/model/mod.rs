//! Generators and discriminators from a configuration.

mod dcgan;
mod mlp;

use candle_core::Device;
use serde::{Deserialize, Serialize};

pub use dcgan::DcganConfig;
pub use mlp::MlpConfig;
pub(crate) use mlp::check_hidden;

use crate::Result;
use crate::nn::layer::Network;

/// A model's architecture; saved in every file of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "arch", rename_all = "lowercase")]
pub enum ModelConfig {
    /// Radford et al. 2016, as PyTorch's tutorial has it.
    Dcgan(DcganConfig),
    /// Multilayer perceptrons.
    Mlp(MlpConfig),
}

impl ModelConfig {
    /// Checks the ranges; the error names the value.
    pub fn check(&self) -> Result<()> {
        match self {
            ModelConfig::Dcgan(c) => c.check(),
            ModelConfig::Mlp(c) => c.check(),
        }
    }

    /// The length of a latent vector.
    pub fn latent_size(&self) -> usize {
        match self {
            ModelConfig::Dcgan(c) => c.nz,
            ModelConfig::Mlp(c) => c.nz,
        }
    }

    /// Height, width and channels of an image.
    pub fn image_shape(&self) -> (usize, usize, usize) {
        match self {
            ModelConfig::Dcgan(c) => (c.size, c.size, c.channels),
            ModelConfig::Mlp(c) => (c.size, c.size, c.channels),
        }
    }

    /// LossValue in the weights of a generator's convolutions or linear layers, which are nearly all that it has.
    pub(crate) fn generator_numbers(&self) -> usize {
        let (widths, kernel) = match self {
            ModelConfig::Dcgan(c) => (c.generator_widths(), 16),
            ModelConfig::Mlp(c) => (c.generator_widths(), 1),
        };
        widths.windows(2).map(|pair| pair[0] * pair[1] * kernel).sum()
    }

    /// A generator with the initial weights of `seed`: `[B, nz]` → `[B, H, W, C]` in [−1, 1].
    pub fn generator(&self, seed: u64, device: &Device) -> Result<Network> {
        self.check()?;
        match self {
            ModelConfig::Dcgan(c) => c.generator(Some(seed), device),
            ModelConfig::Mlp(c) => c.generator(Some(seed), device),
        }
    }

    /// A generator as [`ModelConfig::generator`] makes it, but of zeros: its weights are to be loaded.
    pub fn blank_generator(&self, device: &Device) -> Result<Network> {
        self.check()?;
        match self {
            ModelConfig::Dcgan(c) => c.generator(None, device),
            ModelConfig::Mlp(c) => c.generator(None, device),
        }
    }

    /// A discriminator with the initial weights of `seed`: `[B, H, W, C]` → logits `[B, 1, 1, 1]`.
    pub fn discriminator(&self, seed: u64, device: &Device) -> Result<Network> {
        self.check()?;
        match self {
            ModelConfig::Dcgan(c) => c.discriminator(seed, device),
            ModelConfig::Mlp(c) => c.discriminator(seed, device),
        }
    }
}
