//! Safetensors files: their headers, and reading and writing the tensors of checkpoints.
//!
//! A file is a length (`u64`, little-endian), a JSON header of that length and the data of the tensors. A
//! header of gantools has one metadata key, `gantools`; spaces after it align the data to 64 bytes. The same
//! content gives the same bytes.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};

use crate::io::atomic;
use crate::io::hash::Hasher;
use crate::io::state_dict::{StateDict, TensorSpec};
use crate::{Error, Result};

/// The metadata key of gantools.
const KEY: &str = "gantools";
/// The data of the tensors start at a multiple of this: a cache line, and the widest vector.
const ALIGN: usize = 64;
/// The longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// The placeholder in metadata that [`write`] replaces by the SHA-256 of the file. The hash is that of all
/// bytes with the placeholder in them.
pub const SEAL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The header of a safetensors file.
pub(crate) struct SafetensorsHeader {
    /// The length and the JSON with its padding: all bytes before the data.
    pub(crate) bytes: Vec<u8>,
    /// The metadata and the tensors. Their shapes, types and offsets agree.
    pub(crate) layout: Metadata,
}

impl SafetensorsHeader {
    /// A header of `metadata` under the key `gantools` and of tensors `(name, type, shape)` in their order.
    /// It has at least `min_len` bytes.
    pub(crate) fn new(metadata: &str, tensors: &[(&str, Dtype, &[usize])], min_len: usize) -> Self {
        let mut end = 0;
        let info = |&(name, dtype, shape): &(&str, Dtype, &[usize])| {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name.to_string(), TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) })
        };
        let metadata = HashMap::from([(KEY.to_string(), metadata.to_string())]);
        let layout = Metadata::new(Some(metadata), tensors.iter().map(info).collect());
        let layout = layout.expect("each tensor starts where the one before ends");
        let mut bytes = vec![0; 8];
        serde_json::to_writer(&mut bytes, &layout).expect("strings and integers are JSON");
        bytes.resize(bytes.len().max(min_len).next_multiple_of(ALIGN), b' ');
        let length = bytes.len() as u64 - 8;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        SafetensorsHeader { bytes, layout }
    }

    /// Reads the header at the start of a file of `len` bytes. [`check_length`] checks the data.
    ///
    /// # Errors
    /// An empty file; no safetensors file; a header that is cut short or contradicts itself.
    pub(crate) fn read(mut file: impl Read, len: u64) -> Result<Self, String> {
        if len == 0 {
            return Err("is empty".into());
        }
        let mut bytes = vec![0; len.min(9) as usize];
        file.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        if bytes.get(8) != Some(&b'{') || !(2..=MAX_HEADER).contains(&length) {
            return Err("is not a safetensors file".into());
        }
        if length > len - 8 {
            return Err(format!("is cut short in its header, at {len} bytes; make or download it again"));
        }
        bytes.resize(8 + length as usize, 0);
        file.read_exact(&mut bytes[9..]).map_err(|e| e.to_string())?;
        let layout = serde_json::from_slice(&bytes[8..])
            .map_err(|e| format!("its safetensors header is damaged ({e}); make or download it again"))?;
        Ok(SafetensorsHeader { bytes, layout })
    }

    /// The metadata of gantools, JSON. `None` in a file of another program.
    pub(crate) fn metadata(&self) -> Option<&str> {
        self.layout.metadata().as_ref()?.get(KEY).map(String::as_str)
    }
}

/// Checks that a file of `len` bytes is its header and its data.
///
/// # Errors
/// A file that is cut short; bytes after the data.
pub(crate) fn check_length(header_len: usize, data_len: usize, len: u64) -> Result<(), String> {
    let expected = header_len as u64 + data_len as u64;
    let what = match len.cmp(&expected) {
        Ordering::Less => format!("is cut short: {len} of {expected} bytes"),
        Ordering::Equal => return Ok(()),
        Ordering::Greater => format!("has {} trailing bytes", len - expected),
    };
    Err(format!("{what}; make or download it again"))
}

/// Whether a tensor of this type holds weights. Integers are counters beside them.
pub(crate) fn is_float(dtype: Dtype) -> bool {
    use Dtype::*;
    !matches!(dtype, BOOL | U8 | I8 | I16 | U16 | I32 | U32 | I64 | U64)
}

