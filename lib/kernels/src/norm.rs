//! Batch normalization over the rows of a matrix `[R, C]`, fused with the activation after it; and the column
//! sums of such a matrix.
//!
//! Ioffe and Szegedy 2015; the backward formulas are in their section 3.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::activation::{leaky_relu, tanh};
use crate::element::vec_uninit;
use crate::{Activation, Element, ROWS};

/// The statistics of a batch per channel.
#[derive(Clone, Debug)]
pub struct ChannelStats {
    /// The mean, `[C]`.
    pub mean: Vec<f32>,
    /// The biased variance (divided by R), `[C]`.
    pub var: Vec<f32>,
}

/// Two sums per channel: over the rows of fixed pieces in f32, over the pieces in f64.
fn sums(
    rows: usize,
    c: usize,
    piece: impl Fn(usize, usize, &mut [f32], &mut [f32]) + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let pieces: Vec<Vec<f32>> = (0..rows.div_ceil(ROWS))
        .into_par_iter()
        .map(|i| {
            let mut sum = vec![0.0; 2 * c];
            let (a, b) = sum.split_at_mut(c);
            piece(i * ROWS, ROWS.min(rows - i * ROWS), a, b);
            sum
        })
        .collect();
    let mut total = vec![0.0f64; 2 * c];
    for sum in &pieces {
        total.iter_mut().zip(sum).for_each(|(t, &s)| *t += s as f64);
    }
    let second = total.split_off(c);
    (total, second)
}

/// Mean and biased variance of each channel of `x` `[R, C]`, R ≥ 1.
pub fn channel_stats<T: Element>(x: &[T], c: usize) -> ChannelStats {
    let rows = x.len() / c;
    assert!(rows > 0 && x.len() == rows * c, "batch-norm: not a matrix of {c} columns");
    // Sums of x − x₀ instead of x: a large mean then costs the variance no digits.
    let shift: Vec<f32> = x[..c].iter().map(|v| v.to_f32()).collect();
    let (sum, square) = sums(rows, c, |first, n, sum, square| {
        crate::simd::simd(
            #[inline(always)]
            || {
                for row in x[first * c..(first + n) * c].chunks_exact(c) {
                    for (((s, q), &v), &x0) in sum.iter_mut().zip(&mut *square).zip(row).zip(&shift) {
                        let d = v.to_f32() - x0;
                        *s += d;
                        *q += d * d;
                    }
                }
            },
        );
    });
    let n = rows as f64;
    let mean = sum.iter().zip(&shift).map(|(s, &x0)| (s / n + x0 as f64) as f32).collect();
    let var = sum.iter().zip(&square).map(|(s, q)| ((q / n - (s / n) * (s / n)).max(0.0)) as f32).collect();
    ChannelStats { mean, var }
}

/// The sum of each column of `x` `[R, C]`, R ≥ 1.
pub fn column_sums<T: Element>(x: &[T], c: usize) -> Vec<f32> {
    let rows = x.len() / c;
    assert!(rows > 0 && x.len() == rows * c, "column sums: not a matrix of {c} columns");
    let (sum, _) = sums(rows, c, |first, n, sum, _| {
        crate::simd::simd(
            #[inline(always)]
            || {
                for row in x[first * c..(first + n) * c].chunks_exact(c) {
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s += v.to_f32());
                }
            },
        );
    });
    sum.into_iter().map(|s| s as f32).collect()
}

/// 1/√(var + eps), computed in f64.
pub fn inverse_std(var: &[f32], eps: f64) -> Vec<f32> {
    var.iter().map(|&v| (1.0 / (v as f64 + eps).sqrt()) as f32).collect()
}

/// The parameters of a batch norm, `[C]` each.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// Subtracted first.
    pub mean: &'a [f32],
    /// 1/√(variance + ε), see [`inverse_std`].
    pub inv_std: &'a [f32],
    /// Scale.
    pub gamma: &'a [f32],
    /// Shift.
    pub beta: &'a [f32],
}

impl Channels<'_> {
    /// `inv_std·gamma`; checks all lengths and that of `x` `[R, C]`.
    fn scale<T>(&self, x: &[T]) -> Vec<f32> {
        let c = self.mean.len();
        assert!(x.len().is_multiple_of(c), "batch-norm: not a matrix of {c} columns");
        let all = [self.inv_std, self.gamma, self.beta];
        assert!(all.iter().all(|v| v.len() == c), "batch-norm: channels differ");
        self.inv_std.iter().zip(self.gamma).map(|(i, g)| i * g).collect()
    }
}

