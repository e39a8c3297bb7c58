//! The gradient of a convolution's weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::windows::Windows;
use super::{BatchShape, COLUMNS, ConvWindow, ROWS, Scratch, chunks, with_scratch};
use crate::Isa;
use crate::element::{Element, in_pairs, in_words, vec_uninit};
use crate::matmul::{A_STRIDE, Buffer, K_WORDS, KBlock, Lhs, Rhs, Sums, padded, product};
use crate::simd::{SQUARE, transpose};

/// The least number of pieces of work, if the shape allows it. If patches are short, the sum over output
/// pixels is cut into parts, which are added at the end. A constant, so that results do not depend on the
/// number of threads.
const MIN_PIECES: usize = 16;

/// The approximate number of sums in a piece of work: few enough to stay in the cache for all pixels, enough
/// to read a large part of a patch while its image is in the cache.
const SUMS_PER_PIECE: usize = 1 << 16;

/// The gradient of the weights: `dw = patches(x)ᵀ·y`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `y` `[B, OH, OW, S]`; returns `[kh, kw, C, S]`. For a
/// convolution x is its input and y its output's gradient; for a transposed convolution x is its output's
/// gradient and y its input.
///
/// The inner dimension is that of pixels. Patches and y have a row per pixel, so patches are the columns of
/// the left operand and y is the rows of the right one: both are read in place. A word of two bf16 is of the
/// same pixel of two images, which are paired first. Only AMX needs its left operand by rows, and words of
/// neighboring pixels.
pub fn weight_grad<T: Element>(
    isa: Isa,
    conv: &ConvWindow,
    x: &[T],
    shape: BatchShape,
    y: &[T],
    s: usize,
) -> Vec<f32> {
    let windows = Windows::of(conv, shape);
    let (b, h, w, c) = shape;
    let (patch, each) = (windows.patch(), windows.count.0 * windows.count.1);
    assert_eq!(x.len(), b * h * w * c, "weight gradient: the input is not {shape:?}");
    assert_eq!(y.len(), b * each * s, "weight gradient: the output is not of {}×{s}", b * each);
    if patch * s == 0 {
        return Vec::new();
    }
    if !isa.indirect() {
        let blocks: Vec<KBlock> = isa.blocks::<T>(b * each, b * each).collect();
        return transposed(isa, &windows, x, y, s, &blocks);
    }
    let (x, y) = (&*in_pairs(x, h * w * c), &*in_pairs(y, each * s));
    let pixels = b.div_ceil(T::PER_WORD) * each;
    let windows = Windows { shape: (b.div_ceil(T::PER_WORD), h, w, c), ..windows };
    // Words are elements from here on.
    let blocks: Vec<KBlock> = isa.blocks::<f32>(pixels, pixels).collect();
    // Few pixels give few blocks: then pieces are made small by cutting the patch.
    let most = if blocks.len() < MIN_PIECES { patch.div_ceil(MIN_PIECES / 2) } else { patch };
    let pieces = patch.div_ceil((SUMS_PER_PIECE / padded(s)).clamp(1, most));
    let rows = patch.div_ceil(pieces);
    let parts = MIN_PIECES.div_ceil(pieces).min(blocks.len().max(1));
    let part = |part: usize, out: &mut [MaybeUninit<f32>]| {
        let blocks = &blocks[part * blocks.len() / parts..(part + 1) * blocks.len() / parts];
        out.par_chunks_mut(rows * s).enumerate().for_each(|(i, out)| {
            let wanted = i * rows..i * rows + out.len() / s;
            some_rows::<T>(isa, &windows, x, y, s, blocks, wanted, out);
        });
    };
    if parts == 1 {
        // SAFETY: the part writes all rows.
        return unsafe { vec_uninit(patch * s, |dw| part(0, dw)) };
    }
    let all = |sums: &mut [MaybeUninit<f32>]| {
        sums.par_chunks_mut(patch * s).enumerate().for_each(|(i, out)| part(i, out));
    };
    // SAFETY: every part writes all rows.
    let mut sums: Vec<f32> = unsafe { vec_uninit(parts * patch * s, all) };
    let (dw, others) = sums.split_at_mut(patch * s);
    for other in others.chunks_exact(patch * s) {
        dw.iter_mut().zip(other).for_each(|(d, o)| *d += o);
    }
    // A new vector, so that the memory of the other parts is released.
    dw.to_vec()
}

