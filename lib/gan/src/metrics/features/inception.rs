//! The Inception-v3 of the FID: TensorFlow's of 2015-12-05, as pytorch-fid computes it.
//!
//! Differences from torchvision's: the averages of the branch pools do not count the padding, and the last
//! block's pool is a maximum. Input: RGB in [0, 1], bilinear to 299×299 (half-pixel centers, no
//! antialiasing), then 2x − 1. Sources: Szegedy et al. 2015, "Rethinking the Inception Architecture";
//! mseitzer's pytorch-fid for this variant and the names of its tensors.

#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{Device, Tensor};
use gan_kernels::conv::ConvWindow;

use super::net::{ConvSpec, ConvWeights, GetTensor, MaxPool, Net, NetworkWeights, load_weights, same, valid};
use super::resize;
use crate::Result;
use crate::data::image::Image;
use crate::io::safetensors;
use crate::io::weights::Tensors;

/// The possible numbers of features: after the first pool, the second, the block Mixed_6e, and at the end.
pub(super) const DIMS: [usize; 4] = [64, 192, 768, 2048];

/// The input's height and width.
pub(super) const SIZE: usize = 299;

/// Keeps batch-norm from dividing by zero; TensorFlow's value.
const EPSILON: f64 = 1e-3;

const POOL: MaxPool = MaxPool { stride: 2, padding: 0, ceil: false };

/// Writes an image as the network's input, `[299, 299, 3]` in [-1, 1].
pub(super) fn prepare(image: &Image, out: &mut [f32]) {
    resize::bilinear(image, SIZE, |byte| f32::from(byte) / 255.0, out);
    out.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
}

/// The weights by their published names, each batch-norm folded into its convolution, and their hash. All are
/// read, whichever features are computed, so that the hash identifies the file's content.
///
/// # Errors
/// A tensor is missing or has another shape.
pub(super) fn load(tensors: &Tensors) -> Result<(NetworkWeights, String)> {
    load_weights(tensors, SIZE, |net, input| forward(net, input, 2048), fold)
}

/// Writes Inception's weights, from any format that is read, as a safetensors file of f32, without the
/// counters of the file. The same weights give the same bytes.
///
/// # Errors
/// Weights that are not Inception's; a file that cannot be written.
pub fn convert(from: &Path, to: &Path) -> Result<()> {
    let tensors = Tensors::read(from)?;
    let (_, hash) = load(&tensors)?;
    let read = |(name, shape): (&str, &[usize])| {
        let values = tensors.get(name, shape)?;
        Ok((name.to_string(), Tensor::from_vec(values, shape, &Device::Cpu)?))
    };
    let all = tensors.floats().map(read).collect::<Result<Vec<_>>>()?;
    let metadata = serde_json::json!({ "kind": "inception", "weights": hash });
    safetensors::write(to, &metadata.to_string(), &all)
}

/// A convolution and the batch-norm after it as one: scale = γ/√(σ²+ε), weight·scale, bias = β − μ·scale. In
/// f64.
fn fold(spec: ConvSpec, get: &mut GetTensor) -> Result<ConvWeights> {
    let (oihw, n) = (spec.oihw(), [spec.filters]);
    let mut weight = get("conv.weight", &oihw)?;
    let (gamma, beta) = (get("bn.weight", &n)?, get("bn.bias", &n)?);
    let (mean, variance) = (get("bn.running_mean", &n)?, get("bn.running_var", &n)?);
    let scale = |i: usize| f64::from(gamma[i]) / (f64::from(variance[i]) + EPSILON).sqrt();
    for (i, weights) in weight.chunks_exact_mut(oihw[1] * oihw[2] * oihw[3]).enumerate() {
        weights.iter_mut().for_each(|w| *w = (f64::from(*w) * scale(i)) as f32);
    }
    let bias = |i: usize| (f64::from(beta[i]) - f64::from(mean[i]) * scale(i)) as f32;
    Ok(ConvWeights { weight, bias: (0..spec.filters).map(bias).collect(), spec })
}

/// The network from an input `[299, 299, 3]` to the map whose mean is the `dims` features.
pub(super) fn forward<N: Net>(net: &N, input: N::Map, dims: usize) -> Result<N::Map> {
    let mut x = net.conv("Conv2d_1a_3x3", valid(3, 2), 32, &input)?;
    drop(input);
    x = net.conv("Conv2d_2a_3x3", valid(3, 1), 32, &x)?;
    x = net.conv("Conv2d_2b_3x3", same(3, 3), 64, &x)?;
    x = net.max_pool(POOL, &x)?;
    if dims == 64 {
        return Ok(x);
    }
    x = net.conv("Conv2d_3b_1x1", same(1, 1), 80, &x)?;
    x = net.conv("Conv2d_4a_3x3", valid(3, 1), 192, &x)?;
    x = net.max_pool(POOL, &x)?;
    if dims == 192 {
        return Ok(x);
    }
    for (name, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        x = InceptionBlock { net, name, x: &x }.a(pooled)?;
    }
    x = InceptionBlock { net, name: "Mixed_6a", x: &x }.b()?;
    for (name, c7) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        x = InceptionBlock { net, name, x: &x }.c(c7)?;
    }
    if dims == 768 {
        return Ok(x);
    }
    x = InceptionBlock { net, name: "Mixed_7a", x: &x }.d()?;
    x = InceptionBlock { net, name: "Mixed_7b", x: &x }.e(net.avg_pool(&x)?)?;
    let pooled = net.max_pool(MaxPool { stride: 1, padding: 1, ceil: false }, &x)?;
    InceptionBlock { net, name: "Mixed_7c", x: &x }.e(pooled)
}

