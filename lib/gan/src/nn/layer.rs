//! Layers with explicit forward and backward, and a network as a list of them.
//!
//! A layer's forward in training mode returns what its backward needs. Autograd takes no part: each of its gradient
//! edges would allocate and add, and its convolution gradients are slow. In tests it is the oracle.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use crate::nn::ops::{Activation, Backend, BatchStats, Geometry, Norm, Weight};
use crate::precision::Precision;
use crate::{Error, Result};

/// PyTorch's default for batch-norm: added to the variance.
pub(crate) const BN_EPS: f64 = 1e-5;
/// PyTorch's default for batch-norm: the share of a new batch in the running statistics.
const BN_MOMENTUM: f64 = 0.1;

/// A layer, with the activation that follows it.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A convolution, or a linear layer, which is one of [`Geometry::K1S1P0`].
    Conv {
        /// The name in PyTorch's `state_dict`, such as `main.0`.
        name: String,
        /// Its shape.
        geometry: Geometry,
        /// `[kh, kw, in, out]`.
        weight: Weight,
        /// Added to its output, `[out]`.
        bias: Option<Tensor>,
        /// Applied to its output.
        activation: Activation,
    },
    /// A transposed convolution.
    ConvTranspose {
        /// The name in PyTorch's `state_dict`.
        name: String,
        /// Its shape.
        geometry: Geometry,
        /// `[4, 4, out, in]`.
        weight: Weight,
        /// Applied to its output.
        activation: Activation,
    },
    /// Batch-norm over the channels.
    BatchNorm {
        /// The name in PyTorch's `state_dict`.
        name: String,
        /// Scale, `[C]`.
        gamma: Tensor,
        /// Shift, `[C]`.
        beta: Tensor,
        /// Running mean and (unbiased) variance, `[C]`, for evaluation mode.
        running: BatchStats,
        /// Applied to its output.
        activation: Activation,
    },
    /// Images of another shape with the same numbers, row by row.
    Reshape([usize; 3]),
}

/// What a layer's backward needs of its forward.
#[derive(Debug)]
struct Saved {
    x: Tensor,
    y: Tensor,
    /// Of the batch; batch-norm only.
    moments: Option<BatchStats>,
}

/// What the backward pass needs of the forward pass of a whole network.
#[derive(Debug)]
pub struct Tape(Vec<Saved>);

/// What the batch-norms of a network saw of a batch: its moments and how many numbers a channel had. One per layer.
#[derive(Debug)]
pub struct BatchNormStats(Vec<Option<(BatchStats, f64)>>);

impl Tape {
    /// For [`Network::update_running_stats`].
    pub fn seen(&self) -> BatchNormStats {
        let of = |saved: &Saved| {
            let moments = saved.moments.clone()?;
            let n = saved.x.elem_count() as f64 / moments.mean.elem_count() as f64;
            Some((moments, n))
        };
        BatchNormStats(self.0.iter().map(of).collect())
    }
}

/// Which gradients a backward pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradTarget {
    /// Those of the parameters, to train this network.
    Parameters,
    /// That of the input, to train what made it.
    Input,
}

/// The result of a backward pass.
#[derive(Debug)]
pub enum Grads {
    /// One per parameter, in the order of [`Network::parameters`].
    Parameters(Vec<Tensor>),
    /// The input's.
    Input(Tensor),
}

impl Layer {
    /// Training mode: batch-norm uses the batch's statistics.
    fn forward(&self, backend: Backend, x: Tensor, out: DType) -> Result<Saved> {
        Ok(match self {
            Layer::BatchNorm { gamma, beta, activation, .. } => {
                let moments = backend.batch_stats(&x)?;
                let norm = Norm { gamma, beta, eps: BN_EPS, activation: *activation };
                let y = backend.batch_norm(&x, &moments, &norm)?;
                Saved { x, y, moments: Some(moments) }
            }
            _ => Saved { y: self.evaluate(backend, &x, out)?, x, moments: None },
        })
    }

