//! The gradient of a convolution's weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::windows::Windows;
use super::{COLUMNS, Conv, ROWS, Scratch, Shape, chunks, with_kept};
use crate::element::{Element, filled};
use crate::matmul::{A_STRIDE, Block, Buffer, Isa, Lhs, Rhs, padded, product};

/// Pieces of work that there are at least, if the shape allows: where patches are short, the sum over output pixels is cut
/// into parts, each summed on its own. A constant, so that the bytes do not depend on the number of threads.
const PIECES: usize = 16;

/// Sums of a piece of work, about: so many stay in the cache while all pixels go by, and so much of a patch is taken from
/// each while its image is there.
const SUMS: usize = 1 << 16;

/// The gradient of the weights: `dw = patches(x)ᵀ·y`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `y` `[B, OH, OW, S]`; returns `[kh, kw, C, S]`. For a convolution x is its input
/// and y its output's gradient; for a transposed one x is its output's gradient and y its input.
///
/// The inner dimension is that of pixels, so patches and y, a row for each pixel, are the columns of the left operand and the
/// rows of the right one as they are. AMX alone wants its left operand by rows.
pub fn weight_grad<T: Element>(isa: Isa, conv: &Conv, x: &[T], shape: Shape, y: &[T], s: usize) -> Vec<f32> {
    let windows = Windows::of(conv, shape);
    let (patch, total) = (windows.patch(), shape.0 * windows.count.0 * windows.count.1);
    assert_eq!(x.len(), shape.0 * shape.1 * shape.2 * shape.3, "weight gradient: the input is not {shape:?}");
    assert_eq!(y.len(), total * s, "weight gradient: the output is not of {total}×{s}");
    if patch * s == 0 {
        return Vec::new();
    }
    let blocks: Vec<Block> = isa.blocks::<T>(total, total).collect();
    if !isa.indirect() {
        return transposed(isa, &windows, x, y, s, &blocks);
    }
    // Few pixels are one block: then there are no parts to share out, and pieces are small ones.
    let most = if blocks.len() < PIECES { patch.div_ceil(PIECES / 2) } else { patch };
    let pieces = patch.div_ceil((SUMS / padded(s)).clamp(1, most));
    let rows = patch.div_ceil(pieces);
    let parts = PIECES.div_ceil(pieces).min(blocks.len().max(1));
    let part = |part: usize, out: &mut [MaybeUninit<f32>]| {
        let blocks = &blocks[part * blocks.len() / parts..(part + 1) * blocks.len() / parts];
        out.par_chunks_mut(rows * s).enumerate().for_each(|(i, out)| {
            let wanted = i * rows..i * rows + out.len() / s;
            some_rows(isa, &windows, x, y, s, blocks, wanted, out);
        });
    };
    if parts == 1 {
        // SAFETY: the part writes all rows.
        return unsafe { filled(patch * s, |dw| part(0, dw)) };
    }
    let all = |sums: &mut [MaybeUninit<f32>]| {
        sums.par_chunks_mut(patch * s).enumerate().for_each(|(i, out)| part(i, out));
    };
    // SAFETY: every part writes all rows.
    let mut sums: Vec<f32> = unsafe { filled(parts * patch * s, all) };
    let (dw, others) = sums.split_at_mut(patch * s);
    for other in others.chunks_exact(patch * s) {
        dw.iter_mut().zip(other).for_each(|(d, o)| *d += o);
    }
    // A vector of its own: the gradient is kept for a while, and the parts' memory is not needed for that.
    dw.to_vec()
}

