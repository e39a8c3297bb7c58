//! The Python names in the pickles of `torch.save`: those of dictionaries of tensors. All others are refused;
//! or, with [`Objects::Skip`], nothing but the class of an object is kept.

use safetensors::Dtype;

use TorchFunction::{OrderedDict, RebuildParameter, RebuildTensor, Storage};
use TorchObject::{Foreign, Function, Tensor};

use crate::io::pickle::{Id, Made, PickleValue, PickleValues, Python};

pub(super) type TorchValue = PickleValue<TorchObject>;

/// What becomes of Python objects that are no tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Objects {
    /// Their names are errors.
    Refuse,
    /// They are [`TorchObject::Foreign`]: training scripts save hyper-parameters beside the tensors.
    Skip,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TorchObject {
    Function(TorchFunction),
    Storage {
        dtype: Dtype,
        key: String,
        elements: usize,
    },
    Tensor {
        storage: Id,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    },
    /// A name that is not supported, `module.name`, or an object that it made. It was not called.
    Foreign(String),
}

/// The Python names that are supported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TorchFunction {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

fn function(name: &str) -> Option<TorchFunction> {
    Some(match name {
        "collections.OrderedDict" => OrderedDict,
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => RebuildTensor,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => RebuildParameter,
        "torch.DoubleStorage" => Storage(Dtype::F64),
        "torch.FloatStorage" => Storage(Dtype::F32),
        "torch.HalfStorage" => Storage(Dtype::F16),
        "torch.BFloat16Storage" => Storage(Dtype::BF16),
        "torch.LongStorage" => Storage(Dtype::I64),
        "torch.IntStorage" => Storage(Dtype::I32),
        "torch.ShortStorage" => Storage(Dtype::I16),
        "torch.CharStorage" => Storage(Dtype::I8),
        "torch.ByteStorage" => Storage(Dtype::U8),
        "torch.BoolStorage" => Storage(Dtype::BOOL),
        _ => return None,
    })
}

impl Python for Objects {
    type Object = TorchObject;

    fn name(&self, module: &str, name: &str) -> Made<TorchObject> {
        let name = format!("{module}.{name}");
        match (function(&name), self) {
            (Some(function), _) => Ok(PickleValue::Object(Function(function))),
            (None, Objects::Skip) => Ok(PickleValue::Object(Foreign(name))),
            (None, Objects::Refuse) => {
                Err(format!("a pickle that names {name}, which no dictionary of tensors needs: refused"))
            }
        }
    }

    fn call(&self, values: &PickleValues<TorchObject>, function: Id, arguments: &[Id]) -> Made<TorchObject> {
        let PickleValue::Object(Function(name)) = *values.get(function) else {
            let skipped = self.skipped(values.get(function));
            return skipped.ok_or_else(|| "a pickle that calls no function: refused".into());
        };
        match (name, arguments) {
            (OrderedDict, []) => Ok(PickleValue::Dict(Vec::new())),
            (RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let (offset, shape) = (values.size(offset)?, values.sizes(shape)?);
                let strides = values.sizes(strides)?;
                match values.get(storage) {
                    PickleValue::Object(TorchObject::Storage { .. }) => {
                        Ok(PickleValue::Object(Tensor { storage, offset, shape, strides }))
                    }
                    PickleValue::Object(Foreign(_)) => Ok(PickleValue::Other),
                    _ => Err("a damaged pickle: a tensor without storage".into()),
                }
            }
            // A parameter is its tensor.
            (RebuildParameter, &[tensor, ..]) => match values.get(tensor) {
                tensor @ PickleValue::Object(Tensor { .. }) => Ok(tensor.clone()),
                other => self.skipped(other).ok_or_else(|| "a damaged pickle: no parameter".into()),
            },
            _ => Err("a pickle that calls a function in an unknown way: refused".into()),
        }
    }

    /// `('storage', torch.FloatStorage, key, location, elements[, view])`: the name of a storage outside the
    /// pickle.
    fn persistent(&self, values: &PickleValues<TorchObject>, id: Id) -> Made<TorchObject> {
        let parts = values.tuple(id)?;
        let text = |i: usize| parts.get(i).and_then(|&id| values.text(id));
        let class = parts.get(1).map_or(&PickleValue::Other, |&id| values.get(id));
        match (text(0), class, text(2), parts.get(4)) {
            (Some("storage"), &PickleValue::Object(Function(Storage(dtype))), Some(key), Some(&elements)) => {
                if parts.get(5).is_some_and(|&view| *values.get(view) != PickleValue::Other) {
                    return Err("a storage that is a view of another: save the weights again".into());
                }
                let (key, elements) = (key.to_string(), values.size(elements)?);
                Ok(PickleValue::Object(TorchObject::Storage { dtype, key, elements }))
            }
            // The older container keeps a class with its source, and weights never have some types of
            // elements.
            (Some("storage" | "module"), PickleValue::Object(Foreign(_)), ..) => Ok(class.clone()),
            (Some("module"), ..) if *self == Objects::Skip => Ok(PickleValue::Other),
            _ => Err("a damaged pickle: an unknown kind of storage".into()),
        }
    }

    fn object(&self, class: &TorchValue) -> Option<TorchValue> {
        (*self == Objects::Skip).then(|| self.skipped(class).unwrap_or(PickleValue::Other))
    }

    fn drops_items(&self, value: &TorchValue) -> bool {
        self.skipped(value).is_some()
    }
}

impl Objects {
    /// What is kept of a call of `value`, or of an object of that class. `None` where it is refused.
    fn skipped(&self, value: &TorchValue) -> Option<TorchValue> {
        match (self, value) {
            (Objects::Skip, PickleValue::Object(Foreign(_)) | PickleValue::Other) => Some(value.clone()),
            _ => None,
        }
    }
}
