//! SqueezeNet v1.1 (Iandola et al. 2016) as a small feature network whose weights are embedded.
//!
//! Input: RGB, bilinear to 227×227 as for Inception (half-pixel centers, no antialiasing), BGR minus
//! ImageNet's mean [103.939, 116.779, 123.68]. Layers: conv1 (3×3, stride 2, no padding), ReLU, 3×3 maximum
//! of stride 2, fire2, fire3, maximum, fire4, fire5, maximum, fire6 to fire9; the last window of a maximum
//! may extend beyond the edge. Features: the 512 channels of fire9, each averaged over all pixels. Their
//! Fréchet distance is called FD-SqueezeNet; it ranks generators of the same images but is not the FID.

#[cfg(test)]
mod tests;

use std::path::Path;

use super::net::{ConvWeights, MaxPool, Net, NetworkWeights, load_weights, same, valid};
use super::resize;
use crate::Result;
use crate::data::image::Image;
use crate::io::weights::Tensors;

/// The number of features.
pub const DIMS: usize = 512;

/// The input's height and width.
pub(super) const SIZE: usize = 227;

/// ImageNet's mean, 0 to 255, in the order blue, green, red.
const MEAN: [f32; 3] = [103.939, 116.779, 123.68];

/// The weights in half precision; assets/README.md names their source.
static WEIGHTS: &[u8] = include_bytes!("../../../assets/squeezenet-v1.1-f16.safetensors");

const POOL: MaxPool = MaxPool { stride: 2, padding: 0, ceil: true };

/// Writes an image as the network's input, `[227, 227, 3]`.
pub(super) fn prepare(image: &Image, out: &mut [f32]) {
    resize::bilinear(image, SIZE, f32::from, out);
    for pixel in out.chunks_exact_mut(3) {
        pixel.reverse();
        pixel.iter_mut().zip(MEAN).for_each(|(v, mean)| *v -= mean);
    }
}

/// The embedded weights and their hash.
///
/// # Errors
/// None: a test checks them.
pub(super) fn load() -> Result<(NetworkWeights, String)> {
    let tensors = Tensors::from_bytes(Path::new("the embedded SqueezeNet"), WEIGHTS.to_vec())?;
    load_weights(&tensors, SIZE, forward, |spec, get| {
        let (weight, bias) = (get("weight", &spec.oihw())?, get("bias", &[spec.filters])?);
        Ok(ConvWeights { spec, weight, bias })
    })
}

/// The network from an input `[227, 227, 3]` to the map whose mean is the features.
pub(super) fn forward<N: Net>(net: &N, input: N::Map) -> Result<N::Map> {
    let mut x = net.conv("conv1", valid(3, 2), 64, &input)?;
    for (fire, squeezed) in (2..).zip([16, 16, 32, 32, 48, 48, 64, 64]) {
        if [2, 4, 6].contains(&fire) {
            x = net.max_pool(POOL, &x)?;
        }
        let s = net.conv(&format!("fire{fire}.squeeze1x1"), same(1, 1), squeezed, &x)?;
        x = net.concat(&[
            net.conv(&format!("fire{fire}.expand1x1"), same(1, 1), 4 * squeezed, &s)?,
            net.conv(&format!("fire{fire}.expand3x3"), same(3, 3), 4 * squeezed, &s)?,
        ])?;
    }
    Ok(x)
}
