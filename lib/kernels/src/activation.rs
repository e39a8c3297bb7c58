//! Activations and their derivatives, computed from the output, so that the input need not be kept.

use rayon::prelude::*;

use crate::Element;

/// An activation whose derivative is a function of its output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// y = x.
    Identity,
    /// y = x where x > 0, else `slope`·x; a slope of 0 is ReLU. The slope is in [0, 1).
    LeakyRelu(f32),
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// ReLU.
    pub const RELU: Activation = Activation::LeakyRelu(0.0);

    /// The activation of one value. A loop vectorizes if the match is outside of it.
    #[inline(always)]
    pub fn of(self, x: f32) -> f32 {
        match self {
            Activation::Identity => x,
            Activation::LeakyRelu(slope) => leaky_relu(x, slope),
            Activation::Tanh => tanh(x),
        }
    }
}

/// x where x > 0, else slope·x.
#[inline(always)]
pub(crate) fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { x * slope }
}

/// The hyperbolic tangent within 2e-7 of the exact value, relative to it; NaN gives NaN.
///
/// The formulas and polynomials of Cephes' `tanhf` and `expf` (Moshier 1989), without branches or calls, so
/// that loops vectorize. The scalar function of the C library took longer than the matrix product before it.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // Above 10 the result is 1. NaN fails the comparison and is kept; `min` would drop it.
    let a = if x.abs() > 10.0 { 10.0 } else { x.abs() };
    let z = a * a;
    let series = (((-5.704_988_7e-3 * z + 2.063_909e-2) * z - 5.373_971_6e-2) * z + 1.333_144_2e-1) * z;
    let near = a + a * z * (series - 3.333_328e-1);

    // e^2a = 2^n · e^r with |r| ≤ ln 2 / 2. Adding 1.5·2²³ rounds to an integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = 2.0 * std::f32::consts::LOG2_E * a + ROUND;
    let n = shifted - ROUND;
    let r = (2.0 * a - n * LN2_HIGH) - n * LN2_LOW;
    let p = ((1.987_569_2e-4 * r + 1.398_199_9e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2;
    let exp_r = ((p * r + 1.666_666_5e-1) * r + 0.5) * r * r + r + 1.0;
    let two_to_n = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let far = 1.0 - 2.0 / (exp_r * two_to_n + 1.0);

    (if a < 0.625 { near } else { far }).copysign(x)
}

/// Elements in a piece of element-wise work.
const PIECE: usize = 1 << 16;

/// Replaces `dy`, the gradient at the activation's output `y`, by the gradient at its input, `dy · f'(x)`.
/// Both have the same length. In place, to save memory.
pub fn backward<T: Element>(activation: Activation, y: &[T], dy: &mut [T]) {
    assert!(y.len() == dy.len(), "activation: lengths differ");
    #[inline(always)]
    fn each<T: Element>(y: &[T], dy: &mut [T], f: impl Fn(f32, f32) -> f32) {
        dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = T::from_f32(f(y.to_f32(), dy.to_f32())));
    }
    dy.par_chunks_mut(PIECE).zip(y.par_chunks(PIECE)).for_each(|(dy, y)| {
        crate::simd::simd(
            #[inline(always)]
            || match activation {
                Activation::Identity => {}
                Activation::LeakyRelu(slope) => each(y, dy, |y, dy| if y > 0.0 { dy } else { dy * slope }),
                Activation::Tanh => each(y, dy, |y, dy| dy * (1.0 - y * y)),
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_within_2e_7_of_the_exact_value() {
        let all = (0..=2_400_000).map(|i| (i as f32 - 1_200_000.0) * 1e-5);
        let small = (0..400).map(|i| 2f32.powi(-i / 3) * (1.0 + i as f32 / 997.0));
        for x in all.chain(small).chain([0.0, -0.0, 1e-45, 80.0, -3e38, f32::INFINITY, f32::NEG_INFINITY]) {
            let (ours, exact) = (tanh(x), (x as f64).tanh());
            // Subnormal numbers: within the smallest of them.
            assert!((ours as f64 - exact).abs() <= 2e-7 * exact.abs() + 1e-45, "{x}: {ours} {exact}");
            assert_eq!(ours.is_sign_negative(), x.is_sign_negative(), "{x}");
        }
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn derivatives_match_finite_differences() {
        let x: Vec<f32> = (0..400).map(|i| (i as f32 - 199.7) * 0.02).collect();
        for activation in
            [Activation::Identity, Activation::RELU, Activation::LeakyRelu(0.2), Activation::Tanh]
        {
            let at = |d: f32| x.iter().map(|v| activation.of(v + d)).collect::<Vec<f32>>();
            let (low, high) = (at(-1e-3), at(1e-3));
            let mut dx = vec![3.0; x.len()];
            backward(activation, &at(0.0), &mut dx);
            for i in 0..x.len() {
                let numeric = 3.0 * (high[i] - low[i]) / 2e-3;
                assert!((dx[i] - numeric).abs() < 2e-3, "{activation:?} at {}: {} {numeric}", x[i], dx[i]);
            }
        }
    }
}
