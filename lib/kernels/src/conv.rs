//! Convolution, its adjoint (the transposed convolution) and the gradient of its weights, each as im2col and a
//! matrix product over pieces that stay in the cache.
//!
//! One weight layout serves all three: `[kh, kw, C, S]`, where C counts the channels of the convolution's input (the
//! large picture) and S those of its output (the small one). Read as a matrix of `kh·kw·C` rows and S columns:
//!
//! - `conv2d`: patches(x)·W; also the input gradient of a transposed convolution,
//! - `conv_transpose2d`: the adjoint, y·Wᵀ added into overlapping patches; also the input gradient of a convolution,
//! - `weight_grad`: patches(x)ᵀ·y, for both.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::matmul::{Mat, gemm};

/// A convolution's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Kernel height and width.
    pub kernel: (usize, usize),
    /// The stride, the same in both directions.
    pub stride: usize,
    /// Zeros added above and below, left and right.
    pub padding: (usize, usize),
}

/// The sizes of a channels-last batch: pictures, height, width, channels.
pub type Shape = (usize, usize, usize, usize);

impl Conv {
    /// The output's height and width for an input of `h`×`w`.
    ///
    /// # Panics
    /// If the padded input is smaller than the kernel.
    pub fn output(&self, h: usize, w: usize) -> (usize, usize) {
        let side = |n: usize, k: usize, p: usize| {
            assert!(n + 2 * p >= k, "convolution: an input of {n} is smaller than the kernel of {k}");
            (n + 2 * p - k) / self.stride + 1
        };
        (side(h, self.kernel.0, self.padding.0), side(w, self.kernel.1, self.padding.1))
    }

    /// Calls `run(patch, picture, n)` for each run of `n` floats that patch `row` (of output pixel `row`) and the
    /// picture share, and `gap(patch, n)` for each run of the patch that lies in the padding. `rows` are the kernel's
    /// rows to visit; `patch` counts floats from the start of the patch's first visited row.
    #[inline(always)]
    fn patch(
        &self,
        (_, h, w, c): Shape,
        (oh, ow): (usize, usize),
        row: usize,
        rows: Range<usize>,
        mut run: impl FnMut(usize, usize, usize),
        mut gap: impl FnMut(usize, usize),
    ) {
        let (image, oy, ox) = (row / (oh * ow), row / ow % oh, row % ow);
        let width = self.kernel.1 * c;
        let left = (ox * self.stride) as isize - self.padding.1 as isize;
        let (from, to) = (left.clamp(0, w as isize), (left + self.kernel.1 as isize).clamp(0, w as isize));
        let (before, inside) = ((from - left) as usize * c, (to - from) as usize * c);
        for (i, ky) in rows.enumerate() {
            let start = i * width;
            let y = (oy * self.stride + ky).wrapping_sub(self.padding.0);
            if y >= h || inside == 0 {
                gap(start, width);
                continue;
            }
            if before > 0 {
                gap(start, before);
            }
            run(start + before, ((image * h + y) * w + from as usize) * c, inside);
            if before + inside < width {
                gap(start + before + inside, width - before - inside);
            }
        }
    }

    /// The patches of output pixels `pixels` and kernel rows `rows` as a row-major matrix in `out`.
    fn patches(&self, x: &[f32], shape: Shape, pixels: Range<usize>, rows: Range<usize>, out: &mut [f32]) {
        let small = self.output(shape.1, shape.2);
        let width = rows.len() * self.kernel.1 * shape.3;
        for (pixel, out) in pixels.zip(out.chunks_exact_mut(width)) {
            // Both closures write to the one row, never at the same time.
            let out = RefCell::new(out);
            self.patch(
                shape,
                small,
                pixel,
                rows.clone(),
                |to, from, n| out.borrow_mut()[to..to + n].copy_from_slice(&x[from..from + n]),
                |to, n| out.borrow_mut()[to..to + n].fill(0.0),
            );
        }
    }

    /// Whether the patches of a batch are the batch itself, so that nothing need be gathered.
    fn patches_are_the_input(&self, (_, h, w, _): Shape) -> bool {
        let one = self.kernel == (1, 1) && self.stride == 1;
        (one || self.kernel == (h, w)) && self.padding == (0, 0)
    }
}

