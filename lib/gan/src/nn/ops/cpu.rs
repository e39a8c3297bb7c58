//! The operations on the CPU: the tensors' own slices handed to `gan-kernels`, a new tensor made of the result.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;

use candle_core::{CpuStorage, D, DType, Device, InplaceOp1, Layout, Storage, Tensor, WithDType};
use gan_kernels::conv::PackedTransposed;
use gan_kernels::norm::Channels;
use gan_kernels::{Element, Isa, adam as adam_kernel, bf16, conv, norm as norm_kernel};

use super::{Activation, AdamStep, Backend, BatchStats, Geometry, Norm, NormGrads, Weight};
use crate::{Error, Result};

/// What both the kernels and candle know.
trait Number: Element + WithDType {
    /// The numbers of a storage of this type.
    fn of(storage: &CpuStorage) -> Option<&[Self]>;

    /// The same, to be changed.
    fn of_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Number for f32 {
    fn of(storage: &CpuStorage) -> Option<&[f32]> {
        match storage {
            CpuStorage::F32(data) => Some(data),
            _ => None,
        }
    }

    fn of_mut(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        match storage {
            CpuStorage::F32(data) => Some(data),
            _ => None,
        }
    }
}

impl Number for bf16 {
    fn of(storage: &CpuStorage) -> Option<&[bf16]> {
        match storage {
            CpuStorage::BF16(data) => Some(data),
            _ => None,
        }
    }

    fn of_mut(storage: &mut CpuStorage) -> Option<&mut [bf16]> {
        match storage {
            CpuStorage::BF16(data) => Some(data),
            _ => None,
        }
    }
}

/// The expression with `$t` as the type of numbers that `$dtype` names.
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

/// A contiguous tensor's numbers, borrowed.
struct Slice<Guard, T> {
    storage: Guard,
    start: usize,
    len: usize,
    kind: PhantomData<T>,
}

fn slice<T: Number>(tensor: &Tensor) -> Result<Slice<impl Deref<Target = Storage> + '_, T>> {
    let (storage, layout) = tensor.storage_and_layout();
    let contiguous = layout.contiguous_offsets();
    match (&*storage, contiguous) {
        (Storage::Cpu(cpu), Some((start, end))) if T::of(cpu).is_some() => {
            Ok(Slice { storage, start, len: end - start, kind: PhantomData })
        }
        _ => Err(Error::Invalid(format!(
            "tensor: the CPU operations take contiguous tensors of {:?} here, not {:?} {:?}",
            T::DTYPE,
            tensor.dtype(),
            tensor.layout()
        ))),
    }
}

impl<Guard: Deref<Target = Storage>, T: Number> Deref for Slice<Guard, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.storage {
            Storage::Cpu(cpu) => {
                &T::of(cpu).expect("checked when it was borrowed")[self.start..self.start + self.len]
            }
            _ => unreachable!("checked when it was borrowed"),
        }
    }
}

fn tensor<T: Number>(data: Vec<T>, shape: impl Into<candle_core::Shape>) -> Result<Tensor> {
    Ok(Tensor::from_vec(data, shape.into(), &Device::Cpu)?)
}

/// A function of a tensor's own numbers, called once.
struct Change<F, T>(Cell<Option<F>>, PhantomData<T>);

impl<T: Number, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for Change<F, T> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        match (T::of_mut(storage), layout.contiguous_offsets(), self.0.take()) {
            (Some(data), Some((start, end)), Some(f)) => {
                f(&mut data[start..end]).map_err(candle_core::Error::wrap)
            }
            _ => candle_core::bail!("the CPU operations change contiguous tensors of {:?} here", T::DTYPE),
        }
    }
}

