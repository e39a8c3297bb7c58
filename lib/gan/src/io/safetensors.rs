//! A safetensors file of weights: written the same bytes every time, read only after every length was checked.
//!
//! The `safetensors` crate's own writer orders metadata at random, so the header is written here: one metadata key,
//! `gantools`, then the tensors, integers first and then by name, then spaces up to a multiple of 64.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};
use sha2::{Digest, Sha256};

use crate::io::atomic;
use crate::io::hash::{Hasher, hex};
use crate::{Error, Result};

/// The one key of our metadata.
const KEY: &str = "gantools";
/// The tensors' data starts at a multiple of this.
const ALIGN: usize = 64;
/// What the safetensors format allows for a header, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// Tensors in their order in a file: the wider numbers first, so that all are aligned (PyTorch's reader wants that).
type Ordered<'a> = BTreeMap<(Reverse<usize>, &'a str), &'a Tensor>;

/// What stands in metadata in the place of the file's own SHA-256, which [`write`] puts there: the hash of all of the file's bytes,
/// with this where the hash is.
pub const SEAL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes `tensors` (f32 or i64) and `metadata` (JSON) to `path`, whole or not at all; sealed, if [`SEAL`] is in the metadata.
///
/// # Errors
/// What the operating system refuses.
pub fn write(path: &Path, metadata: &str, tensors: &[(String, Tensor)]) -> Result<()> {
    let key = |name, tensor: &Tensor| (Reverse(tensor.dtype().size_in_bytes()), name);
    let tensors: Ordered = tensors.iter().map(|(name, t)| (key(name.as_str(), t), t)).collect();
    let mut header = header(metadata, &tensors);
    if let Some(at) = header.find(SEAL) {
        let mut hash = Hasher::default();
        let mut out = BufWriter::with_capacity(1 << 16, &mut hash);
        let hashed = start(&mut out, &header).and_then(|()| {
            tensors.values().try_for_each(|tensor| data(&mut out, tensor))?;
            out.flush()
        });
        hashed.map_err(Error::io(path))?;
        drop(out);
        header.replace_range(at..at + SEAL.len(), &hash.finish());
    }
    atomic::write(path, |out| {
        start(out, &header)?;
        tensors.values().try_for_each(|tensor| data(out, tensor))
    })
}

/// Writes the header and, before it, its length.
fn start(out: &mut dyn Write, header: &str) -> io::Result<()> {
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())
}

fn header(metadata: &str, tensors: &Ordered) -> String {
    let quote = |s: &str| serde_json::to_string(s).expect("a string is JSON");
    let mut header = format!("{{\"__metadata__\":{{\"{KEY}\":{}}}", quote(metadata));
    let mut start = 0;
    for ((_, name), tensor) in tensors {
        let end = start + tensor.elem_count() * tensor.dtype().size_in_bytes();
        let dtype = if tensor.dtype() == DType::I64 { "I64" } else { "F32" };
        let shape = serde_json::to_string(tensor.dims()).expect("numbers are JSON");
        let name = quote(name);
        header +=
            &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{start},{end}]}}");
        start = end;
    }
    header.push('}');
    let padded = (8 + header.len()).next_multiple_of(ALIGN) - 8;
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    header
}

/// Writes the elements of a tensor, row-major, little-endian.
fn data(out: &mut dyn Write, tensor: &Tensor) -> io::Result<()> {
    let flat = tensor.flatten_all().map_err(io::Error::other)?;
    match flat.dtype() {
        DType::I64 => {
            let values = flat.to_vec1::<i64>().map_err(io::Error::other)?;
            values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
        }
        _ => {
            let values = flat.to_vec1::<f32>().map_err(io::Error::other)?;
            values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
        }
    }
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name, without the keys that lead to its dictionary.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it holds floats.
    pub float: bool,
}

/// A safetensors file whose header and length were checked; its data is not read yet.
pub struct Weights {
    file: File,
    header: Vec<u8>,
    layout: Metadata,
}

