//! The right operand of products, packed into panels.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::{KBlock, LANES, PANEL, padded};
use crate::simd::{SQUARE, transpose};
use crate::{Element, Isa};

/// A matrix `[k, n]` packed into panels, ready to be the right operand of products.
#[derive(Clone, Debug)]
pub struct PackedMatrix<T> {
    isa: Isa,
    k: usize,
    n: usize,
    /// Elements of the left operand that are contiguous in memory.
    line: usize,
    /// `[block][panel][words, columns]`.
    panels: Buffer<T>,
}

/// A borrowed f32 matrix, row-major or column-major.
#[derive(Clone, Copy)]
pub(crate) enum MatrixView<'a> {
    /// Row k begins at `k·stride`.
    Rows { data: &'a [f32], stride: usize },
    /// Column j begins at `j·stride`.
    Columns { data: &'a [f32], stride: usize },
}

/// Rows of words that are packed together.
const GROUP: usize = 16;

/// The rows of elements of a group; f32 uses half of them.
type Lines<T> = [[T; PANEL]; 2 * GROUP];

/// Packs the rows `group` and columns `wanted` of a stack of matrices into up to [`GROUP`] rows of `width`
/// words. `lines` is zero, or as an earlier group of the same columns left it; beyond `wanted` it stays zero.
#[inline(always)]
fn pack_group<T: Element>(
    parts: &[MatrixView],
    rows: usize,
    group: Range<usize>,
    wanted: Range<usize>,
    width: usize,
    lines: &mut Lines<T>,
    out: &mut [MaybeUninit<T>],
) {
    let mut k = group.start;
    while k < group.end {
        let (part, row) = (k / rows, k % rows);
        let n = (rows - row).min(group.end - k);
        let lines = &mut lines[k - group.start..][..n];
        match parts[part] {
            MatrixView::Rows { data, stride } => {
                for (i, line) in lines.iter_mut().enumerate() {
                    let from = &data[(row + i) * stride..][wanted.clone()];
                    // Copies of a fixed length compile to instructions instead of calls.
                    for (line, from) in line.chunks_exact_mut(LANES).zip(from.chunks(LANES)) {
                        match from.first_chunk::<LANES>() {
                            Some(from) => {
                                line.iter_mut().zip(from).for_each(|(to, &v)| *to = T::from_f32(v));
                            }
                            None => line.iter_mut().zip(from).for_each(|(to, &v)| *to = T::from_f32(v)),
                        }
                    }
                }
            }
            MatrixView::Columns { data, stride } => {
                for column in wanted.clone().step_by(SQUARE) {
                    let (at, columns) = (column - wanted.start, SQUARE.min(wanted.end - column));
                    for (i, lines) in lines.chunks_mut(SQUARE).enumerate() {
                        // Columns are read in place; those that end early, from a copy.
                        let mut short = [[0.0; SQUARE]; SQUARE];
                        let mut square = [&[0.0; SQUARE]; SQUARE];
                        for (j, (square, short)) in
                            square.iter_mut().zip(&mut short).enumerate().take(columns)
                        {
                            let from = &data[(column + j) * stride + row + i * SQUARE..][..lines.len()];
                            *square = match from.first_chunk::<SQUARE>() {
                                Some(from) => from,
                                None => {
                                    short[..from.len()].copy_from_slice(from);
                                    short
                                }
                            };
                        }
                        let square = transpose(&square);
                        for (line, square) in lines.iter_mut().zip(&square) {
                            let line = line[at..at + SQUARE].iter_mut();
                            line.zip(square).for_each(|(to, &v)| *to = T::from_f32(v));
                        }
                    }
                }
            }
        }
        k += n;
    }
    // Padding of the last block.
    lines[group.len()..].fill([T::default(); PANEL]);
    let mut words = [T::default(); 2 * PANEL];
    for (lines, out) in lines.chunks_exact(T::PER_WORD).zip(out.chunks_exact_mut(width * T::PER_WORD)) {
        let words = &mut words[..width * T::PER_WORD];
        T::words(&lines[0][..width], &lines[T::PER_WORD - 1][..width], words);
        out.iter_mut().zip(&*words).for_each(|(out, &word)| *out = MaybeUninit::new(word));
    }
}

impl<T: Element> PackedMatrix<T> {
    /// Packs a stack of the matrices `parts`, `rows`×`n` each. Rows of the left operand consist of lines of
    /// `line` elements, each contiguous in memory.
    pub(crate) fn new(isa: Isa, parts: &[MatrixView], rows: usize, n: usize, line: usize) -> PackedMatrix<T> {
        let k = parts.len() * rows;
        let columns = padded(n);
        let blocks: Vec<KBlock> = isa.blocks::<T>(k, line).collect();
        let words: usize = blocks.iter().map(|b| b.words).sum();
        let write = |mut rest: &mut [MaybeUninit<T>]| {
            let mut work = Vec::new();
            for block in &blocks {
                for columns in isa.panels(columns) {
                    let width = columns.len();
                    let (panel, after) = rest.split_at_mut(block.words * width * T::PER_WORD);
                    rest = after;
                    work.push((block, columns.start..columns.end.min(n), width, panel));
                }
            }
            work.into_par_iter().for_each(|(block, wanted, width, panel)| {
                crate::simd::simd(
                    #[inline(always)]
                    || {
                        let mut lines = [[T::default(); PANEL]; 2 * GROUP];
                        for (i, out) in panel.chunks_mut(GROUP * width * T::PER_WORD).enumerate() {
                            let first = block.elements.start + i * GROUP * T::PER_WORD;
                            let group = first..block.elements.end.min(first + GROUP * T::PER_WORD);
                            pack_group(parts, rows, group, wanted.clone(), width, &mut lines, out);
                        }
                    },
                );
            });
        };
        // SAFETY: panels cover the buffer, groups of rows cover each panel, and every word of a row is
        // written.
        let panels = unsafe { Buffer::uninit(words * columns * T::PER_WORD, write) };
        PackedMatrix { isa, k, n, line, panels }
    }

    /// The number of rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The number of columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The instruction set that the matrix is packed for.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `run(block, panels, add, last)` for each block of the inner dimension with its panels of
    /// `columns`: whether it is not the first, and whether it is the last. The range begins at a multiple of
    /// [`super::PANELS`] and ends at one or at the last column.
    pub(crate) fn blocks(&self, columns: Range<usize>, mut run: impl FnMut(KBlock, &[T], bool, bool)) {
        let (width, mut before) = (padded(self.n), 0);
        for block in self.isa.blocks::<T>(self.k, self.line) {
            let (words, elements) = (block.words, block.elements.clone());
            let panels = &self.panels.as_slice()[(before + columns.start * words) * T::PER_WORD..];
            let panels = &panels[..padded(columns.len()) * words * T::PER_WORD];
            run(block, panels, elements.start > 0, elements.end == self.k);
            before += width * words;
        }
    }
}