/// Writes `tensors` (f32 or i64) and `metadata` (JSON) to `path`, atomically. Integers come first, then names
/// decide the order: so all data are aligned, as PyTorch's reader requires. A [`SEAL`] in the metadata
/// becomes the hash of the file.
///
/// # Errors
/// An error of the operating system.
pub fn write(path: &Path, metadata: &str, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut tensors: Vec<&(String, Tensor)> = tensors.iter().collect();
    tensors.sort_by_key(|(name, tensor)| (Reverse(tensor.dtype().size_in_bytes()), name));
    let dtype = |tensor: &Tensor| if tensor.dtype() == DType::I64 { Dtype::I64 } else { Dtype::F32 };
    let infos: Vec<_> = tensors.iter().map(|(name, t)| (name.as_str(), dtype(t), t.dims())).collect();
    let mut header = SafetensorsHeader::new(metadata, &infos, 0).bytes;
    let fill = |out: &mut dyn Write, header: &[u8]| {
        out.write_all(header)?;
        tensors.iter().try_for_each(|(_, tensor)| write_elements(out, tensor))
    };
    if let Some(at) = position(&header, SEAL) {
        let mut out = BufWriter::with_capacity(1 << 16, Hasher::default());
        fill(&mut out, &header).map_err(Error::io(path))?;
        let hasher = out.into_inner().map_err(|e| Error::io(path)(e.into_error()))?;
        header[at..at + SEAL.len()].copy_from_slice(hasher.finish().as_bytes());
    }
    atomic::write(path, |out| fill(out, &header))
}

/// Writes the elements of a tensor, row-major, little-endian.
fn write_elements(out: &mut dyn Write, tensor: &Tensor) -> io::Result<()> {
    let flat = tensor.flatten_all().map_err(io::Error::other)?;
    if flat.dtype() == DType::I64 {
        let values = flat.to_vec1::<i64>().map_err(io::Error::other)?;
        return values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()));
    }
    let values = flat.to_vec1::<f32>().map_err(io::Error::other)?;
    values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}

