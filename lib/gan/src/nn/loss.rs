//! Losses on logits, with their gradients.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;

/// What the generator minimizes (Goodfellow et al. 2014, section 3). Both have the same fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorLoss {
    /// −log D(G(z)): strong gradients even where D is sure.
    #[default]
    NonSaturating,
    /// log(1 − D(G(z))), the value of the game itself: G learns little while D is sure.
    Minimax,
}

impl GeneratorLoss {
    /// What [`str::parse`] takes.
    pub const NAMES: [&'static str; 2] = ["non-saturating", "minimax"];

    /// The loss over D's `logits` of G's images.
    pub fn of(self, logits: &Tensor) -> Result<Loss> {
        let label = match self {
            GeneratorLoss::NonSaturating => 1.0,
            GeneratorLoss::Minimax => 0.0,
        };
        let loss = binary_cross_entropy(logits, label)?;
        Ok(match self {
            GeneratorLoss::NonSaturating => loss,
            // log(1 − σ(x)) is what D minimizes on fakes, with the other sign.
            GeneratorLoss::Minimax => {
                Loss { grad: loss.grad.neg()?, numbers: LossValue { negated: true, ..loss.numbers } }
            }
        })
    }
}

impl std::str::FromStr for GeneratorLoss {
    type Err = String;

    fn from_str(name: &str) -> Result<GeneratorLoss, String> {
        let all = [GeneratorLoss::NonSaturating, GeneratorLoss::Minimax];
        all.into_iter().find(|l| l.to_string() == name).ok_or_else(|| format!("{name}: no such loss"))
    }
}

impl std::fmt::Display for GeneratorLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(GeneratorLoss::NAMES[*self as usize])
    }
}

/// A loss over a batch of logits. The gradient is what training needs at once; the numbers to tell can wait.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The gradient of the mean loss at the logits, the logits' shape.
    pub grad: Tensor,
    /// What there is to tell of it.
    pub numbers: LossValue,
}

/// What a loss comes to, as far as it can be told without asking the device for anything.
#[derive(Clone, Debug)]
pub struct LossValue {
    logits: Tensor,
    label: f64,
    negated: bool,
}

impl LossValue {
    /// The mean loss and the mean probability σ(logit) of each of several losses: one question to the device, which first
    /// finishes all that it was given to do.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(all: &[&LossValue]) -> Result<Vec<[f64; 2]>> {
        let flat = all.iter().map(|one| one.logits.flatten_all()).collect::<candle_core::Result<Vec<_>>>()?;
        let flat = Tensor::cat(&flat, 0)?.to_device(&Device::Cpu)?;
        let mut start = 0;
        let each = |one: &&LossValue| {
            let n = one.logits.elem_count();
            start += n;
            let [value, probability] = means(&flat.narrow(0, start - n, n)?, one.label)?;
            Ok([if one.negated { -value } else { value }, probability])
        };
        all.iter().map(each).collect()
    }
}

/// Binary cross-entropy of σ(logits) against one label for the whole batch (1 = real, 0 = fake), averaged.
///
/// Goodfellow et al. 2014. As softplus, log(1 + e^x) = max(x, 0) + log(1 + e^−|x|), which stays finite where log(σ(x))
/// does not: the loss is softplus(x) − label·x and its gradient (σ(x) − label)/B.
pub fn binary_cross_entropy(logits: &Tensor, label: f64) -> Result<Loss> {
    let grad = ((sigma(logits)? - label)? / logits.elem_count() as f64)?;
    Ok(Loss { grad, numbers: LossValue { logits: logits.clone(), label, negated: false } })
}

/// σ(x) = (1 + tanh(x/2))/2, which overflows nowhere.
fn sigma(logits: &Tensor) -> Result<Tensor> {
    Ok((((logits * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

/// The mean of the loss of [`binary_cross_entropy`], and of σ.
fn means(logits: &Tensor, label: f64) -> Result<[f64; 2]> {
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    let value = (softplus - (logits * label)?)?.mean_all()?;
    let mean = |x: Tensor| x.to_scalar::<f32>().map(f64::from);
    Ok([mean(value)?, mean(sigma(logits)?.mean_all()?)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(loss: &Loss) -> f64 {
        LossValue::read(&[&loss.numbers]).unwrap()[0][0]
    }

    #[test]
    fn moderate_logits_agree_with_candle_nn() {
        let logits = Tensor::new(&[-3.0f32, -0.5, 0.0, 1.0, 4.0], &Device::Cpu).unwrap();
        let labels = logits.ones_like().unwrap();
        let theirs = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &labels).unwrap();
        let ours = value(&binary_cross_entropy(&logits, 1.0).unwrap());
        let theirs = f64::from(theirs.to_scalar::<f32>().unwrap());
        assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
    }

    #[test]
    fn values_and_gradients_match_f64_even_where_the_sigmoid_saturates() {
        let x = [-200.0f32, -20.0, -1.5, -1e-4, 0.0, 0.3, 4.0, 30.0, 120.0];
        let logits = Tensor::new(&x, &Device::Cpu).unwrap();
        for label in [0.0, 1.0] {
            let loss = binary_cross_entropy(&logits, label).unwrap();
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
        for kind in GeneratorLoss::NAMES.map(|name| name.parse::<GeneratorLoss>().unwrap()) {
            // −log σ(x) and log(1 − σ(x)), each by a sum that cancels nothing where it is small.
            let exact = |x: f64| match kind {
                GeneratorLoss::NonSaturating => (-x).max(0.0) + (-x.abs()).exp().ln_1p(),
                GeneratorLoss::Minimax => -(x.max(0.0) + (-x.abs()).exp().ln_1p()),
            };
            let loss = kind.of(&logits).unwrap();
            let mean = x.iter().map(|&x| exact(x.into())).sum::<f64>() / 6.0;
            let value = value(&loss);
            assert!((value - mean).abs() < 1e-6 * mean.abs(), "{kind}: {value} {mean}");
            for (g, &x) in loss.grad.to_vec1::<f32>().unwrap().iter().zip(&x) {
                // A central difference of the exact loss.
                let (x, h) = (f64::from(x), 1e-5);
                let slope = (exact(x + h) - exact(x - h)) / (2.0 * h) / 6.0;
                assert!((f64::from(*g) - slope).abs() < 1e-7, "{kind} at {x}: {g} {slope}");
            }
        }
    }

    #[test]
    fn several_losses_are_read_at_once() {
        let logits = [vec![0.5f32, -2.0], vec![3.0], vec![-1.0, 0.0, 4.0]]
            .map(|x| Tensor::from_vec(x.clone(), (x.len(), 1, 1, 1), &Device::Cpu).unwrap());
        let losses = [
            binary_cross_entropy(&logits[0], 1.0).unwrap(),
            binary_cross_entropy(&logits[1], 0.0).unwrap(),
            GeneratorLoss::Minimax.of(&logits[2]).unwrap(),
        ];
        let together = LossValue::read(&losses.each_ref().map(|loss| &loss.numbers)).unwrap();
        let alone = losses.each_ref().map(|loss| LossValue::read(&[&loss.numbers]).unwrap()[0]);
        assert_eq!(together, alone);
        assert!(together[2][0] < 0.0 && together[1][1] > 0.95, "{together:?}");
    }
}
