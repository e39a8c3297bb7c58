//! The transposed convolution: the adjoint of the convolution.
//!
//! Output pixels fall into stride×stride classes by their position modulo the stride. All pixels of a class
//! use the same taps of the kernel, so a class is a convolution of stride 1 over the small image with those
//! taps. Nothing is scattered, and no product with an inserted zero is computed (Shi et al., "Is the
//! deconvolution layer the same as a convolutional layer?", 2016). If the large image has few channels, a
//! class would fill few lanes of a register; then the patch of each small pixel is computed, and overlapping
//! patches are added.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::windows::Windows;
use super::{BatchShape, ConvWindow, ROWS, Scratch, rows_per_piece, with_scratch};
use crate::element::{Element, vec_uninit};
use crate::matmul::{MatrixView, PackedMatrix, finish, padded};
use crate::{Activation, Isa};

/// The most elements of a patch for which overlapping patches are added.
const SMALL_PATCH: usize = 64;

/// A weight `[kh, kw, C, S]` packed for [`conv_transpose2d`] to images of one size.
#[derive(Clone, Debug)]
pub struct PackedTransposed<T> {
    conv: ConvWindow,
    /// Height, width and channels of the large image.
    large: (usize, usize, usize),
    s: usize,
    matrix: Matrix<T>,
}

#[derive(Clone, Debug)]
enum Matrix<T> {
    /// `[S, kh·kw·C]`: from a small pixel to its patch, which is the large image.
    Image(PackedMatrix<T>),
    /// `[S, kh·kw·C]`: patches overlap.
    Patches(PackedMatrix<T>),
    /// The classes of output pixels, each a convolution.
    Classes(Vec<Class<T>>),
}

/// The output pixels (y + i·stride, x + j·stride).
#[derive(Clone, Debug)]
struct Class<T> {
    first: (usize, usize),
    /// Their number: rows, columns.
    count: (usize, usize),
    /// Their taps, rows and columns.
    kernel: (usize, usize),
    /// How far above and left of the small image the window of the first pixel begins.
    before: (isize, isize),
    /// `[taps, S, C]`.
    weight: PackedMatrix<T>,
}

impl<T: Element> PackedTransposed<T> {
    /// Packs the weight of the convolution from images `large` (height, width, channels) to S channels.
    pub fn new(
        isa: Isa,
        conv: &ConvWindow,
        large @ (h, w, c): (usize, usize, usize),
        weight: &[f32],
        s: usize,
    ) -> PackedTransposed<T> {
        let taps = conv.taps();
        assert_eq!(
            weight.len(),
            taps * c * s,
            "transposed convolution: the weight is not {:?}×{c}×{s}",
            conv.kernel
        );
        let patches =
            || PackedMatrix::new(isa, &[MatrixView::Columns { data: weight, stride: s }], s, taps * c, s);
        let matrix = if conv.kernel == (h, w) && conv.padding == (0, 0) {
            Matrix::Image(patches())
        } else if taps * c <= SMALL_PATCH {
            Matrix::Patches(patches())
        } else {
            let starts = (0..conv.stride.min(h)).flat_map(|y| (0..conv.stride.min(w)).map(move |x| (y, x)));
            Matrix::Classes(starts.map(|first| Class::new(isa, conv, large, weight, s, first)).collect())
        };
        PackedTransposed { conv: *conv, large, s, matrix }
    }

    /// Height, width and channels of the output images.
    pub fn large(&self) -> (usize, usize, usize) {
        self.large
    }
}

impl<T: Element> Class<T> {
    fn new(
        isa: Isa,
        conv: &ConvWindow,
        (h, w, c): (usize, usize, usize),
        weight: &[f32],
        s: usize,
        first: (usize, usize),
    ) -> Class<T> {
        let stride = conv.stride;
        // Output pixel o uses the small pixel i with tap k = o + padding − i·stride, so k ≡ o + padding (mod
        // stride); the last tap belongs to the first small pixel.
        let axis = |first: usize, n: usize, kernel: usize, padding: usize| {
            let tap = (first + padding) % stride;
            let taps = (kernel + stride - 1).saturating_sub(tap) / stride;
            let before = taps as isize - 1 - ((first + padding) / stride) as isize;
            let order: Vec<usize> = (0..taps).rev().map(|t| tap + t * stride).collect();
            ((n - first).div_ceil(stride), before, order)
        };
        let (rows, above, ky) = axis(first.0, h, conv.kernel.0, conv.padding.0);
        let (columns, left, kx) = axis(first.1, w, conv.kernel.1, conv.padding.1);
        let tap = |y: usize, x: usize| MatrixView::Columns {
            data: &weight[(y * conv.kernel.1 + x) * c * s..],
            stride: s,
        };
        let parts: Vec<MatrixView> = ky.iter().flat_map(|&y| kx.iter().map(move |&x| tap(y, x))).collect();
        let weight = PackedMatrix::new(isa, &parts, s, c, kx.len() * s);
        Class { first, count: (rows, columns), kernel: (ky.len(), kx.len()), before: (above, left), weight }
    }
}