/// An Inception block: branches from the same input, concatenated. Its kinds have torchvision's names.
struct InceptionBlock<'a, N: Net> {
    net: &'a N,
    name: &'a str,
    x: &'a N::Map,
}

impl<N: Net> InceptionBlock<'_, N> {
    fn conv(&self, branch: &str, conv: ConvWindow, filters: usize, x: &N::Map) -> Result<N::Map> {
        self.net.conv(&format!("{}.{branch}", self.name), conv, filters, x)
    }

    /// The convolutions of a branch one after the other, from the block's input: `branch_1`, `branch_2`, …,
    /// or one of the branch's own name.
    fn chain(&self, branch: &str, steps: &[(ConvWindow, usize)]) -> Result<N::Map> {
        let name = |i| if steps.len() == 1 { branch.to_string() } else { format!("{branch}_{}", i + 1) };
        let (conv, filters) = steps[0];
        let mut x = self.conv(&name(0), conv, filters, self.x)?;
        for (i, &(conv, filters)) in steps.iter().enumerate().skip(1) {
            x = self.conv(&name(i), conv, filters, &x)?;
        }
        Ok(x)
    }

    /// 1×1 on the average of the block's input.
    fn pooled(&self, filters: usize) -> Result<N::Map> {
        self.conv("branch_pool", same(1, 1), filters, &self.net.avg_pool(self.x)?)
    }

    /// 35×35: 1×1, 5×5, twice 3×3, pool.
    fn a(&self, pooled: usize) -> Result<N::Map> {
        self.net.concat(&[
            self.chain("branch1x1", &[(same(1, 1), 64)])?,
            self.chain("branch5x5", &[(same(1, 1), 48), (same(5, 5), 64)])?,
            self.chain("branch3x3dbl", &[(same(1, 1), 64), (same(3, 3), 96), (same(3, 3), 96)])?,
            self.pooled(pooled)?,
        ])
    }

    /// 35×35 to 17×17.
    fn b(&self) -> Result<N::Map> {
        self.net.concat(&[
            self.chain("branch3x3", &[(valid(3, 2), 384)])?,
            self.chain("branch3x3dbl", &[(same(1, 1), 64), (same(3, 3), 96), (valid(3, 2), 96)])?,
            self.net.max_pool(POOL, self.x)?,
        ])
    }

    /// 17×17: 7×7 as 1×7 and 7×1.
    fn c(&self, c7: usize) -> Result<N::Map> {
        let (one, wide, tall) = (same(1, 1), same(1, 7), same(7, 1));
        self.net.concat(&[
            self.chain("branch1x1", &[(one, 192)])?,
            self.chain("branch7x7", &[(one, c7), (wide, c7), (tall, 192)])?,
            self.chain("branch7x7dbl", &[(one, c7), (tall, c7), (wide, c7), (tall, c7), (wide, 192)])?,
            self.pooled(192)?,
        ])
    }

    /// 17×17 to 8×8.
    fn d(&self) -> Result<N::Map> {
        let (one, wide, tall, half) = (same(1, 1), same(1, 7), same(7, 1), valid(3, 2));
        self.net.concat(&[
            self.chain("branch3x3", &[(one, 192), (half, 320)])?,
            self.chain("branch7x7x3", &[(one, 192), (wide, 192), (tall, 192), (half, 192)])?,
            self.net.max_pool(POOL, self.x)?,
        ])
    }

    /// 8×8: 3×3 as 1×3 beside 3×1; `pooled` is the block's input after its pool, which differs between the
    /// two blocks.
    fn e(&self, pooled: N::Map) -> Result<N::Map> {
        let fork = |branch: &str, x: N::Map| {
            let half = |side, conv| self.conv(&format!("{branch}{side}"), conv, 384, &x);
            self.net.concat(&[half("a", same(1, 3))?, half("b", same(3, 1))?])
        };
        let single = self.conv("branch3x3_1", same(1, 1), 384, self.x)?;
        let double = self.chain("branch3x3dbl", &[(same(1, 1), 448), (same(3, 3), 384)])?;
        self.net.concat(&[
            self.chain("branch1x1", &[(same(1, 1), 320)])?,
            fork("branch3x3_2", single)?,
            fork("branch3x3dbl_3", double)?,
            self.conv("branch_pool", same(1, 1), 192, &pooled)?,
        ])
    }
}