/// Where `text` is in `bytes`.
fn position(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

/// A safetensors file whose header and length are checked. The data are not read yet.
pub struct Weights {
    path: PathBuf,
    file: File,
    header: SafetensorsHeader,
}

impl Weights {
    /// Opens a safetensors file, reads its header and compares the lengths.
    ///
    /// # Errors
    /// No such file; a folder; no safetensors file; cut short; trailing bytes; a header that contradicts
    /// itself.
    pub fn open(path: &Path) -> Result<Weights> {
        let file = File::open(path).map_err(Error::io(path))?;
        let stat = file.metadata().map_err(Error::io(path))?;
        if stat.is_dir() {
            return Err(Error::file(path, "is a folder, not a .safetensors file"));
        }
        let wrong = |what| Error::file(path, what);
        let header = SafetensorsHeader::read(&file, stat.len()).map_err(wrong)?;
        check_length(header.bytes.len(), header.layout.data_len(), stat.len()).map_err(wrong)?;
        Ok(Weights { path: path.to_path_buf(), file, header })
    }

    /// The metadata of gantools, JSON. `None` in a file of another program.
    pub fn metadata(&self) -> Option<&str> {
        self.header.metadata()
    }

    /// The shapes of the tensors by name.
    pub fn shapes(&self) -> HashMap<String, Vec<usize>> {
        self.header.layout.tensors().into_iter().map(|(name, info)| (name, info.shape.clone())).collect()
    }

    /// What the tensors are, sorted by name.
    pub(crate) fn state_dict(&self) -> StateDict {
        let tensors = self.header.layout.tensors().into_iter();
        let spec = |(name, info): (String, &TensorInfo)| TensorSpec {
            name,
            shape: info.shape.clone(),
            float: is_float(info.dtype),
        };
        let mut tensors: Vec<_> = tensors.map(spec).collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        StateDict { path: String::new(), tensors, ordered: false }
    }

    /// The number of elements of all tensors.
    pub fn num_elements(&self) -> usize {
        self.shapes().values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// [`Weights::read`] of a file that [`write`] sealed with `seal`. All floats are finite.
    ///
    /// # Errors
    /// Those of [`Weights::read`]; a changed byte; a NaN or an infinity.
    pub fn read_sealed(&self, seal: &str) -> Result<(HashMap<String, Tensor>, String)> {
        let data = self.data()?;
        if !self.is_sealed(seal, &data) {
            return Err(Error::file(&self.path, "is damaged: its bytes are not those that were written"));
        }
        let (tensors, hash) = self.load(&data)?;
        for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.dtype().is_float()) {
            if !is_finite(tensor)? {
                let what = format!("{name}: holds a NaN or an infinity; its training diverged");
                return Err(Error::file(&self.path, what));
            }
        }
        Ok((tensors, hash))
    }

    /// Reads the tensors to the CPU, floats of any width as f32, and the SHA-256 of the file in hexadecimal.
    ///
    /// # Errors
    /// A read that fails; a tensor of an unsupported type.
    pub fn read(&self) -> Result<(HashMap<String, Tensor>, String)> {
        self.load(&self.data()?)
    }

    fn data(&self) -> Result<Vec<u8>> {
        let mut data = vec![0; self.header.layout.data_len()];
        let mut file = &self.file;
        let read = file
            .seek(SeekFrom::Start(self.header.bytes.len() as u64))
            .and_then(|_| file.read_exact(&mut data));
        read.map_err(Error::io(&self.path))?;
        Ok(data)
    }

    fn load(&self, data: &[u8]) -> Result<(HashMap<String, Tensor>, String)> {
        let load = |(name, info): (String, &TensorInfo)| {
            let wrong = |what: String| {
                Error::file(&self.path, format!("{name}: {}", what.lines().next().unwrap_or_default()))
            };
            let (start, end) = info.data_offsets;
            let view = TensorView::new(info.dtype, info.shape.clone(), &data[start..end]);
            let view = view.map_err(|e| wrong(e.to_string()))?;
            let mut tensor = view.load(&Device::Cpu).map_err(|e| wrong(e.to_string()))?;
            if tensor.dtype().is_float() {
                tensor = tensor.to_dtype(DType::F32)?;
            }
            Ok((name, tensor))
        };
        let tensors = self.header.layout.tensors().into_iter().map(load).collect::<Result<_>>()?;
        Ok((tensors, Hasher::of(&[&self.header.bytes, data])))
    }

    /// Whether `seal` is the hash that [`write`] puts into a file of this header and these data.
    fn is_sealed(&self, seal: &str, data: &[u8]) -> bool {
        seal.len() == SEAL.len()
            && position(&self.header.bytes, seal).is_some_and(|at| {
                let (before, after) = self.header.bytes.split_at(at);
                Hasher::of(&[before, SEAL.as_bytes(), &after[SEAL.len()..], data]) == seal
            })
    }
}

/// Whether an f32 tensor has neither NaN nor infinity.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of every checkpoint that was ever written.
    #[test]
    fn a_file_has_these_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let tensors = [
            ("b\"é".to_string(), tensor(&[1.5, -2.0], &[2, 1])),
            ("a".to_string(), tensor(&[0.25], &[])),
            ("z.steps".to_string(), Tensor::new(&[7i64], &Device::Cpu).unwrap()),
        ];
        let json = format!("{{\"kind\":\"x\",\"sha256\":\"{SEAL}\"}}");
        write(&path, &json, &tensors).unwrap();
        let seal = "ecf5efb6cd28772d63144b50c3fe5b7ea43ed5d76592053d234af14a03af95a4";
        let header = format!(
            "{}{}{}{}",
            r#"{"__metadata__":{"gantools":"{\"kind\":\"x\",\"sha256\":\"SEAL\"}"},"#.replace("SEAL", seal),
            r#""z.steps":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#,
            r#""a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"#,
            r#""b\"é":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]}}"#,
        );
        let mut wanted = format!("{header:<312}").into_bytes();
        wanted.truncate(312);
        let data =
            [&7i64.to_le_bytes()[..], &0.25f32.to_le_bytes(), &1.5f32.to_le_bytes(), &(-2f32).to_le_bytes()];
        let wanted = [&312u64.to_le_bytes()[..], &wanted, &data.concat()].concat();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&wanted));
        assert_eq!(found, wanted);
    }
}
