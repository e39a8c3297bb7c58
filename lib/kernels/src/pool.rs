//! 3×3 pools. Images are `[B, H, W, C]`.

use std::iter::once;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::conv::BatchShape;
use crate::element::Element;
use crate::{Activation, Channels};

/// The height and width of a pooling window.
pub const WINDOW: usize = 3;

/// The maximum of each window, C channels of `to` from `first` on. Windows are `stride` apart; the first
/// begins `padding` above and left of the image. Pixels outside of the image do not count; every window must
/// overlap the image. There are `out` windows in a column and in a row.
pub fn max_pool<T: Element>(
    x: &[T],
    shape: BatchShape,
    stride: usize,
    padding: usize,
    out: (usize, usize),
    to: &mut Channels<T>,
    first: usize,
) {
    let window = |o: usize, n: usize| {
        let end = (o * stride + WINDOW).saturating_sub(padding).min(n);
        (o * stride).saturating_sub(padding).min(end)..end
    };
    let larger = |max: f32, v: f32| if v > max { v } else { max };
    pool(x, shape, out, window, true, larger, &vec![0.0; shape.3], |max, _, _| max, to, first);
}

/// `activation(mean + bias)` of each window, C channels of `to` from `first` on: the mean of the pixels that
/// lie inside the image. Stride and padding are 1; `bias` `[C]`.
pub fn avg_pool<T: Element>(
    x: &[T],
    shape: BatchShape,
    bias: Option<&[f32]>,
    activation: Activation,
    to: &mut Channels<T>,
    first: usize,
) {
    let window = |o: usize, n: usize| o.saturating_sub(1)..(o + 2).min(n);
    let out = (shape.1, shape.2);
    let add = |sum: f32, v: f32| sum + v;
    assert!(bias.is_none_or(|b| b.len() == shape.3), "pool: wrong bias");
    let zeros = vec![0.0; shape.3];
    let b = bias.unwrap_or(&zeros);
    match activation {
        Activation::Identity => pool(x, shape, out, window, false, add, b, |s, n, b| s / n + b, to, first),
        _ => pool(x, shape, out, window, false, add, b, |s, n, b| activation.of(s / n + b), to, first),
    }
}

/// `finish(v₁ ∘ … ∘ v₉, n, bias)` over the pixels of each window, n of which lie inside the image. The
/// others are zeros, or count as one that lies inside if `repeat`. Columns first, then rows: a column serves
/// several windows.
#[expect(clippy::too_many_arguments, reason = "the operands of both pools")]
#[inline(always)]
fn pool<T: Element>(
    x: &[T],
    (b, h, w, c): BatchShape,
    (oh, ow): (usize, usize),
    window: impl Fn(usize, usize) -> Range<usize> + Sync,
    repeat: bool,
    add: impl Fn(f32, f32) -> f32 + Sync,
    bias: &[f32],
    finish: impl Fn(f32, f32, f32) -> f32 + Sync,
    to: &mut Channels<T>,
    first: usize,
) {
    assert_eq!(x.len(), b * h * w * c, "pool: the input is not {:?}", (b, h, w, c));
    let (count, zeros) = (to.count(), vec![T::default(); w * c]);
    let line = |(row, y): (usize, &mut [MaybeUninit<T>])| {
        let (image, rows) = (row / oh, window(row % oh, h));
        let mut columns = vec![0.0; w * c];
        crate::simd::simd(
            #[inline(always)]
            || {
                let line = |iy: usize| &x[(image * h + iy) * w * c..][..w * c];
                let mut lines = [if repeat { line(rows.start) } else { &zeros[..w * c] }; WINDOW];
                lines.iter_mut().zip(rows.clone()).for_each(|(to, iy)| *to = line(iy));
                let all = columns.iter_mut().zip(lines[0]).zip(lines[1]).zip(lines[2]);
                all.for_each(|(((t, p), q), r)| *t = add(add(p.to_f32(), q.to_f32()), r.to_f32()));
                let nothing = vec![0.0; c];
                for (ox, y) in y.chunks_exact_mut(count).enumerate() {
                    let inside = window(ox, w);
                    let n = (rows.len() * inside.len()) as f32;
                    let column = |ix: usize| &columns[ix * c..][..c];
                    let mut three = [if repeat { column(inside.start) } else { &nothing[..c] }; WINDOW];
                    three.iter_mut().zip(inside).for_each(|(to, ix)| *to = column(ix));
                    let all =
                        y[first..first + c].iter_mut().zip(three[0]).zip(three[1]).zip(three[2]).zip(bias);
                    all.for_each(|((((y, p), q), r), b)| {
                        *y = MaybeUninit::new(T::from_f32(finish(add(add(*p, *q), *r), n, *b)));
                    });
                }
            },
        );
    };
    // SAFETY: C channels of every pixel of every line are written.
    let y = unsafe { to.all(b * oh * ow, once(first..first + c)) };
    y.par_chunks_mut((ow * count).max(1)).enumerate().for_each(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;
    use crate::testing::random;

    fn check<T: Element>() {
        for (shape @ (b, h, w, c), stride, padding, out) in
            [((2, 7, 9, 5), 2, 0, (3, 4)), ((1, 6, 6, 170), 2, 0, (3, 3)), ((3, 3, 4, 64), 1, 1, (3, 4))]
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
            // Between other channels.
            let made = |pixels: usize, write: &dyn Fn(&mut Channels<T>)| -> Vec<T> {
                let mut to = Channels::new(pixels, c + 3);
                write(&mut to);
                to.copy(0, &vec![T::default(); pixels], 1);
                to.copy(c + 1, &vec![T::default(); 2 * pixels], 2);
                to.finish().chunks_exact(c + 3).flat_map(|pixel| pixel[1..=c].to_vec()).collect()
            };
            let most = made(b * out.0 * out.1, &|to| max_pool(&x, shape, stride, padding, out, to, 1));
            let identity = Activation::Identity;
            let mean = made(b * h * w, &|to| avg_pool(&x, shape, None, identity, to, 1));
            let bias = random(c, 6);
            let biased = made(b * h * w, &|to| avg_pool(&x, shape, Some(&bias), Activation::RELU, to, 1));
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
                let close = |v: f32| v.abs() < if T::PER_WORD == 2 { 3e-3 } else { 1e-6 };
                assert!(close(mean.to_f32() - exact));
                assert!(close(biased[at].to_f32() - (exact + bias[ci]).max(0.0)));
            }
        }
    }

    #[test]
    fn pools_match_their_definition() {
        check::<f32>();
        check::<bf16>();
    }
}
