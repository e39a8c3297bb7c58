//! The one array of a pickled batch of images, such as CIFAR's: `{'data': uint8 [N, 3·size²], …}`.
//!
//! Only the Python names that numpy's arrays need are known, and nothing is run: see [`crate::io::pickle`].

mod blob;

use std::io::BufReader;

use self::blob::decoded;
use super::span::Span;
use crate::Result;
use crate::io::pickle::{Blob, Id, Pickle, PickleValue, PickleValues, Python};

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
pub(super) fn data(span: &Span) -> Result<Option<(Vec<usize>, Span)>> {
    let reader = BufReader::with_capacity(1 << 13, span.reader());
    let pickle = Pickle::read(reader, &Numpy).map_err(|what| span.wrong(what))?;
    let PickleValue::Dict(items) = pickle.values.get(pickle.root) else { return Ok(None) };
    let found = items.iter().rfind(|(key, _)| pickle.values.text(*key) == Some("data"));
    match found.map(|(_, value)| pickle.values.get(*value)) {
        Some(PickleValue::Object(NumpyObject::Array {
            shape,
            bytes: true,
            fortran: false,
            data: Some(blob),
        })) => Ok(Some((shape.clone(), decoded(span, *blob)?))),
        _ => Ok(None),
    }
}

/// The Python names of numpy's arrays.
struct Numpy;

impl Python for Numpy {
    type Object = NumpyObject;

    fn name(&self, module: &str, name: &str) -> Result<PickleValue<NumpyObject>, String> {
        let function = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                NumpyFunction::Reconstruct
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => NumpyFunction::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => NumpyFunction::FromBuffer,
            ("numpy", "ndarray") => NumpyFunction::Array,
            ("numpy", "dtype") => NumpyFunction::Dtype,
            ("_codecs", "encode") => NumpyFunction::Encode,
            ("collections", "OrderedDict") => NumpyFunction::OrderedDict,
            ("builtins" | "__builtin__", "bytes" | "bytearray") => NumpyFunction::Bytes,
            _ => {
                return Err(format!(
                    "a pickle of Python objects ({module}.{name}), not a batch of images; nothing in it was run"
                ));
            }
        };
        Ok(PickleValue::Object(NumpyObject::Function(function)))
    }

    fn call(
        &self,
        values: &PickleValues<NumpyObject>,
        function: Id,
        arguments: &[Id],
    ) -> Result<PickleValue<NumpyObject>, String> {
        let PickleValue::Object(NumpyObject::Function(function)) = values.get(function) else {
            return Err(DAMAGED.into());
        };
        Ok(match (function, arguments) {
            (NumpyFunction::Reconstruct, _) => {
                let (shape, data) = (Vec::new(), None);
                PickleValue::Object(NumpyObject::Array { shape, bytes: false, fortran: false, data })
            }
            (NumpyFunction::Dtype, [kind, ..]) => {
                let is_byte = matches!(values.text(*kind), Some("u1" | "|u1"));
                PickleValue::Object(NumpyObject::ElementType(is_byte))
            }
            (NumpyFunction::FromBuffer, &[data, dtype, shape, order]) => {
                PickleValue::Object(NumpyObject::Array {
                    shape: values.sizes(shape)?,
                    bytes: is_byte(values, dtype),
                    fortran: values.text(order) != Some("C"),
                    data: blob(values, data),
                })
            }
            // Python 3 has no bytes in protocols 0 to 2: `_codecs.encode(text, 'latin1')`.
            (NumpyFunction::Encode | NumpyFunction::Bytes, [text, ..]) if blob(values, *text).is_some() => {
                values.get(*text).clone()
            }
            (NumpyFunction::OrderedDict, []) => PickleValue::Dict(Vec::new()),
            (NumpyFunction::Scalar | NumpyFunction::Bytes, _) => PickleValue::Other,
            _ => return Err(DAMAGED.into()),
        })
    }

    fn build(
        &self,
        values: &PickleValues<NumpyObject>,
        object: Id,
        state: Id,
    ) -> Result<Option<PickleValue<NumpyObject>>, String> {
        if !matches!(values.get(object), PickleValue::Object(NumpyObject::Array { .. })) {
            return Ok(None);
        }
        let &[_, shape, dtype, fortran, data] = values.tuple(state)? else { return Err(DAMAGED.into()) };
        Ok(Some(PickleValue::Object(NumpyObject::Array {
            shape: values.sizes(shape)?,
            bytes: is_byte(values, dtype),
            fortran: !matches!(values.get(fortran), PickleValue::Bool(false) | PickleValue::Int(0)),
            data: blob(values, data),
        })))
    }
}

fn is_byte(values: &PickleValues<NumpyObject>, dtype: Id) -> bool {
    *values.get(dtype) == PickleValue::Object(NumpyObject::ElementType(true))
}

fn blob(values: &PickleValues<NumpyObject>, id: Id) -> Option<Blob> {
    match values.get(id) {
        PickleValue::Text(_, blob) => Some(*blob),
        _ => None,
    }
}
