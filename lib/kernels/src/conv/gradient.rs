//! The gradient of a convolution's weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::windows::Windows;
use super::{BatchShape, COLUMNS, ConvWindow, ROWS, Scratch, chunks, with_scratch};
use crate::Isa;
use crate::element::{Element, vec_uninit};
use crate::matmul::{A_STRIDE, Buffer, KBlock, Lhs, Rhs, padded, product};
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
/// the left operand and y is the rows of the right one. Only AMX needs its left operand by rows.
pub fn weight_grad<T: Element>(
    isa: Isa,
    conv: &ConvWindow,
    x: &[T],
    shape: BatchShape,
    y: &[T],
    s: usize,
) -> Vec<f32> {
    let windows = Windows::of(conv, shape);
    let (patch, total) = (windows.patch(), shape.0 * windows.count.0 * windows.count.1);
    assert_eq!(x.len(), shape.0 * shape.1 * shape.2 * shape.3, "weight gradient: the input is not {shape:?}");
    assert_eq!(y.len(), total * s, "weight gradient: the output is not of {total}×{s}");
    if patch * s == 0 {
        return Vec::new();
    }
    let blocks: Vec<KBlock> = isa.blocks::<T>(total, total).collect();
    if !isa.indirect() {
        return transposed(isa, &windows, x, y, s, &blocks);
    }
    // Few pixels give few blocks: then pieces are made small by cutting the patch.
    let most = if blocks.len() < MIN_PIECES { patch.div_ceil(MIN_PIECES / 2) } else { patch };
    let pieces = patch.div_ceil((SUMS_PER_PIECE / padded(s)).clamp(1, most));
    let rows = patch.div_ceil(pieces);
    let parts = MIN_PIECES.div_ceil(pieces).min(blocks.len().max(1));
    let part = |part: usize, out: &mut [MaybeUninit<f32>]| {
        let blocks = &blocks[part * blocks.len() / parts..(part + 1) * blocks.len() / parts];
        out.par_chunks_mut(rows * s).enumerate().for_each(|(i, out)| {
            let wanted = i * rows..i * rows + out.len() / s;
            some_rows(isa, &windows, x, y, s, blocks, wanted, out);
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

/// Writes the rows `wanted` of the gradient, summed over `blocks` of pixels, to all of `out`.
#[allow(clippy::too_many_arguments)]
fn some_rows<T: Element>(
    isa: Isa,
    windows: &Windows,
    x: &[T],
    y: &[T],
    s: usize,
    blocks: &[KBlock],
    wanted: Range<usize>,
    out: &mut [MaybeUninit<f32>],
) {
    let of_y = Windows::pixels((1, 1, y.len() / s, s));
    let c = windows.shape.3;
    let width = padded(s);
    // Chunks of the rows, each at most what a product takes.
    let count = wanted.len().div_ceil(ROWS);
    let chunk = |i: usize| i * wanted.len() / count..(i + 1) * wanted.len() / count;
    with_scratch(|Scratch { a, b, rows: lines, c: sums, .. }: &mut Scratch<T>| {
        // The sums of each chunk of rows and, within it, of each chunk of columns.
        let sums = sums.get(wanted.len() * width);
        for (i, block) in blocks.iter().enumerate() {
            let pixels = block.elements.clone();
            for rows in (0..count).map(chunk) {
                let from = wanted.start + rows.start..wanted.start + rows.end;
                // An f32 is a word, so rows of pixels are rows of words in place.
                let (a, pitch) = if T::PER_WORD == 1 && windows.are_pixels() {
                    (&x[pixels.start * c + from.start..], c)
                } else {
                    // An odd number of cache lines, so that columns lie in different cache sets.
                    let pitch = (rows.len().div_ceil(SQUARE) | 1) * SQUARE;
                    let a = a.get(block.words * pitch * T::PER_WORD);
                    crate::simd::simd(
                        #[inline(always)]
                        || patches(windows, x, block, &from, lines.get(2 * pitch), a, pitch),
                    );
                    (&*a, pitch)
                };
                let a = Lhs::Columns { data: a, rows: rows.len(), pitch };
                for columns in chunks(s, COLUMNS) {
                    let wide = padded(columns.len());
                    let right = if T::PER_WORD == 1 && s.is_multiple_of(SQUARE) {
                        Rhs::Rows(&y[pixels.start * s + columns.start..], s)
                    } else {
                        let b = b.get(block.words * wide * T::PER_WORD);
                        crate::simd::simd(
                            #[inline(always)]
                            || patches(&of_y, y, block, &columns, lines.get(2 * wide), b, wide),
                        );
                        Rhs::Rows(b, wide)
                    };
                    let sums = &mut sums[rows.start * width + rows.len() * columns.start..];
                    product(isa, a, block.words, right, wide, &mut sums[..rows.len() * wide], i > 0);
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
                        product(isa, a, block.words, Rhs::Rows(b, pitch), width, sums, i > part.start);
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
