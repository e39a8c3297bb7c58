//! The transposed convolution: the adjoint of the convolution.
//!
//! Output pixels fall into stride×stride classes by their place under the stride. Those of one class see the same taps of
//! the kernel, hence they are a convolution of stride 1 over the small image with those taps alone: nothing is
//! scattered, and no product with an inserted zero is computed (Shi et al., "Is the deconvolution layer the same as a
//! convolutional layer?", 2016). Where the large image has few channels, a class would fill few lanes of a register;
//! there a row of all the taps is computed for each small pixel, and overlapping patches are added up.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::windows::Windows;
use super::{Conv, ROWS, Scratch, Shape, finish, rows_per_piece, with_kept};
use crate::Activation;
use crate::element::{Element, filled};
use crate::matmul::{Isa, MatrixView, Packed, padded};

/// Patches of at most so many numbers are added up where they overlap.
const SMALL_PATCH: usize = 64;

/// A weight `[kh, kw, C, S]` ready for [`conv_transpose2d`] to images of one size.
#[derive(Clone, Debug)]
pub struct PackedTransposed<T> {
    conv: Conv,
    /// Height, width and channels of the large image.
    large: (usize, usize, usize),
    s: usize,
    matrix: Matrix<T>,
}

#[derive(Clone, Debug)]
enum Matrix<T> {
    /// `[S, kh·kw·C]`: from a small pixel to its patch, which is the whole image.
    Whole(Packed<T>),
    /// The same, and patches overlap.
    Patches(Packed<T>),
    /// The classes of output pixels, each a convolution.
    Classes(Vec<Class<T>>),
}

/// The output pixels (y + i·stride, x + j·stride).
#[derive(Clone, Debug)]
struct Class<T> {
    first: (usize, usize),
    /// How many of them: rows, columns.
    count: (usize, usize),
    /// The taps that they see, rows and columns.
    kernel: (usize, usize),
    /// How far outside of the small image the first of them begins to look.
    before: (isize, isize),
    /// `[taps, S, C]`.
    weight: Packed<T>,
}

impl<T: Element> PackedTransposed<T> {
    /// Packs the weight of the convolution that takes images of height, width and channels `large` to S channels.
    pub fn new(
        isa: Isa,
        conv: &Conv,
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
        let patches = || Packed::new(isa, &[MatrixView::Columns { data: weight, stride: s }], s, taps * c, s);
        let matrix = if conv.kernel == (h, w) && conv.padding == (0, 0) {
            Matrix::Whole(patches())
        } else if taps * c <= SMALL_PATCH {
            Matrix::Patches(patches())
        } else {
            let starts = (0..conv.stride.min(h)).flat_map(|y| (0..conv.stride.min(w)).map(move |x| (y, x)));
            Matrix::Classes(starts.map(|first| Class::new(isa, conv, large, weight, s, first)).collect())
        };
        PackedTransposed { conv: *conv, large, s, matrix }
    }

    /// Height, width and channels of the images that it is packed for.
    pub fn large(&self) -> (usize, usize, usize) {
        self.large
    }
}

impl<T: Element> Class<T> {
    fn new(
        isa: Isa,
        conv: &Conv,
        (h, w, c): (usize, usize, usize),
        weight: &[f32],
        s: usize,
        first: (usize, usize),
    ) -> Class<T> {
        let stride = conv.stride;
        // Output pixel o sees the small pixel i through tap k = o + padding − i·stride: taps k ≡ o + padding, the last of
        // them belonging to the first small pixel.
        let side = |first: usize, n: usize, kernel: usize, padding: usize| {
            let tap = (first + padding) % stride;
            let taps = (kernel + stride - 1).saturating_sub(tap) / stride;
            let before = taps as isize - 1 - ((first + padding) / stride) as isize;
            let order: Vec<usize> = (0..taps).rev().map(|t| tap + t * stride).collect();
            ((n - first).div_ceil(stride), before, order)
        };
        let (rows, above, ky) = side(first.0, h, conv.kernel.0, conv.padding.0);
        let (columns, left, kx) = side(first.1, w, conv.kernel.1, conv.padding.1);
        let tap = |y: usize, x: usize| MatrixView::Columns {
            data: &weight[(y * conv.kernel.1 + x) * c * s..],
            stride: s,
        };
        let parts: Vec<MatrixView> = ky.iter().flat_map(|&y| kx.iter().map(move |&x| tap(y, x))).collect();
        let weight = Packed::new(isa, &parts, s, c, kx.len() * s);
        Class { first, count: (rows, columns), kernel: (ky.len(), kx.len()), before: (above, left), weight }
    }
}