thread_local! {
    /// The buffer for patches: kept, since fresh pages cost more than the work on small pieces.
    static PATCHES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with a buffer of `n` floats of any content.
fn with_buffer<T>(n: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    // Taken out rather than borrowed: rayon may run another piece of work on this thread inside `f`.
    let mut buffer = PATCHES.with(RefCell::take);
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    let result = f(&mut buffer[..n]);
    PATCHES.with(|kept| kept.replace(buffer));
    result
}

/// Output pixels per piece: as many patches as about 1 MiB holds, within bounds that keep the product efficient.
fn pixels_per_piece(patch: usize) -> usize {
    ((1 << 18) / patch.max(1)).clamp(256, 2048)
}

fn check(conv: &Conv, (b, h, w, c): Shape, x: &[f32], weight: &[f32], s: usize, y: &[f32]) -> (usize, usize) {
    let (oh, ow) = conv.output(h, w);
    assert_eq!(x.len(), b * h * w * c, "convolution: the input is not {b}×{h}×{w}×{c}");
    assert_eq!(weight.len(), conv.kernel.0 * conv.kernel.1 * c * s, "convolution: wrong weight");
    assert_eq!(y.len(), b * oh * ow * s, "convolution: the output is not {b}×{oh}×{ow}×{s}");
    (oh, ow)
}

/// `y = activation(conv(x) + bias)`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `weight` `[kh, kw, C, S]`, `bias` `[S]`, `y` `[B, OH, OW, S]`.
#[allow(clippy::too_many_arguments)]
pub fn conv2d(
    conv: &Conv,
    x: &[f32],
    shape: Shape,
    weight: &[f32],
    s: usize,
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [f32],
) {
    check(conv, shape, x, weight, s, y);
    let patch = conv.kernel.0 * conv.kernel.1 * shape.3;
    let weight = Mat::new(weight, patch, s);
    let pixels = pixels_per_piece(patch);
    let as_is = conv.patches_are_the_input(shape);
    y.par_chunks_mut(pixels * s).enumerate().for_each(|(i, y)| {
        let (first, n) = (i * pixels, y.len() / s);
        if as_is {
            gemm(false, Mat::new(&x[first * patch..][..n * patch], n, patch), weight, y, s);
        } else {
            with_buffer(n * patch, |buffer| {
                conv.patches(x, shape, first..first + n, 0..conv.kernel.0, buffer);
                gemm(false, Mat::new(buffer, n, patch), weight, y, s);
            });
        }
        if let Some(bias) = bias {
            y.chunks_exact_mut(s).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
        activation.apply(y);
    });
}

/// `x = activation(conv_transpose(y))`, the adjoint of [`conv2d`] for the same `conv`.
///
/// `y` `[B, OH, OW, S]`, `weight` `[kh, kw, C, S]`, `x` `[B, H, W, C]` with `shape` = (B, H, W, C) and
/// (OH, OW) = `conv.output(H, W)`.
pub fn conv_transpose2d(
    conv: &Conv,
    y: &[f32],
    weight: &[f32],
    s: usize,
    shape: Shape,
    activation: Activation,
    x: &mut [f32],
) {
    let small = check(conv, shape, x, weight, s, y);
    let patch = conv.kernel.0 * conv.kernel.1 * shape.3;
    let weight = Mat::new(weight, patch, s).t();
    let (per_image, size) = (small.0 * small.1, shape.1 * shape.2 * shape.3);
    let images = (256 / per_image).max(1);
    x.par_chunks_mut(images * size).zip(y.par_chunks(images * per_image * s)).for_each(|(x, y)| {
        let n = y.len() / s;
        if conv.patches_are_the_input(shape) {
            gemm(false, Mat::new(y, n, s), weight, x, patch);
        } else {
            with_buffer(n * patch, |buffer| {
                gemm(false, Mat::new(y, n, s), weight, buffer, patch);
                x.fill(0.0);
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for (pixel, buffer) in buffer.chunks_exact(patch).enumerate() {
                            let add = |from: usize, to: usize, n: usize| {
                                x[to..to + n]
                                    .iter_mut()
                                    .zip(&buffer[from..from + n])
                                    .for_each(|(x, v)| *x += v);
                            };
                            conv.patch(shape, small, pixel, 0..conv.kernel.0, add, |_, _| {});
                        }
                    },
                );
            });
        }
        activation.apply(x);
    });
}

