//! Reads pickles without running them.
//!
//! A pickle is a program for a stack machine that may call any Python function. The machine here calls
//! nothing: a [`Python`] decides what a name or a call stands for, or refuses it. Values live in one list and
//! refer to each other by index, so nothing recurses, however deep a pickle nests. Long strings are not read;
//! a [`Blob`] says where they are.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Seek, SeekFrom};

/// The most bytes of a pickle beside its long strings.
const MAX_BYTES: u64 = 16 << 20;
/// The most values of a pickle.
const MAX_VALUES: usize = 1 << 21;
/// The longest string that is read, in bytes.
const MAX_TEXT: u64 = 1000;

const DAMAGED: &str = "a damaged pickle: fetch it again";
const CUT_SHORT: &str = "a pickle that is cut short: fetch it again";

/// Index of a value in [`Pickle::values`].
pub(crate) type Id = usize;

type Step<T> = Result<T, String>;

/// A value that a [`Python`] makes, or why it refuses.
pub(crate) type Made<T> = Result<PickleValue<T>, String>;

/// Where a string is in the input, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blob {
    pub from: u64,
    pub len: u64,
    pub coding: StringCoding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StringCoding {
    Raw,
    /// UTF-8. Of bytes: each as the character of its number.
    Latin1,
    /// As in Python's source: `'a\x00\n'`.
    Quoted,
    /// Characters above 255 and a few others as `\u0000`.
    Escaped,
}

/// What a pickle makes. `T` is what a [`Python`] makes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PickleValue<T> {
    Int(i64),
    Bool(bool),
    /// Bytes or a text, read if it is short and UTF-8.
    Text(Option<String>, Blob),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Object(T),
    /// `None`, a float, a large integer.
    Other,
}

/// What the names and calls of a pickle stand for. Errors say why something is refused.
pub(crate) trait Python {
    /// What they make.
    type Object: Clone + PartialEq;

    /// What `module.name` is.
    fn name(&self, module: &str, name: &str) -> Made<Self::Object>;

    /// What `function(*arguments)` is.
    fn call(&self, values: &PickleValues<Self::Object>, function: Id, arguments: &[Id])
    -> Made<Self::Object>;

    /// What `object` becomes with `state`. `None`: it stays as it is.
    fn build(&self, _: &PickleValues<Self::Object>, _object: Id, _state: Id) -> Option<Made<Self::Object>> {
        None
    }

    /// What the persistent id `id` stands for.
    fn persistent(&self, _: &PickleValues<Self::Object>, _id: Id) -> Made<Self::Object> {
        Err(DAMAGED.into())
    }

    /// What an object of a class is. `None` refuses all objects.
    fn object(&self, _class: &PickleValue<Self::Object>) -> Option<PickleValue<Self::Object>> {
        None
    }

    /// Whether items that are put into a value are dropped.
    fn drops_items(&self, _: &PickleValue<Self::Object>) -> bool {
        false
    }
}

/// The values of a pickle.
pub(crate) struct PickleValues<T>(Vec<PickleValue<T>>);

impl<T> PickleValues<T> {
    pub(crate) fn get(&self, id: Id) -> &PickleValue<T> {
        &self.0[id]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PickleValue<T>> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            PickleValue::Text(text, _) => text.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, id: Id) -> Step<&[Id]> {
        match self.get(id) {
            PickleValue::Tuple(ids) => Ok(ids),
            _ => Err(DAMAGED.into()),
        }
    }

    pub(crate) fn size(&self, id: Id) -> Step<usize> {
        match self.get(id) {
            PickleValue::Int(n) => usize::try_from(*n).map_err(|_| DAMAGED.into()),
            _ => Err(DAMAGED.into()),
        }
    }

    /// A tuple of sizes.
    pub(crate) fn sizes(&self, id: Id) -> Step<Vec<usize>> {
        self.tuple(id)?.iter().map(|&id| self.size(id)).collect()
    }
}

/// A pickle, read.
pub(crate) struct Pickle<T> {
    pub values: PickleValues<T>,
    /// The object that it is of.
    pub root: Id,
    /// Its length in bytes.
    pub len: u64,
}

impl<T: Clone + PartialEq> Pickle<T> {
    /// Reads the pickle at the start of `input`.
    ///
    /// # Errors
    /// A pickle that is cut short, damaged or too large; what `python` refuses.
    pub(crate) fn read(input: impl BufRead + Seek, python: &impl Python<Object = T>) -> Step<Pickle<T>> {
        let (values, memo) = (PickleValues(Vec::new()), HashMap::new());
        let (stack, marks) = (Vec::new(), Vec::new());
        let mut machine = Machine { input, python, at: 0, read: 0, values, stack, marks, memo };
        while !machine.step()? {}
        let root = machine.top()?;
        Ok(Pickle { values: machine.values, root, len: machine.at })
    }
}

