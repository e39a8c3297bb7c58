//! The layers between the convolutions of a feature network: 3×3 pools and concatenations of channels. Images
//! are `[B, H, W, C]`.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::conv::BatchShape;
use crate::element::{Element, vec_uninit};

/// The height and width of a pooling window.
pub const WINDOW: usize = 3;

/// The maximum of each window, `[B, OH, OW, C]`. Windows are `stride` apart; the first begins `padding` above
/// and left of the image. Pixels outside of the image do not count; every window must overlap the image.
pub fn max_pool<T: Element>(
    x: &[T],
    shape: BatchShape,
    stride: usize,
    padding: usize,
    out: (usize, usize),
) -> Vec<T> {
    let window = |o: usize, n: usize| {
        let end = (o * stride + WINDOW).saturating_sub(padding).min(n);
        (o * stride).saturating_sub(padding).min(end)..end
    };
    let larger = |max: f32, v: f32| if v > max { v } else { max };
    pool(x, shape, out, window, f32::NEG_INFINITY, larger, |max, _| max)
}

/// The mean of the pixels of each window that lie inside the image. Stride and padding are 1.
pub fn avg_pool<T: Element>(x: &[T], shape: BatchShape) -> Vec<T> {
    let window = |o: usize, n: usize| o.saturating_sub(1)..(o + 2).min(n);
    pool(x, shape, (shape.1, shape.2), window, 0.0, |sum, v| sum + v, |sum, n| sum / n)
}

/// `finish(add(… add(start, v₁) …, vₙ), n)` over the n pixels of each window.
#[inline(always)]
fn pool<T: Element>(
    x: &[T],
    (b, h, w, c): BatchShape,
    (oh, ow): (usize, usize),
    window: impl Fn(usize, usize) -> Range<usize> + Sync,
    start: f32,
    add: impl Fn(f32, f32) -> f32 + Sync,
    finish: impl Fn(f32, f32) -> f32 + Sync,
) -> Vec<T> {
    assert_eq!(x.len(), b * h * w * c, "pool: the input is not {:?}", (b, h, w, c));
    let line = |(row, y): (usize, &mut [MaybeUninit<T>])| {
        let (image, rows) = (row / oh, window(row % oh, h));
        let mut totals = vec![0.0; c];
        crate::simd::simd(
            #[inline(always)]
            || {
                for (ox, y) in y.chunks_exact_mut(c).enumerate() {
                    let columns = window(ox, w);
                    totals.fill(start);
                    for iy in rows.clone() {
                        for ix in columns.clone() {
                            let x = &x[((image * h + iy) * w + ix) * c..][..c];
                            totals.iter_mut().zip(x).for_each(|(t, v)| *t = add(*t, v.to_f32()));
                        }
                    }
                    let n = (rows.len() * columns.len()) as f32;
                    y.iter_mut()
                        .zip(&totals)
                        .for_each(|(y, &v)| *y = MaybeUninit::new(T::from_f32(finish(v, n))));
                }
            },
        );
    };
    let size = b * oh * ow * c;
    // SAFETY: every pixel of every line is written.
    unsafe { vec_uninit(size, |y| y.par_chunks_mut((ow * c).max(1)).enumerate().for_each(line)) }
}

/// Concatenates the channels of all parts. A part is its pixels, the same number in all, and its number of
/// channels.
pub fn concat<T: Element>(parts: &[(&[T], usize)]) -> Vec<T> {
    let c: usize = parts.iter().map(|part| part.1).sum();
    let pixels = parts.first().map_or(0, |(x, n)| x.len() / n);
    assert!(parts.iter().all(|(x, n)| x.len() == pixels * n), "concat: numbers of pixels differ");
    let piece = |(i, y): (usize, &mut [MaybeUninit<T>])| {
        let first = i * crate::ROWS;
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            let mut rest = y;
            for &(x, n) in parts {
                let (y, after) = rest.split_at_mut(n);
                let x = &x[(first + pixel) * n..][..n];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = MaybeUninit::new(x));
                rest = after;
            }
        }
    };
    // SAFETY: all channels of every pixel are written.
    unsafe {
        vec_uninit(pixels * c, |y| y.par_chunks_mut((crate::ROWS * c).max(1)).enumerate().for_each(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;
    use crate::testing::random;

    fn check<T: Element>() {
        for (shape @ (b, h, w, c), stride, padding, out) in
            [((2, 7, 9, 5), 2, 0, (3, 4)), ((1, 6, 6, 17), 2, 0, (3, 3)), ((3, 3, 4, 1), 1, 1, (3, 4))]
        {
            let x: Vec<T> = random(b * h * w * c, 5).into_iter().map(T::from_f32).collect();
            let inside = |i: usize, oy: usize, ox: usize, stride: usize, padding: usize| -> Vec<f32> {
                let (ci, image) = (i % c, i / c);
                let near = |o: usize, n: usize| {
                    (0..WINDOW)
                        .filter_map(move |k| (o * stride + k).checked_sub(padding).filter(|&at| at < n))
                };
                near(oy, h)
                    .flat_map(|y| {
                        near(ox, w).map(move |x| (y, x)).map(|(y, x)| ((image * h + y) * w + x) * c + ci)
                    })
                    .map(|at| x[at].to_f32())
                    .collect()
            };
            let most = max_pool(&x, shape, stride, padding, out);
            let mean = avg_pool(&x, shape);
            for (at, most) in most.iter().enumerate() {
                let (ci, ox, oy, image) =
                    (at % c, at / c % out.1, at / (c * out.1) % out.0, at / (c * out.1 * out.0));
                let values = inside(image * c + ci, oy, ox, stride, padding);
                assert_eq!(most.to_f32(), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            }
            for (at, mean) in mean.iter().enumerate() {
                let (ci, ox, oy, image) = (at % c, at / c % w, at / (c * w) % h, at / (c * w * h));
                let values = inside(image * c + ci, oy, ox, 1, 1);
                let exact = values.iter().sum::<f32>() / values.len() as f32;
                assert!((mean.to_f32() - exact).abs() < if T::PER_WORD == 2 { 3e-3 } else { 1e-6 });
            }
        }
    }

    #[test]
    fn pools_match_their_definition() {
        check::<f32>();
        check::<bf16>();
    }

    #[test]
    fn channels_are_concatenated() {
        let (a, b) = (random(700 * 3, 1), random(700 * 2, 2));
        let both = concat(&[(&a, 3), (&b, 2)]);
        for (i, pixel) in both.chunks_exact(5).enumerate() {
            assert_eq!((&pixel[..3], &pixel[3..]), (&a[3 * i..][..3], &b[2 * i..][..2]));
        }
        assert_eq!(both.len(), 700 * 5);
    }
}
