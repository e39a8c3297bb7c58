//! What a layer is.
//!
//! A layer's forward pass in training mode returns what its backward pass needs. Autograd takes no part: each of its
//! gradient edges would allocate and add, and its convolution gradients are slow. In tests it is the oracle.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::Result;
use crate::nn::ops::Backend;

/// How a layer computes.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The implementation of the operations.
    pub backend: Backend,
    /// The type of the output of a layer with weights. Other layers give the type that they take.
    pub dtype: DType,
}

/// What a layer's backward pass needs of its forward pass.
#[derive(Debug)]
pub struct Saved {
    /// The input.
    pub x: Tensor,
    /// The output.
    pub y: Tensor,
    /// What else the backward pass and [`Layer::update_state`] need, such as batch statistics.
    pub state: Option<State>,
}

/// Data of a layer's own type.
pub type State = Arc<dyn Any + Send + Sync>;

/// The gradients that a backward pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradTarget {
    /// Those of the parameters.
    pub params: bool,
    /// That of the input.
    pub input: bool,
}

/// A layer, with the activation that follows it. Activations are channels-last, `[B, H, W, C]`.
///
/// A block of layers (residual, say) is a layer, too: its [`Saved::state`] holds what its own layers saved.
pub trait Layer: Debug + Send + Sync {
    /// Training mode: batch-norm uses the batch's statistics.
    ///
    /// # Errors
    /// The device is out of memory.
    fn forward(&self, cx: Context, x: Tensor) -> Result<Saved> {
        Ok(Saved { y: self.evaluate(cx, &x)?, x, state: None })
    }

    /// Evaluation mode: batch-norm uses its running statistics.
    ///
    /// # Errors
    /// The device is out of memory.
    fn evaluate(&self, cx: Context, x: &Tensor) -> Result<Tensor>;

    /// The targets' gradients from `dy`, the gradient at the output: one per parameter, in the order of
    /// [`Layer::parameters`], and the input's. On the CPU the numbers of `dy` may change.
    ///
    /// # Errors
    /// The device is out of memory.
    fn backward(
        &self,
        cx: Context,
        saved: &Saved,
        dy: Tensor,
        target: GradTarget,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)>;

    /// Name in PyTorch's `state_dict` and tensor of each parameter, in a fixed order.
    fn parameters(&self) -> Vec<(String, &Tensor)> {
        vec![]
    }

    /// The same tensors, to be replaced.
    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        vec![]
    }

    /// Name and tensor of each buffer: saved, but not trained.
    fn buffers(&self) -> Vec<(String, &Tensor)> {
        vec![]
    }

    /// The same tensors, to be replaced.
    fn buffers_mut(&mut self) -> Vec<&mut Tensor> {
        vec![]
    }

    /// Updates the buffers after a training step from the [`Saved::state`] of its forward pass.
    ///
    /// # Errors
    /// The device is out of memory.
    fn update_state(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }

    /// A copy, whose tensors share their elements with this one's.
    fn boxed(&self) -> Box<dyn Layer>;
}