/// Parts that the sum over output pixels is cut into, each summed on its own; a constant, so that the bytes do not
/// depend on the number of threads.
const PARTS: usize = 4;

/// The gradient of the weights: `dw = patches(x)ᵀ·y`.
///
/// `x` `[B, H, W, C]` with `shape` = (B, H, W, C), `y` `[B, OH, OW, S]`, `dw` `[kh, kw, C, S]`. For a convolution x is its input
/// and y its output's gradient; for a transposed one x is its output's gradient and y its input.
pub fn weight_grad(conv: &Conv, x: &[f32], shape: Shape, y: &[f32], s: usize, dw: &mut [f32]) {
    let (oh, ow) = check(conv, shape, x, dw, s, y);
    let total = shape.0 * oh * ow;
    let row = conv.kernel.1 * shape.3;
    // A piece of work is one part of the pixels and one row of the kernel; where a row is too narrow for an efficient
    // product, all its rows.
    let rows = if row < 32 { conv.kernel.0 } else { 1 };
    let width = rows * row;
    const STEP: usize = 512;
    let part = total.div_ceil(PARTS).next_multiple_of(STEP);
    let parts = total.div_ceil(part);
    let mut sums = vec![0.0; parts.saturating_sub(1) * dw.len()];
    let (size, piece) = (dw.len(), width * s);
    let work = |p: usize, k: usize, sum: &mut [f32]| {
        let pixels = p * part..total.min((p + 1) * part);
        with_buffer(STEP * width, |buffer| {
            for first in pixels.clone().step_by(STEP) {
                let n = STEP.min(pixels.end - first);
                conv.patches(x, shape, first..first + n, k * rows..(k + 1) * rows, &mut buffer[..n * width]);
                let patches = Mat::new(&buffer[..n * width], n, width);
                gemm(first > pixels.start, patches.t(), Mat::new(&y[first * s..][..n * s], n, s), sum, s);
            }
        });
    };
    let first = dw.par_chunks_mut(piece).enumerate().map(|(k, sum)| (0, k, sum));
    let others = sums.par_chunks_mut(piece).enumerate();
    let others = others.map(|(i, sum)| (1 + i * piece / size, i % (size / piece), sum));
    first.chain(others).for_each(|(p, k, sum)| work(p, k, sum));
    for sum in sums.chunks_exact(size) {
        dw.par_chunks_mut(1 << 14).zip(sum.par_chunks(1 << 14)).for_each(|(dw, sum)| {
            dw.iter_mut().zip(sum).for_each(|(a, b)| *a += b);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed;
        let mut next = || {
            s = s.wrapping_mul(1664525).wrapping_add(1013904223);
            (s >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    fn conv(kernel: (usize, usize), stride: usize, padding: (usize, usize)) -> Conv {
        Conv { kernel, stride, padding }
    }

    /// (conv, shape, S): the project's own and odd ones: one channel, one picture, 1×1, strides, long kernels, more
    /// pixels than one piece or part.
    fn cases() -> Vec<(Conv, Shape, usize)> {
        vec![
            (conv((4, 4), 2, (1, 1)), (3, 8, 8, 5), 7),
            (conv((4, 4), 2, (1, 1)), (2, 64, 64, 3), 16),
            (conv((4, 4), 2, (1, 1)), (9, 16, 16, 20), 33),
            (conv((4, 4), 1, (0, 0)), (5, 4, 4, 6), 1),
            (conv((1, 1), 1, (0, 0)), (2, 7, 9, 4), 3),
            (conv((3, 3), 2, (0, 0)), (2, 11, 11, 3), 2),
            (conv((3, 3), 1, (1, 1)), (1, 5, 4, 1), 1),
            (conv((1, 7), 1, (0, 3)), (2, 5, 6, 3), 4),
            (conv((7, 1), 1, (3, 0)), (1, 6, 5, 2), 5),
            (conv((5, 5), 1, (2, 2)), (1, 3, 3, 2), 3),
        ]
    }

    /// Σ over the definition, in f64: calls `f(x index, weight index, y index)` for every product.
    fn each(conv: &Conv, (b, h, w, c): Shape, s: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (oh, ow) = conv.output(h, w);
        for (bi, oy, ox) in (0..b * oh * ow).map(|r| (r / (oh * ow), r / ow % oh, r % ow)) {
            for (ky, kx) in (0..conv.kernel.0 * conv.kernel.1).map(|k| (k / conv.kernel.1, k % conv.kernel.1))
            {
                let (y, x) = (oy * conv.stride + ky, ox * conv.stride + kx);
                let (py, px) = conv.padding;
                if y < py || x < px || y - py >= h || x - px >= w {
                    continue;
                }
                for (ci, si) in (0..c * s).map(|i| (i / s, i % s)) {
                    f(
                        ((bi * h + y - py) * w + x - px) * c + ci,
                        ((ky * conv.kernel.1 + kx) * c + ci) * s + si,
                        ((bi * oh + oy) * ow + ox) * s + si,
                    );
                }
            }
        }
    }

    fn close(ours: &[f32], exact: &[f64], what: &str) {
        let scale = exact.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in ours.iter().zip(exact).enumerate() {
            assert!((*a as f64 - b).abs() < 3e-6 * scale, "{what} at {i}: {a} {b}");
        }
    }

    #[test]
    fn all_three_products_match_their_definition() {
        for (conv, shape @ (b, h, w, c), s) in cases() {
            let (oh, ow) = conv.output(h, w);
            let (x, y) = (numbers(b * h * w * c, 1), numbers(b * oh * ow * s, 2));
            let k = numbers(conv.kernel.0 * conv.kernel.1 * c * s, 3);
            let (mut ex, mut ek, mut ey) = (vec![0.0; x.len()], vec![0.0; k.len()], vec![0.0; y.len()]);
            each(&conv, shape, s, |i, j, l| {
                ey[l] += x[i] as f64 * k[j] as f64;
                ex[i] += y[l] as f64 * k[j] as f64;
                ek[j] += x[i] as f64 * y[l] as f64;
            });
            let what = format!("{conv:?} {shape:?} {s}");
            let mut out = vec![f32::NAN; y.len()];
            conv2d(&conv, &x, shape, &k, s, None, Activation::Identity, &mut out);
            close(&out, &ey, &what);
            let mut out = vec![f32::NAN; x.len()];
            conv_transpose2d(&conv, &y, &k, s, shape, Activation::Identity, &mut out);
            close(&out, &ex, &what);
            let mut out = vec![f32::NAN; k.len()];
            weight_grad(&conv, &x, shape, &y, s, &mut out);
            close(&out, &ek, &what);

            let bias = numbers(s, 4);
            let mut out = vec![f32::NAN; y.len()];
            conv2d(&conv, &x, shape, &k, s, Some(&bias), Activation::RELU, &mut out);
            let ey: Vec<f64> =
                ey.iter().enumerate().map(|(i, v)| (v + bias[i % s] as f64).max(0.0)).collect();
            close(&out, &ey, &what);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (conv, shape, s) = (conv((4, 4), 2, (1, 1)), (24, 32, 32, 20), 24);
                let (x, k) = (numbers(24 * 32 * 32 * 20, 1), numbers(16 * 20 * s, 2));
                let (mut y, mut dx, mut dk) =
                    (vec![0.0; 24 * 256 * s], vec![0.0; x.len()], vec![0.0; k.len()]);
                conv2d(&conv, &x, shape, &k, s, None, Activation::LeakyRelu(0.2), &mut y);
                conv_transpose2d(&conv, &y, &k, s, shape, Activation::Tanh, &mut dx);
                weight_grad(&conv, &x, shape, &y, s, &mut dk);
                (y, dx, dk)
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}
