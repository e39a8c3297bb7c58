//! Generators that other programs saved: what their layers are, their tensors' names and shapes tell.
//!
//! A `state_dict` holds numbers and names, no layers: no activation, stride or padding is in it. What it does
//! not tell is taken for what DCGANs and multilayer perceptrons have, said once ([`Outline::taken`]), and
//! given by [`LayoutHints`] where it is otherwise.
//!
//! [`modules`]: names to modules, in order; [`chain`]: modules to layers, each taking what the one before
//! gives; [`choose`]: which of the networks in a file is the generator; [`build`]: the numbers, folded as
//! PyTorch's evaluation mode does it.

mod build;
mod chain;
mod choose;
mod container;
mod geometry;
mod layers;
mod modules;
#[cfg(test)]
mod tests;

use candle_core::Device;
use serde::Serialize;

pub use crate::io::safetensors::TensorSpec;
use crate::nn::layer::Network;
use crate::{Error, Result};

pub use container::describe;

/// What a file of weights does not tell of its generator; `None` and empty lists: what is usual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayoutHints {
    /// The hidden activations' slope below zero, in [0, 1): 0 is ReLU, else LeakyReLU.
    pub slope: Option<f64>,
    /// The activation after the last layer.
    pub last: Option<Last>,
    /// Added to the variance by each batch-norm; one number for all, or one for each in order.
    pub eps: Vec<f64>,
    /// Each convolution's stride, in the same way.
    pub stride: Vec<usize>,
    /// Each convolution's padding.
    pub padding: Vec<usize>,
    /// Each convolution's output padding; 0 of those that are not transposed.
    pub output_padding: Vec<usize>,
    /// By what the nearest pixels are repeated before each convolution (`nn.Upsample`): 1 where nothing is.
    pub upsample: Vec<usize>,
    /// The order of a multilayer perceptron's numbers.
    pub layout: Option<Layout>,
}

impl LayoutHints {
    /// The flag of the first thing that is hints, if any is.
    pub fn first(&self) -> Option<&'static str> {
        let hints = [
            ("--slope", self.slope.is_some()),
            ("--last", self.last.is_some()),
            ("--eps", !self.eps.is_empty()),
            ("--stride", !self.stride.is_empty()),
            ("--padding", !self.padding.is_empty()),
            ("--output-padding", !self.output_padding.is_empty()),
            ("--upsample", !self.upsample.is_empty()),
            ("--layout", self.layout.is_some()),
        ];
        hints.into_iter().find_map(|(flag, is)| is.then_some(flag))
    }
}

/// The activation after a generator's last layer, and with it the range of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Last {
    /// Images in [−1, 1].
    Tanh,
    /// Images in [0, 1].
    Sigmoid,
    /// None: what the layer gives is taken for [−1, 1], and cut off there.
    None,
}

/// How a multilayer perceptron's numbers are the pixels of a color image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Channel by channel, as PyTorch's `view(-1, 3, H, W)`.
    ChannelsFirst,
    /// Pixel by pixel.
    ChannelsLast,
}

/// Named tensors that were saved together.
#[derive(Clone, Debug, PartialEq)]
pub struct Dict {
    /// The keys that lead to it, joined by points.
    pub path: String,
    /// Its tensors.
    pub items: Vec<TensorSpec>,
    /// Whether they are in the order in which they were saved. A safetensors file sorts them by name.
    pub ordered: bool,
}

/// What a generator is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outline {
    /// `dcgan`, of convolutions, or `mlp`, of linear layers.
    pub arch: &'static str,
    /// The image's side in pixels.
    pub size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// The length of a latent vector.
    pub nz: usize,
    /// The channels (or numbers) that its hidden layers give.
    pub hidden: Vec<usize>,
    /// Where in the file it is: the keys and prefixes that all of its names share.
    pub part: String,
    /// What the file does not tell and was taken for usual, one line; empty where all of it was hints.
    pub taken: String,
}

impl Outline {
    /// One line.
    pub fn text(&self) -> String {
        let Outline { arch, size, channels, nz, hidden, .. } = self;
        format!("{} {size}×{size}×{channels}, nz {nz}, hidden {hidden:?}", arch.to_uppercase())
    }
}

/// A generator found in a file; its numbers are not read yet.
pub struct Found<'a> {
    /// What it is.
    pub outline: Outline,
    dict: &'a Dict,
    plan: chain::Plan<'a>,
    hints: &'a LayoutHints,
}

/// Gives the elements of the tensor of a name and a shape, row-major.
pub type Numbers<'a> = &'a dyn Fn(&str, &[usize]) -> Result<Vec<f32>>;

/// Looks for the one generator in a file's dictionaries.
///
/// # Errors
/// There is none, or there are several: what is there, and which tensor does not fit.
pub fn find<'a>(dicts: &'a [Dict], hints: &'a LayoutHints) -> Result<Found<'a>> {
    choose::choose(dicts, hints).map_err(Error::Invalid)
}

impl Found<'_> {
    /// The network, on `device`. `numbers` gives the elements of the tensor of a name (with the keys that
    /// lead to its dictionary) and a shape, row-major.
    ///
    /// # Errors
    /// Those of `numbers`; a NaN or an infinity.
    pub fn network(&self, device: &Device, numbers: Numbers) -> Result<Network> {
        let read = |name: &str, shape: &[usize]| {
            let full = match self.dict.path.is_empty() {
                true => name.to_string(),
                false => format!("{}.{name}", self.dict.path),
            };
            let values = numbers(&full, shape)?;
            match values.iter().all(|v| v.is_finite()) {
                true => Ok(values),
                false => {
                    let what = format!("{full}: holds a NaN or an infinity; its training diverged");
                    Err(Error::Invalid(what))
                }
            }
        };
        build::network(&self.plan, self.hints, device, &read)
    }
}