struct Machine<'a, R, P: Python> {
    input: R,
    python: &'a P,
    /// The place in the input.
    at: u64,
    /// How many bytes were read, long strings not counted.
    read: u64,
    values: PickleValues<P::Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<R: BufRead + Seek, P: Python> Machine<'_, R, P> {
    fn take(&mut self, bytes: &mut [u8]) -> Step<()> {
        self.input.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => CUT_SHORT.to_string(),
            _ => e.to_string(),
        })?;
        self.at += bytes.len() as u64;
        self.count(bytes.len() as u64)
    }

    fn count(&mut self, n: u64) -> Step<()> {
        self.read += n;
        match self.read > MAX_BYTES || self.values.len() > MAX_VALUES {
            true => Err("a pickle that is too large".into()),
            false => Ok(()),
        }
    }

    /// An unsigned little-endian integer of `n` ≤ 8 bytes.
    fn integer(&mut self, n: usize) -> Step<u64> {
        let mut wide = [0; 8];
        self.take(&mut wide[..n])?;
        Ok(u64::from_le_bytes(wide))
    }

    /// A line of any length: its first bytes, of which a short one has all, and its length.
    fn long_line(&mut self) -> Step<(Vec<u8>, u64)> {
        let (mut start, from) = (Vec::new(), self.at);
        loop {
            let piece = self.input.fill_buf().map_err(|e| e.to_string())?;
            if piece.is_empty() {
                return Err(CUT_SHORT.into());
            }
            let end = piece.iter().position(|&byte| byte == b'\n');
            let n = end.unwrap_or(piece.len());
            let room = (MAX_TEXT as usize + 2).saturating_sub(start.len());
            start.extend_from_slice(&piece[..n.min(room)]);
            let n = n + usize::from(end.is_some());
            self.input.consume(n);
            self.at += n as u64;
            if end.is_some() {
                let len = self.at - 1 - from;
                self.count(len.min(MAX_TEXT))?;
                return Ok((start, len));
            }
        }
    }

    fn line(&mut self) -> Step<String> {
        let (line, len) = self.long_line()?;
        match String::from_utf8(line) {
            Ok(line) if len <= MAX_TEXT => Ok(line),
            _ => Err(DAMAGED.into()),
        }
    }

    /// A text that is written as a line.
    fn line_text(&mut self, coding: StringCoding) -> Made<P::Object> {
        let from = self.at;
        let (line, len) = self.long_line()?;
        let quote = usize::from(coding == StringCoding::Quoted);
        let len = len.checked_sub(2 * quote as u64).ok_or(DAMAGED)?;
        let blob = Blob { from: from + quote as u64, len, coding };
        let text = (len <= MAX_TEXT).then(|| line[quote..][..len as usize].to_vec());
        Ok(PickleValue::Text(text.and_then(|text| String::from_utf8(text).ok()), blob))
    }

    /// A text of `n` bytes.
    fn text(&mut self, n: u64, coding: StringCoding) -> Made<P::Object> {
        let blob = Blob { from: self.at, len: n, coding };
        let text = if n <= MAX_TEXT {
            let mut text = vec![0; n as usize];
            self.take(&mut text)?;
            String::from_utf8(text).ok()
        } else {
            self.at = self.at.checked_add(n).ok_or(DAMAGED)?;
            self.input.seek(SeekFrom::Start(self.at)).map_err(|_| CUT_SHORT)?;
            None
        };
        Ok(PickleValue::Text(text, blob))
    }

    fn push(&mut self, value: PickleValue<P::Object>) {
        self.values.0.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn push_again(&mut self, id: Id) -> Step<bool> {
        self.stack.push(id);
        Ok(false)
    }

    /// Pops `n` values, in the order in which they were pushed.
    fn pop(&mut self, n: usize) -> Step<Vec<Id>> {
        // A value under a mark belongs to what the mark began.
        let from = self.stack.len().checked_sub(n).filter(|from| from >= self.marks.last().unwrap_or(&0));
        Ok(self.stack.split_off(from.ok_or(DAMAGED)?))
    }

    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or(DAMAGED)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Step<Id> {
        match self.marks.last() == Some(&self.stack.len()) {
            true => Err(DAMAGED.into()),
            false => self.stack.last().copied().ok_or_else(|| DAMAGED.into()),
        }
    }

    /// Runs one instruction. Returns whether it was the last.
    fn step(&mut self) -> Step<bool> {
        let op = self.integer(1)? as u8;
        // What follows the instruction: an integer of so many bytes, or lines.
        let n = self.integer(match op {
            0x80 | 0x8a | 0x8c | b'C' | b'K' | b'U' | b'h' | b'q' => 1,
            b'M' => 2,
            0x8b | b'B' | b'J' | b'T' | b'X' | b'j' | b'r' => 4,
            0x8d | 0x8e | 0x95 | 0x96 | b'G' => 8,
            _ => 0,
        })?;
        let (line, name) = match op {
            b'F' | b'I' | b'L' | b'g' | b'p' => (self.line()?, String::new()),
            b'c' | b'i' => (self.line()?, self.line()?),
            _ => Default::default(),
        };
        // What it takes from the stack: so many values, or all down to a mark.
        let ids = match op {
            b'0' | b'Q' | b'a' | b'b' | 0x85 => self.pop(1)?,
            b'R' | b's' | 0x81 | 0x86 | 0x93 => self.pop(2)?,
            0x87 | 0x92 => self.pop(3)?,
            b'1' | b'd' | b'e' | b'i' | b'l' | b'o' | b't' | b'u' | 0x90 | 0x91 => self.pop_mark()?,
            _ => Vec::new(),
        };
        let value = match op {
            b'.' => return Ok(true),
            b'0' | b'1' | 0x80 | 0x90 | 0x95 => return Ok(false),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(false);
            }
            b'2' => return self.push_again(self.top()?),
            b'p' | b'q' | b'r' | 0x94 => {
                let key = match op {
                    b'p' => line.parse().map_err(|_| DAMAGED)?,
                    0x94 => self.memo.len() as u64,
                    _ => n,
                };
                self.memo.insert(key, self.top()?);
                return Ok(false);
            }
            b'g' | b'h' | b'j' => {
                let key = if op == b'g' { line.parse().map_err(|_| DAMAGED)? } else { n };
                return self.push_again(*self.memo.get(&key).ok_or(DAMAGED)?);
            }
            b'a' | b'd' | b'e' | b's' | b'u' => {
                if op == b'd' {
                    self.push(PickleValue::Dict(Vec::new()));
                }
                let top = self.top()?;
                match &mut self.values.0[top] {
                    PickleValue::List(items) if matches!(op, b'a' | b'e') => items.extend(ids),
                    PickleValue::Dict(items) if !matches!(op, b'a' | b'e') && ids.len().is_multiple_of(2) => {
                        items.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                    }
                    other if self.python.drops_items(other) => {}
                    _ => return Err(DAMAGED.into()),
                }
                return Ok(false);
            }
            b'b' => {
                let object = self.top()?;
                if let Some(value) = self.python.build(&self.values, object, ids[0]) {
                    self.values.0[object] = value?;
                }
                return Ok(false);
            }
            b'F' | b'G' | b'N' | 0x8f | 0x91 => PickleValue::Other,
            0x88 | 0x89 => PickleValue::Bool(op == 0x88),
            b'J' => PickleValue::Int((n as i32).into()),
            b'K' | b'M' => PickleValue::Int(n as i64),
            b'I' | b'L' => match line.as_str() {
                "00" | "01" => PickleValue::Bool(line == "01"),
                number => number.trim_end_matches('L').parse().map_or(PickleValue::Other, PickleValue::Int),
            },
            0x8a => {
                let mut bytes = vec![0; n as usize];
                self.take(&mut bytes)?;
                // Two's complement.
                let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
                let value = bytes.iter().rev().fold(sign, |value: i64, &byte| value << 8 | i64::from(byte));
                if n <= 8 { PickleValue::Int(value) } else { PickleValue::Other }
            }
            b'B' | b'C' | b'T' | b'U' | 0x8b | 0x8e | 0x96 => self.text(n, StringCoding::Raw)?,
            b'X' | 0x8c | 0x8d => self.text(n, StringCoding::Latin1)?,
            b'S' => self.line_text(StringCoding::Quoted)?,
            b'V' => self.line_text(StringCoding::Escaped)?,
            b']' | b'l' => PickleValue::List(ids),
            b'}' => PickleValue::Dict(Vec::new()),
            b')' | b't' | 0x85..=0x87 => PickleValue::Tuple(ids),
            b'c' => self.python.name(&line, &name)?,
            0x93 => {
                let names = self.values.text(ids[0]).zip(self.values.text(ids[1]));
                let (module, name) = names.ok_or(DAMAGED)?;
                self.python.name(module, name)?
            }
            b'R' => self.python.call(&self.values, ids[0], self.values.tuple(ids[1])?)?,
            b'Q' => self.python.persistent(&self.values, ids[0])?,
            // An object of a class: by its name; or by its arguments.
            b'i' | b'o' | 0x81 | 0x92 => {
                let object = match op {
                    b'i' => self.python.object(&self.python.name(&line, &name)?),
                    _ => self.python.object(self.values.get(*ids.first().ok_or(DAMAGED)?)),
                };
                object.ok_or("a pickle that makes Python objects: refused")?
            }
            other => return Err(format!("a pickle with the unknown instruction 0x{other:02x}")),
        };
        self.push(value);
        Ok(false)
    }
}