    /// Takes a batch's moments, of `n` numbers each, into the running statistics.
    fn update_running_stats(&mut self, moments: &BatchStats, n: f64) -> Result<()> {
        if let Layer::BatchNorm { running, .. } = self {
            // The running variance is the unbiased one; a single row has none, and counts as it is.
            let unbiased = n / (n - 1.0).max(1.0);
            let mix = |old: &Tensor, new: &Tensor, scale: f64| -> Result<Tensor> {
                Ok(((old * (1.0 - BN_MOMENTUM))? + (new * (BN_MOMENTUM * scale))?)?)
            };
            running.mean = mix(&running.mean, &moments.mean, 1.0)?;
            running.var = mix(&running.var, &moments.var, unbiased)?;
        }
        Ok(())
    }

    /// Evaluation mode: batch-norm uses its running statistics. A convolution's output is of type `out`.
    fn evaluate(&self, backend: Backend, x: &Tensor, out: DType) -> Result<Tensor> {
        match self {
            Layer::Conv { geometry, weight, bias, activation, .. } => {
                backend.conv2d(*geometry, x, weight, bias.as_ref(), *activation, out)
            }
            Layer::ConvTranspose { geometry, weight, activation, .. } => {
                backend.conv_transpose2d(*geometry, x, weight, *activation, out)
            }
            Layer::BatchNorm { gamma, beta, running, activation, .. } => {
                backend.batch_norm(x, running, &Norm { gamma, beta, eps: BN_EPS, activation: *activation })
            }
            &Layer::Reshape([h, w, c]) => Ok(x.reshape((x.dim(0)?, h, w, c))?),
        }
    }

    /// From the gradient at the output: the parameters' gradients (none unless `parameters`) and the input's (none
    /// unless `input`).
    fn backward(
        &self,
        backend: Backend,
        saved: &Saved,
        dy: Tensor,
        parameters: bool,
        input: bool,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let before = |activation: Activation, dy: Tensor| match activation {
            Activation::Identity => Ok(dy),
            _ => backend.activation_backward(activation, &saved.y, dy),
        };
        match self {
            Layer::Conv { geometry, weight, bias, activation, .. } => {
                let dy = before(*activation, dy)?;
                let own = || -> Result<Vec<Tensor>> {
                    let mut grads = Vec::new();
                    if parameters {
                        grads.push(backend.weight_grad(*geometry, &saved.x, &dy)?);
                        if bias.is_some() {
                            grads.push(backend.bias_grad(&dy)?);
                        }
                    }
                    Ok(grads)
                };
                let dx =
                    || backend.conv_transpose2d(*geometry, &dy, weight, Activation::Identity, dy.dtype());
                let numbers = dy.elem_count().max(saved.x.elem_count());
                let (own, dx) = backend.both(numbers, own, || input.then(dx).transpose());
                Ok((own?, dx?))
            }
            Layer::ConvTranspose { geometry, weight, activation, .. } => {
                let dy = before(*activation, dy)?;
                let (own, dx) =
                    backend.conv_transpose_backward(*geometry, &dy, &saved.x, weight, parameters, input)?;
                Ok((own.into_iter().collect(), dx))
            }
            Layer::BatchNorm { gamma, beta, activation, .. } => {
                let norm = Norm { gamma, beta, eps: BN_EPS, activation: *activation };
                let moments = saved.moments.as_ref().expect("a batch-norm's forward keeps its moments");
                let grads = backend.batch_norm_backward(&saved.x, &saved.y, dy, moments, &norm)?;
                let own = if parameters { vec![grads.gamma, grads.beta] } else { vec![] };
                Ok((own, Some(grads.x)))
            }
            Layer::Reshape(_) => Ok((vec![], Some(dy.reshape(saved.x.shape())?))),
        }
    }