/// `activation((x − mean)·inv_std·gamma + beta)`; x and the result `[R, C]`.
pub fn normalize<T: Element>(x: &[T], channels: &Channels, activation: Activation) -> Vec<T> {
    let scale = channels.scale(x);
    let &Channels { mean, beta, .. } = channels;
    let c = mean.len();
    let piece = |(y, x): (&mut [MaybeUninit<T>], &[T])| {
        crate::simd::simd(
            #[inline(always)]
            || match activation {
                Activation::Identity => normalize_rows(x, mean, &scale, beta, |z| z, y),
                Activation::LeakyRelu(slope) => {
                    normalize_rows(x, mean, &scale, beta, |z| leaky_relu(z, slope), y);
                }
                Activation::Tanh => normalize_rows(x, mean, &scale, beta, tanh, y),
            },
        );
    };
    // SAFETY: pieces of x and of the result are the same full rows, and every element of a row is written.
    unsafe { vec_uninit(x.len(), |y| y.par_chunks_mut(ROWS * c).zip(x.par_chunks(ROWS * c)).for_each(piece)) }
}

#[inline(always)]
fn normalize_rows<T: Element>(
    x: &[T],
    mean: &[f32],
    scale: &[f32],
    beta: &[f32],
    activation: impl Fn(f32) -> f32,
    y: &mut [MaybeUninit<T>],
) {
    let c = mean.len();
    for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
        for ((((y, x), &m), &s), &b) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(beta) {
            *y = MaybeUninit::new(T::from_f32(activation((x.to_f32() - m) * s + b)));
        }
    }
}

/// The gradients of gamma and beta.
#[derive(Clone, Debug)]
pub struct AffineGrads {
    /// The gradient of gamma, `[C]`.
    pub gamma: Vec<f32>,
    /// The gradient of beta, `[C]`.
    pub beta: Vec<f32>,
}

/// The backward pass of `activation(batch_norm(x))` in training mode, from `x` and `dy` `[R, C]`; mean and
/// inv_std are those of this batch. `dy` becomes the gradient at x.
///
/// The activation's slope is computed from its input, which costs a multiplication; its output would have to
/// be read from memory.
pub fn backward<T: Element>(
    x: &[T],
    dy: &mut [T],
    channels: &Channels,
    activation: Activation,
) -> AffineGrads {
    match activation {
        Activation::Identity => backward_with(x, dy, channels, |_| 1.0),
        Activation::LeakyRelu(slope) => {
            backward_with(x, dy, channels, move |z| if z > 0.0 { 1.0 } else { slope })
        }
        Activation::Tanh => backward_with(x, dy, channels, |z| 1.0 - tanh(z) * tanh(z)),
    }
}

