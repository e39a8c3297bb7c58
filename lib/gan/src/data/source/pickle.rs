//! The array in a pickled batch of images, as CIFAR publishes them: `{'data': uint8 [N, 3·size²], …}`.
//!
//! A pickle is a program that may call any Python function. Nothing is run here: the few functions that
//! numpy's arrays need are known, and all others are refused. Strings of bytes are not loaded; their
//! positions are recorded. Source: Python's Lib/pickletools.py.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use super::compression::TempFile;
use super::file_slice::{FileSlice, FileSliceReader};
use crate::Result;

/// The most bytes beside the strings, and the most values. The labels and names of a batch need a tenth of
/// it.
const MAX_BYTES: u64 = 16 << 20;
const MAX_VALUES: usize = 1 << 21;
/// The longest key or type, in bytes.
const MAX_TEXT: u64 = 64;

const DAMAGED: &str = "a damaged pickle, or none of images: fetch it again";
const CUT: &str = "a pickle that is cut short: fetch it again";

/// The functions and types that are known, without numpy's underscore in `_core`.
const GLOBALS: [(&str, &str); 9] = [
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("builtins", "bytes"),
    ("builtins", "bytearray"),
];

/// The position of a string, and its coding.
#[derive(Debug, Clone, Copy)]
struct ByteString {
    from: u64,
    len: u64,
    coding: StringCoding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum StringCoding {
    Raw,
    /// Each byte as the character of its number, in UTF-8.
    Latin1,
    /// As in Python's source: `'a\x00\n'`.
    Quoted,
    /// Characters above 255 and a few others as `\u0000`.
    Escaped,
}

/// The number of a value. Values are shared, and dictionaries and arrays are filled after their creation.
type ValueId = usize;
type PickleResult<T> = Result<T, String>;

#[derive(Debug, Clone)]
enum PickleValue {
    /// Booleans, too.
    Int(i64),
    Bytes(ByteString),
    Tuple(Vec<ValueId>),
    Dict(Vec<(ValueId, ValueId)>),
    Global(&'static str),
    Dtype {
        is_bytes: bool,
    },
    Array {
        shape: Vec<usize>,
        is_bytes: bool,
        is_fortran: bool,
        data: Option<ByteString>,
    },
    /// Not needed for images.
    Other,
}
use PickleValue as Value;

/// Whether a file may be a pickle, by its first bytes.
pub(super) fn is_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..] | [b'(', b'd' | b'l', b'p', ..] | [b'}', b'q', ..])
}

/// The shape of `data` in a pickled dictionary, and its bytes in C order; `None` where the pickle has no such
/// array.
///
/// # Errors
/// A damaged pickle, or one of other objects; a full disk.
pub(super) fn data(file: &FileSlice) -> Result<Option<(Vec<usize>, FileSlice)>> {
    let mut reader = PickleReader {
        file,
        reader: BufReader::new(file.reader()),
        at: 0,
        counted: 0,
        stack: vec![],
        marks: vec![],
        values: vec![],
        memo: HashMap::new(),
    };
    let root = reader.run().map_err(|what| file.error(what))?;
    let Value::Dict(items) = &reader.values[root] else { return Ok(None) };
    let data =
        items.iter().rfind(|(key, _)| reader.text(*key) == "data").map(|(_, data)| &reader.values[*data]);
    match data {
        Some(Value::Array { shape, is_bytes: true, is_fortran: false, data: Some(data) }) => {
            Ok(Some((shape.clone(), decoded(file, *data)?)))
        }
        _ => Ok(None),
    }
}

struct PickleReader<'a> {
    file: &'a FileSlice,
    reader: BufReader<FileSliceReader>,
    at: u64,
    /// The bytes beside the strings so far.
    counted: u64,
    stack: Vec<ValueId>,
    marks: Vec<usize>,
    values: Vec<Value>,
    memo: HashMap<u64, ValueId>,
}