/// Memory for words.
#[derive(Default)]
struct Words {
    /// Columns of the left operand that are not in place.
    a: Buffer<f32>,
    /// The right operand, unless it is in place.
    b: Buffer<f32>,
}

/// Writes the rows `wanted` of the gradient, summed over `blocks` of pixels, to all of `out`. `x` and `y` are
/// words.
#[allow(clippy::too_many_arguments)]
fn some_rows<T: Element>(
    isa: Isa,
    windows: &Windows,
    x: &[u32],
    y: &[u32],
    s: usize,
    blocks: &[KBlock],
    wanted: Range<usize>,
    out: &mut [MaybeUninit<f32>],
) {
    let width = padded(s);
    // Chunks of the rows, each at most what a product takes.
    let count = wanted.len().div_ceil(ROWS);
    let chunk = |i: usize| i * wanted.len() / count..(i + 1) * wanted.len() / count;
    with_scratch(|(Words { a, b }, Scratch { c: sums, .. }): &mut (Words, Scratch<T>)| {
        // The sums of each chunk of rows and, within it, of each chunk of columns.
        let sums = sums.get(wanted.len() * width);
        for (i, block) in blocks.iter().enumerate() {
            let right = RightRows::new(isa, &y[block.elements.start * s..block.elements.end * s], s, b);
            for rows in (0..count).map(chunk) {
                let elements = wanted.start + rows.start..wanted.start + rows.end;
                let mut columns = [&[][..]; K_WORDS];
                let columns = &mut columns[..block.words];
                let room = a.words(block.words * A_STRIDE);
                windows.rows(x, block.elements.clone(), elements, rows.len(), room, A_STRIDE, columns);
                let mut lanes = [&[][..]; K_WORDS];
                lanes.iter_mut().zip(&*columns).for_each(|(to, words)| *to = in_words::<T>(words));
                let left = Lhs::Columns { columns: &lanes[..block.words], rows: rows.len() };
                for columns in chunks(s, COLUMNS) {
                    let wide = padded(columns.len());
                    let sums = &mut sums[rows.start * width + rows.len() * columns.start..];
                    let sums = Sums { c: &mut sums[..rows.len() * wide], add: i > 0 };
                    product(isa, left, block.words, right.columns(columns), wide, sums);
                }
            }
        }
        for rows in (0..count).map(chunk) {
            let out = &mut out[rows.start * s..rows.end * s];
            for columns in chunks(s, COLUMNS) {
                let sums = &sums[rows.start * width + rows.len() * columns.start..];
                for (out, sums) in out.chunks_exact_mut(s).zip(sums.chunks_exact(padded(columns.len()))) {
                    let out = out[columns.clone()].iter_mut().zip(sums);
                    out.for_each(|(o, &v)| *o = MaybeUninit::new(if blocks.is_empty() { 0.0 } else { v }));
                }
            }
        }
    });
}

/// The right operand of a block: the pixels of `y`, as an instruction set takes them.
enum RightRows<'a> {
    /// Rows in place or padded, and the words between their starts.
    Rows(&'a [u32], usize),
    /// [`Isa::panels`] of this number of rows.
    Panels(&'a [u32], usize),
}

impl<'a> RightRows<'a> {
    /// The words `y` `[pixels, S]`; `room` is memory for copies.
    fn new(isa: Isa, y: &'a [u32], s: usize, room: &'a mut Buffer<f32>) -> RightRows<'a> {
        let pixels = y.len() / s;
        if isa.keeps_panels() {
            let room = room.words(pixels * padded(s));
            for (panel, room) in room.chunks_exact_mut(pixels * SQUARE).enumerate() {
                for (row, y) in room.as_chunks_mut::<SQUARE>().0.iter_mut().zip(y.chunks_exact(s)) {
                    let y = &y[panel * SQUARE..];
                    match y.first_chunk::<SQUARE>() {
                        Some(y) => *row = *y,
                        None => {
                            row[..y.len()].copy_from_slice(y);
                            row[y.len()..].fill(0);
                        }
                    }
                }
            }
            return RightRows::Panels(room, pixels);
        }
        if s.is_multiple_of(SQUARE) {
            return RightRows::Rows(y, s);
        }
        let room = room.words(pixels * padded(s));
        for (row, y) in room.chunks_exact_mut(padded(s)).zip(y.chunks_exact(s)) {
            row[..s].copy_from_slice(y);
            row[s..].fill(0);
        }
        RightRows::Rows(room, padded(s))
    }

    /// The columns of a chunk of [`chunks`].
    fn columns<T: Element>(&self, columns: Range<usize>) -> Rhs<'_, T> {
        match self {
            RightRows::Rows(rows, pitch) => Rhs::Rows(in_words(&rows[columns.start..]), *pitch),
            RightRows::Panels(panels, words) => Rhs::Panels(in_words(&panels[columns.start * words..])),
        }
    }
}

