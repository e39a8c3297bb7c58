//! Memory aligned to cache lines, so that no vector register straddles two of them.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::element::Element;

/// A cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct CacheLine([u32; 16]);

/// A buffer of elements that starts at a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer<T> {
    lines: Vec<CacheLine>,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `n` elements that `write` initializes, in new memory.
    ///
    /// # Safety
    /// `write` writes every element.
    pub unsafe fn uninit(n: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Buffer<T> {
        let count = (n * size_of::<T>()).div_ceil(size_of::<CacheLine>());
        let mut lines: Vec<CacheLine> = Vec::with_capacity(count);
        if let Some(last) = lines.spare_capacity_mut()[..count].last_mut() {
            last.write(CacheLine::default());
        }
        // SAFETY: there is room for `count` lines, hence for n elements, whose alignment is smaller.
        write(unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), n) });
        // SAFETY: the elements are written, as the caller promises, and so is the end of the last line.
        unsafe { lines.set_len(count) };
        Buffer { lines, len: n, kind: PhantomData }
    }

    /// `n` elements with arbitrary values.
    pub fn get(&mut self, n: usize) -> &mut [T] {
        let lines = (n * size_of::<T>()).div_ceil(size_of::<CacheLine>());
        if self.lines.len() < lines {
            self.lines = vec![CacheLine::default(); lines];
        }
        self.len = n;
        // SAFETY: the lines hold at least n initialized elements; T is f32 or bf16 (`Element` is sealed),
        // which have no invalid bit patterns and a smaller alignment than a line.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }

    /// `n` words with arbitrary values.
    pub fn words(&mut self, n: usize) -> &mut [u32] {
        self.get(n * T::PER_WORD);
        // SAFETY: as in `get`; a line consists of words.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }

    /// The elements of the last [`Buffer::get`], mutable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.get(self.len)
    }

    /// The elements of the last [`Buffer::get`].
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: as in `get`, where `len` was set.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}
