//! The convolution.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::windows::Windows;
use super::{BatchShape, ConvWindow, Scratch, rows_per_piece, with_scratch};
use crate::element::Element;
use crate::matmul::{MatrixView, PackedMatrix, padded};
use crate::{Activation, Channels, Isa};

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
    let (oh, ow) = conv.output(shape.1, shape.2);
    let mut y = [Channels::new(shape.0 * oh * ow, weight.n())];
    convs2d(conv, x, shape, &[ConvPart { weight, bias, activation, to: 0, first: 0 }], &mut y);
    let [y] = y;
    y.finish()
}

/// One of several convolutions of the same image.
#[derive(Clone, Copy, Debug)]
pub struct ConvPart<'a, T> {
    /// `[kh, kw, C, S]`, packed by [`pack`].
    pub weight: &'a PackedMatrix<T>,
    /// `[S]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to the output.
    pub activation: Activation,
    /// The output's index.
    pub to: usize,
    /// The channel of that output that this part begins at.
    pub first: usize,
}

/// Several convolutions of the same image, of one shape: [`conv2d`] into channels of `outputs`. The image is
/// read from the cache by all but the first.
///
/// # Panics
/// See [`Channels::finish`]; also if an operand has another shape.
pub fn convs2d<T: Element, O: Element>(
    conv: &ConvWindow,
    x: &[T],
    shape: BatchShape,
    parts: &[ConvPart<T>],
    outputs: &mut [Channels<O>],
) {
    let windows = Windows::of(conv, shape);
    let total = shape.0 * windows.count.0 * windows.count.1;
    assert_eq!(x.len(), shape.0 * shape.1 * shape.2 * shape.3, "convolution: the input is not {shape:?}");
    for ConvPart { weight, bias, .. } in parts {
        assert_eq!(weight.k(), windows.patch(), "convolution: wrong weight");
        assert!(bias.is_none_or(|b| b.len() == weight.n()), "convolution: wrong bias");
    }
    let rows = rows_per_piece(total);
    let biases: Vec<Vec<f32>> = parts.iter().map(|part| with_padding(part.bias, part.weight.n())).collect();
    let counts: Vec<usize> = outputs.iter().map(Channels::count).collect();
    // A piece of work is some rows of all outputs.
    let mut pieces: Vec<Vec<&mut [MaybeUninit<O>]>> =
        (0..total.div_ceil(rows)).map(|_| Vec::with_capacity(outputs.len())).collect();
    for (to, output) in outputs.iter_mut().enumerate() {
        let written = parts.iter().filter(|part| part.to == to);
        let written: Vec<_> = written.map(|part| part.first..part.first + part.weight.n()).collect();
        if written.is_empty() {
            pieces.iter_mut().for_each(|piece| piece.push(&mut []));
            continue;
        }
        // SAFETY: every piece below writes these channels of its rows.
        let all = unsafe { output.all(total, written) };
        pieces.iter_mut().zip(all.chunks_mut((rows * counts[to]).max(1))).for_each(|(p, out)| p.push(out));
    }
    pieces.into_par_iter().enumerate().for_each(|(i, mut outputs)| {
        let windows_of_piece = i * rows..total.min((i + 1) * rows);
        with_scratch(|scratch: &mut Scratch<T>| {
            let mut starts = std::mem::take(&mut scratch.starts);
            for (&ConvPart { weight, activation, to, first, .. }, bias) in parts.iter().zip(&biases) {
                starts.clear();
                starts.extend((0..windows_of_piece.len()).map(|row| row * counts[to] + first));
                let (part, out) = (windows_of_piece.clone(), &mut *outputs[to]);
                windows.multiply_into(x, part, weight, scratch, bias, activation, out, &mut starts);
            }
            scratch.starts = starts;
        });
    });
}

/// A bias for each of `s` channels and their padding.
fn with_padding(bias: Option<&[f32]>, s: usize) -> Vec<f32> {
    let mut all = vec![0.0; padded(s)];
    if let Some(bias) = bias {
        all[..s].copy_from_slice(bias);
    }
    all
}