/// Calls `f` with the tensor's own numbers.
fn change<T: Number>(tensor: &Tensor, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    Ok(tensor.inplace_op1(&Change(Cell::new(Some(f)), PhantomData))?)
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
    let (numbers, bias) = (slice(weight.tensor())?, bias.map(slice).transpose()?);
    with_type!(x.dtype(), T => {
        let x = slice::<T>(x)?;
        let pack = || conv::pack::<T>(Isa::best::<T>(), &conv, &numbers, shape.3, s);
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
    let numbers = slice(weight.tensor())?;
    with_type!(y.dtype(), T => {
        let y = slice::<T>(y)?;
        let pack = || PackedTransposed::<T>::new(Isa::best::<T>(), &geometry.conv(), large, &numbers, s);
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
    own: bool,
    input: bool,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let own = || own.then(|| weight_grad(geometry, dy, x)).transpose();
    let dx = || conv2d(geometry, dy, weight, None, Activation::Identity, dy.dtype());
    let numbers = dy.elem_count().max(x.elem_count());
    let (own, dx) = Backend::Cpu.both(numbers, own, || input.then(dx).transpose());
    Ok((own?, dx?))
}

pub(super) fn bias_grad(dy: &Tensor) -> Result<Tensor> {
    let c = dy.dim(D::Minus1)?;
    with_type!(dy.dtype(), T => tensor(norm_kernel::column_sums(&slice::<T>(dy)?, c), c))
}

pub(super) fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    with_type!(y.dtype(), T => {
        let y = slice::<T>(y)?;
        change(&dy, |dy| {
            gan_kernels::activation::backward::<T>(activation, &y, dy);
            Ok(())
        })
    })?;
    Ok(dy)
}

pub(super) fn moments(x: &Tensor) -> Result<BatchStats> {
    let c = x.dim(D::Minus1)?;
    let norm_kernel::ChannelStats { mean, var } =
        with_type!(x.dtype(), T => Ok(norm_kernel::moments(&slice::<T>(x)?, c)))?;
    Ok(BatchStats { mean: tensor(mean, c)?, var: tensor(var, c)? })
}

pub(super) fn batch_norm(x: &Tensor, moments: &BatchStats, norm: &Norm) -> Result<Tensor> {
    with_channels(moments, norm, |channels| {
        with_type!(x.dtype(), T => {
            tensor(norm_kernel::normalize::<T>(&slice(x)?, channels, norm.activation), x.shape())
        })
    })
}

// The output is for the other implementation: here the activation's slope is had from x without reading it.
pub(super) fn batch_norm_backward(
    x: &Tensor,
    _: &Tensor,
    dy: Tensor,
    moments: &BatchStats,
    norm: &Norm,
) -> Result<NormGrads> {
    let mut grads = None;
    with_channels(moments, norm, |channels| {
        with_type!(x.dtype(), T => {
            let x = slice::<T>(x)?;
            change(&dy, |dy| {
                grads = Some(norm_kernel::backward::<T>(&x, dy, channels, norm.activation));
                Ok(())
            })
        })
    })?;
    let norm_kernel::Grads { gamma, beta } = grads.expect("the change was made");
    let c = gamma.len();
    Ok(NormGrads { x: dy, gamma: tensor(gamma, c)?, beta: tensor(beta, c)? })
}

/// Calls `f` with the numbers of a batch-norm's channels.
fn with_channels<R>(moments: &BatchStats, norm: &Norm, f: impl FnOnce(&Channels) -> Result<R>) -> Result<R> {
    let inv_std = norm_kernel::inverse_std(&slice(&moments.var)?, norm.eps);
    let (mean, gamma, beta) = (slice(&moments.mean)?, slice(norm.gamma)?, slice(norm.beta)?);
    f(&Channels { mean: &mean, inv_std: &inv_std, gamma: &gamma, beta: &beta })
}

pub(super) fn accumulate(sum: &mut Tensor, x: &Tensor) -> Result<()> {
    let x = slice(x)?;
    change::<f32>(sum, |sum| {
        adam_kernel::accumulate(sum, &x);
        Ok(())
    })
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
        change::<f32>(weight, |weight| {
            change::<f32>(m, |m| {
                change::<f32>(v, |v| {
                    adam_kernel::adam(step, weight, m, v, &g);
                    Ok(())
                })
            })
        })
    })
}