    /// (PyTorch's name, tensor) of each parameter.
    fn parameters(&self) -> Vec<(String, &Tensor)> {
        match self {
            Layer::Conv { name, weight, bias, .. } => {
                let bias = bias.iter().map(|bias| (format!("{name}.bias"), bias));
                std::iter::once((format!("{name}.weight"), weight.tensor())).chain(bias).collect()
            }
            Layer::ConvTranspose { name, weight, .. } => vec![(format!("{name}.weight"), weight.tensor())],
            Layer::BatchNorm { name, gamma, beta, .. } => {
                vec![(format!("{name}.weight"), gamma), (format!("{name}.bias"), beta)]
            }
            Layer::Reshape(_) => vec![],
        }
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        match self {
            Layer::Conv { weight, bias, .. } => std::iter::once(weight.tensor_mut()).chain(bias).collect(),
            Layer::ConvTranspose { weight, .. } => vec![weight.tensor_mut()],
            Layer::BatchNorm { gamma, beta, .. } => vec![gamma, beta],
            Layer::Reshape(_) => vec![],
        }
    }

    /// (PyTorch's name, tensor) of each buffer: what is saved but not trained.
    fn buffers_mut(&mut self) -> Vec<(String, &mut Tensor)> {
        match self {
            Layer::BatchNorm { name, running, .. } => vec![
                (format!("{name}.running_mean"), &mut running.mean),
                (format!("{name}.running_var"), &mut running.var),
            ],
            _ => vec![],
        }
    }

    fn buffers(&self) -> Vec<(String, &Tensor)> {
        match self {
            Layer::BatchNorm { name, running, .. } => vec![
                (format!("{name}.running_mean"), &running.mean),
                (format!("{name}.running_var"), &running.var),
            ],
            _ => vec![],
        }
    }
}

/// A weight `[kh, kw, C, S]` in PyTorch's layout: `[S, C, kh, kw]`, a linear layer's `[S, C]`; other tensors as they are.
/// On the CPU, with numbers of its own: the optimizer changes those of the parameters.
fn to_pytorch(tensor: &Tensor) -> Result<Tensor> {
    let tensor = match *tensor.dims() {
        [1, 1, c, s] => tensor.reshape((c, s))?.t()?,
        [_, _, _, _] => tensor.permute((3, 2, 0, 1))?,
        _ => tensor.clone(),
    };
    Ok(tensor.force_contiguous()?.to_device(&Device::Cpu)?)
}

/// The inverse of [`to_pytorch`], with the shape, device and type of `like`, and numbers of its own.
fn from_pytorch(name: &str, tensor: &Tensor, like: &Tensor) -> Result<Tensor> {
    let expected = match *like.dims() {
        [1, 1, c, s] => vec![s, c],
        [h, w, c, s] => vec![s, c, h, w],
        ref other => other.to_vec(),
    };
    if tensor.dims() != expected {
        let shape = |dims: &[usize]| match dims {
            [] | [_] => format!("{dims:?}"),
            _ => dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
        };
        let (found, expected) = (shape(tensor.dims()), shape(&expected));
        return Err(Error::Invalid(format!("{name}: is {found}, expected {expected}")));
    }
    let tensor = match tensor.rank() {
        4 => tensor.permute((2, 3, 1, 0))?,
        2 => tensor.t()?.reshape(like.shape())?,
        _ => tensor.clone(),
    };
    Ok(tensor.to_dtype(DType::F32)?.force_contiguous()?.to_device(like.device())?)
}

/// A stack of layers. It is not `Clone`: on the CPU the optimizer changes its tensors' own numbers, which the clones of a
/// tensor share.
#[derive(Debug)]
pub struct Network {
    layers: Vec<Layer>,
    backend: Backend,
    precision: Precision,
    /// Images that [`Network::forward`] makes together at most.
    together: usize,
}

impl Network {
    /// A network of `layers` whose tensors are on `device` and share no numbers.
    pub fn new(layers: Vec<Layer>, device: &Device) -> Network {
        Network { layers, backend: Backend::of(device), precision: Precision::F32, together: usize::MAX }
    }