/// Chunks of the patch in a piece of work; they share the images in the cache.
const CHUNKS_PER_PIECE: usize = 4;

/// Padding between the rows of patches in words, so that rows lie in different cache sets.
const GAP: usize = 16;

/// Computes the gradient by its transpose, `[S, kh·kw·C]`: y, which is small, is transposed block by block,
/// and the gathered patches are the right operand.
fn transposed<T: Element>(
    isa: Isa,
    windows: &Windows,
    x: &[T],
    y: &[T],
    s: usize,
    blocks: &[KBlock],
) -> Vec<f32> {
    let chunks: Vec<Range<usize>> = chunks(windows.patch(), COLUMNS).collect();
    let groups: Vec<&[Range<usize>]> = chunks.chunks(CHUNKS_PER_PIECE).collect();
    let parts = MIN_PIECES.div_ceil(groups.len()).min(blocks.len().max(1));
    // Sums of a chunk, and of a piece of work.
    let each = isa.room(s) * chunks.iter().map(|c| padded(c.len())).max().unwrap_or(0);
    let size = each * groups[0].len();
    with_scratch(|sums: &mut PieceSums| {
        // A piece of work is a group of chunks of the patch and a part of the blocks.
        let pieces = sums.0.get(groups.len() * parts * size);
        pieces.par_chunks_mut(size).enumerate().for_each(|(piece, sums)| {
            let (group, part) = (groups[piece / parts], piece % parts);
            let part = part * blocks.len() / parts..(part + 1) * blocks.len() / parts;
            with_scratch(|Scratch { a, b, rows, .. }: &mut Scratch<T>| {
                let a = a.get(isa.room(s) * A_STRIDE * T::PER_WORD);
                for i in part.clone() {
                    let block = &blocks[i];
                    // Each group transposes y again, which costs less than keeping it for all.
                    crate::simd::simd(
                        #[inline(always)]
                        || channels(y, s, block, a),
                    );
                    for (columns, sums) in group.iter().zip(sums.chunks_exact_mut(each)) {
                        let width = padded(columns.len());
                        let pitch = width + GAP;
                        let (rows, b) = (rows.get(2 * pitch), b.get(block.words * pitch * T::PER_WORD));
                        crate::simd::simd(
                            #[inline(always)]
                            || patches(windows, x, block, columns, rows, b, pitch),
                        );
                        let a = Lhs::Block(a, s);
                        let sums = Sums { c: sums, add: i > part.start };
                        product(isa, a, block.words, Rhs::Rows(b, pitch), width, sums);
                    }
                }
            });
        });
        sum_parts(pieces, &chunks, (parts, CHUNKS_PER_PIECE), (each, size), s)
    })
}

/// The sums of all pieces of work.
#[derive(Default)]
struct PieceSums(Buffer<f32>);

