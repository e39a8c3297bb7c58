//! The one array that a pickled batch of images holds, as CIFAR's have it: `{'data': uint8 [N, 3·side²], …}`.
//!
//! A pickle is a program that may call any Python function. Nothing is run here: the few names that numpy's
//! arrays need are known, and every other is refused. Long strings of bytes are not read, but noted by where
//! they lie.

mod blob;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use self::blob::{Blob, Coding, decoded};
use super::span::{Span, SpanReader};
use crate::Result;

/// The most bytes beside the data, and the most values: labels and names of a batch take a tenth of it.
const MOST: u64 = 16 << 20;
const MOST_VALUES: usize = 1 << 21;
/// Texts up to this many bytes are kept: keys and types.
const TEXT: u64 = 64;

type Id = usize;
type Step<T> = Result<T, String>;

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Int(i64),
    Bool(bool),
    /// Bytes or a text: what they say, if they are short, and where they lie.
    Bytes(String, Blob),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Dtype(bool),
    Array {
        shape: Vec<usize>,
        bytes: bool,
        fortran: bool,
        data: Option<Blob>,
    },
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Reconstruct,
    FromBuffer,
    Array,
    Dtype,
    Encode,
    Dict,
    Scalar,
    Bytes,
}

/// Whether a file may be a pickle, by its first bytes.
pub(super) fn is_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..] | [b'(', b'd' | b'l', b'p', ..] | [b'}', b'q', ..])
}

/// The shape of `data` in a pickled dictionary, and its bytes in C's order; `None` where there is none of
/// that.
///
/// # Errors
/// A damaged pickle, or one of something else; no room for what has to be unpacked.
pub(super) fn data(span: &Span) -> Result<Option<(Vec<usize>, Span)>> {
    let reader = BufReader::with_capacity(1 << 13, span.reader());
    let mut machine = Machine {
        reader,
        at: 0,
        beside: 0,
        stack: vec![],
        marks: vec![],
        values: vec![],
        memo: HashMap::new(),
    };
    let read = (|| {
        while !machine.step()? {}
        machine.pop()
    })();
    let root = read.map_err(|what| span.wrong(what))?;
    let Value::Dict(items) = &machine.values[root] else { return Ok(None) };
    let is_data = |id: &Id| matches!(&machine.values[*id], Value::Bytes(text, _) if text == "data");
    let found = items.iter().rfind(|(key, _)| is_data(key)).map(|(_, value)| &machine.values[*value]);
    let Some(Value::Array { shape, bytes: true, fortran: false, data: Some(blob) }) = found else {
        return Ok(None);
    };
    Ok(Some((shape.clone(), decoded(span, *blob)?)))
}

struct Machine {
    reader: BufReader<SpanReader>,
    at: u64,
    beside: u64,
    stack: Vec<Id>,
    marks: Vec<usize>,
    values: Vec<Value>,
    memo: HashMap<u64, Id>,
}

const DAMAGED: &str = "a damaged pickle, or none of images: fetch it again";

