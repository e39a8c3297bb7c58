//! Convolutions, transposed ones, and linear layers, which are convolutions with a 1×1 kernel.

use candle_core::Tensor;

use super::interface::{Context, GradTarget, Layer, Saved};
use crate::Result;
use crate::nn::ops::{Activation, Backend, Geometry, Weight};

/// A convolution. A linear layer is one of [`Geometry::K1S1P0`] on images of one pixel.
#[derive(Clone, Debug)]
pub struct Conv {
    /// The name in PyTorch's `state_dict`, such as `main.0`.
    pub name: String,
    /// The kernel's shape, stride and padding.
    pub geometry: Geometry,
    /// `[kh, kw, in, out]`.
    pub weight: Weight,
    /// Added to the output, `[out]`.
    pub bias: Option<Tensor>,
    /// Applied to the output.
    pub activation: Activation,
}

/// A transposed convolution.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    /// The name in PyTorch's `state_dict`.
    pub name: String,
    /// The kernel's shape, stride and padding.
    pub geometry: Geometry,
    /// `[kh, kw, out, in]`.
    pub weight: Weight,
    /// Applied to the output.
    pub activation: Activation,
}

/// The gradient at the input of `activation`, whose output is `y`.
fn through(activation: Activation, backend: Backend, y: &Tensor, dy: Tensor) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(dy),
        _ => backend.activation_backward(activation, y, dy),
    }
}

impl Layer for Conv {
    fn evaluate(&self, cx: Context, x: &Tensor) -> Result<Tensor> {
        cx.backend.conv2d(self.geometry, x, &self.weight, self.bias.as_ref(), self.activation, cx.dtype)
    }

    fn backward(
        &self,
        Context { backend, .. }: Context,
        saved: &Saved,
        dy: Tensor,
        target: GradTarget,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let dy = through(self.activation, backend, &saved.y, dy)?;
        let param_grads = || -> Result<Vec<Tensor>> {
            let mut grads = Vec::new();
            if target.params {
                grads.push(backend.weight_grad(self.geometry, &saved.x, &dy)?);
                if self.bias.is_some() {
                    grads.push(backend.bias_grad(&dy)?);
                }
            }
            Ok(grads)
        };
        let identity = Activation::Identity;
        let dx = || backend.conv_transpose2d(self.geometry, &dy, &self.weight, identity, dy.dtype());
        let elements = dy.elem_count().max(saved.x.elem_count());
        let (grads, dx) = backend.both(elements, param_grads, || target.input.then(dx).transpose());
        Ok((grads?, dx?))
    }

    fn parameters(&self) -> Vec<(String, &Tensor)> {
        let bias = self.bias.iter().map(|bias| (format!("{}.bias", self.name), bias));
        std::iter::once((format!("{}.weight", self.name), self.weight.tensor())).chain(bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        std::iter::once(self.weight.tensor_mut()).chain(&mut self.bias).collect()
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Layer for ConvTranspose {
    fn evaluate(&self, cx: Context, x: &Tensor) -> Result<Tensor> {
        cx.backend.conv_transpose2d(self.geometry, x, &self.weight, self.activation, cx.dtype)
    }

    fn backward(
        &self,
        Context { backend, .. }: Context,
        saved: &Saved,
        dy: Tensor,
        GradTarget { params, input }: GradTarget,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let dy = through(self.activation, backend, &saved.y, dy)?;
        let (grad, dx) =
            backend.conv_transpose_backward(self.geometry, &dy, &saved.x, &self.weight, params, input)?;
        Ok((grad.into_iter().collect(), dx))
    }

    fn parameters(&self) -> Vec<(String, &Tensor)> {
        vec![(format!("{}.weight", self.name), self.weight.tensor())]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        vec![self.weight.tensor_mut()]
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
