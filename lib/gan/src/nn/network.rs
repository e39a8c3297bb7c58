//! A network: layers one after another.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::layer::{Context, GradTarget, Layer, Saved, State};
use super::ops::Backend;
use super::state_dict::{from_pytorch, to_pytorch};
use crate::precision::Precision;
use crate::{Error, Result};

/// A stack of layers. It is not `Clone`: on the CPU the optimizer changes its tensors' own elements, which
/// the clones of a tensor share.
#[derive(Debug)]
pub struct Network {
    layers: Vec<Box<dyn Layer>>,
    /// The first layer with parameters, and the last.
    ends: [usize; 2],
    backend: Backend,
    precision: Precision,
    /// The most images that [`Network::forward`] computes at once.
    max_batch: usize,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub struct Tape(Vec<Saved>);

/// What [`Network::update_state`] needs of a forward pass: an entry per layer.
pub struct States(Vec<Option<State>>);

impl Tape {
    /// For [`Network::update_state`].
    pub fn states(&self) -> States {
        States(self.0.iter().map(|saved| saved.state.clone()).collect())
    }
}

impl Network {
    /// A network of `layers` whose tensors are on `device` and share no elements.
    pub fn new(layers: Vec<Box<dyn Layer>>, device: &Device) -> Network {
        let trained = |i: &usize| !layers[*i].parameters().is_empty();
        let first = (0..layers.len()).find(trained).unwrap_or(layers.len());
        let ends = [first, (0..layers.len()).rfind(trained).unwrap_or(layers.len())];
        let (backend, precision, max_batch) = (Backend::of(device), Precision::F32, usize::MAX);
        Network { layers, ends, backend, precision, max_batch }
    }

    /// A network of the same values that shares no tensor with this one.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn copy(&self) -> Result<Network> {
        let mut layers: Vec<Box<dyn Layer>> = self.layers.iter().map(|layer| layer.boxed()).collect();
        for layer in &mut layers {
            for tensor in layer.parameters_mut() {
                *tensor = tensor.force_contiguous()?;
            }
            for tensor in layer.buffers_mut() {
                *tensor = tensor.force_contiguous()?;
            }
        }
        Ok(Network { layers, ..*self })
    }

    /// The same network computed by the other implementation of the operations; for tests.
    pub fn with_backend(mut self, backend: Backend) -> Network {
        self.backend = backend;
        self
    }

    /// The same network, which computes at most `images` at once in [`Network::forward`], to bound its
    /// memory.
    pub fn with_max_batch(mut self, images: usize) -> Network {
        self.max_batch = images.max(1);
        self
    }

    /// The same network computed in another precision; its parameters stay f32.
    pub fn with_precision(mut self, precision: Precision) -> Network {
        self.precision = precision;
        self
    }

