//! The operations on the CPU: `gan-kernels` on the slices of tensors; results become new tensors.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, D, DType, Device, InplaceOp1, Layout, Storage, Tensor, WithDType};
use gan_kernels::conv::PackedTransposed;
use gan_kernels::norm::Channels;
use gan_kernels::{Element, Isa, adam as adam_kernel, bf16, conv, norm as norm_kernel};

use super::{Activation, AdamStep, Backend, BatchStats, Geometry, Norm, NormGrads, Weight};
use crate::{Error, Result};

/// An element type of both the kernels and candle.
trait CpuElement: Element + WithDType {
    /// The elements of a storage of this type.
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl CpuElement for f32 {
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        if let CpuStorage::F32(data) = storage { Some(data) } else { None }
    }
}

impl CpuElement for bf16 {
    fn elements_mut(storage: &mut CpuStorage) -> Option<&mut [bf16]> {
        if let CpuStorage::BF16(data) = storage { Some(data) } else { None }
    }
}

/// Evaluates the expression with `$t` as the element type `$dtype`.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $result:expr) => {
        match $dtype {
            DType::F32 => {
                type $t = f32;
                $result
            }
            DType::BF16 => {
                type $t = bf16;
                $result
            }
            other => {
                Err(Error::Invalid(format!("tensor: the CPU operations take f32 and bf16, not {other:?}")))
            }
        }
    };
}

/// The borrowed elements of a contiguous tensor.
struct TensorSlice<Guard, T> {
    storage: Guard,
    range: Range<usize>,
    kind: PhantomData<T>,
}

fn slice<T: CpuElement>(tensor: &Tensor) -> Result<TensorSlice<impl Deref<Target = Storage> + '_, T>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(cpu), Some((start, end))) if T::cpu_storage_as_slice(cpu).is_ok() => {
            Ok(TensorSlice { storage, range: start..end, kind: PhantomData })
        }
        _ => Err(Error::Invalid(format!(
            "tensor: the CPU operations expect a contiguous tensor of {:?} here, not {:?} {layout:?}",
            T::DTYPE,
            tensor.dtype(),
        ))),
    }
}

impl<Guard: Deref<Target = Storage>, T: CpuElement> Deref for TensorSlice<Guard, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let Storage::Cpu(cpu) = &*self.storage else { unreachable!("checked by `slice`") };
        &T::cpu_storage_as_slice(cpu).expect("checked by `slice`")[self.range.clone()]
    }
}

fn tensor<T: CpuElement>(data: Vec<T>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Ok(Tensor::from_vec(data, shape.into(), &Device::Cpu)?)
}

/// A function of a tensor's elements, called once.
struct InPlace<F, T>(Cell<Option<F>>, PhantomData<T>);

impl<T: CpuElement, F: FnOnce(&mut [T])> InplaceOp1 for InPlace<F, T> {
    fn name(&self) -> &'static str {
        "with_slice_mut"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (T::elements_mut(storage), layout.contiguous_offsets(), self.0.take()) {
            (Some(data), Some((start, end)), Some(f)) => {
                f(&mut data[start..end]);
                Ok(())
            }
            _ => candle_core::bail!("the CPU operations expect a contiguous tensor of {:?} here", T::DTYPE),
        }
    }
}

/// Calls `f` with the tensor's elements and returns its result.
fn with_slice_mut<T: CpuElement, R>(tensor: &Tensor, f: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let mut result = None;
    let run = |data: &mut [T]| result = Some(f(data));
    tensor.inplace_op1(&InPlace(Cell::new(Some(run)), PhantomData))?;
    Ok(result.expect("the operation ran"))
}

pub(super) fn conv2d(
    geometry: Geometry,
    x: &Tensor,
    weight: &Weight,
    bias: Option<&Tensor>,
    activation: Activation,
    out: DType,
) -> Result<Tensor> {
    let (conv, shape, s) = (geometry.conv(), x.dims4()?, weight.tensor().dim(3)?);
    let (oh, ow) = conv.output(shape.1, shape.2);
    let (elements, bias) = (slice(weight.tensor())?, bias.map(slice).transpose()?);
    with_type!(x.dtype(), T => {
        let x = slice::<T>(x)?;
        let pack = || conv::pack::<T>(Isa::best::<T>(), &conv, &elements, shape.3, s);
        let weight = weight.cached(|_| true, pack);
        let bias = bias.as_deref();
        with_type!(out, O => {
            tensor(conv::conv2d::<T, O>(&conv, &x, shape, &weight, bias, activation), (shape.0, oh, ow, s))
        })
    })
}

pub(super) fn conv_transpose2d(
    geometry: Geometry,
    y: &Tensor,
    weight: &Weight,
    activation: Activation,
    out: DType,
) -> Result<Tensor> {
    let (b, h, w, s) = y.dims4()?;
    let large = (geometry.large(h), geometry.large(w), weight.tensor().dim(2)?);
    let elements = slice(weight.tensor())?;
    with_type!(y.dtype(), T => {
        let y = slice::<T>(y)?;
        let pack = || PackedTransposed::<T>::new(Isa::best::<T>(), &geometry.conv(), large, &elements, s);
        let weight = weight.cached(|p: &PackedTransposed<T>| p.large() == large, pack);
        with_type!(out, O => {
            tensor(conv::conv_transpose2d::<T, O>(&y, &weight, activation), (b, large.0, large.1, large.2))
        })
    })
}

