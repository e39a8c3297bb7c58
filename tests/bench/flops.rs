//! The operations of the matrix products, two per multiply-add, independent of the algorithm.

use gan::nn::model::{Dcgan, ImageShape, Mlp};

/// Inception-v3 up to its 2,048 features, for one image.
pub const INCEPTION: f64 = 11.422336192e9;

/// SqueezeNet v1.1 up to its 512 features, for one image.
pub const SQUEEZENET: f64 = 0.574791040e9;

/// A DCGAN step, per image: D forward and backward on real and fake images, G forward and backward, and D
/// forward and backward in G's update without D's weight gradients. 2.275 GFLOP for 64×64, nz = 100, ngf =
/// ndf = 64.
pub fn dcgan_step(c: &Dcgan, (size, _, channels): ImageShape) -> f64 {
    let halvings = (size / 4).ilog2();
    // Weights times output pixels, from the smallest image to the largest; D's layers mirror G's.
    let layers = |ends: [usize; 2], width: usize| -> Vec<usize> {
        let widths = (0..halvings).rev().map(|i| width << i);
        let channels: Vec<usize> = [ends[0]].into_iter().chain(widths).chain([ends[1]]).collect();
        let products = |(i, pair): (usize, &[usize])| {
            let pixels = if i == 0 { 1 } else { (4usize << (i - 1)).pow(2) };
            16 * pair[0] * pair[1] * pixels
        };
        channels.windows(2).enumerate().map(products).collect()
    };
    let (g, d) = (layers([c.nz, channels], c.ngf), layers([1, channels], c.ndf));
    step([g.iter().sum(), g[0]], [d.iter().sum(), d[halvings as usize]], 1)
}

/// A step of an MLP GAN, per image; G's update draws its own noise.
pub fn mlp_step(c: &Mlp, (height, width, channels): ImageShape) -> f64 {
    let pixels = height * width * channels;
    let layers = |first: usize, hidden: &[usize], last: usize| -> Vec<usize> {
        let widths: Vec<usize> = [first].into_iter().chain(hidden.iter().copied()).chain([last]).collect();
        widths.windows(2).map(|pair| pair[0] * pair[1]).collect()
    };
    let (g, d) = (layers(c.nz, &c.hidden_g, pixels), layers(pixels, &c.hidden_d, 1));
    step([g.iter().sum(), g[0]], [d.iter().sum(), d[0]], 2)
}

/// A step, from the multiply-adds of each network's forward pass and of its first layer. G: `forwards_of_g`
/// forward passes, weight gradients, and input gradients except for the latents. D: three forward passes, two
/// weight gradients, three input gradients of which two stop before the images.
fn step([g, first_g]: [usize; 2], [d, first_d]: [usize; 2], forwards_of_g: usize) -> f64 {
    2.0 * ((forwards_of_g + 2) * g - first_g + 8 * d - 2 * first_d) as f64
}
