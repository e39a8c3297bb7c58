//! Batch normalization over the channels (Ioffe and Szegedy 2015).

use std::sync::Arc;

use candle_core::Tensor;

use super::interface::{Context, GradTarget, Layer, Saved, State};
use crate::Result;
use crate::nn::ops::{Activation, BatchStats, Norm};

/// Added to the variance; PyTorch's default.
pub const BN_EPS: f64 = 1e-5;
/// The weight of a new batch in the running statistics; PyTorch's default.
const BN_MOMENTUM: f64 = 0.1;

/// A batch-norm.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The name in PyTorch's `state_dict`.
    pub name: String,
    /// Scale, `[C]`.
    pub gamma: Tensor,
    /// Shift, `[C]`.
    pub beta: Tensor,
    /// Running mean and (unbiased) variance, `[C]`, for evaluation mode.
    pub running: BatchStats,
    /// Applied to the output.
    pub activation: Activation,
}

/// The statistics of a batch, and the number of values of a channel that they are of.
type Observed = (BatchStats, f64);

impl BatchNorm {
    fn norm(&self) -> Norm<'_> {
        Norm { gamma: &self.gamma, beta: &self.beta, eps: BN_EPS, activation: self.activation }
    }
}

/// The statistics that [`BatchNorm::forward`] saved.
fn observed(state: &State) -> &Observed {
    state.downcast_ref().expect("the state that a batch-norm's forward pass saved")
}

impl Layer for BatchNorm {
    fn forward(&self, cx: Context, x: Tensor) -> Result<Saved> {
        let stats = cx.backend.batch_stats(&x)?;
        let y = cx.backend.batch_norm(&x, &stats, &self.norm())?;
        let n = x.elem_count() as f64 / stats.mean.elem_count() as f64;
        let observed: Observed = (stats, n);
        Ok(Saved { x, y, state: Some(Arc::new(observed)) })
    }

    fn evaluate(&self, cx: Context, x: &Tensor) -> Result<Tensor> {
        cx.backend.batch_norm(x, &self.running, &self.norm())
    }

    fn backward(
        &self,
        cx: Context,
        saved: &Saved,
        dy: Tensor,
        target: GradTarget,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let (stats, _) = observed(saved.state.as_ref().expect("a batch-norm saves its statistics"));
        let grads = cx.backend.batch_norm_backward(&saved.x, &saved.y, dy, stats, &self.norm())?;
        let param_grads = if target.params { vec![grads.gamma, grads.beta] } else { vec![] };
        Ok((param_grads, Some(grads.x)))
    }

    fn parameters(&self) -> Vec<(String, &Tensor)> {
        vec![(format!("{}.weight", self.name), &self.gamma), (format!("{}.bias", self.name), &self.beta)]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        vec![&mut self.gamma, &mut self.beta]
    }

    fn buffers(&self) -> Vec<(String, &Tensor)> {
        vec![
            (format!("{}.running_mean", self.name), &self.running.mean),
            (format!("{}.running_var", self.name), &self.running.var),
        ]
    }

    fn buffers_mut(&mut self) -> Vec<&mut Tensor> {
        vec![&mut self.running.mean, &mut self.running.var]
    }

    fn update_state(&mut self, state: &State) -> Result<()> {
        let (stats, n) = observed(state);
        // The running variance is the unbiased one. A single value has none, and counts as it is.
        let unbiased = n / (n - 1.0).max(1.0);
        let mix = |old: &Tensor, new: &Tensor, scale: f64| -> Result<Tensor> {
            Ok(((old * (1.0 - BN_MOMENTUM))? + (new * (BN_MOMENTUM * scale))?)?)
        };
        self.running.mean = mix(&self.running.mean, &stats.mean, 1.0)?;
        self.running.var = mix(&self.running.var, &stats.var, unbiased)?;
        Ok(())
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
