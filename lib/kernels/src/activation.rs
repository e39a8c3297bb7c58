//! Activations and their derivatives, the latter from the output alone, so that no input need be kept.

use rayon::prelude::*;

use crate::Element;

/// An activation whose derivative can be had from its output.
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

    /// The activation of one number; a loop over it vectorises where the match is outside of the loop.
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

/// The hyperbolic tangent to within 4e-7, without branches, so that loops vectorise.
///
/// tanh x = (1 − e)/(1 + e) with e = exp(−2|x|); below 1/4, where that loses digits, the odd Taylor polynomial.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let x2 = x * x;
    const SERIES: [f32; 5] = [-1.0 / 3.0, 2.0 / 15.0, -17.0 / 315.0, 62.0 / 2835.0, -1382.0 / 155_925.0];
    let series = SERIES.iter().rev().fold(0.0, |sum, c| sum * x2 + c);
    let small = x + x * x2 * series;
    // exp(y) = 2^n·exp(r), |r| ≤ ln 2 / 2; beyond 10 the result is 1 in f32.
    let y = -2.0 * a.min(10.0);
    let n = (y * std::f32::consts::LOG2_E - 0.5) as i32;
    let n = n as f32;
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let r = y - n * LN_2_HIGH - n * LN_2_LOW;
    const EXP: [f32; 6] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let power = EXP.iter().fold(1.0 / 5040.0, |sum, c| sum * r + c) * r + 1.0;
    let e = power * f32::from_bits(((n as i32 + 127) << 23) as u32);
    let large = ((1.0 - e) / (1.0 + e)).copysign(x);
    // NaN stays NaN: it is not below 1/4 and `min` would make 10 of it.
    if x.is_nan() {
        x
    } else if a < 0.25 {
        small
    } else {
        large
    }
}

/// Elements that one piece of element-wise work covers.
const PIECE: usize = 1 << 16;

/// The gradient at the activation's input: `dx = dy · f'(x)`, with f' taken from the output `y`. All of one length.
pub fn backward<T: Element>(activation: Activation, y: &[T], dy: &[T], dx: &mut [T]) {
    assert!(y.len() == dy.len() && y.len() == dx.len(), "activation: lengths differ");
    #[inline(always)]
    fn each<T: Element>(y: &[T], dy: &[T], dx: &mut [T], f: impl Fn(f32, f32) -> f32) {
        let all = dx.iter_mut().zip(dy).zip(y);
        all.for_each(|((dx, dy), y)| *dx = T::from_f32(f(y.to_f32(), dy.to_f32())));
    }
    let piece = |((dx, dy), y): ((&mut [T], &[T]), &[T])| {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match activation {
                Activation::Identity => each(y, dy, dx, |_, dy| dy),
                Activation::LeakyRelu(slope) => {
                    each(y, dy, dx, |y, dy| if y > 0.0 { dy } else { dy * slope })
                }
                Activation::Tanh => each(y, dy, dx, |y, dy| dy * (1.0 - y * y)),
            },
        );
    };
    dx.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).zip(y.par_chunks(PIECE)).for_each(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hyperbolic_tangent_is_that_of_f64() {
        for i in -240_000..=240_000 {
            let x = i as f32 * 5e-5;
            assert!(
                (tanh(x) as f64 - (x as f64).tanh()).abs() < 4e-7 * (x.abs() as f64).clamp(1e-4, 1.0),
                "{x}"
            );
        }
        for (x, y) in
            [(f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0), (-1e30, -1.0), (0.0, 0.0), (1e-30, 1e-30)]
        {
            assert_eq!(tanh(x), y);
        }
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let x: Vec<f32> = (0..400).map(|i| (i as f32 - 199.7) * 0.02).collect();
        for activation in
            [Activation::Identity, Activation::RELU, Activation::LeakyRelu(0.2), Activation::Tanh]
        {
            let at = |d: f32| x.iter().map(|v| activation.of(v + d)).collect::<Vec<f32>>();
            let (low, high) = (at(-1e-3), at(1e-3));
            let mut dx = vec![0.0; x.len()];
            backward(activation, &at(0.0), &vec![3.0; x.len()], &mut dx);
            for i in 0..x.len() {
                let numeric = 3.0 * (high[i] - low[i]) / 2e-3;
                assert!((dx[i] - numeric).abs() < 2e-3, "{activation:?} at {}: {} {numeric}", x[i], dx[i]);
            }
        }
    }
}