impl Weights {
    /// Opens a safetensors file, reads its header and compares the lengths.
    ///
    /// # Errors
    /// One line for each way in which it is none: a folder, foreign, cut short, too long, a header that lies.
    pub fn open(path: &Path) -> Result<Weights> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let stat = file.metadata().map_err(Error::io(path))?;
        if stat.is_dir() {
            return Err(Error::file(path, "is a folder, not a .safetensors file"));
        }
        let foreign = || Error::file(path, "is not a safetensors file");
        let cut = || Error::file(path, format!("is cut short at {} bytes; make it again", stat.len()));
        let mut start = [0; 9];
        match file.read_exact(&mut start) {
            Err(_) if stat.len() == 0 => return Err(Error::file(path, "is empty")),
            other => other.map_err(|_| foreign())?,
        }
        let length = u64::from_le_bytes(start[..8].try_into().expect("8 bytes"));
        if start[8] != b'{' || !(2..=MAX_HEADER).contains(&length) {
            return Err(foreign());
        }
        if length > stat.len() - 8 {
            return Err(cut());
        }
        let mut header = start.to_vec();
        header.resize(8 + length as usize, 0);
        file.read_exact(&mut header[9..]).map_err(Error::io(path))?;
        let layout: Metadata = serde_json::from_slice(&header[8..])
            .map_err(|e| Error::file(path, format!("its safetensors header is broken: {e}")))?;
        let whole = (header.len() + layout.data_len()) as u64;
        match stat.len() {
            n if n < whole => Err(cut()),
            n if n > whole => Err(Error::file(path, format!("has {} bytes too many at its end", n - whole))),
            _ => Ok(Weights { file, header, layout }),
        }
    }

    /// Our metadata, JSON; `None` in a file that is not ours.
    pub fn metadata(&self) -> Option<&str> {
        self.layout.metadata().as_ref()?.get(KEY).map(String::as_str)
    }

    /// The tensors' shapes by name.
    pub fn shapes(&self) -> HashMap<String, Vec<usize>> {
        self.layout.tensors().into_iter().map(|(name, info)| (name, info.shape.clone())).collect()
    }

    /// The tensors' names and shapes, and whether they hold floats, by name.
    pub fn items(&self) -> Vec<Item> {
        let is_float = |dtype: Dtype| {
            !matches!(
                dtype,
                Dtype::BOOL
                    | Dtype::U8
                    | Dtype::I8
                    | Dtype::I16
                    | Dtype::U16
                    | Dtype::I32
                    | Dtype::U32
                    | Dtype::I64
                    | Dtype::U64
            )
        };
        let tensors: BTreeMap<String, _> = self.layout.tensors().into_iter().collect();
        let item = |(name, info): (String, &TensorInfo)| Item {
            name,
            shape: info.shape.clone(),
            float: is_float(info.dtype),
        };
        tensors.into_iter().map(item).collect()
    }

    /// Numbers in all tensors.
    pub fn numbers(&self) -> usize {
        self.layout.tensors().values().map(|info| info.shape.iter().product::<usize>()).sum()
    }

    /// [`Weights::read_any`] of a sealed file, whose `seal` the metadata tell, and whose numbers are finite.
    ///
    /// # Errors
    /// Those of [`Weights::read_any`]; any byte is not the one that was written; a NaN or infinity.
    pub fn read_sealed(self, path: &Path, seal: &str) -> Result<(HashMap<String, Tensor>, String)> {
        let (tensors, hash) = self.read_any(path, Some(seal))?;
        Self::check_finite(path, &tensors)?;
        Ok((tensors, hash))
    }

    fn check_finite(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.dtype().is_float()) {
            if !is_finite(tensor)? {
                let what = format!("{name}: holds a NaN or an infinity; its training diverged");
                return Err(Error::file(path, what));
            }
        }
        Ok(())
    }

    /// Reads the tensors to the CPU, floats of any width as f32, and the SHA-256 of the whole file in
    /// hexadecimal.
    ///
    /// # Errors
    /// A read that fails, or a type of numbers that there is no tensor for.
    pub fn read_any(&self, path: &Path, seal: Option<&str>) -> Result<(HashMap<String, Tensor>, String)> {
        let mut bytes = vec![0; self.layout.data_len()];
        // Past the header, whoever read before.
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.header.len() as u64)).map_err(Error::io(path))?;
        file.read_exact(&mut bytes).map_err(Error::io(path))?;
        if seal.is_some_and(|seal| !self.is_sealed(seal, &bytes)) {
            return Err(Error::file(path, "is damaged: its bytes are not those that were written"));
        }
        let mut tensors = HashMap::new();
        for (name, info) in self.layout.tensors() {
            let about = |what: &dyn std::fmt::Display| {
                let what = what.to_string();
                Error::file(path, format!("{name}: {}", what.lines().next().unwrap_or_default()))
            };
            let (start, end) = info.data_offsets;
            let view =
                TensorView::new(info.dtype, info.shape.clone(), &bytes[start..end]).map_err(|e| about(&e))?;
            let mut tensor = view.load(&Device::Cpu).map_err(|e| about(&e))?;
            if tensor.dtype().is_float() {
                tensor = tensor.to_dtype(DType::F32)?;
            }
            tensors.insert(name, tensor);
        }
        let hash = Sha256::new().chain_update(&self.header).chain_update(&bytes).finalize();
        Ok((tensors, hex(&hash)))
    }

    /// Whether `seal` is what [`write`] would put into a file of this header and these data.
    fn is_sealed(&self, seal: &str, data: &[u8]) -> bool {
        let place = self.header.windows(SEAL.len()).position(|window| window == seal.as_bytes());
        place.filter(|_| seal.len() == SEAL.len()).is_some_and(|at| {
            let mut header = self.header.clone();
            header[at..at + SEAL.len()].copy_from_slice(SEAL.as_bytes());
            hex(&Sha256::new().chain_update(&header).chain_update(data).finalize()) == seal
        })
    }
}

/// Whether an f32 tensor has neither NaN nor infinity.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite()))
}
