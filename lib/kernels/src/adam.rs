//! One Adam step in a single pass over the parameters, and sums of gradients.

use rayon::prelude::*;

/// The settings of one Adam step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// The learning rate.
    pub lr: f64,
    /// The number of the step, from 1.
    pub t: u64,
}

/// Elements in a piece of work.
const PIECE: usize = 1 << 14;

/// `sum += x`; both have the same length.
pub fn accumulate(sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len(), "accumulate: lengths differ");
    sum.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(sum, x)| {
        crate::simd::simd(
            #[inline(always)]
            || sum.iter_mut().zip(x).for_each(|(s, &x)| *s += x),
        );
    });
}

/// Updates weights `w` and moments `m`, `v` in place from the gradient `g`; all have the same length.
///
/// Kingma and Ba 2015, Algorithm 1, in the order of PyTorch's `torch.optim.Adam`:
/// m += (1−β1)(g−m); v = β2·v + (1−β2)g²; w −= lr/(1−β1^t) · m / (√v/√(1−β2^t) + ε).
pub fn adam(step: &AdamStep, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
    assert!(w.len() == g.len() && m.len() == g.len() && v.len() == g.len(), "adam: lengths differ");
    let AdamStep { beta1, beta2, eps, lr, t } = *step;
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let (c1, b2, c2, eps) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32, eps as f32);
    let size = (lr / (1.0 - beta1.powi(t))) as f32;
    // A factor: another division would cost as much as the rest.
    let root = (1.0 / (1.0 - beta2.powi(t)).sqrt()) as f32;
    let pieces = w.par_chunks_mut(PIECE).zip(m.par_chunks_mut(PIECE));
    pieces.zip(v.par_chunks_mut(PIECE)).zip(g.par_chunks(PIECE)).for_each(|(((w, m), v), g)| {
        crate::simd::simd(
            #[inline(always)]
            || {
                for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
                    *m += c1 * (g - *m);
                    *v = b2 * *v + c2 * g * g;
                    *w -= size * *m / (v.sqrt() * root + eps);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_cover_every_piece() {
        let n = 2 * PIECE + 3;
        let mut sum: Vec<f32> = (0..n).map(|i| i as f32).collect();
        accumulate(&mut sum, &(0..n).map(|i| (2 * i) as f32).collect::<Vec<_>>());
        assert!(sum.iter().enumerate().all(|(i, &s)| s == (3 * i) as f32));
    }

    #[test]
    fn three_steps_follow_the_formula_in_f64() {
        let n = 40_000;
        let g = |t: u64, i: usize| ((i as f64 * 0.37 + t as f64).sin() * 1e-2) as f32;
        let mut w: Vec<f32> = (0..n).map(|i| (i as f32 * 0.11).cos()).collect();
        let mut exact: Vec<[f64; 3]> = w.iter().map(|&w| [w as f64, 0.0, 0.0]).collect();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        for t in 1..=3 {
            let grad: Vec<f32> = (0..n).map(|i| g(t, i)).collect();
            adam(
                &AdamStep { beta1: 0.5, beta2: 0.999, eps: 1e-8, lr: 0.1, t },
                &mut w,
                &mut m,
                &mut v,
                &grad,
            );
            for ([w, m, v], &g) in exact.iter_mut().zip(&grad) {
                let g = g as f64;
                *m = 0.5 * *m + 0.5 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (mh, vh) = (*m / (1.0 - 0.5f64.powi(t as i32)), *v / (1.0 - 0.999f64.powi(t as i32)));
                *w -= 0.1 * mh / (vh.sqrt() + 1e-8);
            }
        }
        for (w, e) in w.iter().zip(&exact) {
            assert!((*w as f64 - e[0]).abs() < 2e-6, "{w} {}", e[0]);
        }
    }
}
