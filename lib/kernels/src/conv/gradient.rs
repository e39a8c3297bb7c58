//! The gradient of a convolution's weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::windows::Windows;
use super::{COLUMNS, Conv, Scratch, Shape, portions, rows_per_piece, with_kept};
use crate::element::{Element, filled};
use crate::matmul::{A_STRIDE, Block, Buffer, Isa, Right, padded, product};

/// Pieces of work that there are at least, if the shape allows: the sum over output pixels is cut into parts, each
/// summed on its own. A constant, so that the bytes do not depend on the number of threads.
const PIECES: usize = 8;

/// Portions of the patch in a piece of work: while they take their turns, their pictures stay in the cache.
const PORTIONS: usize = 4;

/// Words between the rows of patches, beyond their width: rows then lie in different cache sets.
const GAP: usize = 16;

/// The buffers of a whole gradient.
#[derive(Default)]
struct Whole<T> {
    /// The right operand that all pieces share.
    right: Buffer<T>,
    /// The sums of all pieces of work.
    sums: Buffer<f32>,
}

/// The gradient of the weights: `dw = patches(x)ᵀ·y`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `y` `[B, OH, OW, S]`; returns `[kh, kw, C, S]`. For a convolution x is its input
/// and y its output's gradient; for a transposed one x is its output's gradient and y its input.
///
/// It is computed as its transpose, `[S, kh·kw·C]`: y, which is small, is transposed block by block, and patches are the right
/// operand as they are gathered. Where there are fewer pixels than channels, as in a linear layer, the patches are smaller
/// than the gradient: there they are transposed, and it is not.
pub fn weight_grad<T: Element>(isa: Isa, conv: &Conv, x: &[T], shape: Shape, y: &[T], s: usize) -> Vec<f32> {
    let windows = Windows::of(conv, shape);
    let (patch, total) = (windows.patch(), shape.0 * windows.count.0 * windows.count.1);
    assert_eq!(x.len(), shape.0 * shape.1 * shape.2 * shape.3, "weight gradient: the input is not {shape:?}");
    assert_eq!(y.len(), total * s, "weight gradient: the output is not of {total}×{s}");
    if patch * s == 0 {
        return Vec::new();
    }
    let blocks: Vec<Block> = isa.blocks::<T>(total).collect();
    if let ([block], true) = (&*blocks, total < s) {
        return directly(isa, &windows, x, y, s, block);
    }
    // Few pixels are one block: then there are no parts to share out, and portions are small ones.
    let few = blocks.len() < PIECES;
    let portions: Vec<Range<usize>> = portions(patch, if few { COLUMNS / 4 } else { COLUMNS }).collect();
    let in_group = if few { 1 } else { PORTIONS };
    let groups: Vec<&[Range<usize>]> = portions.chunks(in_group).collect();
    let parts = PIECES.div_ceil(groups.len()).min(blocks.len().max(1));
    // Sums of a portion, and of a piece of work.
    let each = isa.room(s) * portions.iter().map(|c| padded(c.len())).max().unwrap_or(0);
    let size = each * groups[0].len();

    with_kept(|whole: &mut Whole<T>| {
        // A piece of work is a group of portions of the patch and a part of the blocks.
        let pieces = whole.sums.get(groups.len() * parts * size);
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
                        || channels(y, s, block, s, a),
                    );
                    for (columns, sums) in group.iter().zip(sums.chunks_exact_mut(each)) {
                        let width = padded(columns.len());
                        let pitch = width + GAP;
                        let (rows, b) = (rows.get(2 * width), b.get(block.words * pitch * T::PER_WORD));
                        crate::simd::simd(
                            #[inline(always)]
                            || patches(&windows, x, block, columns, rows, b, pitch),
                        );
                        product(isa, a, s, block.words, Right::Rows(b, pitch), width, sums, i > part.start);
                    }
                }
            });
        });
        turn_back(pieces, &portions, (parts, in_group), (each, size), s)
    })
}

