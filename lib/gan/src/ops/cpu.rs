//! The operations on the CPU: the tensors' own slices handed to `gan-kernels`, a new tensor made of the result.

use std::cell::Cell;
use std::ops::Deref;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, Tensor};
use gan_kernels::{adam as adam_kernel, conv, norm as norm_kernel};

use super::{Activation, AdamStep, Geometry, Moments, Norm, NormGrads};
use crate::{Error, Result};

/// A contiguous f32 tensor's numbers, borrowed.
struct Slice<Guard> {
    storage: Guard,
    start: usize,
    len: usize,
}

fn slice(tensor: &Tensor) -> Result<Slice<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let contiguous = layout.contiguous_offsets();
    match (&*storage, contiguous) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => {
            Ok(Slice { storage, start, len: end - start })
        }
        _ => Err(Error::Invalid(format!(
            "tensor: the CPU operations take contiguous f32 tensors on the CPU, not {:?} {:?}",
            tensor.dtype(),
            tensor.layout()
        ))),
    }
}

impl<Guard: Deref<Target = Storage>> Deref for Slice<Guard> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.start..self.start + self.len],
            _ => unreachable!("checked when it was borrowed"),
        }
    }
}

fn tensor(data: Vec<f32>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Ok(Tensor::from_vec(data, shape.into(), &Device::Cpu)?)
}

/// A function of a tensor's own numbers, called once.
struct Change<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (storage, layout.contiguous_offsets(), self.0.take()) {
            (CpuStorage::F32(data), Some((start, end)), Some(f)) => {
                f(&mut data[start..end]).map_err(candle_core::Error::wrap)
            }
            _ => candle_core::bail!("the CPU operations change contiguous f32 tensors only"),
        }
    }
}

/// Calls `f` with the tensor's own numbers.
fn change(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    Ok(tensor.inplace_op1(&Change(Cell::new(Some(f))))?)
}

pub(super) fn conv2d(
    geometry: Geometry,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let (shape, s) = (x.dims4()?, weight.dim(3)?);
    let (oh, ow) = geometry.conv().output(shape.1, shape.2);
    let mut y = vec![0.0; shape.0 * oh * ow * s];
    let (xs, ws, bias) = (slice(x)?, slice(weight)?, bias.map(slice).transpose()?);
    conv::conv2d(&geometry.conv(), &xs, shape, &ws, s, bias.as_deref(), activation, &mut y);
    tensor(y, (shape.0, oh, ow, s))
}

pub(super) fn conv_transpose2d(
    geometry: Geometry,
    y: &Tensor,
    weight: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let (b, h, w, s) = y.dims4()?;
    let shape = (b, geometry.large(h), geometry.large(w), weight.dim(2)?);
    let mut x = vec![0.0; shape.0 * shape.1 * shape.2 * shape.3];
    let (ys, ws) = (slice(y)?, slice(weight)?);
    conv::conv_transpose2d(&geometry.conv(), &ys, &ws, s, shape, activation, &mut x);
    tensor(x, shape)
}

pub(super) fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Result<Tensor> {
    let (shape, s, conv) = (large.dims4()?, small.dim(3)?, geometry.conv());
    let (kh, kw) = conv.kernel;
    let mut dw = vec![0.0; kh * kw * shape.3 * s];
    let (xs, ys) = (slice(large)?, slice(small)?);
    conv::weight_grad(&conv, &xs, shape, &ys, s, &mut dw);
    tensor(dw, (kh, kw, shape.3, s))
}

pub(super) fn bias_grad(dy: &Tensor) -> Result<Tensor> {
    let c = dy.dim(candle_core::D::Minus1)?;
    tensor(norm_kernel::column_sums(&slice(dy)?, c), c)
}

pub(super) fn activation_backward(activation: Activation, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let mut dx = vec![0.0; y.elem_count()];
    gan_kernels::activation::backward(activation, &slice(y)?, &slice(dy)?, &mut dx);
    tensor(dx, y.shape())
}

pub(super) fn moments(x: &Tensor) -> Result<Moments> {
    let c = x.dim(candle_core::D::Minus1)?;
    let norm_kernel::Moments { mean, var } = norm_kernel::moments(&slice(x)?, c);
    Ok(Moments { mean: tensor(mean, c)?, var: tensor(var, c)? })
}

pub(super) fn batch_norm(x: &Tensor, moments: &Moments, norm: &Norm) -> Result<Tensor> {
    let mut y = vec![0.0; x.elem_count()];
    let inv_std = norm_kernel::inverse_std(&slice(&moments.var)?, norm.eps);
    let (mean, gamma, beta) = (slice(&moments.mean)?, slice(norm.gamma)?, slice(norm.beta)?);
    norm_kernel::normalize(&slice(x)?, &mean, &inv_std, &gamma, &beta, norm.activation, &mut y);
    tensor(y, x.shape())
}

pub(super) fn batch_norm_backward(
    x: &Tensor,
    y: &Tensor,
    dy: &Tensor,
    moments: &Moments,
    norm: &Norm,
) -> Result<NormGrads> {
    let mut dx = vec![0.0; x.elem_count()];
    let inv_std = norm_kernel::inverse_std(&slice(&moments.var)?, norm.eps);
    let (xs, ys, dys) = (slice(x)?, slice(y)?, slice(dy)?);
    let (mean, gamma) = (slice(&moments.mean)?, slice(norm.gamma)?);
    let grads = norm_kernel::backward(&xs, &ys, &dys, &mean, &inv_std, &gamma, norm.activation, &mut dx);
    let c = inv_std.len();
    Ok(NormGrads { x: tensor(dx, x.shape())?, gamma: tensor(grads.gamma, c)?, beta: tensor(grads.beta, c)? })
}

pub(super) fn accumulate(sum: &mut Tensor, x: &Tensor) -> Result<()> {
    let x = slice(x)?;
    change(sum, |sum| {
        adam_kernel::accumulate(sum, &x);
        Ok(())
    })
}

pub(super) fn adam(
    step: &AdamStep,
    weight: &mut Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    g: &Tensor,
) -> Result<()> {
    let g = slice(g)?;
    change(weight, |weight| {
        change(m, |m| {
            change(v, |v| {
                adam_kernel::adam(step, weight, m, v, &g);
                Ok(())
            })
        })
    })
}
