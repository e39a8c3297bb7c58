//! DCGAN (Radford, Metz, Chintala 2016) as PyTorch's DCGAN tutorial has it, for images of 32, 64 or 128 pixels.

use super::interface::{Architecture, ImageShape, Init, Layers};
use crate::Result;
use crate::config::table;
use crate::nn::layer::{Conv, ConvTranspose};
use crate::nn::ops::{Activation, Geometry};

table! {
    /// The sizes of a DCGAN. The defaults are the tutorial's.
    pub struct Dcgan {
        /// Length of a latent vector.
        nz: usize = 100, Whole(1, 4096);
        /// The generator's width: channels of its last hidden layer.
        ngf: usize = 64, Whole(1, 4096);
        /// The discriminator's width: channels of its first layer.
        ndf: usize = 64, Whole(1, 4096);
        /// Slope of the discriminator's LeakyReLU below zero.
        leaky_slope: f64 = 0.2, BelowOne;
        /// Standard deviation of the initial convolution weights N(0, σ).
        init_std: f64 = 0.02, UpToOne;
        /// Standard deviation of the initial batch-norm scales N(1, σ).
        norm_init_std: f64 = 0.02, UpToOne;
    }
}

/// The number of times that an image's size is halved down to 4×4.
fn halvings(size: usize) -> usize {
    (size / 4).ilog2() as usize
}

impl Dcgan {
    /// Channels from the latents through the layers of the generator to the image.
    fn generator_widths(&self, (size, _, channels): ImageShape) -> Vec<usize> {
        let hidden = (0..halvings(size)).rev().map(|i| self.ngf << i);
        std::iter::once(self.nz).chain(hidden).chain([channels]).collect()
    }
}

impl Architecture for Dcgan {
    fn check_image(&self, size: usize) -> Result<(), String> {
        match [32, 64, 128].contains(&size) {
            true => Ok(()),
            false => Err(format!("image size {size}: DCGAN takes 32, 64 or 128 (prep --size)")),
        }
    }

    fn describe(&self, (h, w, c): ImageShape) -> String {
        format!("DCGAN {h}×{w}×{c}, nz {}, ngf {}, ndf {}", self.nz, self.ngf, self.ndf)
    }

    fn latent_size(&self) -> usize {
        self.nz
    }

    fn min_generator_elements(&self, shape: ImageShape) -> usize {
        self.generator_widths(shape).windows(2).map(|pair| pair[0] * pair[1] * 16).sum()
    }

    fn generator(&self, shape: ImageShape, init: &mut Init) -> Result<Layers> {
        let (mut layers, last) = (Layers::new(), halvings(shape.0));
        for (i, pair) in self.generator_widths(shape).windows(2).enumerate() {
            let (name, weight) = (format!("main.{}", 3 * i), init.conv4(pair[1], pair[0], self.init_std)?);
            let geometry = if i == 0 { Geometry::K4S1P0 } else { Geometry::K4S2P1 };
            let activation = if i == last { Activation::Tanh } else { Activation::Identity };
            layers.push(Box::new(ConvTranspose { name, geometry, weight, activation }));
            if i < last {
                let (name, relu) = (format!("main.{}", 3 * i + 1), Activation::RELU);
                layers.push(Box::new(init.batch_norm(name, pair[1], self.norm_init_std, relu)?));
            }
        }
        Ok(layers)
    }

    fn discriminator(&self, (size, _, channels): ImageShape, init: &mut Init) -> Result<Layers> {
        let leaky = Activation::LeakyRelu(self.leaky_slope as f32);
        let (mut layers, mut input, last) = (Layers::new(), channels, halvings(size));
        let conv = |init: &mut Init, index: usize, input, output, geometry, activation| -> Result<Conv> {
            let weight = init.conv4(input, output, self.init_std)?;
            Ok(Conv { name: format!("main.{index}"), geometry, weight, bias: None, activation })
        };
        for i in 0..last {
            let output = self.ndf << i;
            // The first layer has no batch-norm.
            let (index, activation) = if i == 0 { (0, leaky) } else { (3 * i - 1, Activation::Identity) };
            layers.push(Box::new(conv(init, index, input, output, Geometry::K4S2P1, activation)?));
            if i > 0 {
                let name = format!("main.{}", 3 * i);
                layers.push(Box::new(init.batch_norm(name, output, self.norm_init_std, leaky)?));
            }
            input = output;
        }
        layers.push(Box::new(conv(init, 3 * last - 1, input, 1, Geometry::K4S1P0, Activation::Identity)?));
        Ok(layers)
    }
}
