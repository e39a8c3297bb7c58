//! numpy's `.npz`: a zip whose entries are `.npy` arrays.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use ndarray::{Array1, Array2, ArrayD, Ix2};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::{Error, Result};

/// The most features of statistics.
pub const MAX_FEATURES: usize = 16_384;
/// The longest array of bytes (`meta`).
const MAX_BYTES: usize = 1 << 20;
/// The longest header of an array, in bytes.
const MAX_HEADER: u64 = 4096;
/// How a `.npy` begins.
pub(crate) const NPY_MAGIC: &[u8] = b"\x93NUMPY";

/// An open `.npz`. Errors are one line that names the file and the array.
pub(crate) struct Npz<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
}

impl<'a> Npz<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Npz<'a>> {
        let file = File::open(path).map_err(Error::io(path))?;
        if file.metadata().map_err(Error::io(path))?.is_dir() {
            return Err(Error::file(path, "a folder, not statistics (.npz)"));
        }
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| Error::file(path, format!("not an .npz file (a zip of arrays): {e}")))?;
        Ok(Npz { path, zip })
    }

    /// The names of the arrays, without `.npy`.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.zip.file_names_raw().map(|n| String::from_utf8_lossy(n).into_owned());
        names.map(|n| n.strip_suffix(".npy").map(str::to_string).unwrap_or(n)).collect()
    }

    fn wrong(&self, name: &str, what: impl std::fmt::Display) -> Error {
        Error::file(self.path, format!("array `{name}`: {what}"))
    }

    /// The start of an array's `.npy`: its header. Then, if `max_elements` is given, the data that the shape
    /// in the header needs, of at most this many elements.
    fn entry(&mut self, name: &str, max_elements: Option<usize>) -> Result<Vec<u8>> {
        let path = self.path;
        let wrong = |what: String| Error::file(path, format!("array `{name}`: {what}"));
        let mut entry = self.zip.by_name(&format!("{name}.npy")).map_err(|e| wrong(e.to_string()))?;
        let mut bytes = Vec::new();
        let mut read = |bytes: &mut Vec<u8>, n: u64| {
            let entry = Read::by_ref(&mut entry);
            entry.take(n).read_to_end(bytes).map_err(|e| wrong(e.to_string()))
        };
        read(&mut bytes, MAX_HEADER)?;
        let Some(max_elements) = max_elements else { return Ok(bytes) };
        let header = NpyHeader::read(&bytes);
        let shape = header.ok_or_else(|| wrong("not a .npy array".to_string()))?.shape;
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let Some(elements) = elements.filter(|&n| n <= max_elements) else {
            return Err(wrong(format!("its shape is {shape:?}: too large to be statistics")));
        };
        // A few bytes may decompress to very many: no more is read than the shape needs, and one byte to see
        // whether there are more.
        read(&mut bytes, 8 * elements as u64 + 1)?;
        // ndarray-npy allocates what the header claims before it reads: check the claim first.
        match elements <= bytes.len() {
            true => Ok(bytes),
            false => Err(wrong(format!("cut short: {} bytes for a shape of {shape:?}", bytes.len()))),
        }
    }

    /// An array of floats (f64, f32, f16; of any order of bytes and axes) as f64, row-major, and its shape.
    pub(crate) fn floats(&mut self, name: &str, max_elements: usize) -> Result<ArrayD<f64>> {
        let mut bytes = self.entry(name, Some(max_elements))?;
        // ndarray-npy does not support f16: read its bits as integers.
        let header = NpyHeader::read(&bytes).filter(|header| matches!(&*header.descr, "<f2" | ">f2"));
        if let Some(header) = header {
            let place = bytes.windows(3).position(|text| text == header.descr.as_bytes());
            bytes[place.expect("in the header") + 1] = b'u';
            let words = ArrayD::<u16>::read_npy(Cursor::new(&bytes)).map_err(|e| self.wrong(name, e))?;
            return Ok(words.mapv(|word| half::f16::from_bits(word).to_f64()));
        }
        let wide = match ArrayD::<f64>::read_npy(Cursor::new(&bytes)) {
            Err(ndarray_npy::ReadNpyError::WrongDescriptor(_)) => {
                ArrayD::<f32>::read_npy(Cursor::new(&bytes)).map(|a| a.mapv(f64::from))
            }
            other => other,
        };
        wide.map_err(|e| self.wrong(name, format!("not an array of f64, f32 or f16: {e}")))
    }

    /// A one-dimensional array of floats. Axes of length 1 do not count, as in numpy's `atleast_1d`.
    pub(crate) fn vector(&mut self, name: &str) -> Result<Array1<f64>> {
        let array = self.floats(name, MAX_FEATURES)?;
        let shape = array.shape().to_vec();
        match shape.iter().filter(|&&side| side != 1).count() {
            0 | 1 => Ok(array.flatten().into_owned()),
            _ => Err(self.wrong(name, format!("{shape:?} is not one dimension"))),
        }
    }

    /// A two-dimensional array of floats. A single number is one, as in numpy's `atleast_2d`.
    pub(crate) fn matrix(&mut self, name: &str) -> Result<Array2<f64>> {
        let array = self.floats(name, MAX_FEATURES * MAX_FEATURES)?;
        let shape = array.shape().to_vec();
        let array = if array.len() == 1 { array.into_shape_with_order([1, 1].as_slice()) } else { Ok(array) };
        array
            .and_then(|array| array.into_dimensionality::<Ix2>())
            .map_err(|_| self.wrong(name, format!("{shape:?} is not two dimensions")))
    }

    /// A one-dimensional array of bytes. `None` if the array is of another type, or longer than 1 MiB.
    ///
    /// # Errors
    /// A damaged array.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let is_short =
            |header: NpyHeader| header.descr == "|u1" && matches!(header.shape[..], [0..=MAX_BYTES]);
        if !NpyHeader::read(&self.entry(name, None)?).is_some_and(is_short) {
            return Ok(None);
        }
        let bytes = self.entry(name, Some(MAX_BYTES))?;
        let array = Array1::<u8>::read_npy(Cursor::new(&bytes)).map_err(|e| self.wrong(name, e))?;
        Ok(Some(array.to_vec()))
    }
}

