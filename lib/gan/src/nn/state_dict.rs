//! Tensors in PyTorch's layouts.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// A weight `[kh, kw, C, S]` in PyTorch's layout: `[S, C, kh, kw]`, a linear layer's `[S, C]`; other tensors as they
/// are. On the CPU, with elements of its own: the optimizer changes those of the parameters.
pub(super) fn to_pytorch(tensor: &Tensor) -> Result<Tensor> {
    let tensor = match *tensor.dims() {
        [1, 1, c, s] => tensor.reshape((c, s))?.t()?,
        [_, _, _, _] => tensor.permute((3, 2, 0, 1))?,
        _ => tensor.clone(),
    };
    Ok(tensor.force_contiguous()?.to_device(&Device::Cpu)?)
}

/// The inverse of [`to_pytorch`], with the shape, device and type of `like`, and elements of its own.
///
/// # Errors
/// Another shape; the error names the tensor.
pub(super) fn from_pytorch(name: &str, tensor: &Tensor, like: &Tensor) -> Result<Tensor> {
    let expected = match *like.dims() {
        [1, 1, c, s] => vec![s, c],
        [h, w, c, s] => vec![s, c, h, w],
        ref other => other.to_vec(),
    };
    if tensor.dims() != expected {
        let shape = |dims: &[usize]| match dims {
            [] | [_] => format!("{dims:?}"),
            _ => dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
        };
        let (found, expected) = (shape(tensor.dims()), shape(&expected));
        return Err(Error::Invalid(format!("{name}: is {found}, expected {expected}")));
    }
    let tensor = match tensor.rank() {
        4 => tensor.permute((2, 3, 1, 0))?,
        2 => tensor.t()?.reshape(like.shape())?,
        _ => tensor.clone(),
    };
    Ok(tensor.to_dtype(DType::F32)?.force_contiguous()?.to_device(like.device())?)
}