/// `x = activation(conv_transpose(y))`, the adjoint of [`super::conv2d`] for the same `conv`.
///
/// `y` `[B, OH, OW, S]`, `weight` `[kh, kw, C, S]` packed for x `[B, H, W, C]`, which it returns; (OH, OW) = `conv.output(H, W)`.
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
        Matrix::Whole(matrix) => {
            let pixels = Conv { kernel: (1, 1), stride: 1, padding: (0, 0) };
            super::conv2d(&pixels, y, from, matrix, None, activation)
        }
        Matrix::Patches(matrix) => {
            let image = |(image, x): (usize, &mut [MaybeUninit<O>])| {
                add_patches(conv, y, from, image, matrix, (1, h, w, c), activation, x)
            };
            // SAFETY: each image is written whole.
            unsafe { filled(size, |x| x.par_chunks_mut(h * w * c).enumerate().for_each(image)) }
        }
        Matrix::Classes(classes) => {
            // A unit is a line of every class: `stride` lines of the image, or all of it where they do not come out even.
            let stride = conv.stride;
            let even = h.is_multiple_of(stride);
            let (lines, each) = if even { (1, stride * w * c) } else { (h.div_ceil(stride), h * w * c) };
            let width = w.div_ceil(stride);
            let units = rows_per_piece(size / each * lines * width).div_ceil(lines * width);
            let piece = |(i, x): (usize, &mut [MaybeUninit<O>])| {
                let units = i * units..i * units + x.len() / each;
                for class in classes {
                    class.run(y, from, units.clone(), even, (h, w, c), stride, activation, x);
                }
            };
            // SAFETY: pieces are whole units, and every pixel of one is of one class, which writes all its channels.
            unsafe { filled(size, |x| x.par_chunks_mut(units * each).enumerate().for_each(piece)) }
        }
    }
}

impl<T: Element> Class<T> {
    /// This class's pixels of the part `x` of the output that consists of `units`.
    #[allow(clippy::too_many_arguments)]
    fn run<O: Element>(
        &self,
        y: &[T],
        small: Shape,
        units: std::ops::Range<usize>,
        even: bool,
        (h, w, c): (usize, usize, usize),
        stride: usize,
        activation: Activation,
        x: &mut [MaybeUninit<O>],
    ) {
        let windows =
            Windows { shape: small, kernel: self.kernel, stride: 1, before: self.before, count: self.count };
        // Windows of a unit; the class's rows are numbered through the batch.
        let per_unit = if even { self.count.1 } else { self.count.0 * self.count.1 };
        let all = units.start * per_unit..units.end * per_unit;
        let first_line = if even { units.start * stride } else { units.start * h };
        with_kept(|scratch: &mut Scratch<T>| {
            let parts = all.len().div_ceil(ROWS);
            for i in 0..parts {
                let part = all.start + i * all.len() / parts..all.start + (i + 1) * all.len() / parts;
                windows.multiply(y, part.clone(), &self.weight, scratch, |columns, sums, _| {
                    crate::simd::simd(
                        #[inline(always)]
                        || {
                            for (window, sums) in part.clone().zip(sums.chunks_exact(padded(columns.len()))) {
                                let (line, j) = (window / self.count.1, window % self.count.1);
                                let (image, i) = (line / self.count.0, line % self.count.0);
                                let line = image * h + self.first.0 + i * stride - first_line;
                                let at = (line * w + self.first.1 + j * stride) * c;
                                let out = &mut x[at + columns.start..at + columns.end];
                                finish(&sums[..columns.len()], None, activation, out);
                            }
                        },
                    );
                });
            }
        });
    }
}

/// One image of the output as the sum of overlapping patches.
#[allow(clippy::too_many_arguments)]
fn add_patches<T: Element, O: Element>(
    conv: &Conv,
    y: &[T],
    small: Shape,
    image: usize,
    matrix: &Packed<T>,
    (_, h, w, c): Shape,
    activation: Activation,
    x: &mut [MaybeUninit<O>],
) {
    let per_image = small.1 * small.2;
    let (kh, kw) = conv.kernel;
    with_kept(|scratch: &mut Scratch<T>| {
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
            || finish(scratch.image.as_slice(), None, activation, x),
        );
    });
}
