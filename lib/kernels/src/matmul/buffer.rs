//! Memory at the start of a cache line, for whole vectors.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::element::Element;

/// A cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Elements from the start of a cache line on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `n` elements that `fill` writes, in fresh memory.
    ///
    /// # Safety
    /// `fill` writes every element.
    pub unsafe fn filled(n: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Buffer<T> {
        let count = (n * size_of::<T>()).div_ceil(size_of::<Line>());
        let mut lines: Vec<Line> = Vec::with_capacity(count);
        if let Some(last) = lines.spare_capacity_mut()[..count].last_mut() {
            last.write(Line::default());
        }
        // SAFETY: there is room for `count` lines, hence for n elements, whose alignment is smaller.
        fill(unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), n) });
        // SAFETY: the elements are written, as the caller promises, and so is the end of the last line.
        unsafe { lines.set_len(count) };
        Buffer { lines, len: n, kind: PhantomData }
    }

    /// `n` elements of any content: what was there before, or zeros.
    pub fn get(&mut self, n: usize) -> &mut [T] {
        let lines = (n * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines = vec![Line::default(); lines];
        }
        self.len = n;
        // SAFETY: the lines hold at least n elements, initialized; T is f32 or bf16 (`Element` is sealed), which have no
        // invalid bits and a smaller alignment than a line.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }

    /// The same, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.get(self.len)
    }

    /// The elements of the last [`Buffer::get`].
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: as in `get`, where `len` was set.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}
