//! The operations as candle tensor operations alone: matrix products, element-wise kernels and copies.
//!
//! No line here asks what device it runs on, so the tests on the CPU test what a GPU runs. candle's own convolutions
//! are not used: their gradients, and the transposed one, are slow on the devices that matter.

use candle_core::{D, DType, Tensor};

use super::{Activation, AdamStep, Geometry, Moments, Norm, NormGrads, Weight};
use crate::Result;

/// x `[.., C]` as a matrix `[R, C]`.
fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_to(D::Minus(2))?)
}

/// The patches of a K4S2P1 convolution, `[B, H/2, W/2, 16·C]`, a patch's numbers in the order of [`fold_weight`].
///
/// Padded and cut into 2×2 blocks (space to depth), a patch of 4×4 pixels is 2×2 blocks: four shifted copies.
fn patches(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let x = x.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
    let blocks = x.reshape((b, h / 2 + 1, 2, w / 2 + 1, 2, c))?.permute((0, 1, 3, 2, 4, 5))?;
    let blocks = blocks.reshape((b, h / 2 + 1, w / 2 + 1, 4 * c))?;
    let mut shifted = Vec::with_capacity(4);
    for (p, q) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        shifted.push(blocks.narrow(1, p, h / 2)?.narrow(2, q, w / 2)?);
    }
    Ok(Tensor::cat(&shifted, 3)?)
}

/// A weight `[4, 4, C, S]` as the matrix `[16·C, S]` that goes with [`patches`]: kernel row 2p + r and column 2q + t
/// in the order (p, q, r, t).
fn fold_weight(weight: &Tensor) -> Result<Tensor> {
    let (_, _, c, s) = weight.dims4()?;
    Ok(weight.reshape((2, 2, 2, 2, c, s))?.permute((0, 2, 1, 3, 4, 5))?.reshape((16 * c, s))?)
}

/// The inverse of [`fold_weight`].
fn unfold_weight(weight: &Tensor, c: usize, s: usize) -> Result<Tensor> {
    Ok(weight.reshape((2, 2, 2, 2, c, s))?.permute((0, 2, 1, 3, 4, 5))?.reshape((4, 4, c, s))?)
}

fn activate(activation: Activation, x: Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => x,
        Activation::LeakyRelu(0.0) => x.relu()?,
        // max(x, slope·x) is LeakyReLU for slopes below 1.
        Activation::LeakyRelu(slope) => x.maximum(&(&x * slope as f64)?)?,
        Activation::Tanh => x.tanh()?,
    })
}

pub(super) fn conv2d(
    geometry: Geometry,
    x: &Tensor,
    weight: &Weight,
    bias: Option<&Tensor>,
    activation: Activation,
    out: DType,
) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let weight = weight.tensor();
    let s = weight.dim(3)?;
    let y = match geometry {
        Geometry::K4S2P1 => {
            rows(&patches(x)?)?.matmul(&fold_weight(weight)?)?.reshape((b, h / 2, w / 2, s))?
        }
        Geometry::K4S1P0 => {
            x.reshape((b, 16 * c))?.matmul(&weight.reshape((16 * c, s))?)?.reshape((b, 1, 1, s))?
        }
        Geometry::K1S1P0 => rows(x)?.matmul(&weight.reshape((c, s))?)?.reshape((b, h, w, s))?,
    };
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    Ok(activate(activation, y)?.to_dtype(out)?)
}

pub(super) fn conv_transpose2d(
    geometry: Geometry,
    y: &Tensor,
    weight: &Weight,
    activation: Activation,
    out: DType,
) -> Result<Tensor> {
    let (b, h, w, s) = y.dims4()?;
    let weight = weight.tensor();
    let c = weight.dim(2)?;
    let x = match geometry {
        Geometry::K4S1P0 => {
            y.reshape((b, s))?.matmul(&weight.reshape((16 * c, s))?.t()?)?.reshape((b, 4, 4, c))?
        }
        Geometry::K1S1P0 => rows(y)?.matmul(&weight.reshape((c, s))?.t()?)?.reshape((b, h, w, c))?,
        Geometry::K4S2P1 => {
            // Output pixel (2i + a, 2j + e) sees 2×2 input pixels through kernel rows 3 − a − 2p and columns
            // 3 − e − 2q: four small convolutions, whose outputs are interleaved.
            let y = y.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
            let mut lines = Vec::with_capacity(2);
            for a in 0..2 {
                let mut line = Vec::with_capacity(2);
                for e in 0..2 {
                    let (mut window, mut kernel) = (Vec::with_capacity(4), Vec::with_capacity(4));
                    for (p, q) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        window.push(y.narrow(1, a + p, h)?.narrow(2, e + q, w)?);
                        kernel.push(weight.get(3 - a - 2 * p)?.get(3 - e - 2 * q)?);
                    }
                    let kernel = Tensor::cat(&kernel, 1)?.t()?;
                    line.push(rows(&Tensor::cat(&window, 3)?)?.matmul(&kernel)?.reshape((b, h, w, c))?);
                }
                lines.push(Tensor::stack(&line, 3)?.reshape((b, h, 2 * w, c))?);
            }
            Tensor::stack(&lines, 2)?.reshape((b, 2 * h, 2 * w, c))?
        }
    };
    Ok(activate(activation, x)?.to_dtype(out)?)
}

