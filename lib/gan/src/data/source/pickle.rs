//! The one array of a pickled batch of images, such as CIFAR's: `{'data': uint8 [N, 3·size²], …}`.
//!
//! Only the Python names that numpy's arrays need are known, and nothing is run: see [`crate::io::pickle`].

use std::io::{BufReader, Read};

use NumpyFunction::*;

use super::compression::TempFile;
use super::file_slice::FileSlice;
use crate::Result;
use crate::io::pickle::{Blob, Id, Made, Pickle, PickleValue, PickleValues, Python, StringCoding};

const DAMAGED: &str = "a damaged pickle, or none of images: fetch it again";

#[derive(Debug, Clone, PartialEq)]
enum NumpyObject {
    Function(NumpyFunction),
    /// The type of elements: whether it is uint8.
    ElementType(bool),
    Array {
        shape: Vec<usize>,
        bytes: bool,
        fortran: bool,
        data: Option<Blob>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum NumpyFunction {
    Reconstruct,
    FromBuffer,
    Array,
    Dtype,
    Encode,
    OrderedDict,
    Scalar,
    Bytes,
}

/// Whether a file may be a pickle, by its first bytes.
pub(super) fn is_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..] | [b'(', b'd' | b'l', b'p', ..] | [b'}', b'q', ..])
}

/// The shape of `data` in a pickled dictionary, and its bytes in C's order. `None` if there is no such array.
///
/// # Errors
/// A damaged pickle, or one of something else; no room to unpack the bytes.
pub(super) fn data(file: &FileSlice) -> Result<Option<(Vec<usize>, FileSlice)>> {
    let reader = BufReader::with_capacity(1 << 13, file.reader());
    let pickle = Pickle::read(reader, &Numpy).map_err(|what| file.error(what))?;
    let PickleValue::Dict(items) = pickle.values.get(pickle.root) else { return Ok(None) };
    let found = items.iter().rfind(|(key, _)| pickle.values.text(*key) == Some("data"));
    match found.map(|(_, value)| pickle.values.get(*value)) {
        Some(PickleValue::Object(NumpyObject::Array {
            shape,
            bytes: true,
            fortran: false,
            data: Some(blob),
        })) => Ok(Some((shape.clone(), decoded(file, *blob)?))),
        _ => Ok(None),
    }
}

/// The Python names of numpy's arrays.
struct Numpy;

impl Python for Numpy {
    type Object = NumpyObject;

    fn name(&self, module: &str, name: &str) -> Made<NumpyObject> {
        let function = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => FromBuffer,
            ("numpy", "ndarray") => Array,
            ("numpy", "dtype") => Dtype,
            ("_codecs", "encode") => Encode,
            ("collections", "OrderedDict") => OrderedDict,
            ("builtins" | "__builtin__", "bytes" | "bytearray") => Bytes,
            _ => {
                return Err(format!(
                    "a pickle of Python objects ({module}.{name}), not a batch of images; nothing in it was \
                     run"
                ));
            }
        };
        Ok(PickleValue::Object(NumpyObject::Function(function)))
    }

    fn call(&self, values: &PickleValues<NumpyObject>, function: Id, arguments: &[Id]) -> Made<NumpyObject> {
        let PickleValue::Object(NumpyObject::Function(function)) = values.get(function) else {
            return Err(DAMAGED.into());
        };
        Ok(match (function, arguments) {
            (Reconstruct, _) => {
                let (shape, data) = (Vec::new(), None);
                PickleValue::Object(NumpyObject::Array { shape, bytes: false, fortran: false, data })
            }
            (Dtype, [kind, ..]) => {
                let is_byte = matches!(values.text(*kind), Some("u1" | "|u1"));
                PickleValue::Object(NumpyObject::ElementType(is_byte))
            }
            (FromBuffer, &[data, dtype, shape, order]) => {
                array(values, [shape, dtype, data], values.text(order) != Some("C"))?
            }
            // Python 3 has no bytes in protocols 0 to 2: `_codecs.encode(text, 'latin1')`.
            (Encode | Bytes, [text, ..]) if blob(values, *text).is_some() => values.get(*text).clone(),
            (OrderedDict, []) => PickleValue::Dict(Vec::new()),
            (Scalar | Bytes, _) => PickleValue::Other,
            _ => return Err(DAMAGED.into()),
        })
    }

    fn build(&self, values: &PickleValues<NumpyObject>, object: Id, state: Id) -> Option<Made<NumpyObject>> {
        let is_array = matches!(values.get(object), PickleValue::Object(NumpyObject::Array { .. }));
        is_array.then(|| {
            let &[_, shape, dtype, fortran, data] = values.tuple(state)? else { return Err(DAMAGED.into()) };
            let fortran = !matches!(values.get(fortran), PickleValue::Bool(false) | PickleValue::Int(0));
            array(values, [shape, dtype, data], fortran)
        })
    }
}

/// An array of `parts`: its shape, the type of its elements, and their bytes.
fn array(values: &PickleValues<NumpyObject>, parts: [Id; 3], fortran: bool) -> Made<NumpyObject> {
    let [shape, dtype, data] = parts;
    let bytes = *values.get(dtype) == PickleValue::Object(NumpyObject::ElementType(true));
    let (shape, data) = (values.sizes(shape)?, blob(values, data));
    Ok(PickleValue::Object(NumpyObject::Array { shape, bytes, fortran, data }))
}

fn blob(values: &PickleValues<NumpyObject>, id: Id) -> Option<Blob> {
    match values.get(id) {
        PickleValue::Text(_, blob) => Some(*blob),
        _ => None,
    }
}

/// The bytes of a string; in a temporary file where the pickle encodes them.
fn decoded(file: &FileSlice, string: Blob) -> Result<FileSlice> {
    use StringCoding::{Escaped, Latin1, Quoted, Raw};
    let encoded = file.slice(string.from, string.len)?;
    if string.coding == Raw {
        return Ok(encoded);
    }
    let mut temporary = TempFile::new(file)?;
    let mut out = Vec::with_capacity(1 << 16);
    let mut bytes = BufReader::with_capacity(1 << 16, encoded.reader()).bytes();
    let mut next = || bytes.next().transpose().map_err(crate::Error::io(&file.name));
    let damaged = || file.error("a damaged pickle: fetch it again");
    while let Some(byte) = next()? {
        out.push(match (string.coding, byte) {
            (Latin1, 0xC2 | 0xC3) => (byte << 6) | (next()?.ok_or_else(damaged)? & 0x3F),
            (Latin1, 0x80..) => return Err(damaged()),
            (Quoted | Escaped, b'\\') => {
                let kind = next()?.ok_or_else(damaged)?;
                let digits = match (string.coding, kind) {
                    (Quoted, b'x') => 2,
                    (Escaped, b'u') => 4,
                    (Escaped, _) => return Err(damaged()),
                    _ => 0,
                };
                let mut value = 0u32;
                for _ in 0..digits {
                    let digit = char::from(next()?.ok_or_else(damaged)?).to_digit(16);
                    value = 16 * value + digit.ok_or_else(damaged)?;
                }
                match kind {
                    _ if digits > 0 => u8::try_from(value).map_err(|_| damaged())?,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                }
            }
            (_, byte) => byte,
        });
        if out.len() == 1 << 16 {
            temporary.write(&out)?;
            out.clear();
        }
    }
    temporary.write(&out)?;
    Ok(temporary.finish())
}
