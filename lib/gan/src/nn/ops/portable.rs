//! The operations as candle tensor operations: matrix products, element-wise kernels and copies.
//!
//! The code does not depend on the device, so tests on the CPU cover what a GPU runs. candle's own
//! convolutions are not used: their gradients and the transposed convolution are slow on GPUs.
//!
//! On a GPU a small operation costs its launch and a large one its memory traffic. So pixels are gathered in
//! one pass (`index_select` by a list of places, see [`Constant`]), sums over pixels are products, and batch
//! norm is a factor and a term per channel. Statistics are f32 for all types of activations.

use candle_core::{D, DType, Tensor};

use super::constant::Constant;
use super::{Activation, AdamStep, BatchStats, Geometry, Norm, NormGrads, Weight};
use crate::Result;

/// x `[.., C]` as a matrix `[R, C]`.
fn rows(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_to(D::Minus(2))?)
}

/// The pixels `places` of each image of x `[B, H, W, C]`: `[B, n, C]`.
fn pixels(x: &Tensor, places: Constant) -> Result<Tensor> {
    Ok(x.flatten(1, 2)?.index_select(&places.on(x.device())?, 1)?)
}

/// The patches of the large image under the kernel, as the rows of a matrix `[B·h·w, kh·kw·C]`.
fn patches(geometry: Geometry, large: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = large.dims4()?;
    match geometry {
        Geometry::K4S2P1 => {
            let patches = pixels(large, Constant::Patches(h / 2, w / 2))?;
            Ok(patches.reshape((b * h * w / 4, 16 * c))?)
        }
        Geometry::K4S1P0 => Ok(large.reshape((b, 16 * c))?),
        Geometry::K1S1P0 => rows(large),
        Geometry::Square { .. } => {
            let conv = geometry.conv();
            let ((oh, ow), columns) = (conv.output(h, w), conv.kernel.0 * conv.kernel.1 * c);
            Ok(pixels(large, Constant::Under((h, w), geometry))?.reshape((b * oh * ow, columns))?)
        }
    }
}

/// A weight `[kh, kw, C, S]` as a matrix `[kh·kw·C, S]` of the given type.
fn matrix(weight: &Weight, dtype: DType) -> Result<Tensor> {
    Ok(weight.tensor().flatten_to(2)?.to_dtype(dtype)?)
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

/// The product of [`patches`] and a weight, as the small image.
fn convolve(geometry: Geometry, patches: &Tensor, shape: &Tensor, weight: &Weight) -> Result<Tensor> {
    let (b, h, w, _) = shape.dims4()?;
    let (h, w) = geometry.conv().output(h, w);
    let y = patches.matmul(&matrix(weight, patches.dtype())?)?;
    Ok(y.reshape((b, h, w, ()))?)
}

pub(super) fn conv2d(
    geometry: Geometry,
    x: &Tensor,
    weight: &Weight,
    bias: Option<&Tensor>,
    activation: Activation,
    out: DType,
) -> Result<Tensor> {
    let y = convolve(geometry, &patches(geometry, x)?, x, weight)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(y.dtype())?)?,
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
    let c = weight.tensor().dim(2)?;
    let x = match geometry {
        Geometry::K4S1P0 => rows(y)?.matmul(&matrix(weight, y.dtype())?.t()?)?.reshape((b, 4, 4, c))?,
        Geometry::K1S1P0 => rows(y)?.matmul(&matrix(weight, y.dtype())?.t()?)?.reshape((b, h, w, c))?,
        Geometry::K4S2P1 => {
            // With a border of one pixel the large image consists of (h + 1)·(w + 1) blocks of 2×2. Block (i,
            // j) depends on the pixels (i − p, j − q) of the small image, p and q 0 or 1: its pixel (r, t)
            // uses kernel row 2p + r and column 2q + t. So one product computes all blocks; the border is
            // then cut off.
            let windows = pixels(y, Constant::Windows(h, w))?.reshape((b * (h + 1) * (w + 1), 4 * s))?;
            let kernel = weight.tensor().reshape((2, 2, 2, 2, c, s))?.permute((1, 3, 4, 0, 2, 5))?;
            let kernel = kernel.reshape((4 * c, 4 * s))?.to_dtype(y.dtype())?.t()?;
            let blocks = windows.matmul(&kernel)?.reshape((b, (h + 1) * (w + 1), 4, c))?;
            pixels(&blocks, Constant::Blocks(h, w))?.reshape((b, 2 * h, 2 * w, c))?
        }
        Geometry::Square { kernel, .. } => {
            // Each pixel of the large image gathers its small pixels tap by tap, zeros where there is none.
            let (taps, (oh, ow)) = (kernel * kernel, (geometry.large(h), geometry.large(w)));
            let senders = pixels(y, Constant::Senders((h, w), geometry))?.reshape((b * oh * ow, taps * s))?;
            let weight = weight.tensor().reshape((taps, c, s))?.transpose(1, 2)?.contiguous()?;
            let weight = weight.reshape((taps * s, c))?.to_dtype(y.dtype())?;
            senders.matmul(&weight)?.reshape((b, oh, ow, c))?
        }
    };
    Ok(activate(activation, x)?.to_dtype(out)?)
}

/// The product of the transposed [`patches`] and the small image, as a weight.
fn correlate(geometry: Geometry, patches: &Tensor, small: &Tensor) -> Result<Tensor> {
    let (kh, kw) = geometry.conv().kernel;
    let weight = patches.t()?.matmul(&rows(small)?)?;
    Ok(weight.reshape((kh, kw, (), small.dim(3)?))?.to_dtype(DType::F32)?)
}

pub(super) fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Result<Tensor> {
    correlate(geometry, &patches(geometry, large)?, small)
}