/// [`backward`] for an activation whose derivative is `slope`.
fn backward_with<T: Element>(
    x: &[T],
    dy: &mut [T],
    channels: &Channels,
    slope: impl Fn(f32) -> f32 + Sync,
) -> AffineGrads {
    // The same rounding as in the forward pass, so that slopes match its outputs.
    let scale = channels.scale(x);
    let &Channels { mean, inv_std, gamma, beta } = channels;
    let (c, rows) = (mean.len(), x.len() / mean.len());
    assert_eq!(x.len(), dy.len(), "batch-norm: shapes differ");
    // dz = dy·f'(z); Σdz and Σdz·(x − mean).
    let above = &*dy;
    let (sum, product) = sums(rows, c, |first, n, sum, product| {
        let range = first * c..(first + n) * c;
        crate::simd::simd(
            #[inline(always)]
            || {
                for (x, dy) in x[range.clone()].chunks_exact(c).zip(above[range.clone()].chunks_exact(c)) {
                    // Slices of one known length, indexed: a chain of this many `zip`s is not vectorized.
                    let (sum, product, mean) = (&mut sum[..c], &mut product[..c], &mean[..c]);
                    let (scale, beta, x, dy) = (&scale[..c], &beta[..c], &x[..c], &dy[..c]);
                    for i in 0..c {
                        let centered = x[i].to_f32() - mean[i];
                        let dz = dy[i].to_f32() * slope(centered * scale[i] + beta[i]);
                        sum[i] += dz;
                        product[i] += dz * centered;
                    }
                }
            },
        );
    });
    let n = rows as f64;
    let each = |f: &dyn Fn(usize) -> f64| (0..c).map(|i| f(i) as f32).collect::<Vec<f32>>();
    let inv = |i: usize| inv_std[i] as f64;
    // dx = gamma·inv_std·(dz − Σdz/R − x̂·Σ(dz·x̂)/R), as scale·dz + b·(x − mean) + d.
    let b = each(&|i| -(gamma[i] as f64) * inv(i).powi(3) * product[i] / n);
    let d = each(&|i| -(gamma[i] as f64) * inv(i) * sum[i] / n);
    dy.par_chunks_mut(ROWS * c).zip(x.par_chunks(ROWS * c)).for_each(|(dy, x)| {
        crate::simd::simd(
            #[inline(always)]
            || {
                for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    let (x, dy, mean) = (&x[..c], &mut dy[..c], &mean[..c]);
                    let (scale, beta, b, d) = (&scale[..c], &beta[..c], &b[..c], &d[..c]);
                    for i in 0..c {
                        let centered = x[i].to_f32() - mean[i];
                        let dz = dy[i].to_f32() * slope(centered * scale[i] + beta[i]);
                        dy[i] = T::from_f32(scale[i] * dz + b[i] * centered + d[i]);
                    }
                }
            },
        );
    });
    AffineGrads { gamma: each(&|i| product[i] * inv(i)), beta: each(&|i| sum[i]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: usize = 5;

    /// R rows around a large mean, where a naive variance loses its digits.
    fn batch(rows: usize) -> Vec<f32> {
        (0..rows * C)
            .map(|i| 100.0 * (i % C) as f32 + (i as f32 * 0.7).sin() * (1.0 + (i % C) as f32))
            .collect()
    }

    #[test]
    fn channel_stats_match_f64_over_several_pieces() {
        for rows in [1, 2, 255, 256, 1000] {
            let x = batch(rows);
            let m = channel_stats(&x, C);
            for c in 0..C {
                let column: Vec<f64> = x.iter().skip(c).step_by(C).map(|&v| v as f64).collect();
                let mean = column.iter().sum::<f64>() / rows as f64;
                let var = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64;
                assert!((m.mean[c] as f64 - mean).abs() < 2e-5, "{} {mean}", m.mean[c]);
                assert!((m.var[c] as f64 - var).abs() < 2e-5 * (1.0 + var), "{} {var}", m.var[c]);
            }
        }
    }

    #[test]
    fn column_sums_match_f64_over_several_pieces() {
        for rows in [1, 100, 256, 257, 1000] {
            let x = batch(rows);
            for (c, sum) in column_sums(&x, C).into_iter().enumerate() {
                let exact: f64 = x.iter().skip(c).step_by(C).map(|&v| v as f64).sum();
                assert!((sum as f64 - exact).abs() < 1e-6 * exact.abs().max(rows as f64), "{sum} {exact}");
            }
        }
    }

    #[test]
    fn backward_matches_finite_differences() {
        let rows = 300;
        let x: Vec<f32> = batch(rows).iter().enumerate().map(|(i, v)| v - 100.0 * (i % C) as f32).collect();
        let gamma = [0.5, 1.0, -1.5, 2.0, 0.1];
        let beta = [0.1, -0.2, 0.3, 0.0, 1.0];
        let weight: Vec<f64> = (0..x.len()).map(|i| (i as f64 * 1.3).cos()).collect();
        for activation in [Activation::Identity, Activation::LeakyRelu(0.2), Activation::Tanh] {
            let forward = |x: &[f32], gamma: &[f32], beta: &[f32]| {
                let m = channel_stats(x, C);
                let inv_std = &*inverse_std(&m.var, 1e-5);
                normalize(x, &Channels { mean: &m.mean, inv_std, gamma, beta }, activation)
            };
            let m = channel_stats(&x, C);
            let y = forward(&x, &gamma, &beta);
            // Without outputs near the kink of LeakyReLU, which a finite difference would cross.
            let weight: Vec<f64> =
                weight.iter().zip(&y).map(|(w, y)| if y.abs() < 0.02 { 0.0 } else { *w }).collect();
            let loss = |y: &[f32]| y.iter().zip(&weight).map(|(&y, w)| y as f64 * w).sum::<f64>();
            let dy: Vec<f32> = weight.iter().map(|&w| w as f32).collect();
            let inv_std = &*inverse_std(&m.var, 1e-5);
            let channels = Channels { mean: &m.mean, inv_std, gamma: &gamma, beta: &beta };
            let mut dx = dy.clone();
            let grads = backward(&x, &mut dx, &channels, activation);
            let h = 2e-3;
            let numeric = |f: &dyn Fn(f32) -> f64| (f(h) - f(-h)) / (2.0 * h as f64);
            for i in [0, 7, 23, 4, 1404, 1499] {
                let slope = numeric(&|d| {
                    let mut x = x.clone();
                    x[i] += d;
                    loss(&forward(&x, &gamma, &beta))
                });
                assert!((dx[i] as f64 - slope).abs() < 2e-2, "{activation:?} x{i}: {} {slope}", dx[i]);
            }
            for c in 0..C {
                let moved = |at: &[f32; C], d: f32| {
                    let mut at = *at;
                    at[c] += d;
                    at
                };
                let dgamma = numeric(&|d| loss(&forward(&x, &moved(&gamma, d), &beta)));
                let dbeta = numeric(&|d| loss(&forward(&x, &gamma, &moved(&beta, d))));
                assert!((grads.gamma[c] as f64 - dgamma).abs() < 5e-2, "{} {dgamma}", grads.gamma[c]);
                assert!((grads.beta[c] as f64 - dbeta).abs() < 5e-2, "{} {dbeta}", grads.beta[c]);
            }
        }
    }
}