    /// A network of the same numbers that shares none with this one.
    pub fn copy(&self) -> Result<Network> {
        let mut layers = self.layers.clone();
        for layer in &mut layers {
            for tensor in layer.parameters_mut() {
                *tensor = tensor.force_contiguous()?;
            }
            for (_, tensor) in layer.buffers_mut() {
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

    /// The same network, which makes so many images together at most: what its layers give of more would take
    /// too much memory.
    pub fn with_together(mut self, images: usize) -> Network {
        self.together = images.max(1);
        self
    }

    /// The same network computed in another precision; its parameters stay f32.
    pub fn with_precision(mut self, precision: Precision) -> Network {
        self.precision = precision;
        self
    }

    /// Which implementation computes it.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Evaluation mode, f32 out. A generator takes latents `[B, nz]` and gives images `[B, H, W, C]` in [−1, 1].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let count = x.dim(0)?;
        if count > self.together {
            let part =
                |first| self.forward(&x.narrow(0, first, self.together.min(count - first))?.contiguous()?);
            let parts = (0..count).step_by(self.together).map(part).collect::<Result<Vec<_>>>()?;
            return Ok(Tensor::cat(&parts, 0)?);
        }
        let mut x = self.input(x)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.evaluate(self.backend, &x, self.output(i))?;
        }
        Ok(x)
    }

    /// Training mode: the output, f32, and what [`Network::backward`] needs. Updates batch-norm's running statistics.
    pub fn forward_train(&mut self, x: &Tensor) -> Result<(Tensor, Tape)> {
        let (y, tape) = self.forward_with_tape(x)?;
        self.update_running_stats(&tape.seen())?;
        Ok((y, tape))
    }

    /// [`Network::forward_train`] that leaves the running statistics to [`Network::update_running_stats`].
    pub fn forward_with_tape(&self, x: &Tensor) -> Result<(Tensor, Tape)> {
        let mut x = self.input(x)?;
        let mut tape = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let mut saved = layer.forward(self.backend, x, self.output(i))?;
            x = saved.y.clone();
            saved.y = saved.y.to_dtype(self.precision.dtype())?;
            tape.push(saved);
        }
        Ok((x, Tape(tape)))
    }

    /// Updates batch-norm's running statistics.
    pub fn update_running_stats(&mut self, BatchNormStats(seen): &BatchNormStats) -> Result<()> {
        let each = self.layers.iter_mut().zip(seen);
        each.filter_map(|(layer, seen)| Some((layer, seen.as_ref()?)))
            .try_for_each(|(layer, (moments, n))| layer.update_running_stats(moments, *n))
    }

    /// What the first layer takes: latents are images of one pixel.
    fn input(&self, x: &Tensor) -> Result<Tensor> {
        Ok(as_images(x)?.to_dtype(self.precision.dtype())?)
    }

    /// The type of layer `i`'s output: what leaves the network is f32.
    fn output(&self, i: usize) -> DType {
        // Layers without weights give the type that they take.
        let last = self.layers.iter().rposition(|l| !l.parameters().is_empty());
        if last == Some(i) { DType::F32 } else { self.precision.dtype() }
    }

    /// The wanted gradients from `dy`, the gradient at the output. What is not wanted is not computed.
    pub fn backward(&self, tape: Tape, dy: Tensor, wanted: GradTarget) -> Result<Grads> {
        let parameters = wanted == GradTarget::Parameters;
        // Where the parameters' gradients alone are wanted, that is the last layer to go back through.
        let last = match parameters {
            true => self.layers.iter().position(|l| !l.parameters().is_empty()).unwrap_or(self.layers.len()),
            false => 0,
        };
        // LossValue of its own: on the CPU the layers change them in place.
        let mut dy = Some(dy.to_dtype(self.precision.dtype())?.copy()?);
        let mut grads = Vec::new();
        for (i, (layer, saved)) in self.layers.iter().zip(tape.0).enumerate().skip(last).rev() {
            let input = i > last || wanted == GradTarget::Input;
            let above = dy.take().expect("every layer but the last one gives its input's gradient");
            let own;
            (own, dy) = layer.backward(self.backend, &saved, above, parameters, input)?;
            grads.push(own);
        }
        Ok(match dy {
            Some(dx) if wanted == GradTarget::Input => Grads::Input(dx),
            _ => Grads::Parameters(grads.into_iter().rev().flatten().collect()),
        })
    }

