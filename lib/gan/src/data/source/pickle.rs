//! The one array of a pickled batch of images, such as CIFAR's: `{'data': uint8 [N, 3·size²], …}`.
//!
//! Only the Python names that numpy's arrays need are known, and nothing is run: see [`crate::io::pickle`].

mod blob;

use std::io::BufReader;

use self::blob::decoded;
use super::span::Span;
use crate::Result;
use crate::io::pickle::{Blob, Id, Pickle, Python, Value, Values};

const DAMAGED: &str = "a damaged pickle, or none of images: fetch it again";

#[derive(Debug, Clone, PartialEq)]
enum NumpyObject {
    Function(Function),
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
enum Function {
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
    let Value::Dict(items) = pickle.values.get(pickle.root) else { return Ok(None) };
    let found = items.iter().rfind(|(key, _)| pickle.values.text(*key) == Some("data"));
    match found.map(|(_, value)| pickle.values.get(*value)) {
        Some(Value::Object(NumpyObject::Array { shape, bytes: true, fortran: false, data: Some(blob) })) => {
            Ok(Some((shape.clone(), decoded(span, *blob)?)))
        }
        _ => Ok(None),
    }
}

/// The Python names of numpy's arrays.
struct Numpy;

impl Python for Numpy {
    type Object = NumpyObject;

    fn name(&self, module: &str, name: &str) -> Result<Value<NumpyObject>, String> {
        let function = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Function::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Function::Scalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Function::FromBuffer,
            ("numpy", "ndarray") => Function::Array,
            ("numpy", "dtype") => Function::Dtype,
            ("_codecs", "encode") => Function::Encode,
            ("collections", "OrderedDict") => Function::OrderedDict,
            ("builtins" | "__builtin__", "bytes" | "bytearray") => Function::Bytes,
            _ => {
                return Err(format!(
                    "a pickle of Python objects ({module}.{name}), not a batch of images; nothing in it was run"
                ));
            }
        };
        Ok(Value::Object(NumpyObject::Function(function)))
    }

    fn call(
        &self,
        values: &Values<NumpyObject>,
        function: Id,
        arguments: &[Id],
    ) -> Result<Value<NumpyObject>, String> {
        let Value::Object(NumpyObject::Function(function)) = values.get(function) else {
            return Err(DAMAGED.into());
        };
        Ok(match (function, arguments) {
            (Function::Reconstruct, _) => {
                let (shape, data) = (Vec::new(), None);
                Value::Object(NumpyObject::Array { shape, bytes: false, fortran: false, data })
            }
            (Function::Dtype, [kind, ..]) => {
                let is_byte = matches!(values.text(*kind), Some("u1" | "|u1"));
                Value::Object(NumpyObject::ElementType(is_byte))
            }
            (Function::FromBuffer, &[data, dtype, shape, order]) => Value::Object(NumpyObject::Array {
                shape: values.sizes(shape)?,
                bytes: is_byte(values, dtype),
                fortran: values.text(order) != Some("C"),
                data: blob(values, data),
            }),
            // Python 3 has no bytes in protocols 0 to 2: `_codecs.encode(text, 'latin1')`.
            (Function::Encode | Function::Bytes, [text, ..]) if blob(values, *text).is_some() => {
                values.get(*text).clone()
            }
            (Function::OrderedDict, []) => Value::Dict(Vec::new()),
            (Function::Scalar | Function::Bytes, _) => Value::Other,
            _ => return Err(DAMAGED.into()),
        })
    }

    fn build(
        &self,
        values: &Values<NumpyObject>,
        object: Id,
        state: Id,
    ) -> Result<Option<Value<NumpyObject>>, String> {
        if !matches!(values.get(object), Value::Object(NumpyObject::Array { .. })) {
            return Ok(None);
        }
        let &[_, shape, dtype, fortran, data] = values.tuple(state)? else { return Err(DAMAGED.into()) };
        Ok(Some(Value::Object(NumpyObject::Array {
            shape: values.sizes(shape)?,
            bytes: is_byte(values, dtype),
            fortran: !matches!(values.get(fortran), Value::Bool(false) | Value::Int(0)),
            data: blob(values, data),
        })))
    }
}

fn is_byte(values: &Values<NumpyObject>, dtype: Id) -> bool {
    *values.get(dtype) == Value::Object(NumpyObject::ElementType(true))
}

fn blob(values: &Values<NumpyObject>, id: Id) -> Option<Blob> {
    match values.get(id) {
        Value::Text(_, blob) => Some(*blob),
        _ => None,
    }
}