    /// The implementation of the operations.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Evaluation mode, f32 out. A generator takes latents `[B, nz]` and gives images `[B, H, W, C]` in [−1,
    /// 1].
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let count = x.dim(0)?;
        if count > self.max_batch {
            let part =
                |first| self.forward(&x.narrow(0, first, self.max_batch.min(count - first))?.contiguous()?);
            let parts = (0..count).step_by(self.max_batch).map(part).collect::<Result<Vec<_>>>()?;
            return Ok(Tensor::cat(&parts, 0)?);
        }
        let mut x = self.input(x)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.evaluate(self.context(i), &x)?;
        }
        Ok(x)
    }

    /// Training mode: the output, f32, and what the backward pass needs. Updates the layers' states, such as
    /// running statistics.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn forward_train(&mut self, x: &Tensor) -> Result<(Tensor, Tape)> {
        let (y, tape) = self.forward_with_tape(x)?;
        self.update_state(&tape.states())?;
        Ok((y, tape))
    }

    /// [`Network::forward_train`] that leaves the layers' states to [`Network::update_state`].
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn forward_with_tape(&self, x: &Tensor) -> Result<(Tensor, Tape)> {
        let mut x = self.input(x)?;
        let mut tape = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let mut saved = layer.forward(self.context(i), x)?;
            x = saved.y.clone();
            saved.y = saved.y.to_dtype(self.precision.dtype())?;
            tape.push(saved);
        }
        Ok((x, Tape(tape)))
    }

    /// Updates the layers' states, such as batch-norm's running statistics.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn update_state(&mut self, States(states): &States) -> Result<()> {
        let each = self.layers.iter_mut().zip(states);
        each.filter_map(|(layer, state)| Some((layer, state.as_ref()?)))
            .try_for_each(|(layer, state)| layer.update_state(state))
    }

    /// The input of the first layer. Latents `[B, nz]` are images of one pixel, `[B, 1, 1, nz]`.
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        let x = match x.rank() {
            2 => &x.unsqueeze(1)?.unsqueeze(1)?,
            _ => x,
        };
        Ok(x.to_dtype(self.precision.dtype())?)
    }

    /// How layer `i` computes. The network's output is f32.
    fn context(&self, i: usize) -> Context {
        // Layers without weights give the type that they take.
        let dtype = if i == self.ends[1] { DType::F32 } else { self.precision.dtype() };
        Context { backend: self.backend, dtype }
    }

    /// The gradients of the parameters, in the order of [`Network::parameters`], from `dy`, the gradient at
    /// the output.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn backward_params(&self, tape: Tape, dy: Tensor) -> Result<Vec<Tensor>> {
        // The backward pass ends at the first layer that has parameters.
        Ok(self.backward(tape, dy, true, self.ends[0])?.0)
    }

    /// The gradient of the input from `dy`, the gradient at the output.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn backward_input(&self, tape: Tape, dy: Tensor) -> Result<Tensor> {
        let (_, dx) = self.backward(tape, dy, false, 0)?;
        Ok(dx.expect("the first layer gives its input's gradient"))
    }

    /// The parameters' gradients if `params`, back to layer `first`; without them, the input's.
    fn backward(
        &self,
        tape: Tape,
        dy: Tensor,
        params: bool,
        first: usize,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        // Elements of its own: on the CPU the layers change them in place.
        let mut dy = Some(dy.to_dtype(self.precision.dtype())?.copy()?);
        let mut grads = Vec::new();
        for (i, (layer, saved)) in self.layers.iter().zip(tape.0).enumerate().skip(first).rev() {
            let target = GradTarget { params, input: i > first || !params };
            let above = dy.take().expect("every layer above gives its input's gradient");
            let layer_grads;
            (layer_grads, dy) = layer.backward(self.context(i), &saved, above, target)?;
            grads.push(layer_grads);
        }
        Ok((grads.into_iter().rev().flatten().collect(), dy))
    }

    /// Names and tensors of the parameters.
    fn named_parameters(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.layers.iter().flat_map(|layer| layer.parameters())
    }

    /// The trained tensors, in a fixed order.
    pub fn parameters(&self) -> Vec<&Tensor> {
        self.named_parameters().map(|(_, tensor)| tensor).collect()
    }

    /// The same, to be replaced.
    pub fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.layers.iter_mut().flat_map(|layer| layer.parameters_mut()).collect()
    }

    /// Tensors that belong to the parameters (gradients, Adam's moments), in PyTorch's names and layouts.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn to_pytorch(&self, tensors: &[Tensor]) -> Result<Vec<(String, Tensor)>> {
        let names = self.named_parameters().map(|(name, _)| name);
        names.zip(tensors).map(|(name, tensor)| Ok((name, to_pytorch(tensor)?))).collect()
    }

    /// The inverse of [`Network::to_pytorch`], from a look-up by name.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the error names it.
    pub fn from_pytorch<'a>(&self, get: impl Fn(&str) -> Option<&'a Tensor>) -> Result<Vec<Tensor>> {
        self.named_parameters().map(|(name, like)| from_pytorch(&name, find(&get, &name)?, like)).collect()
    }

    /// Parameters and buffers, layer by layer, each with its name.
    fn all_tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.layers.iter().flat_map(|layer| layer.parameters().into_iter().chain(layer.buffers()))
    }

    /// Parameters and buffers under PyTorch's names, in its layouts (a convolution's weight is `[out, in, kh,
    /// kw]`, a transposed one's `[in, out, kh, kw]`, a linear layer's `[out, in]`), f32, on the CPU.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.all_tensors().map(|(name, tensor)| Ok((name, to_pytorch(tensor)?))).collect()
    }

    /// Loads the tensors of [`Network::tensors`], or a PyTorch `state_dict` of the same architecture;
    /// `num_batches_tracked` is ignored.
    ///
    /// # Errors
    /// A tensor is missing, of another shape or unknown; the error names it.
    pub fn load(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let get = |name: &str| tensors.get(name);
        let parameters = self.from_pytorch(get)?;
        let buffers = self.layers.iter().flat_map(|layer| layer.buffers());
        let buffers = buffers
            .map(|(name, like)| from_pytorch(&name, find(&get, &name)?, like))
            .collect::<Result<Vec<_>>>()?;
        let known: Vec<String> = self.all_tensors().map(|(name, _)| name).collect();
        let unknown = |name: &&String| !known.contains(name) && !name.ends_with("num_batches_tracked");
        if let Some(name) = tensors.keys().filter(unknown).min() {
            return Err(Error::Invalid(format!("{name}: this model has no such tensor")));
        }
        self.parameters_mut().into_iter().zip(parameters).for_each(|(old, new)| *old = new);
        let old = self.layers.iter_mut().flat_map(|layer| layer.buffers_mut());
        old.zip(buffers).for_each(|(old, new)| *old = new);
        Ok(())
    }
}

fn find<'a>(get: &impl Fn(&str) -> Option<&'a Tensor>, name: &str) -> Result<&'a Tensor> {
    get(name).ok_or_else(|| Error::Invalid(format!("{name}: is missing")))
}
