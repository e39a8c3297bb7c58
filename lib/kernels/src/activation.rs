//! Activations and their derivatives, the latter from the output alone, so that no input need be kept.

use rayon::prelude::*;

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

    /// Applies the activation in place.
    #[inline(always)]
    pub fn apply(self, x: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::LeakyRelu(slope) => pulp::Arch::new().dispatch(
                #[inline(always)]
                || x.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { *v * slope }),
            ),
            Activation::Tanh => x.iter_mut().for_each(|v| *v = v.tanh()),
        }
    }
}

/// Elements that one piece of element-wise work covers.
const PIECE: usize = 1 << 16;

/// The gradient at the activation's input: `dx = dy · f'(x)`, with f' taken from the output `y`. All of one length.
pub fn backward(activation: Activation, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!(y.len() == dy.len() && y.len() == dx.len(), "activation: lengths differ");
    let piece = |((dx, dy), y): ((&mut [f32], &[f32]), &[f32])| {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let all = dx.iter_mut().zip(dy).zip(y);
                match activation {
                    Activation::Identity => all.for_each(|((dx, &dy), _)| *dx = dy),
                    Activation::LeakyRelu(slope) => {
                        all.for_each(|((dx, &dy), &y)| *dx = if y > 0.0 { dy } else { dy * slope });
                    }
                    Activation::Tanh => all.for_each(|((dx, &dy), &y)| *dx = dy * (1.0 - y * y)),
                }
            },
        );
    };
    dx.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).zip(y.par_chunks(PIECE)).for_each(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let x: Vec<f32> = (0..400).map(|i| (i as f32 - 199.7) * 0.02).collect();
        for activation in
            [Activation::Identity, Activation::RELU, Activation::LeakyRelu(0.2), Activation::Tanh]
        {
            let at = |d: f32| {
                let mut y: Vec<f32> = x.iter().map(|v| v + d).collect();
                activation.apply(&mut y);
                y
            };
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