/// The gradient where all pixels are one block.
fn directly<T: Element>(isa: Isa, windows: &Windows, x: &[T], y: &[T], s: usize, block: &Block) -> Vec<f32> {
    let (patch, pixels) = (windows.patch(), block.elements.len());
    let portions: Vec<Range<usize>> = portions(s, COLUMNS).collect();
    with_kept(|whole: &mut Whole<T>| {
        // The portions of y side by side, each as rows of words.
        let width = padded(s);
        let all = whole.right.get(block.words * width * T::PER_WORD);
        let mut rest = &mut *all;
        with_kept(|Scratch { rows, .. }: &mut Scratch<T>| {
            let of_y = Windows::pixels((pixels, 1, 1, s));
            for columns in &portions {
                let width = padded(columns.len());
                let (b, after) = rest.split_at_mut(block.words * width * T::PER_WORD);
                rest = after;
                crate::simd::simd(
                    #[inline(always)]
                    || patches(&of_y, y, block, columns, rows.get(2 * width), b, width),
                );
            }
        });
        let rows = rows_per_piece(patch);
        let piece = |(i, dw): (usize, &mut [MaybeUninit<f32>])| {
            with_kept(|Scratch { a, b: gathered, c, .. }: &mut Scratch<T>| {
                let wanted = i * rows..i * rows + dw.len() / s;
                let room = isa.room(wanted.len());
                let (a, c) = (a.get(room * A_STRIDE * T::PER_WORD), c.get(room * width.min(COLUMNS)));
                let pitch = wanted.len().next_multiple_of(TURN);
                let gathered = gathered.get(pixels * pitch);
                windows.gather(x, block.elements.clone(), wanted.clone(), gathered, pitch, pitch);
                crate::simd::simd(
                    #[inline(always)]
                    || {
                        channels(
                            gathered,
                            pitch,
                            &Block { elements: 0..pixels, words: block.words },
                            wanted.len(),
                            a,
                        )
                    },
                );
                for columns in &portions {
                    let width = padded(columns.len());
                    let b = &all[columns.start * block.words * T::PER_WORD..]
                        [..block.words * width * T::PER_WORD];
                    product(isa, a, wanted.len(), block.words, Right::Rows(b, width), width, c, false);
                    for (dw, sums) in dw.chunks_exact_mut(s).zip(c.chunks_exact(width)) {
                        let dw = dw[columns.clone()].iter_mut().zip(sums);
                        dw.for_each(|(d, &v)| *d = MaybeUninit::new(v));
                    }
                }
            });
        };
        // SAFETY: pieces are whole rows, and of each row every portion is written.
        unsafe { filled(patch * s, |dw| dw.par_chunks_mut(rows * s).enumerate().for_each(piece)) }
    })
}

/// The gradient from the sums of all pieces, which are `size` apart, and in them those of portions, `each` apart.
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
                let portion = columns.partition_point(|c| c.end <= first);
                let (column, width) = (first - columns[portion].start, padded(columns[portion].len()));
                for channel in (0..s).step_by(TURN) {
                    let n = TURN.min(s - channel);
                    let mut sums = [[0.0; TURN]; TURN];
                    for part in 0..parts {
                        let piece = portion / in_group * parts + part;
                        let part = &pieces[piece * size + portion % in_group * each..][..s * width];
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
    crate::simd::transpose(&mut square);
    square.map(|line| line.map(T::from_f32))
}

/// The left operand of a block: of `y` `[pixels, stride]` the block's pixels of each of the first `s` channels, [`A_STRIDE`]
/// words apart.
#[inline(always)]
fn channels<T: Element>(y: &[T], stride: usize, block: &Block, s: usize, a: &mut [T]) {
    let a_stride = A_STRIDE * T::PER_WORD;
    let full = block.words * T::PER_WORD;
    let y = &y[block.elements.start * stride..block.elements.end * stride];
    // Whole squares, as far as the rows go.
    let wide = if stride.is_multiple_of(TURN) { s } else { s - s % TURN };
    for (group, y) in y.chunks(TURN * stride).enumerate() {
        let (at, n) = (group * TURN, y.len() / stride);
        for channel in (0..wide).step_by(TURN) {
            for (i, row) in turn(&y[channel..], stride, n).iter().enumerate().take(s - channel) {
                let a = &mut a[(channel + i) * a_stride + at..];
                // A copy of a fixed length is one instruction.
                if n == TURN { a[..TURN].copy_from_slice(row) } else { a[..n].copy_from_slice(&row[..n]) }
            }
        }
        for channel in wide..s {
            let row = a[channel * a_stride + at..][..n].iter_mut();
            row.zip(y[channel..].iter().step_by(stride)).for_each(|(a, &y)| *a = y);
        }
    }
    for a in a.chunks_exact_mut(a_stride).take(s) {
        a[block.elements.len()..full].fill(T::default());
    }
}

/// The right operand of a block: the numbers `columns` of the patches of its pixels, rows `pitch` words apart.
#[inline(always)]
fn patches<T: Element>(
    windows: &Windows,
    x: &[T],
    block: &Block,
    columns: &Range<usize>,
    rows: &mut [T],
    b: &mut [T],
    pitch: usize,
) {
    let width = padded(columns.len());
    if T::PER_WORD == 1 {
        windows.gather(x, block.elements.clone(), columns.clone(), b, pitch, width);
        b[block.elements.len() * pitch..].fill(T::default());
        return;
    }
    for (word, b) in b.chunks_exact_mut(pitch * T::PER_WORD).enumerate() {
        let first = (block.elements.start + word * T::PER_WORD).min(block.elements.end);
        let pair = first..block.elements.end.min(first + T::PER_WORD);
        let missing = pair.len() * width;
        windows.gather(x, pair, columns.clone(), rows, width, width);
        rows[missing..].fill(T::default());
        let (even, odd) = rows.split_at(width);
        T::words(even, odd, &mut b[..width * T::PER_WORD]);
    }
}
