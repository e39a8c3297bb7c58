//! GANs whose two networks are multilayer perceptrons: linear layers with an activation after each, no batch-norm.
//!
//! An image is flattened as it lies in memory, channels last: value (y·W + x)·C + c of a layer is channel c of pixel
//! (x, y). For gray images that is also PyTorch's `view(batch, H·W)`; of a PyTorch model of color images, which counts
//! channel by channel, the first rows of D and the last ones of G would have to change places.

use super::interface::{Architecture, ImageShape, Init, Layers};
use crate::Result;
use crate::config::table;
use crate::nn::layer::{Conv, Reshape};
use crate::nn::ops::{Activation, Geometry};

table! {
    /// The sizes of an MLP GAN.
    pub struct Mlp {
        /// Length of a latent vector.
        nz: usize = 64, Whole(1, 4096);
        /// Widths of the generator's hidden layers, from the latents on.
        hidden_g: Vec<usize> = vec![256, 256], Wholes(16, 1, 4096);
        /// Widths of the discriminator's hidden layers, from the images on.
        hidden_d: Vec<usize> = vec![256, 256], Wholes(16, 1, 4096);
        /// Slope below zero of the generator's hidden activations: 0 is ReLU, else LeakyReLU.
        slope_g: f64 = 0.0, BelowOne;
        /// The same of the discriminator's.
        slope_d: f64 = 0.2, BelowOne;
    }
}

impl Mlp {
    /// Values from the latents through the layers of the generator to the image.
    fn generator_widths(&self, (h, w, c): ImageShape) -> Vec<usize> {
        [&[self.nz], &self.hidden_g[..], &[h * w * c]].concat()
    }
}

/// Linear layers from each width to the next, named as in PyTorch's `nn.Sequential`, where every activation counts as a
/// module: 0, 2, 4, …
fn linear_layers(widths: &[usize], slope: f64, last: Activation, init: &mut Init) -> Result<Layers> {
    let mut layers = Layers::new();
    for (i, pair) in widths.windows(2).enumerate() {
        let (weight, bias) = init.linear(pair[0], pair[1])?;
        let activation = if i + 2 == widths.len() { last } else { Activation::LeakyRelu(slope as f32) };
        let (name, geometry) = ((2 * i).to_string(), Geometry::K1S1P0);
        layers.push(Box::new(Conv { name, geometry, weight, bias: Some(bias), activation }));
    }
    Ok(layers)
}

impl Architecture for Mlp {
    fn check_image(&self, size: usize) -> Result<(), String> {
        match (1..=256).contains(&size) {
            true => Ok(()),
            false => Err(format!("image size {size}: an MLP takes 1 to 256 (prep --size)")),
        }
    }

    fn describe(&self, (h, w, c): ImageShape) -> String {
        format!("MLP {h}×{w}×{c}, nz {}, hidden G {:?}, D {:?}", self.nz, self.hidden_g, self.hidden_d)
    }

    fn latent_size(&self) -> usize {
        self.nz
    }

    fn min_generator_elements(&self, shape: ImageShape) -> usize {
        self.generator_widths(shape).windows(2).map(|pair| pair[0] * pair[1]).sum()
    }

    fn generator(&self, shape: ImageShape, init: &mut Init) -> Result<Layers> {
        let mut layers = linear_layers(&self.generator_widths(shape), self.slope_g, Activation::Tanh, init)?;
        layers.push(Box::new(Reshape([shape.0, shape.1, shape.2])));
        Ok(layers)
    }

    fn discriminator(&self, (h, w, c): ImageShape, init: &mut Init) -> Result<Layers> {
        let widths = [&[h * w * c], &self.hidden_d[..], &[1]].concat();
        let mut layers: Layers = vec![Box::new(Reshape([1, 1, h * w * c]))];
        layers.extend(linear_layers(&widths, self.slope_d, Activation::Identity, init)?);
        Ok(layers)
    }
}
