//! Generators that other programs saved, rebuilt from the names and shapes of their tensors.
//!
//! A `state_dict` holds no activation, stride or padding. Those of DCGANs and multilayer perceptrons are
//! assumed; [`ModelSummary::assumed`] lists them, and [`LayoutHints`] replace them.
//!
//! [`modules`]: names → modules in order; [`layers`]: modules → layers; [`chain`]: each layer takes what the
//! one before gives; [`geometry`]: strides and paddings; [`plan`]: all of this → a generator; [`choose`]:
//! which network of a file is the generator; [`build`]: a plan and its weights → a network that does what
//! PyTorch's does in evaluation mode.

mod build;
mod chain;
mod choose;
mod container;
mod geometry;
mod layers;
mod modules;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use candle_core::Device;
use serde::Serialize;

pub use crate::io::state_dict::{StateDict, TensorSpec};
use crate::named::named_enum;
use crate::nn::Network;
use crate::{Error, Result};

pub use choose::find;
pub use container::describe;

/// What a file of weights does not contain about its generator. `None` and empty lists stand for the usual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayoutHints {
    /// The slope below zero of the hidden activations, in [0, 1): 0 is ReLU, else LeakyReLU.
    pub slope: Option<f64>,
    /// The activation after the last layer.
    pub last: Option<OutputActivation>,
    /// What each batch-norm adds to the variance: one number for all, or one for each in order.
    pub eps: Vec<f64>,
    /// The stride of each convolution, in the same way.
    pub stride: Vec<usize>,
    /// The padding of each convolution.
    pub padding: Vec<usize>,
    /// The output padding of each convolution: 0 if it is not transposed.
    pub output_padding: Vec<usize>,
    /// How many times `nn.Upsample` (nearest) repeats the pixels before each convolution: 1 without one.
    pub upsample: Vec<usize>,
    /// The order of the features that a multilayer perceptron makes of a color image.
    pub layout: Option<ChannelOrder>,
}

impl LayoutHints {
    /// The hints of convolutions, by name.
    fn of_convs(&self) -> [(&'static str, &[usize]); 4] {
        let LayoutHints { stride, padding, output_padding, upsample, .. } = self;
        [("stride", stride), ("padding", padding), ("output_padding", output_padding), ("upsample", upsample)]
    }

    /// The name of the first hint that is set.
    pub fn first(&self) -> Option<&'static str> {
        let convs = self.of_convs().map(|(name, values)| (name, !values.is_empty()));
        let (slope, last) = (("slope", self.slope.is_some()), ("last", self.last.is_some()));
        let (eps, layout) = (("eps", !self.eps.is_empty()), ("layout", self.layout.is_some()));
        let all = [slope, last, eps].into_iter().chain(convs).chain([layout]);
        all.into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }
}

impl TensorSpec {
    /// The error of a tensor that does not fit.
    fn wrong<T>(&self, what: impl Display) -> Result<T> {
        Err(Error::Invalid(format!("{}: {what}", self.name)))
    }
}

named_enum! {
    /// The activation after the last layer of a generator.
    pub enum OutputActivation {
        /// Images in [−1, 1].
        Tanh = "tanh",
        /// Images in [0, 1].
        Sigmoid = "sigmoid",
        /// None: images in [−1, 1], clipped.
        None = "none",
    }
}

named_enum! {
    /// The order of the features that a multilayer perceptron makes of a color image.
    pub enum ChannelOrder {
        /// Channel by channel, as PyTorch's `view(-1, 3, H, W)`.
        ChannelsFirst = "channels-first",
        /// Pixel by pixel.
        ChannelsLast = "channels-last",
    }
}

/// What a generator is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSummary {
    /// `dcgan` (convolutions) or `mlp` (linear layers).
    pub arch: &'static str,
    /// The width and height of an image in pixels.
    pub size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// The length of a latent vector.
    pub nz: usize,
    /// The channels or features that the hidden layers give.
    pub hidden: Vec<usize>,
    /// Where in the file it is: the keys and prefixes that all its names share.
    pub prefix: String,
    /// What was assumed since the file does not contain it, one line. Empty where hints gave everything.
    pub assumed: String,
    /// The [`LayoutHints`] that change what was assumed, by name.
    pub hints: Vec<&'static str>,
}

impl ModelSummary {
    /// One line.
    pub fn text(&self) -> String {
        let ModelSummary { arch, size, channels, nz, hidden, .. } = self;
        format!("{} {size}×{size}×{channels}, nz {nz}, hidden {hidden:?}", arch.to_uppercase())
    }
}

/// A generator found in a file. Its weights are not read yet.
pub struct FoundGenerator<'a> {
    /// What it is.
    pub summary: ModelSummary,
    dict: &'a StateDict,
    plan: plan::GeneratorPlan<'a>,
}

/// Reads the elements, row-major, of the tensor of a name and a shape.
pub type ReadTensor<'a> = &'a dyn Fn(&str, &[usize]) -> Result<Vec<f32>>;

impl FoundGenerator<'_> {
    /// The network, on `device`. `read` takes the full name of a tensor in the file.
    ///
    /// # Errors
    /// Those of `read`; a NaN or an infinity.
    pub fn network(&self, device: &Device, read: ReadTensor) -> Result<Network> {
        let read_finite = |name: &str, shape: &[usize]| {
            let name = self.dict.full_name(name);
            let values = read(&name, shape)?;
            if values.iter().any(|v| !v.is_finite()) {
                let what = format!("{name}: holds a NaN or an infinity; its training diverged");
                return Err(Error::Invalid(what));
            }
            Ok(values)
        };
        build::network(&self.plan, device, &read_finite)
    }
}