pub(super) fn conv_transpose_backward(
    geometry: Geometry,
    dy: &Tensor,
    x: &Tensor,
    weight: &Weight,
    wants_weight: bool,
    wants_input: bool,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    // Both use the same patches.
    let patches = patches(geometry, dy)?;
    let dw = wants_weight.then(|| correlate(geometry, &patches, x)).transpose()?;
    let dx = wants_input.then(|| convolve(geometry, &patches, dy, weight)).transpose()?;
    Ok((dw, dx))
}

pub(super) fn bias_grad(dy: &Tensor) -> Result<Tensor> {
    let dy = rows(dy)?;
    Ok((mean_rows(&dy)? * dy.dim(0)? as f64)?)
}

pub(super) fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => dy,
        Activation::Tanh => (dy * (1.0 - y.sqr()?)?)?,
        Activation::LeakyRelu(slope) => {
            let zero = Constant::Zero(y.dtype()).on(y.device())?.broadcast_as(y.elem_count())?;
            let dy = dy.flatten_all()?;
            let below = if slope == 0.0 { zero.clone() } else { (&dy * slope as f64)? };
            y.flatten_all()?.gt(&zero)?.where_cond(&dy, &below)?.reshape(y.shape())?
        }
    })
}

/// The mean over the rows of x `[R, C]` by a matrix product: `[C]`, f32.
fn mean_rows(x: &Tensor) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?;
    Ok(Constant::Mean(x.dim(0)?).on(x.device())?.matmul(&x)?.squeeze(0)?)
}

pub(super) fn batch_stats(x: &Tensor) -> Result<BatchStats> {
    let x = rows(x)?.to_dtype(DType::F32)?;
    let mean = mean_rows(&x)?;
    let var = mean_rows(&x.broadcast_sub(&mean)?.sqr()?)?;
    Ok(BatchStats { mean, var })
}

fn inverse_std(var: &Tensor, eps: f64) -> Result<Tensor> {
    Ok((var + eps)?.powf(-0.5)?)
}

pub(super) fn batch_norm(x: &Tensor, stats: &BatchStats, norm: &Norm) -> Result<Tensor> {
    let scale = (inverse_std(&stats.var, norm.eps)? * norm.gamma)?;
    let shift = (norm.beta - (&stats.mean * &scale)?)?;
    let y = x.to_dtype(DType::F32)?.broadcast_mul(&scale)?.broadcast_add(&shift)?;
    Ok(activate(norm.activation, y)?.to_dtype(x.dtype())?)
}

pub(super) fn batch_norm_backward(
    x: &Tensor,
    y: &Tensor,
    dy: Tensor,
    stats: &BatchStats,
    norm: &Norm,
) -> Result<NormGrads> {
    let dz = activation_backward(norm.activation, y, dy)?.to_dtype(DType::F32)?;
    let (dz, wide) = (rows(&dz)?, rows(x)?.to_dtype(DType::F32)?);
    let n = dz.dim(0)? as f64;
    let inv_std = inverse_std(&stats.var, norm.eps)?;
    // With x̂ = (x − mean)·inv_std: the means over the rows of dz and of dz·x̂. Their sums are the gradients.
    let beta = mean_rows(&dz)?;
    let gamma = ((mean_rows(&(&dz * &wide)?)? - (&stats.mean * &beta)?)? * &inv_std)?;
    // dx = gamma·inv_std·(dz − mean(dz) − x̂·mean(dz·x̂)), as a factor of x, a term, and a factor of the sum.
    let slope = (&gamma * &inv_std)?;
    let term = ((&stats.mean * &slope)? - &beta)?;
    let inner = (&dz - wide.broadcast_mul(&slope)?)?.broadcast_add(&term)?;
    let dx = inner.broadcast_mul(&(inv_std * norm.gamma)?)?;
    let dx = dx.reshape(x.shape())?.to_dtype(x.dtype())?;
    Ok(NormGrads { x: dx, gamma: (gamma * n)?, beta: (beta * n)? })
}

pub(super) fn accumulate(sum: &mut Tensor, x: &Tensor) -> Result<()> {
    *sum = (&*sum + x)?;
    Ok(())
}

pub(super) fn join(tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let flat = tensors.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![Tensor::cat(&flat, 0)?])
}

pub(super) fn split(joined: &[Tensor], like: &[&Tensor]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    let part = |like: &&Tensor| {
        let n = like.elem_count();
        start += n;
        Ok(joined[0].narrow(0, start - n, n)?.reshape(like.shape())?)
    };
    like.iter().map(part).collect()
}

pub(super) fn adam(
    step: &AdamStep,
    weights: Vec<&mut Tensor>,
    m: &mut [Tensor],
    v: &mut [Tensor],
    g: &[Tensor],
) -> Result<()> {
    let AdamStep { beta1, beta2, eps, lr, t } = *step;
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let old = join(weights.iter().map(|weight| (**weight).clone()).collect())?;
    let ([m], [v], g) = (m, v, &join(g.to_vec())?[0]) else { unreachable!("`join` makes one vector") };
    *m = ((&*m * beta1)? + (g * (1.0 - beta1))?)?;
    *v = ((&*v * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
    // lr·m/(1 − β1^t) / (√(v/(1 − β2^t)) + eps), with all constants in one factor and one term of √v.
    let scale = (1.0 - beta1.powi(t)) / lr;
    let root = v.sqrt()?.affine(scale / (1.0 - beta2.powi(t)).sqrt(), scale * eps)?;
    let new = [(&old[0] - (&*m / root)?)?];
    let like: Vec<&Tensor> = weights.iter().map(|weight| &**weight).collect();
    let new = split(&new, &like)?;
    weights.into_iter().zip(new).for_each(|(weight, new)| *weight = new);
    Ok(())
}