/// The rows `wanted` of the gradient, summed over `blocks` of pixels, to `out`, of which it writes everything.
#[allow(clippy::too_many_arguments)]
fn some_rows<T: Element>(
    isa: Isa,
    windows: &Windows,
    x: &[T],
    y: &[T],
    s: usize,
    blocks: &[Block],
    wanted: Range<usize>,
    out: &mut [MaybeUninit<f32>],
) {
    let of_y = Windows::pixels((1, 1, y.len() / s, s));
    let c = windows.shape.3;
    let width = padded(s);
    // Portions of the rows, as many as a product takes.
    let count = wanted.len().div_ceil(ROWS);
    let chunk = |i: usize| i * wanted.len() / count..(i + 1) * wanted.len() / count;
    with_kept(|Scratch { a, b, rows: lines, c: sums, .. }: &mut Scratch<T>| {
        // Of each chunk, and in it of each chunk of columns.
        let sums = sums.get(wanted.len() * width);
        for (i, block) in blocks.iter().enumerate() {
            let pixels = block.elements.clone();
            for rows in (0..count).map(chunk) {
                let from = wanted.start + rows.start..wanted.start + rows.end;
                // One f32 is a word, so rows of pixels are rows of words where they are.
                let (a, pitch) = if T::PER_WORD == 1 && windows.are_pixels() {
                    (&x[pixels.start * c + from.start..], c)
                } else {
                    // An odd number of cache lines, so that columns lie in different sets.
                    let pitch = (rows.len().div_ceil(TURN) | 1) * TURN;
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
                    let right = if T::PER_WORD == 1 && s.is_multiple_of(TURN) {
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

/// Portions of the patch in a piece of work: while they take their turns, their images stay in the cache.
const PORTIONS: usize = 4;

/// Words between the rows of patches, beyond their width: rows then lie in different cache sets.
const GAP: usize = 16;

/// The gradient by way of its transpose, `[S, kh·kw·C]`: y, which is small, is transposed block by block, and patches are the right
/// operand as they are gathered.
fn transposed<T: Element>(
    isa: Isa,
    windows: &Windows,
    x: &[T],
    y: &[T],
    s: usize,
    blocks: &[Block],
) -> Vec<f32> {
    let chunks: Vec<Range<usize>> = chunks(windows.patch(), COLUMNS).collect();
    let groups: Vec<&[Range<usize>]> = chunks.chunks(PORTIONS).collect();
    let parts = PIECES.div_ceil(groups.len()).min(blocks.len().max(1));
    // Sums of a chunk, and of a piece of work.
    let each = isa.room(s) * chunks.iter().map(|c| padded(c.len())).max().unwrap_or(0);
    let size = each * groups[0].len();
    with_kept(|whole: &mut Whole| {
        // A piece of work is a group of chunks of the patch and a part of the blocks.
        let pieces = whole.0.get(groups.len() * parts * size);
        pieces.par_chunks_mut(size).enumerate().for_each(|(piece, sums)| {
            let (group, part) = (groups[piece / parts], piece % parts);
            let part = part * blocks.len() / parts..(part + 1) * blocks.len() / parts;
            with_kept(|Scratch { a, b, rows, .. }: &mut Scratch<T>| {
                let a = a.get(isa.room(s) * A_STRIDE * T::PER_WORD);
                for i in part.clone() {
                    let block = &blocks[i];
                    // Each group transposes y for itself: that costs less than to keep it for all.
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
        turn_back(pieces, &chunks, (parts, PORTIONS), (each, size), s)
    })
}

/// The sums of all pieces of work.
#[derive(Default)]
struct Whole(Buffer<f32>);

/// The gradient from the sums of all pieces, which are `size` apart, and in them those of chunks, `each` apart.
fn turn_back(
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
                let first = chunk * TURN;
                // Portions are multiples of TURN: none ends within a chunk.
                let chunk = columns.partition_point(|c| c.end <= first);
                let (column, width) = (first - columns[chunk].start, padded(columns[chunk].len()));
                for channel in (0..s).step_by(TURN) {
                    let n = TURN.min(s - channel);
                    let mut sums = [[0.0; TURN]; TURN];
                    for part in 0..parts {
                        let piece = chunk / in_group * parts + part;
                        let part = &pieces[piece * size + chunk % in_group * each..][..s * width];
                        let turned = turn(&part[channel * width + column..], width, n);
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
    // SAFETY: chunks are whole rows, and of each row every group of channels is written.
    unsafe { filled(size, |dw| dw.par_chunks_mut(TURN * s).enumerate().for_each(chunk)) }
}

/// Numbers in a row and a column of what is transposed at once.
const TURN: usize = crate::simd::SQUARE;

/// The transpose of the [`TURN`] columns of `rows` ≤ [`TURN`] rows, `stride` apart.
#[inline(always)]
fn turn<T: Element>(from: &[T], stride: usize, rows: usize) -> [[T; TURN]; TURN] {
    let mut square = [[0.0; TURN]; TURN];
    for (i, line) in square.iter_mut().enumerate().take(rows) {
        let from = from[i * stride..].first_chunk::<TURN>().expect("a row has that many columns");
        *line = from.map(T::to_f32);
    }
    crate::simd::transpose(&std::array::from_fn(|i| &square[i])).map(|line| line.map(T::from_f32))
}

/// The left operand of a block: of `y` `[pixels, S]` the block's pixels of each channel, [`A_STRIDE`] words apart.
#[inline(always)]
fn channels<T: Element>(y: &[T], s: usize, block: &Block, a: &mut [T]) {
    let a_stride = A_STRIDE * T::PER_WORD;
    let full = block.words * T::PER_WORD;
    let y = &y[block.elements.start * s..block.elements.end * s];
    // Whole squares, as far as they go.
    let wide = s - s % TURN;
    for (group, y) in y.chunks(TURN * s).enumerate() {
        let (at, n) = (group * TURN, y.len() / s);
        for channel in (0..wide).step_by(TURN) {
            for (i, row) in turn(&y[channel..], s, n).iter().enumerate() {
                let a = &mut a[(channel + i) * a_stride + at..];
                // A copy of a fixed length is one instruction.
                if n == TURN { a[..TURN].copy_from_slice(row) } else { a[..n].copy_from_slice(&row[..n]) }
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

/// Rows of words of a block: the numbers `columns` of the patches of its pixels, rows `pitch` words apart and filled up with
/// zeros to a multiple of a register. `rows` is room for two of them.
#[inline(always)]
fn patches<T: Element>(
    windows: &Windows,
    x: &[T],
    block: &Block,
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