/// The header of a `.npy`.
#[derive(Debug)]
pub(crate) struct NpyHeader {
    /// The type of the elements, `<f8`.
    pub(crate) descr: String,
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the elements begin.
    pub(crate) data: u64,
}

impl NpyHeader {
    /// Reads a header, `{'descr': '|u1', 'fortran_order': False, 'shape': (2, 32, 32, 3), }`.
    pub(crate) fn read(head: &[u8]) -> Option<NpyHeader> {
        let (len, from): (u64, u64) = match *head.strip_prefix(NPY_MAGIC)? {
            [1, _, a, b, ..] => (u64::from(u16::from_le_bytes([a, b])), 10),
            [2 | 3, _, a, b, c, d, ..] => (u64::from(u32::from_le_bytes([a, b, c, d])), 12),
            _ => return None,
        };
        let data = from + len;
        let text = std::str::from_utf8(head.get(from as usize..usize::try_from(data).ok()?)?).ok()?;
        let value = |key: &str| Some(text.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start());
        // The type of a record is a list.
        let descr = match value("'descr'")?.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?.0.to_string(),
            None => "of records".to_string(),
        };
        let fortran = value("'fortran_order'")?.starts_with("True");
        let shape = value("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
        let shape = shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok());
        Some(NpyHeader { descr, fortran, shape: shape.collect::<Option<_>>()?, data })
    }
}

/// Writes compressed arrays as numpy's `savez_compressed` does, the same bytes every time.
pub(crate) struct NpzWriter<W: Write + Seek>(ZipWriter<W>);

impl<W: Write + Seek> NpzWriter<W> {
    pub(crate) fn new(file: W) -> NpzWriter<W> {
        NpzWriter(ZipWriter::new(file))
    }

    pub(crate) fn add(&mut self, name: &str, array: &impl WriteNpyExt) -> std::io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::DEFAULT)
            .large_file(true);
        self.0.start_file(format!("{name}.npy"), options)?;
        array.write_npy(std::io::BufWriter::new(&mut self.0)).map_err(std::io::Error::other)
    }

    pub(crate) fn finish(self) -> std::io::Result<W> {
        Ok(self.0.finish()?)
    }
}