pub(super) fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Result<Tensor> {
    let (b, _, _, c) = large.dims4()?;
    let s = small.dim(3)?;
    match geometry {
        Geometry::K4S2P1 => unfold_weight(&rows(&patches(large)?)?.t()?.matmul(&rows(small)?)?, c, s),
        Geometry::K4S1P0 => {
            let large = large.reshape((b, 16 * c))?;
            Ok(large.t()?.matmul(&small.reshape((b, s))?)?.reshape((4, 4, c, s))?)
        }
        Geometry::K1S1P0 => Ok(rows(large)?.t()?.matmul(&rows(small)?)?.reshape((1, 1, c, s))?),
    }
}

pub(super) fn bias_grad(dy: &Tensor) -> Result<Tensor> {
    sum_rows(&rows(dy)?)
}

pub(super) fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => dy,
        Activation::LeakyRelu(slope) => y.gt(&y.zeros_like()?)?.where_cond(&dy, &(&dy * slope as f64)?)?,
        Activation::Tanh => (dy * (1.0 - y.sqr()?)?)?,
    })
}

/// Σ over the rows of x `[R, C]`, as a product with ones: `[C]`.
fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((1, x.dim(0)?), x.dtype(), x.device())?;
    Ok(ones.matmul(x)?.squeeze(0)?)
}

pub(super) fn moments(x: &Tensor) -> Result<Moments> {
    let x = rows(x)?;
    let n = x.dim(0)? as f64;
    let mean = (sum_rows(&x)? / n)?;
    let var = (sum_rows(&x.broadcast_sub(&mean)?.sqr()?)? / n)?;
    Ok(Moments { mean, var })
}

fn inverse_std(var: &Tensor, eps: f64) -> Result<Tensor> {
    Ok((var + eps)?.sqrt()?.recip()?)
}

pub(super) fn batch_norm(x: &Tensor, moments: &Moments, norm: &Norm) -> Result<Tensor> {
    let scale = (inverse_std(&moments.var, norm.eps)? * norm.gamma)?;
    let y = x.broadcast_sub(&moments.mean)?.broadcast_mul(&scale)?.broadcast_add(norm.beta)?;
    activate(norm.activation, y)
}

pub(super) fn batch_norm_backward(
    x: &Tensor,
    y: &Tensor,
    dy: Tensor,
    moments: &Moments,
    norm: &Norm,
) -> Result<NormGrads> {
    let dz = activation_backward(norm.activation, y, dy)?;
    let n = rows(&dz)?.dim(0)? as f64;
    let inv_std = inverse_std(&moments.var, norm.eps)?;
    let unit = x.broadcast_sub(&moments.mean)?.broadcast_mul(&inv_std)?;
    let beta = sum_rows(&rows(&dz)?)?;
    let gamma = sum_rows(&rows(&(&dz * &unit)?)?)?;
    // dx = gamma·inv_std·(dz − Σdz/R − x̂·Σ(dz·x̂)/R)
    let inner = dz.broadcast_sub(&(&beta / n)?)?.sub(&unit.broadcast_mul(&(&gamma / n)?)?)?;
    let x = inner.broadcast_mul(&(inv_std * norm.gamma)?)?;
    Ok(NormGrads { x, gamma, beta })
}

pub(super) fn accumulate(sum: &mut Tensor, x: &Tensor) -> Result<()> {
    *sum = (&*sum + x)?;
    Ok(())
}

pub(super) fn adam(
    step: &AdamStep,
    weight: &mut Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    g: &Tensor,
) -> Result<()> {
    let AdamStep { beta1, beta2, eps, lr, t } = *step;
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    *m = (&*m + ((g - &*m)? * (1.0 - beta1))?)?;
    *v = ((&*v * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
    let root = (1.0 - beta2.powi(t)).sqrt();
    let change = (&*m / ((v.sqrt()? / root)? + eps)?)?;
    *weight = (&*weight - (change * (lr / (1.0 - beta1.powi(t))))?)?;
    Ok(())
}
