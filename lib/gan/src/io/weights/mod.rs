//! Named tensors from a file: safetensors, or what `torch.save` writes (a zip; before PyTorch 1.6 an older
//! container). The content of a file decides its format, not its name.

mod pickle;
#[cfg(test)]
mod tests;
mod torch;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use pickle::Objects;

use crate::io::hash::Hasher;
use crate::io::safetensors::{SafetensorsHeader, check_length, is_float};
use crate::io::state_dict::StateDict;
use crate::{Error, Result};

/// The largest file of weights for a feature network, in bytes: ten times the Inception weights.
const MAX_FILE: u64 = 1 << 30;

/// The element of type `dtype` at the start of `bytes`.
fn element(dtype: Dtype, bytes: &[u8]) -> f32 {
    match dtype {
        Dtype::F64 => f64::from_le_bytes(first(bytes)) as f32,
        Dtype::F32 => f32::from_le_bytes(first(bytes)),
        Dtype::F16 => f16::from_le_bytes(first(bytes)).to_f32(),
        Dtype::BF16 => bf16::from_le_bytes(first(bytes)).to_f32(),
        _ => unreachable!("`Tensors::get` checks the type"),
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("N bytes")
}

/// Where a tensor is in the bytes of the file.
#[derive(Debug, Clone, PartialEq)]
struct View {
    dtype: Dtype,
    shape: Vec<usize>,
    /// In elements, one per dimension.
    strides: Vec<usize>,
    /// The rest of its storage from the first element on, as bytes of the file.
    bytes: Range<usize>,
}

impl View {
    /// The view, in a file of `len` bytes. `None` if an element is outside `bytes`, or `bytes` outside it.
    fn checked(self, len: usize) -> Option<View> {
        let View { dtype, shape, strides, bytes } = &self;
        let (size, empty) = (dtype.bitsize() / 8, shape.contains(&0));
        let last = (shape.iter().zip(strides))
            .try_fold(0usize, |at, (&d, &s)| at.checked_add(d.saturating_sub(1).checked_mul(s)?))?;
        let needed = if empty { 0 } else { last.checked_add(1)?.checked_mul(size)? };
        // A stride of 0 repeats elements: a few bytes must not become a huge tensor.
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let fits = shape.len() == strides.len()
            && bytes.end <= len
            && needed <= bytes.len()
            && elements.checked_mul(size)? <= bytes.len();
        fits.then_some(self)
    }
}

/// What is in a file that a training script saved.
#[derive(Debug, Default)]
pub struct SavedContents {
    /// Every dictionary that holds tensors.
    pub dictionaries: Vec<StateDict>,
    /// The other Python objects: the keys that lead there, and `module.class`.
    pub objects: Vec<(String, String)>,
    /// Whether it has the state of an optimizer. Its tensors have no names.
    pub optimizer: bool,
}

/// Whether a file begins like one of `torch.save`.
pub fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || torch::is_legacy(bytes)
}

/// Strides of a row-major tensor.
fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].checked_mul(shape[i].max(1))?;
    }
    Some(strides)
}

/// The tensors of one file, read on demand.
pub struct Tensors {
    path: PathBuf,
    bytes: Vec<u8>,
    views: BTreeMap<String, View>,
}

