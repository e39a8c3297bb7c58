//! The convolution.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::windows::Windows;
use super::{BatchShape, ConvWindow, Scratch, finish, rows_per_piece, with_scratch};
use crate::element::{Element, vec_uninit};
use crate::matmul::{MatrixView, PackedMatrix, padded};
use crate::{Activation, Isa};

/// Packs the weight `[kh, kw, C, S]` of a convolution for [`conv2d`] with images of T.
pub fn pack<T: Element>(isa: Isa, conv: &ConvWindow, weight: &[f32], c: usize, s: usize) -> PackedMatrix<T> {
    assert_eq!(weight.len(), conv.taps() * c * s, "convolution: the weight is not {:?}×{c}×{s}", conv.kernel);
    let rows = MatrixView::Rows { data: weight, stride: s };
    PackedMatrix::new(isa, &[rows], conv.taps() * c, s, conv.kernel.1 * c)
}

/// `y = activation(conv(x) + bias)`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `weight` `[kh, kw, C, S]` packed by [`pack`], `bias`
/// `[S]`; returns `[B, OH, OW, S]`.
pub fn conv2d<T: Element, O: Element>(
    conv: &ConvWindow,
    x: &[T],
    shape: BatchShape,
    weight: &PackedMatrix<T>,
    bias: Option<&[f32]>,
    activation: Activation,
) -> Vec<O> {
    let windows = Windows::of(conv, shape);
    let (s, (oh, ow)) = (weight.n(), windows.count);
    assert_eq!(x.len(), shape.0 * shape.1 * shape.2 * shape.3, "convolution: the input is not {shape:?}");
    assert_eq!(weight.k(), windows.patch(), "convolution: wrong weight");
    assert!(bias.is_none_or(|b| b.len() == s), "convolution: wrong bias");
    let total = shape.0 * oh * ow;
    let rows = rows_per_piece(total);
    let piece = |i: usize, y: &mut [MaybeUninit<O>]| {
        let first = i * rows;
        with_scratch(|scratch: &mut Scratch<T>| {
            windows.multiply(x, first..first + y.len() / s, weight, scratch, |columns, sums, _| {
                let bias = bias.map(|b| &b[columns.clone()]);
                crate::simd::simd(
                    #[inline(always)]
                    || {
                        for (y, sums) in y.chunks_exact_mut(s).zip(sums.chunks_exact(padded(columns.len()))) {
                            finish(&sums[..columns.len()], bias, activation, &mut y[columns.clone()]);
                        }
                    },
                );
            });
        });
    };
    // SAFETY: pieces are full rows, and every chunk of columns of a row is written.
    unsafe {
        vec_uninit(total * s, |y| {
            y.par_chunks_mut((rows * s).max(1)).enumerate().for_each(|(i, y)| piece(i, y))
        })
    }
}
