//! Losses on logits, with their gradients.

use candle_core::Tensor;

use crate::Result;

/// A loss over a batch of logits.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The mean loss, a scalar.
    pub value: Tensor,
    /// The mean probability σ(logit), a scalar.
    pub probability: Tensor,
    /// The gradient of the mean loss at the logits, the logits' shape.
    pub grad: Tensor,
}

/// Binary cross-entropy of σ(logits) against one label for the whole batch (1 = real, 0 = fake), averaged.
///
/// Goodfellow et al. 2014. As softplus, log(1 + e^x) = max(x, 0) + log(1 + e^−|x|), which stays finite where log(σ(x))
/// does not: the loss is softplus(x) − label·x and its gradient (σ(x) − label)/B. With the label "real" on fakes this is
/// the generator's non-saturating loss.
pub fn binary_cross_entropy(logits: &Tensor, label: f64) -> Result<Loss> {
    let n = logits.elem_count() as f64;
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    let value = (softplus - (logits * label)?)?.mean_all()?;
    // σ(x) = (1 + tanh(x/2))/2 overflows nowhere.
    let sigma = (((logits * 0.5)?.tanh()? + 1.0)? * 0.5)?;
    let grad = ((&sigma - label)? / n)?;
    Ok(Loss { value, probability: sigma.mean_all()?, grad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn moderate_logits_agree_with_candle_nn() {
        let logits = Tensor::new(&[-3.0f32, -0.5, 0.0, 1.0, 4.0], &Device::Cpu).unwrap();
        let labels = logits.ones_like().unwrap();
        let theirs = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &labels).unwrap();
        let ours = binary_cross_entropy(&logits, 1.0).unwrap().value;
        let [a, b] = [ours, theirs].map(|t| t.to_scalar::<f32>().unwrap());
        assert!((a - b).abs() < 1e-6, "{a} {b}");
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
            let value = loss.value.to_scalar::<f32>().unwrap() as f64;
            assert!((value - exact).abs() < 1e-6 * exact, "{value} {exact}");
            for (g, &x) in loss.grad.to_vec1::<f32>().unwrap().iter().zip(&x) {
                let exact = (1.0 / (1.0 + (-x as f64).exp()) - label) / 9.0;
                assert!((*g as f64 - exact).abs() < 1e-7, "{g} {exact}");
            }
        }
    }
}