impl Tensors {
    /// Reads a file of named tensors.
    ///
    /// # Errors
    /// No such file; too large; an unknown format; damaged; a pickle that names anything but tensors.
    pub fn read(path: &Path) -> Result<Tensors> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let meta = file.metadata().map_err(Error::io(path))?;
        if meta.is_dir() {
            return Err(Error::file(path, "a folder, not a file of weights"));
        }
        if meta.len() > MAX_FILE {
            return Err(Error::file(path, "too large to be a feature network's weights"));
        }
        let mut bytes = Vec::with_capacity(meta.len() as usize);
        file.read_to_end(&mut bytes).map_err(Error::io(path))?;
        Tensors::from_bytes(path, bytes)
    }

    /// The tensors in `bytes`. Errors name `path`.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Tensors> {
        let views = match () {
            () if is_torch(&bytes) => torch::open(&bytes, Objects::Refuse).and_then(|c| c.views()),
            () if bytes.get(8) == Some(&b'{') => safetensors_views(&bytes),
            () => Err("not a file of weights: save one as .safetensors or with torch.save".to_string()),
        };
        let views = views.map_err(|what| Error::file(path, what))?;
        Ok(Tensors { path: path.to_path_buf(), bytes, views })
    }

    /// Reads any object that `torch.save` wrote: its dictionaries of tensors. [`Tensors::get`] takes their
    /// full names. Other Python objects are skipped; nothing is run.
    ///
    /// # Errors
    /// No such file; an unknown format; damaged.
    pub fn read_saved(path: &Path) -> Result<(Tensors, SavedContents)> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let wrong = |what| Error::file(path, what);
        let (saved, views) = torch::open(&bytes, Objects::Skip).and_then(|c| c.saved()).map_err(wrong)?;
        Ok((Tensors { path: path.to_path_buf(), bytes, views }, saved))
    }

    /// The names and shapes of the tensors of floats, sorted by name.
    pub(crate) fn floats(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let floats = self.views.iter().filter(|(_, view)| is_float(view.dtype));
        floats.map(|(name, view)| (name.as_str(), view.shape.as_slice()))
    }

    /// The SHA-256 of the file, hexadecimal.
    pub fn hash(&self) -> String {
        Hasher::of(&[&self.bytes])
    }

    /// The elements of the tensor as f32, row-major. It must have this shape.
    ///
    /// # Errors
    /// No such tensor; another shape; not floats.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let wrong = |what: String| Error::file(&self.path, what);
        let Some(view) = self.views.get(name) else {
            let what = format!("no tensor `{name}` among its {}: not the expected weights", self.views.len());
            return Err(wrong(what));
        };
        if view.shape != shape {
            return Err(wrong(format!("tensor `{name}` is {:?}, expected {shape:?}", view.shape)));
        }
        match view.dtype {
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => {}
            dtype if is_float(dtype) => {
                return Err(wrong(format!("tensor `{name}` is of type {dtype:?}, which is not supported")));
            }
            _ => return Err(wrong(format!("tensor `{name}` holds integers, expected floats"))),
        }
        let (size, bytes) = (view.dtype.bitsize() / 8, &self.bytes[view.bytes.clone()]);
        let n: usize = shape.iter().product();
        if row_major(shape).as_deref() == Some(&view.strides) {
            return Ok(bytes[..n * size].chunks_exact(size).map(|b| element(view.dtype, b)).collect());
        }
        let strided = |mut i: usize| {
            let mut at = 0;
            for (&d, &stride) in shape.iter().zip(&view.strides).rev() {
                at += i % d * stride;
                i /= d;
            }
            element(view.dtype, &bytes[at * size..])
        };
        Ok((0..n).map(strided).collect())
    }
}

fn safetensors_views(bytes: &[u8]) -> Result<BTreeMap<String, View>, String> {
    let header = SafetensorsHeader::read(bytes, bytes.len() as u64)?;
    let data = header.bytes.len();
    check_length(data, header.layout.data_len(), bytes.len() as u64)?;
    let view = |(name, info): (String, &TensorInfo)| {
        let (from, to) = info.data_offsets;
        let view = row_major(&info.shape).and_then(|strides| {
            let (shape, place) = (info.shape.clone(), data + from..data + to);
            View { dtype: info.dtype, shape, strides, bytes: place }.checked(bytes.len())
        });
        let view = view.ok_or_else(|| format!("tensor `{name}` lies outside the file"))?;
        Ok((name, view))
    };
    header.layout.tensors().into_iter().map(view).collect()
}