/// The gradient from the sums of all pieces, which are `size` apart; within a piece the sums of chunks are
/// `each` apart.
fn sum_parts(
    pieces: &[f32],
    columns: &[Range<usize>],
    (parts, in_group): (usize, usize),
    (each, size): (usize, usize),
    s: usize,
) -> Vec<f32> {
    let chunk = |(chunk, dw): (usize, &mut [MaybeUninit<f32>])| {
        crate::simd::simd(
            #[inline(always)]
            || {
                let first = chunk * SQUARE;
                // Chunks of the patch are multiples of SQUARE: none ends inside this one.
                let chunk = columns.partition_point(|c| c.end <= first);
                let (column, width) = (first - columns[chunk].start, padded(columns[chunk].len()));
                for channel in (0..s).step_by(SQUARE) {
                    let n = SQUARE.min(s - channel);
                    let mut sums = [[0.0; SQUARE]; SQUARE];
                    for part in 0..parts {
                        let piece = chunk / in_group * parts + part;
                        let part = &pieces[piece * size + chunk % in_group * each..][..s * width];
                        let turned = transpose_rows(&part[channel * width + column..], width, n);
                        sums.as_flattened_mut()
                            .iter_mut()
                            .zip(turned.as_flattened())
                            .for_each(|(s, t)| *s += t);
                    }
                    for (dw, sums) in dw.chunks_exact_mut(s).zip(&sums) {
                        let dw = dw[channel..channel + n].iter_mut();
                        dw.zip(sums).for_each(|(d, &v)| *d = MaybeUninit::new(v));
                    }
                }
            },
        );
    };
    let size = columns.last().map_or(0, |c| c.end) * s;
    // SAFETY: chunks are full rows, and every group of channels of a row is written.
    unsafe { vec_uninit(size, |dw| dw.par_chunks_mut(SQUARE * s).enumerate().for_each(chunk)) }
}

/// The transpose of [`SQUARE`] columns of `rows` ≤ [`SQUARE`] rows, `stride` apart.
#[inline(always)]
fn transpose_rows<T: Element>(from: &[T], stride: usize, rows: usize) -> [[T; SQUARE]; SQUARE] {
    let mut square = [[0.0; SQUARE]; SQUARE];
    for (i, line) in square.iter_mut().enumerate().take(rows) {
        let from = from[i * stride..].first_chunk::<SQUARE>().expect("a row has that many columns");
        *line = from.map(T::to_f32);
    }
    transpose(&std::array::from_fn(|i| &square[i])).map(|line| line.map(T::from_f32))
}

/// Writes the left operand of a block: for each channel of `y` `[pixels, S]` the pixels of the block,
/// [`A_STRIDE`] words apart.
#[inline(always)]
fn channels<T: Element>(y: &[T], s: usize, block: &KBlock, a: &mut [T]) {
    let a_stride = A_STRIDE * T::PER_WORD;
    let full = block.words * T::PER_WORD;
    let y = &y[block.elements.start * s..block.elements.end * s];
    // Full squares, as far as they go.
    let wide = s - s % SQUARE;
    for (group, y) in y.chunks(SQUARE * s).enumerate() {
        let (at, n) = (group * SQUARE, y.len() / s);
        for channel in (0..wide).step_by(SQUARE) {
            for (i, row) in transpose_rows(&y[channel..], s, n).iter().enumerate() {
                let a = &mut a[(channel + i) * a_stride + at..];
                // A copy of a fixed length compiles to one instruction.
                if n == SQUARE { a[..SQUARE].copy_from_slice(row) } else { a[..n].copy_from_slice(&row[..n]) }
            }
        }
        for channel in wide..s {
            let row = a[channel * a_stride + at..][..n].iter_mut();
            row.zip(y[channel..].iter().step_by(s)).for_each(|(a, &y)| *a = y);
        }
    }
    for a in a.chunks_exact_mut(a_stride).take(s) {
        a[block.elements.len()..full].fill(T::default());
    }
}

/// Writes the rows of words of a block: the elements `columns` of the patches of its pixels. Rows are `pitch`
/// words apart and padded with zeros to a multiple of a register. `rows` is memory for two of them.
#[inline(always)]
fn patches<T: Element>(
    windows: &Windows,
    x: &[T],
    block: &KBlock,
    columns: &Range<usize>,
    rows: &mut [T],
    out: &mut [T],
    pitch: usize,
) {
    let width = padded(columns.len());
    if T::PER_WORD == 1 {
        windows.gather(x, block.elements.clone(), columns.clone(), out, pitch, width);
        return;
    }
    let rows = &mut rows[..2 * width];
    for (word, out) in out.chunks_exact_mut(pitch * T::PER_WORD).enumerate() {
        let first = (block.elements.start + word * T::PER_WORD).min(block.elements.end);
        let pair = first..block.elements.end.min(first + T::PER_WORD);
        let missing = pair.len() * width;
        windows.gather(x, pair, columns.clone(), rows, width, width);
        rows[missing..].fill(T::default());
        let (even, odd) = rows.split_at(width);
        T::words(even, odd, &mut out[..width * T::PER_WORD]);
    }
}