impl PickleReader<'_> {
    fn run(&mut self) -> PickleResult<ValueId> {
        while self.step()? {}
        self.pop()
    }

    fn count(&mut self, n: u64) -> PickleResult<()> {
        (self.at, self.counted) = (self.at + n, self.counted + n);
        match self.counted > MAX_BYTES || self.values.len() > MAX_VALUES {
            true => Err("a pickle of more than one batch of images".into()),
            false => Ok(()),
        }
    }

    /// An unsigned little-endian number of `n` bytes.
    fn number(&mut self, n: usize) -> PickleResult<u64> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes[..n]).map_err(|_| CUT)?;
        self.count(n as u64)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn line(&mut self) -> PickleResult<String> {
        let mut line = Vec::new();
        self.reader.by_ref().take(1024).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        self.count(line.len() as u64)?;
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => Err(DAMAGED.into()),
        }
    }

    /// A string that is a line, of any length.
    fn string_line(&mut self, coding: StringCoding) -> PickleResult<Value> {
        let from = self.at;
        self.at += self.reader.skip_until(b'\n').map_err(|e| e.to_string())? as u64;
        self.counted += MAX_TEXT;
        let quote = u64::from(coding == StringCoding::Quoted);
        let len = (self.at - from).checked_sub(1 + 2 * quote).ok_or(CUT)?;
        Ok(Value::Bytes(ByteString { from: from + quote, len, coding }))
    }

    /// A string of `len` bytes.
    fn string(&mut self, len: u64, coding: StringCoding) -> PickleResult<Value> {
        let from = self.at;
        self.at = from.checked_add(len).ok_or(DAMAGED)?;
        let by = i64::try_from(len).map_err(|_| DAMAGED)?;
        self.reader.seek_relative(by).map_err(|_| CUT)?;
        Ok(Value::Bytes(ByteString { from, len, coding }))
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> PickleResult<ValueId> {
        match self.marks.last() == Some(&self.stack.len()) {
            true => Err(DAMAGED.into()),
            false => self.stack.pop().ok_or_else(|| DAMAGED.into()),
        }
    }

    fn pop_two(&mut self) -> PickleResult<[ValueId; 2]> {
        let last = self.pop()?;
        Ok([self.pop()?, last])
    }

    fn pop_mark(&mut self) -> PickleResult<Vec<ValueId>> {
        let mark = self.marks.pop().ok_or(DAMAGED)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> PickleResult<ValueId> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    /// Executes one instruction; `false` after the last one.
    fn step(&mut self) -> PickleResult<bool> {
        let op = self.number(1)? as u8;
        // The operand: a number, a string's length, or a key of the memo.
        let n = match op {
            0x80 | 0x8a | 0x8c | b'K' | b'U' | b'C' | b'q' | b'h' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' | b'T' | b'B' | b'X' | b'r' | b'j' => self.number(4)?,
            0x8d | 0x8e | 0x95 | 0x96 | b'G' => self.number(8)?,
            b'p' | b'g' => self.line()?.parse().map_err(|_| DAMAGED)?,
            0x94 => self.memo.len() as u64,
            _ => 0,
        };
        let value = match op {
            b'.' => return Ok(false),
            0x80 | 0x95 => return Ok(true),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(true);
            }
            b'0' | b'a' => return self.pop().map(|_| true),
            b'1' | b'e' => return self.pop_mark().map(|_| true),
            b'2' | b'g' | b'h' | b'j' => {
                let id = if op == b'2' { self.top()? } else { *self.memo.get(&n).ok_or(DAMAGED)? };
                self.stack.push(id);
                return Ok(true);
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let top = self.top()?;
                self.memo.insert(n, top);
                return Ok(true);
            }
            b's' => {
                let pair = self.pop_two()?;
                return self.set_items(&pair).map(|()| true);
            }
            b'u' => {
                let items = self.pop_mark()?;
                return self.set_items(&items).map(|()| true);
            }
            b'b' => return self.build().map(|()| true),
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(vec![]));
                return self.set_items(&items).map(|()| true);
            }
            b'l' => {
                self.pop_mark()?;
                Value::Other
            }
            b'F' => {
                self.line()?;
                Value::Other
            }
            b'N' | b'G' | b']' => Value::Other,
            0x88 | 0x89 => Value::Int(i64::from(op == 0x88)),
            b'J' => Value::Int((n as i32).into()),
            b'K' | b'M' => Value::Int(n as i64),
            b'I' | b'L' => self.line()?.trim_end_matches('L').parse().map_or(Value::Other, Value::Int),
            0x8a => {
                let bytes = (0..n).map(|_| self.number(1)).collect::<PickleResult<Vec<_>>>()?;
                let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let value = bytes.iter().rev().fold(0i64, |value, byte| value << 8 | *byte as i64);
                if n <= 7 && !is_negative { Value::Int(value) } else { Value::Other }
            }
            b'U' | b'C' | b'T' | b'B' | 0x8e | 0x96 => self.string(n, StringCoding::Raw)?,
            0x8c | b'X' | 0x8d => self.string(n, StringCoding::Latin1)?,
            b'S' => self.string_line(StringCoding::Quoted)?,
            b'V' => self.string_line(StringCoding::Escaped)?,
            b'}' => Value::Dict(vec![]),
            b')' => Value::Tuple(vec![]),
            0x85..=0x87 => {
                let mut ids = (0x84..op).map(|_| self.pop()).collect::<PickleResult<Vec<_>>>()?;
                ids.reverse();
                Value::Tuple(ids)
            }
            b't' => Value::Tuple(self.pop_mark()?),
            b'c' => global(&self.line()?, &self.line()?)?,
            0x93 => {
                let [module, name] = self.pop_two()?;
                global(&self.text(module), &self.text(name))?
            }
            b'R' => self.call()?,
            _ => return Err(DAMAGED.into()),
        };
        self.push(value);
        Ok(true)
    }

    fn set_items(&mut self, items: &[ValueId]) -> PickleResult<()> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(dict) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err(DAMAGED.into()),
        }
    }

    fn tuple(&self, id: ValueId) -> PickleResult<Vec<ValueId>> {
        match &self.values[id] {
            Value::Tuple(ids) => Ok(ids.clone()),
            _ => Err(DAMAGED.into()),
        }
    }

    fn bytes(&self, id: ValueId) -> Option<ByteString> {
        match self.values[id] {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A short string without escapes; empty where it is none.
    fn text(&self, id: ValueId) -> String {
        let bytes = self.bytes(id).filter(|bytes| bytes.len <= MAX_TEXT);
        let text = bytes.and_then(|bytes| self.file.slice(bytes.from, bytes.len).ok()?.head(bytes.len).ok());
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }

    fn array(&self, shape: ValueId, dtype: ValueId, is_fortran: bool, data: ValueId) -> PickleResult<Value> {
        let size = |id: &ValueId| match self.values[*id] {
            Value::Int(n) => usize::try_from(n).map_err(|_| DAMAGED.to_string()),
            _ => Err(DAMAGED.to_string()),
        };
        let shape = self.tuple(shape)?.iter().map(size).collect::<PickleResult<_>>()?;
        let is_bytes = matches!(self.values[dtype], Value::Dtype { is_bytes: true });
        Ok(Value::Array { shape, is_bytes, is_fortran, data: self.bytes(data) })
    }

    /// `function(*arguments)` for the known functions.
    fn call(&mut self) -> PickleResult<Value> {
        let [function, arguments] = self.pop_two()?;
        let Value::Global(function) = self.values[function] else { return Err(DAMAGED.into()) };
        Ok(match (function, &self.tuple(arguments)?[..]) {
            ("_reconstruct", _) => {
                Value::Array { shape: vec![], is_bytes: false, is_fortran: false, data: None }
            }
            ("dtype", [kind, ..]) => Value::Dtype { is_bytes: matches!(&*self.text(*kind), "u1" | "|u1") },
            ("_frombuffer", &[data, dtype, shape, order]) => {
                self.array(shape, dtype, self.text(order) != "C", data)?
            }
            // Protocols 0 to 2 write the bytes of Python 3 as `_codecs.encode(text, 'latin1')`.
            ("encode", [text, ..]) => Value::Bytes(self.bytes(*text).ok_or(DAMAGED)?),
            ("bytes" | "bytearray", [bytes, ..]) => self.bytes(*bytes).map_or(Value::Other, Value::Bytes),
            ("OrderedDict", []) => Value::Dict(vec![]),
            ("scalar" | "bytes" | "bytearray", _) => Value::Other,
            _ => return Err(DAMAGED.into()),
        })
    }

    /// Gives an array its state. That of other objects is not needed.
    fn build(&mut self) -> PickleResult<()> {
        let (state, top) = (self.pop()?, self.top()?);
        if let Value::Array { .. } = self.values[top] {
            let [_, shape, dtype, order, data] = self.tuple(state)?[..] else { return Err(DAMAGED.into()) };
            let is_fortran = !matches!(self.values[order], Value::Int(0));
            self.values[top] = self.array(shape, dtype, is_fortran, data)?;
        }
        Ok(())
    }
}

fn global(module: &str, name: &str) -> PickleResult<Value> {
    let usual = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins");
    let known = GLOBALS.iter().find(|global| **global == (&*usual, name));
    let unknown = || {
        format!("a pickle of Python objects ({module}.{name}), not a batch of images; nothing in it was run")
    };
    known.map(|(_, name)| Value::Global(name)).ok_or_else(unknown)
}

/// The bytes of a string; in a temporary file where the pickle encodes them.
fn decoded(file: &FileSlice, string: ByteString) -> Result<FileSlice> {
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