    /// The trained tensors, in a fixed order.
    pub fn parameters(&self) -> Vec<&Tensor> {
        self.layers.iter().flat_map(Layer::parameters).map(|(_, tensor)| tensor).collect()
    }

    /// The same, to be replaced.
    pub fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.layers.iter_mut().flat_map(Layer::parameters_mut).collect()
    }

    /// Tensors that belong to the parameters (gradients, moments), in PyTorch's names and layouts.
    pub fn to_pytorch(&self, tensors: &[Tensor]) -> Result<Vec<(String, Tensor)>> {
        let names = self.layers.iter().flat_map(Layer::parameters).map(|(name, _)| name);
        names.zip(tensors).map(|(name, tensor)| Ok((name, to_pytorch(tensor)?))).collect()
    }

    /// The inverse of [`Network::to_pytorch`], from a look-up by name. An error names the tensor.
    pub fn from_pytorch<'a>(&self, get: impl Fn(&str) -> Option<&'a Tensor>) -> Result<Vec<Tensor>> {
        let all = self.layers.iter().flat_map(Layer::parameters);
        all.map(|(name, like)| find(&get, &name).and_then(|t| from_pytorch(&name, t, like))).collect()
    }

    /// Parameters and buffers under PyTorch's names, in its layouts (a convolution's weight is `[out, in, kh, kw]`, a
    /// transposed one's `[in, out, kh, kw]`, a linear layer's `[out, in]`), f32, on the CPU.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let all = self.layers.iter().flat_map(|l| l.parameters().into_iter().chain(l.buffers()));
        all.map(|(name, tensor)| Ok((name, to_pytorch(tensor)?))).collect()
    }

    /// Takes the tensors that [`Network::tensors`] gave, or a PyTorch `state_dict` of the same architecture. An error
    /// names the tensor that is missing, of another shape or unknown; `num_batches_tracked` is passed over.
    pub fn load(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let get = |name: &str| tensors.get(name);
        let parameters = self.from_pytorch(get)?;
        let mut buffers = Vec::new();
        for (name, like) in self.layers.iter().flat_map(Layer::buffers) {
            buffers.push(from_pytorch(&name, find(&get, &name)?, like)?);
        }
        let own = self.layers.iter().flat_map(|l| l.parameters().into_iter().chain(l.buffers()));
        let known: Vec<String> = own.map(|(name, _)| name).collect();
        let unknown = |name: &&String| !known.contains(name) && !name.ends_with("num_batches_tracked");
        if let Some(name) = tensors.keys().filter(unknown).min() {
            return Err(Error::Invalid(format!("{name}: is no tensor of this model")));
        }
        self.parameters_mut().into_iter().zip(parameters).for_each(|(old, new)| *old = new);
        let old = self.layers.iter_mut().flat_map(Layer::buffers_mut);
        old.zip(buffers).for_each(|((_, old), new)| *old = new);
        Ok(())
    }
}

fn find<'a>(get: &impl Fn(&str) -> Option<&'a Tensor>, name: &str) -> Result<&'a Tensor> {
    get(name).ok_or_else(|| Error::Invalid(format!("{name}: is missing")))
}

/// Latents `[B, nz]` as images of one pixel, `[B, 1, 1, nz]`; images as they are.
fn as_images(x: &Tensor) -> Result<Tensor> {
    Ok(match x.rank() {
        2 => x.unsqueeze(1)?.unsqueeze(1)?,
        _ => x.clone(),
    })
}