/// `x = activation(conv_transpose(y))`, the adjoint of [`super::conv2d`] for the same `conv`.
///
/// `y` `[B, OH, OW, S]`, `weight` `[kh, kw, C, S]` packed for x; returns x `[B, H, W, C]`; (OH, OW) =
/// `conv.output(H, W)`.
pub fn conv_transpose2d<T: Element, O: Element>(
    y: &[T],
    weight: &PackedTransposed<T>,
    activation: Activation,
) -> Vec<O> {
    let PackedTransposed { conv, large: (h, w, c), s, matrix } = weight;
    let (h, w, c, s) = (*h, *w, *c, *s);
    let small = conv.output(h, w);
    let images = y.len() / (small.0 * small.1 * s);
    assert_eq!(
        y.len(),
        images * small.0 * small.1 * s,
        "transposed convolution: the input is not {small:?}×{s}"
    );
    let from = (images, small.0, small.1, s);
    let size = images * h * w * c;
    match matrix {
        Matrix::Image(matrix) => {
            let pixels = ConvWindow { kernel: (1, 1), stride: 1, padding: (0, 0) };
            super::conv2d(&pixels, y, from, matrix, None, activation)
        }
        Matrix::Patches(matrix) => {
            let image = |(image, x): (usize, &mut [MaybeUninit<O>])| {
                add_patches(conv, y, from, image, matrix, (1, h, w, c), activation, x)
            };
            // SAFETY: every element of an image is written.
            unsafe { vec_uninit(size, |x| x.par_chunks_mut(h * w * c).enumerate().for_each(image)) }
        }
        Matrix::Classes(classes) => {
            // A unit is a line of every class: `stride` lines of the image, or the image if they do not
            // divide its height.
            let stride = conv.stride;
            let even = h.is_multiple_of(stride);
            let (lines, each) = if even { (1, stride * w * c) } else { (h.div_ceil(stride), h * w * c) };
            let (width, bias) = (w.div_ceil(stride), vec![0.0; padded(c)]);
            let units = rows_per_piece(size / each * lines * width).div_ceil(lines * width);
            let piece = |(i, x): (usize, &mut [MaybeUninit<O>])| {
                let units = i * units..i * units + x.len() / each;
                for class in classes {
                    class.run(y, from, units.clone(), even, (h, w, c), stride, &bias, activation, x);
                }
            };
            // SAFETY: pieces are full units; every pixel belongs to one class, which writes all its channels.
            unsafe { vec_uninit(size, |x| x.par_chunks_mut(units * each).enumerate().for_each(piece)) }
        }
    }
}

impl<T: Element> Class<T> {
    /// Computes this class's pixels in `x`, the part of the output that consists of `units`.
    #[allow(clippy::too_many_arguments)]
    fn run<O: Element>(
        &self,
        y: &[T],
        small: BatchShape,
        units: std::ops::Range<usize>,
        even: bool,
        (h, w, c): (usize, usize, usize),
        stride: usize,
        bias: &[f32],
        activation: Activation,
        x: &mut [MaybeUninit<O>],
    ) {
        let windows =
            Windows { shape: small, kernel: self.kernel, stride: 1, before: self.before, count: self.count };
        // Windows per unit; the rows of the class are numbered through the batch.
        let per_unit = if even { self.count.1 } else { self.count.0 * self.count.1 };
        let all = units.start * per_unit..units.end * per_unit;
        let first_line = if even { units.start * stride } else { units.start * h };
        with_scratch(|scratch: &mut Scratch<T>| {
            let parts = all.len().div_ceil(ROWS);
            for i in 0..parts {
                let part = all.start + i * all.len() / parts..all.start + (i + 1) * all.len() / parts;
                let mut starts = std::mem::take(&mut scratch.starts);
                starts.clear();
                starts.extend(part.clone().map(|window| {
                    let (line, j) = (window / self.count.1, window % self.count.1);
                    let (image, i) = (line / self.count.0, line % self.count.0);
                    let line = image * h + self.first.0 + i * stride - first_line;
                    (line * w + self.first.1 + j * stride) * c
                }));
                windows.multiply_into(y, part, &self.weight, scratch, bias, activation, x, &mut starts);
                scratch.starts = starts;
            }
        });
    }
}

/// Computes one image of the output as the sum of overlapping patches.
#[allow(clippy::too_many_arguments)]
fn add_patches<T: Element, O: Element>(
    conv: &ConvWindow,
    y: &[T],
    small: BatchShape,
    image: usize,
    matrix: &PackedMatrix<T>,
    (_, h, w, c): BatchShape,
    activation: Activation,
    x: &mut [MaybeUninit<O>],
) {
    let per_image = small.1 * small.2;
    let (kh, kw) = conv.kernel;
    with_scratch(|scratch: &mut Scratch<T>| {
        scratch.image.get(h * w * c).fill(0.0);
        for first in (0..per_image).step_by(ROWS) {
            let part = first..per_image.min(first + ROWS);
            let windows = image * per_image + part.start..image * per_image + part.end;
            Windows::pixels(small).multiply(y, windows, matrix, scratch, |_, sums, image| {
                for (window, sums) in part.clone().zip(sums.chunks_exact(padded(matrix.n()))) {
                    let top = (window / small.2 * conv.stride) as isize - conv.padding.0 as isize;
                    let left = (window % small.2 * conv.stride) as isize - conv.padding.1 as isize;
                    let from = left.clamp(0, w as isize);
                    let to = (left + kw as isize).clamp(0, w as isize);
                    for ky in 0..kh {
                        let line = top + ky as isize;
                        if line < 0 || line >= h as isize || from >= to {
                            continue;
                        }
                        let at = (line as usize * w + from as usize) * c;
                        let n = (to - from) as usize * c;
                        let sums = &sums[(ky * kw + (from - left) as usize) * c..][..n];
                        image[at..at + n].iter_mut().zip(sums).for_each(|(p, s)| *p += s);
                    }
                }
            });
        }
        crate::simd::simd(
            #[inline(always)]
            || {
                let zeros = [0.0; ROWS];
                for (sums, x) in scratch.image.as_slice().chunks(ROWS).zip(x.chunks_mut(ROWS)) {
                    finish(sums, &zeros[..sums.len()], activation, x);
                }
            },
        );
    });
}
