//! Reads the pickles of `torch.save` without ever running them.
//!
//! A pickle is a program for a stack machine that may name and call any Python function. This machine knows
//! the few names that a dictionary of tensors needs and refuses every other; or, where [`Objects::Skip`] says
//! so, keeps no more of what the others make than that it is there. Values live in one list and refer to each
//! other by index, so that nothing here recurses, however deep a pickle nests; every value costs at least one
//! byte of the file.

use std::collections::HashMap;

use safetensors::Dtype;

/// The longest pickle that is read; that of the Inception weights is 60 kB.
const LIMIT: usize = 16 << 20;

/// Index of a value in [`Pickle::values`].
pub(super) type Id = usize;

/// What a pickle can be made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Bool(bool),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
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
    /// A name that is not allowed, `module.name`, or an object that it made: it was not called.
    Foreign(String),
    /// `None`, a float, bytes, a huge number: nothing that names a tensor.
    Other,
}

/// What becomes of Python objects that are no tensors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Objects {
    /// Their names are errors.
    #[default]
    Refuse,
    /// They are [`Value::Foreign`]: training scripts save hyper-parameters beside the tensors.
    Skip,
}

/// The Python names that are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
        ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => Global::Storage(Dtype::U8),
        _ => return None,
    })
}

/// A pickle, read.
pub(super) struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
    /// Its length in bytes: what follows in the file begins there.
    pub len: usize,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`.
    pub(super) fn read(bytes: &[u8], objects: Objects) -> Result<Pickle, String> {
        let bytes = &bytes[..bytes.len().min(LIMIT)];
        let mut machine = Machine { bytes, objects, ..Machine::default() };
        while !machine.step()? {}
        let root = machine.pop()?;
        Ok(Pickle { values: machine.values, root, len: machine.at })
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    objects: Objects,
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| "the pickle is cut short".to_string())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// An unsigned little-endian number of `n` ≤ 8 bytes.
    fn number(&mut self, n: usize) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..n].copy_from_slice(self.take(n)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "a number too large".to_string())
    }

    fn text(&mut self, n: usize) -> Result<String, String> {
        let bytes = self.take(n)?.to_vec();
        String::from_utf8(bytes).map_err(|_| "a name that is not UTF-8".to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&b| b == b'\n').ok_or("the pickle is cut short")?;
        let line = self.text(n)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // A value under a mark belongs to what the mark began.
        if self.marks.last() == Some(&self.stack.len()) {
            return Err("the pickle is damaged: nothing on the stack".to_string());
        }
        self.stack.pop().ok_or_else(|| "the pickle is damaged: nothing on the stack".to_string())
    }

    /// Takes `n` values off the stack, in the order in which they were put there.
    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>, String> {
        let mut ids = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        ids.reverse();
        Ok(ids)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("the pickle is damaged: no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<Id, String> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    /// Does one instruction; whether it was the last.
    fn step(&mut self) -> Result<bool, String> {
        let op = self.take(1)?[0];
        match op {
            b'.' => return Ok(true),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'N' => self.push(Value::Other),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let n = i32::from_le_bytes(super::first(self.take(4)?));
                self.push(Value::Int(n.into()));
            }
            b'K' | b'M' => {
                let n = self.number(if op == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(n as i64));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let n = self.number(match op {
                    0x8c | b'U' => 1,
                    0x8d => 8,
                    _ => 4,
                })?;
                let text = self.text(n)?;
                self.push(Value::Text(text));
            }
            b'B' | b'C' => {
                let n = self.number(if op == b'C' { 1 } else { 4 })?;
                self.take(n)?;
                self.push(Value::Other);
            }
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let ids = self.pop_n(op as usize - 0x84)?;
                self.push(Value::Tuple(ids));
            }
            b't' => {
                let ids = self.pop_mark()?;
                self.push(Value::Tuple(ids));
            }
            b'l' => {
                let ids = self.pop_mark()?;
                self.push(Value::List(ids));
            }
            b'a' => {
                let ids = self.pop_n(1)?;
                self.append(ids)?;
            }
            b'e' => {
                let ids = self.pop_mark()?;
                self.append(ids)?;
            }
            b's' => {
                let ids = self.pop_n(2)?;
                self.set_items(ids)?;
            }
            b'u' => {
                let ids = self.pop_mark()?;
                self.set_items(ids)?;
            }
            b'q' | b'r' => {
                let key = self.number(if op == b'q' { 1 } else { 4 })? as u32;
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            0x94 => {
                let (key, top) = (self.memo.len() as u32, self.top()?);
                self.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = self.number(if op == b'h' { 1 } else { 4 })? as u32;
                let id = *self.memo.get(&key).ok_or("the pickle is damaged: an unknown reference")?;
                self.stack.push(id);
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?;
            }
            0x93 => {
                let ids = self.pop_n(2)?;
                match (&self.values[ids[0]], &self.values[ids[1]]) {
                    (Value::Text(module), Value::Text(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.name(&module, &name)?;
                    }
                    _ => return Err("the pickle is damaged: a name that is no text".to_string()),
                }
            }
            b'R' => self.call()?,
            // The state of an OrderedDict: versions of the layers.
            b'b' => drop(self.pop()?),
            b'Q' => self.storage()?,
            _ if self.objects == Objects::Skip => self.object(op)?,
            other => {
                return Err(format!(
                    "the pickle has the instruction 0x{other:02x}, which weights do not use"
                ));
            }
        }
        Ok(false)
    }

    /// The instructions that make objects; none of them is made.
    fn object(&mut self, op: u8) -> Result<(), String> {
        match op {
            // A class and its arguments (with or without named ones).
            0x81 | 0x92 => {
                let ids = self.pop_n(if op == 0x81 { 2 } else { 3 })?;
                let made = self.foreign(ids[0]);
                self.push(made);
            }
            // The same from a mark on: the class is the first.
            b'o' => {
                let ids = self.pop_mark()?;
                let made = ids.first().map_or(Value::Other, |&id| self.foreign(id));
                self.push(made);
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.pop_mark()?;
                self.push(Value::Foreign(format!("{module}.{name}")));
            }
            // Sets, byte arrays, numbers of more than 255 bytes.
            0x8f => self.push(Value::Other),
            0x90 => drop(self.pop_mark()?),
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Other);
            }
            0x8b | 0x8e | 0x96 => {
                let n = self.number(if op == 0x8b { 4 } else { 8 })?;
                self.take(n)?;
                self.push(Value::Other);
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            other => return Err(format!("the pickle has the instruction 0x{other:02x}, which is not read")),
        }
        Ok(())
    }

    /// What an object of the class `id` is kept as.
    fn foreign(&self, id: Id) -> Value {
        match &self.values[id] {
            Value::Foreign(name) => Value::Foreign(name.clone()),
            _ => Value::Other,
        }
    }

    /// Puts what a name means on the stack.
    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let value = match (global(module, name), self.objects) {
            (Some(global), _) => Value::Global(global),
            (None, Objects::Skip) => Value::Foreign(format!("{module}.{name}")),
            (None, Objects::Refuse) => {
                let what = "which a file of tensors has no use for: refused";
                return Err(format!("the pickle names {module}.{name}, {what}"));
            }
        };
        self.push(value);
        Ok(())
    }

    fn long(&mut self) -> Result<(), String> {
        let n = self.number(1)?;
        let bytes = self.take(n)?;
        if n > 8 {
            self.push(Value::Other);
            return Ok(());
        }
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..n].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn append(&mut self, ids: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(items) => items.extend(ids),
            Value::Foreign(_) | Value::Other if self.objects == Objects::Skip => {}
            _ => return Err("the pickle is damaged: not a list".to_string()),
        }
        Ok(())
    }

    fn set_items(&mut self, ids: Vec<Id>) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(items) if ids.len().is_multiple_of(2) => {
                items.extend(ids.chunks_exact(2).map(|p| (p[0], p[1])))
            }
            Value::Foreign(_) | Value::Other if self.objects == Objects::Skip => {}
            _ => return Err("the pickle is damaged: not a dictionary".to_string()),
        }
        Ok(())
    }

    fn tuple(&self, id: Id) -> Result<&[Id], String> {
        match &self.values[id] {
            Value::Tuple(ids) => Ok(ids),
            _ => Err("the pickle is damaged: not a tuple".to_string()),
        }
    }

    fn size(&self, id: Id) -> Result<usize, String> {
        match self.values[id] {
            Value::Int(n) => usize::try_from(n).map_err(|_| "a negative size".to_string()),
            _ => Err("the pickle is damaged: not a number".to_string()),
        }
    }

    /// `('storage', torch.FloatStorage, key, location, elements[, view])`: the id of a storage outside the
    /// pickle.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let parts = self.tuple(id)?;
        let value = |i: usize| parts.get(i).map(|&id| &self.values[id]);
        if let (Some(Value::Text(kind)), Objects::Skip, Some(&class)) = (value(0), self.objects, parts.get(1))
        {
            // The older container keeps a class with its source, and there are types of numbers that weights
            // never have.
            let unknown = !matches!(self.values[class], Value::Global(Global::Storage(_)));
            if kind == "module" || kind == "storage" && unknown {
                let made = self.foreign(class);
                self.push(made);
                return Ok(());
            }
        }
        let (dtype, key) = match (value(0), value(1), value(2)) {
            (
                Some(Value::Text(kind)),
                Some(Value::Global(Global::Storage(dtype))),
                Some(Value::Text(key)),
            ) if kind == "storage" && parts.len() >= 5 => (*dtype, key.clone()),
            _ => return Err("the pickle names a storage in a way that is not known".to_string()),
        };
        if value(5).is_some_and(|view| *view != Value::Other) {
            return Err("a storage that is a view of another is not read; save the weights again".to_string());
        }
        let elements = self.size(parts[4])?;
        self.push(Value::Storage { dtype, key, elements });
        Ok(())
    }

    /// `function(*arguments)` for the functions that are allowed.
    fn call(&mut self) -> Result<(), String> {
        let ids = self.pop_n(2)?;
        let function = match &self.values[ids[0]] {
            Value::Global(function) => *function,
            Value::Foreign(_) | Value::Other if self.objects == Objects::Skip => {
                let made = self.foreign(ids[0]);
                self.push(made);
                return Ok(());
            }
            _ => return Err("the pickle calls what is no function: refused".to_string()),
        };
        let arguments = self.tuple(ids[1])?.to_vec();
        match (function, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let sizes =
                    |id: Id| self.tuple(id)?.iter().map(|&i| self.size(i)).collect::<Result<Vec<_>, _>>();
                let (offset, shape, strides) = (self.size(*offset)?, sizes(*shape)?, sizes(*strides)?);
                if !matches!(self.values[*storage], Value::Storage { .. }) {
                    if self.objects == Objects::Skip && matches!(self.values[*storage], Value::Foreign(_)) {
                        self.push(Value::Other);
                        return Ok(());
                    }
                    return Err("the pickle is damaged: a tensor without storage".to_string());
                }
                self.push(Value::Tensor { storage: *storage, offset, shape, strides });
            }
            // A parameter is its tensor.
            (Global::RebuildParameter, [tensor, ..]) => self.stack.push(*tensor),
            _ => return Err("the pickle calls a function in a way that is not known: refused".to_string()),
        }
        Ok(())
    }
}