pub(super) fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Result<Tensor> {
    let (shape, s, conv) = (large.dims4()?, small.dim(3)?, geometry.conv());
    let (kh, kw) = conv.kernel;
    with_type!(large.dtype(), T => {
        let (large, small) = (slice::<T>(large)?, slice::<T>(small)?);
        tensor(conv::weight_grad(Isa::best::<T>(), &conv, &large, shape, &small, s), (kh, kw, shape.3, s))
    })
}

pub(super) fn conv_transpose_backward(
    geometry: Geometry,
    dy: &Tensor,
    x: &Tensor,
    weight: &Weight,
    wants_weight: bool,
    wants_input: bool,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let dw = || wants_weight.then(|| weight_grad(geometry, dy, x)).transpose();
    let dx = || conv2d(geometry, dy, weight, None, Activation::Identity, dy.dtype());
    let dx = || wants_input.then(dx).transpose();
    let elements = dy.elem_count().max(x.elem_count());
    let (dw, dx) = Backend::Cpu.both(elements, dw, dx);
    Ok((dw?, dx?))
}

pub(super) fn bias_grad(dy: &Tensor) -> Result<Tensor> {
    let c = dy.dim(D::Minus1)?;
    with_type!(dy.dtype(), T => tensor(norm_kernel::column_sums(&slice::<T>(dy)?, c), c))
}

pub(super) fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    with_type!(y.dtype(), T => {
        let y = slice::<T>(y)?;
        with_slice_mut(&dy, |dy| gan_kernels::activation::backward::<T>(activation, &y, dy))
    })?;
    Ok(dy)
}

pub(super) fn batch_stats(x: &Tensor) -> Result<BatchStats> {
    let c = x.dim(D::Minus1)?;
    let norm_kernel::ChannelStats { mean, var } =
        with_type!(x.dtype(), T => Ok(norm_kernel::channel_stats(&slice::<T>(x)?, c)))?;
    Ok(BatchStats { mean: tensor(mean, c)?, var: tensor(var, c)? })
}

pub(super) fn batch_norm(x: &Tensor, stats: &BatchStats, norm: &Norm) -> Result<Tensor> {
    with_channels(stats, norm, |channels| {
        with_type!(x.dtype(), T => {
            tensor(norm_kernel::normalize::<T>(&slice(x)?, channels, norm.activation), x.shape())
        })
    })
}

// The portable implementation needs y; here the slope of the activation is computed from x.
pub(super) fn batch_norm_backward(
    x: &Tensor,
    _: &Tensor,
    dy: Tensor,
    stats: &BatchStats,
    norm: &Norm,
) -> Result<NormGrads> {
    let norm_kernel::AffineGrads { gamma, beta } = with_channels(stats, norm, |channels| {
        with_type!(x.dtype(), T => {
            let x = slice::<T>(x)?;
            with_slice_mut(&dy, |dy| norm_kernel::backward::<T>(&x, dy, channels, norm.activation))
        })
    })?;
    let c = gamma.len();
    Ok(NormGrads { x: dy, gamma: tensor(gamma, c)?, beta: tensor(beta, c)? })
}

/// Calls `f` with the parameters of a batch norm.
fn with_channels<R>(stats: &BatchStats, norm: &Norm, f: impl FnOnce(&Channels) -> Result<R>) -> Result<R> {
    let inv_std = norm_kernel::inverse_std(&slice(&stats.var)?, norm.eps);
    let (mean, gamma, beta) = (slice(&stats.mean)?, slice(norm.gamma)?, slice(norm.beta)?);
    f(&Channels { mean: &mean, inv_std: &inv_std, gamma: &gamma, beta: &beta })
}

pub(super) fn accumulate(sum: &mut Tensor, x: &Tensor) -> Result<()> {
    let x = slice(x)?;
    with_slice_mut(sum, |sum| adam_kernel::accumulate(sum, &x))
}

pub(super) fn join(tensors: Vec<Tensor>) -> Result<Vec<Tensor>> {
    Ok(tensors)
}

pub(super) fn split(joined: &[Tensor], _: &[&Tensor]) -> Result<Vec<Tensor>> {
    Ok(joined.to_vec())
}

pub(super) fn adam(
    step: &AdamStep,
    weights: Vec<&mut Tensor>,
    m: &mut [Tensor],
    v: &mut [Tensor],
    g: &[Tensor],
) -> Result<()> {
    let all = weights.into_iter().zip(m).zip(v).zip(g).collect();
    Backend::Cpu.each(all, |(((weight, m), v), g)| {
        let g = slice(g)?;
        with_slice_mut(weight, |weight| {
            with_slice_mut(m, |m| with_slice_mut(v, |v| adam_kernel::adam(step, weight, m, v, &g)))
        })??
    })
}
