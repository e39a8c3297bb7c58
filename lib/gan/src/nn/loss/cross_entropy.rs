//! The GAN's own losses (Goodfellow et al. 2014, section 3): D minimizes the binary cross-entropy.
//!
//! As softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^−|x|), which stays finite where log(σ(x)) does not,
//! the cross-entropy of σ(x) against a label is softplus(x) − label·x, and its gradient σ(x) − label.

use candle_core::Tensor;

use super::interface::{GanLoss, Loss, LossValue, sigmoid};
use crate::Result;

/// G minimizes −log D(G(z)), whose gradients are strong even where D is sure.
#[derive(Debug)]
pub struct NonSaturating;

/// G minimizes log(1 − D(G(z))), the value of the game itself: it learns little while D is sure. The fixed
/// point is that of [`NonSaturating`].
#[derive(Debug)]
pub struct Minimax;

/// D gives every image the probability 1/2.
const OPTIMAL_VALUE: (&str, f64) = ("−log 4", -2.0 * std::f64::consts::LN_2);

impl GanLoss for NonSaturating {
    fn name(&self) -> &'static str {
        "non-saturating"
    }

    fn description(&self) -> &'static str {
        "G minimizes −log D(G(z))"
    }

    fn real(&self, logits: &Tensor) -> Result<Loss> {
        real(logits)
    }

    fn fake(&self, logits: &Tensor) -> Result<Loss> {
        fake(logits)
    }

    fn generator(&self, logits: &Tensor) -> Result<Loss> {
        real(logits)
    }

    fn optimal_value(&self) -> Option<(&'static str, f64)> {
        Some(OPTIMAL_VALUE)
    }
}

impl GanLoss for Minimax {
    fn name(&self) -> &'static str {
        "minimax"
    }

    fn description(&self) -> &'static str {
        "G minimizes log(1 − D(G(z)))"
    }

    fn real(&self, logits: &Tensor) -> Result<Loss> {
        real(logits)
    }

    fn fake(&self, logits: &Tensor) -> Result<Loss> {
        fake(logits)
    }

    fn generator(&self, logits: &Tensor) -> Result<Loss> {
        // log(1 − σ(x)) is what D minimizes on fakes, with the other sign.
        let grad = fake(logits)?.grad.neg()?;
        Ok(Loss { grad, value: LossValue::new(logits, |logits| Ok(cross_entropy(logits, 0.0)?.neg()?)) })
    }

    fn optimal_value(&self) -> Option<(&'static str, f64)> {
        Some(OPTIMAL_VALUE)
    }
}

/// −log σ(logits).
fn real(logits: &Tensor) -> Result<Loss> {
    Ok(Loss {
        grad: gradient(logits, 1.0)?,
        value: LossValue::new(logits, |logits| cross_entropy(logits, 1.0)),
    })
}

/// −log(1 − σ(logits)).
fn fake(logits: &Tensor) -> Result<Loss> {
    Ok(Loss {
        grad: gradient(logits, 0.0)?,
        value: LossValue::new(logits, |logits| cross_entropy(logits, 0.0)),
    })
}

/// The gradient of the mean.
fn gradient(logits: &Tensor, label: f64) -> Result<Tensor> {
    Ok(((sigmoid(logits)? - label)? / logits.elem_count() as f64)?)
}

/// The mean.
fn cross_entropy(logits: &Tensor, label: f64) -> Result<Tensor> {
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    Ok((softplus - (logits * label)?)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::loss::LossValue;

    fn value(loss: &Loss) -> f64 {
        LossValue::read(&[&loss.value]).unwrap()[0][0]
    }

    #[test]
    fn moderate_logits_agree_with_candle_nn() {
        let logits = Tensor::new(&[-3.0f32, -0.5, 0.0, 1.0, 4.0], &Device::Cpu).unwrap();
        let labels = logits.ones_like().unwrap();
        let theirs = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &labels).unwrap();
        let ours = value(&real(&logits).unwrap());
        let theirs = f64::from(theirs.to_scalar::<f32>().unwrap());
        assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
    }

    #[test]
    fn values_and_gradients_match_f64_even_where_the_sigmoid_saturates() {
        let x = [-200.0f32, -20.0, -1.5, -1e-4, 0.0, 0.3, 4.0, 30.0, 120.0];
        let logits = Tensor::new(&x, &Device::Cpu).unwrap();
        for (label, loss) in [(0.0, fake(&logits)), (1.0, real(&logits))] {
            let loss = loss.unwrap();
            let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            let exact: f64 =
                x.iter().map(|&x| softplus(x as f64) - label * x as f64).sum::<f64>() / x.len() as f64;
            let value = value(&loss);
            assert!((value - exact).abs() < 1e-6 * exact, "{value} {exact}");
            for (g, &x) in loss.grad.to_vec1::<f32>().unwrap().iter().zip(&x) {
                let exact = (1.0 / (1.0 + (-x as f64).exp()) - label) / 9.0;
                assert!((*g as f64 - exact).abs() < 1e-7, "{g} {exact}");
            }
        }
    }

    #[test]
    fn the_generators_losses_and_their_gradients_match_f64() {
        let x = [-30.0f32, -1.5, 0.0, 0.3, 4.0, 25.0];
        let logits = Tensor::new(&x, &Device::Cpu).unwrap();
        for kind in [&NonSaturating as &dyn GanLoss, &Minimax] {
            let is_minimax = kind.name() == "minimax";
            // −log σ(x) and log(1 − σ(x)), each by a sum that cancels nothing where it is small.
            let exact = |x: f64| match is_minimax {
                false => (-x).max(0.0) + (-x.abs()).exp().ln_1p(),
                true => -(x.max(0.0) + (-x.abs()).exp().ln_1p()),
            };
            let loss = kind.generator(&logits).unwrap();
            let mean = x.iter().map(|&x| exact(x.into())).sum::<f64>() / 6.0;
            let value = value(&loss);
            assert!((value - mean).abs() < 1e-6 * mean.abs(), "{kind:?}: {value} {mean}");
            for (g, &x) in loss.grad.to_vec1::<f32>().unwrap().iter().zip(&x) {
                // A central difference of the exact loss.
                let (x, h) = (f64::from(x), 1e-5);
                let slope = (exact(x + h) - exact(x - h)) / (2.0 * h) / 6.0;
                assert!((f64::from(*g) - slope).abs() < 1e-7, "{kind:?} at {x}: {g} {slope}");
            }
        }
    }

    #[test]
    fn several_losses_are_read_at_once() {
        let logits = [vec![0.5f32, -2.0], vec![3.0], vec![-1.0, 0.0, 4.0]]
            .map(|x| Tensor::from_vec(x.clone(), (x.len(), 1, 1, 1), &Device::Cpu).unwrap());
        let losses =
            [real(&logits[0]).unwrap(), fake(&logits[1]).unwrap(), Minimax.generator(&logits[2]).unwrap()];
        let together = LossValue::read(&losses.each_ref().map(|loss| &loss.value)).unwrap();
        let alone = losses.each_ref().map(|loss| LossValue::read(&[&loss.value]).unwrap()[0]);
        assert_eq!(together, alone);
        assert!(together[2][0] < 0.0 && together[1][1] > 0.95, "{together:?}");
    }
}