impl Machine {
    fn take<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|_| "a pickle that is cut short: fetch it again")?;
        self.passed(N as u64)?;
        Ok(bytes)
    }

    fn passed(&mut self, n: u64) -> Step<()> {
        self.at += n;
        self.beside += n;
        match self.beside > MOST || self.values.len() > MOST_VALUES {
            true => Err("a pickle of more than one batch of images".into()),
            false => Ok(()),
        }
    }

    /// An unsigned little-endian number of `n` bytes.
    fn number(&mut self, n: usize) -> Step<u64> {
        let mut wide = [0; 8];
        for byte in &mut wide[..n] {
            [*byte] = self.take()?;
        }
        Ok(u64::from_le_bytes(wide))
    }

    fn line(&mut self) -> Step<String> {
        let mut line = Vec::new();
        self.reader.by_ref().take(1024).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        self.passed(line.len() as u64)?;
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => Err(DAMAGED.into()),
        }
    }

    /// A line of any length that stays where it is, between `quotes` of them.
    fn long_line(&mut self, coding: Coding) -> Step<()> {
        let from = self.at;
        let mut text = Vec::new();
        loop {
            let piece = self.reader.fill_buf().map_err(|e| e.to_string())?;
            if piece.is_empty() {
                return Err("a pickle that is cut short: fetch it again".into());
            }
            let end = piece.iter().position(|&byte| byte == b'\n');
            let n = end.map_or(piece.len(), |end| end + 1);
            let room = (TEXT as usize + 3).saturating_sub(text.len());
            text.extend_from_slice(&piece[..n.min(room)]);
            self.reader.consume(n);
            self.at += n as u64;
            if end.is_some() {
                break;
            }
        }
        self.beside += TEXT;
        let quote = u64::from(coding == Coding::Quoted);
        let len = (self.at - from).checked_sub(1 + 2 * quote).ok_or(DAMAGED)?;
        let blob = Blob { from: from + quote, len, coding };
        let text = match len <= TEXT {
            true => String::from_utf8_lossy(&text[quote as usize..][..len as usize]).into_owned(),
            false => String::new(),
        };
        self.push(Value::Bytes(text, blob))
    }

    /// `n` bytes, which stay where they are.
    fn bytes(&mut self, n: u64, coding: Coding) -> Step<()> {
        let blob = Blob { from: self.at, len: n, coding };
        let text = match n <= TEXT {
            true => {
                let mut text = vec![0; n as usize];
                self.reader
                    .read_exact(&mut text)
                    .map_err(|_| "a pickle that is cut short: fetch it again")?;
                self.at += n;
                String::from_utf8_lossy(&text).into_owned()
            }
            false => {
                self.at = self.at.checked_add(n).ok_or(DAMAGED)?;
                let moved = self.reader.seek(SeekFrom::Start(self.at));
                moved.map_err(|_| "a pickle that is cut short: fetch it again")?;
                String::new()
            }
        };
        self.push(Value::Bytes(text, blob))
    }

    fn push(&mut self, value: Value) -> Step<()> {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        match self.marks.last() == Some(&self.stack.len()) {
            true => Err(DAMAGED.into()),
            false => self.stack.pop().ok_or_else(|| DAMAGED.into()),
        }
    }

    fn pop_n(&mut self, n: usize) -> Step<Vec<Id>> {
        let mut ids = (0..n).map(|_| self.pop()).collect::<Step<Vec<_>>>()?;
        ids.reverse();
        Ok(ids)
    }

    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or(DAMAGED)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Step<Id> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn memoize(&mut self, key: u64) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Step<()> {
        let id = *self.memo.get(&key).ok_or(DAMAGED)?;
        self.stack.push(id);
        Ok(())
    }

    /// Does one instruction; whether it was the last.
    fn step(&mut self) -> Step<bool> {
        let [op] = self.take()?;
        match op {
            b'.' => return Ok(true),
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::Other)?,
            0x88 | 0x89 => self.push(Value::Bool(op == 0x88))?,
            b'J' => {
                let n = i32::from_le_bytes(self.take()?);
                self.push(Value::Int(n.into()))?;
            }
            b'K' | b'M' => {
                let n = self.number(if op == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(n as i64))?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let value = match line.as_str() {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    number => number.trim_end_matches('L').parse().map_or(Value::Other, Value::Int),
                };
                self.push(value)?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Other)?;
            }
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Other)?;
            }
            0x8a => {
                let n = self.number(1)? as usize;
                let bytes = (0..n).map(|_| self.number(1)).collect::<Step<Vec<_>>>()?;
                let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let value = bytes.iter().rev().fold(0i64, |value, byte| value << 8 | *byte as i64);
                let known = n <= 7 && !negative;
                self.push(if known { Value::Int(value) } else { Value::Other })?;
            }
            b'U' | b'C' => {
                let n = self.number(1)?;
                self.bytes(n, Coding::Raw)?;
            }
            b'T' | b'B' => {
                let n = self.number(4)?;
                self.bytes(n, Coding::Raw)?;
            }
            0x8e | 0x96 => {
                let n = self.number(8)?;
                self.bytes(n, Coding::Raw)?;
            }
            0x8c | b'X' | 0x8d => {
                let n = self.number(match op {
                    0x8c => 1,
                    b'X' => 4,
                    _ => 8,
                })?;
                self.bytes(n, Coding::Latin1)?;
            }
            b'S' => self.long_line(Coding::Quoted)?,
            b'V' => self.long_line(Coding::Escaped)?,
            b']' => self.push(Value::List)?,
            b'}' => self.push(Value::Dict(vec![]))?,
            b')' => self.push(Value::Tuple(vec![]))?,
            0x85..=0x87 => {
                let ids = self.pop_n(usize::from(op - 0x84))?;
                self.push(Value::Tuple(ids))?;
            }
            b't' => {
                let ids = self.pop_mark()?;
                self.push(Value::Tuple(ids))?;
            }
            b'l' => {
                self.pop_mark()?;
                self.push(Value::List)?;
            }
            b'd' => {
                let ids = self.pop_mark()?;
                self.push(Value::Dict(vec![]))?;
                self.set_items(ids)?;
            }
            b'a' => drop(self.pop()?),
            b'e' => drop(self.pop_mark()?),
            b's' => {
                let ids = self.pop_n(2)?;
                self.set_items(ids)?;
            }
            b'u' => {
                let ids = self.pop_mark()?;
                self.set_items(ids)?;
            }
            b'p' => {
                let key = self.line()?.parse().map_err(|_| DAMAGED)?;
                self.memoize(key)?;
            }
            b'q' | b'r' => {
                let key = self.number(if op == b'q' { 1 } else { 4 })?;
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'g' => {
                let key = self.line()?.parse().map_err(|_| DAMAGED)?;
                self.recall(key)?;
            }
            b'h' | b'j' => {
                let key = self.number(if op == b'h' { 1 } else { 4 })?;
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Name(known(&module, &name)?))?;
            }
            0x93 => {
                let ids = self.pop_n(2)?;
                let (Value::Bytes(module, _), Value::Bytes(name, _)) =
                    (&self.values[ids[0]], &self.values[ids[1]])
                else {
                    return Err(DAMAGED.into());
                };
                let name = known(module, name)?;
                self.push(Value::Name(name))?;
            }
            b'R' => self.call()?,
            b'b' => self.build()?,
            _ => return Err(DAMAGED.into()),
        }
        Ok(false)
    }

    fn set_items(&mut self, ids: Vec<Id>) -> Step<()> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(items) if ids.len().is_multiple_of(2) => {
                items.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }

    fn tuple(&self, id: Id) -> Step<Vec<Id>> {
        match &self.values[id] {
            Value::Tuple(ids) => Ok(ids.clone()),
            _ => Err(DAMAGED.into()),
        }
    }

    fn shape(&self, id: Id) -> Step<Vec<usize>> {
        let size = |id: &Id| match self.values[*id] {
            Value::Int(n) => usize::try_from(n).map_err(|_| DAMAGED.to_string()),
            _ => Err(DAMAGED.to_string()),
        };
        self.tuple(id)?.iter().map(size).collect()
    }

    fn blob(&self, id: Id) -> Option<Blob> {
        match self.values[id] {
            Value::Bytes(_, blob) => Some(blob),
            _ => None,
        }
    }

    /// `name(*arguments)` for the few names that are known.
    fn call(&mut self) -> Step<()> {
        let ids = self.pop_n(2)?;
        let Value::Name(name) = self.values[ids[0]] else { return Err(DAMAGED.into()) };
        let arguments = self.tuple(ids[1])?;
        let value = match (name, arguments.as_slice()) {
            (Name::Reconstruct, _) => {
                Value::Array { shape: vec![], bytes: false, fortran: false, data: None }
            }
            (Name::Dtype, [kind, ..]) => Value::Dtype(
                matches!(&self.values[*kind], Value::Bytes(text, _) if text == "u1" || text == "|u1"),
            ),
            (Name::FromBuffer, [data, dtype, shape, order]) => {
                let c = matches!(&self.values[*order], Value::Bytes(text, _) if text == "C");
                let (shape, data) = (self.shape(*shape)?, self.blob(*data));
                Value::Array { shape, bytes: self.values[*dtype] == Value::Dtype(true), fortran: !c, data }
            }
            // Python 3 has no bytes in protocols 0 to 2: `_codecs.encode(text, 'latin1')`.
            (Name::Encode, [text, ..]) => match self.blob(*text) {
                Some(blob) => Value::Bytes(self.short(*text), blob),
                None => return Err(DAMAGED.into()),
            },
            (Name::Bytes, [bytes, ..]) => match self.blob(*bytes) {
                Some(blob) => Value::Bytes(self.short(*bytes), blob),
                None => Value::Other,
            },
            (Name::Dict, []) => Value::Dict(vec![]),
            (Name::Scalar | Name::Bytes, _) => Value::Other,
            _ => return Err(DAMAGED.into()),
        };
        self.push(value)
    }

    fn short(&self, id: Id) -> String {
        match &self.values[id] {
            Value::Bytes(text, _) => text.clone(),
            _ => String::new(),
        }
    }

    /// Gives an object its state.
    fn build(&mut self) -> Step<()> {
        let ids = self.pop_n(1)?;
        let top = self.top()?;
        if !matches!(self.values[top], Value::Array { .. }) {
            return Ok(());
        }
        let state = self.tuple(ids[0])?;
        let [_, shape, dtype, fortran, data] = state[..] else { return Err(DAMAGED.into()) };
        let fortran = self.values[fortran] != Value::Bool(false) && self.values[fortran] != Value::Int(0);
        let bytes = self.values[dtype] == Value::Dtype(true);
        self.values[top] = Value::Array { shape: self.shape(shape)?, bytes, fortran, data: self.blob(data) };
        Ok(())
    }
}

fn known(module: &str, name: &str) -> Step<Name> {
    Ok(match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Name::Reconstruct,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Name::Scalar,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Name::FromBuffer,
        ("numpy", "ndarray") => Name::Array,
        ("numpy", "dtype") => Name::Dtype,
        ("_codecs", "encode") => Name::Encode,
        ("collections", "OrderedDict") => Name::Dict,
        ("builtins" | "__builtin__", "bytes" | "bytearray") => Name::Bytes,
        _ => {
            return Err(format!(
                "a pickle of Python objects ({module}.{name}), not a batch of images; nothing in it was run"
            ));
        }
    })
}
