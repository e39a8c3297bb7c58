//! One training step: the discriminator's gradients and update, then the generator's.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::device::with_layouts_kept;
use crate::nn::adam::{Adam, AdamConfig};
use crate::nn::loss::{Loss, LossKind, LossValue};
use crate::nn::{Network, States, Tape};
use crate::{Error, Result};

/// Both networks and their optimizers: the complete state of a run.
#[derive(Debug)]
pub struct Trainer {
    /// The generator, `[B, nz]` → `[B, H, W, C]`.
    pub generator: Network,
    /// The discriminator, `[B, H, W, C]` → logits.
    pub discriminator: Network,
    adam_g: Adam,
    adam_d: Adam,
    loss: LossKind,
}

/// The metrics of a step. Losses are in nats; probabilities are means of σ(logit) over the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMetrics {
    /// D's loss on real images.
    pub loss_d_real: f64,
    /// D's loss on fakes.
    pub loss_d_fake: f64,
    /// G's loss.
    pub loss_g: f64,
    /// D's probability that the real images are real.
    pub d_x: f64,
    /// D's probability that the fakes are real, before its update.
    pub d_g_z1: f64,
    /// The same after D's update.
    pub d_g_z2: f64,
}

impl StepMetrics {
    /// D's complete loss.
    pub fn loss_d(&self) -> f64 {
        self.loss_d_real + self.loss_d_fake
    }

    /// Whether the losses are finite.
    pub fn is_finite(&self) -> bool {
        [self.loss_d_real, self.loss_d_fake, self.loss_g].iter().all(|v| v.is_finite())
    }
}

/// The metrics of a step, still on the device.
#[derive(Debug)]
pub struct PendingStep {
    real: LossValue,
    fake: LossValue,
    g: LossValue,
}

impl PendingStep {
    /// The metrics of several steps: one copy from the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(steps: &[PendingStep]) -> Result<Vec<StepMetrics>> {
        let all: Vec<&LossValue> = steps.iter().flat_map(|step| [&step.real, &step.fake, &step.g]).collect();
        let report = |read: &[[f64; 2]]| {
            let [[loss_d_real, d_x], [loss_d_fake, d_g_z1], [loss_g, d_g_z2]] = [read[0], read[1], read[2]];
            StepMetrics { loss_d_real, loss_d_fake, loss_g, d_x, d_g_z1, d_g_z2 }
        };
        Ok(LossValue::read(&all)?.chunks_exact(3).map(report).collect())
    }
}

/// Tensors with their names.
pub(super) type NamedTensors = Vec<(String, Tensor)>;

/// D's gradients, its two losses, and the fakes for G's update.
struct DiscriminatorPass {
    grads: Vec<Tensor>,
    real: Loss,
    fake: Loss,
    /// G's images and the tape of their forward pass.
    fakes: (Tensor, Tape),
}

/// D's pass over real images or fakes: the gradients of its parameters, its loss, and its layers' states.
struct HalfPass {
    grads: Vec<Tensor>,
    loss: Loss,
    states: States,
}

fn discriminate(d: &Network, images: &Tensor, loss: impl Fn(&Tensor) -> Result<Loss>) -> Result<HalfPass> {
    let (logits, tape) = d.forward_with_tape(images)?;
    let (loss, states) = (loss(&logits)?, tape.states());
    Ok(HalfPass { grads: d.backward_params(tape, loss.grad.clone())?, loss, states })
}

impl Trainer {
    /// A trainer of two networks, with Adam's moments at zero.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn new(
        generator: Network,
        discriminator: Network,
        adam_g: &AdamConfig,
        adam_d: &AdamConfig,
    ) -> Result<Trainer> {
        let (adam_g, adam_d) = (Adam::new(adam_g, &generator)?, Adam::new(adam_d, &discriminator)?);
        Ok(Trainer { generator, discriminator, adam_g, adam_d, loss: LossKind::default() })
    }

    /// The same trainer with another loss.
    pub fn with_loss(mut self, loss: LossKind) -> Trainer {
        self.loss = loss;
        self
    }

    /// A deep copy.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn copy(&self) -> Result<Trainer> {
        Ok(Trainer {
            generator: self.generator.copy()?,
            discriminator: self.discriminator.copy()?,
            adam_g: self.adam_g.copy()?,
            adam_d: self.adam_d.copy()?,
            loss: self.loss,
        })
    }

    /// Takes one step. First D's update, on `real` `[B, H, W, C]` in [−1, 1] and on the fakes of `z` `[B,
    /// nz]`, each with its own batch-norm statistics. Then G's update, through the updated D, on the images
    /// of the latents `fresh` `[B, nz]`, or without them on the same fakes, as in PyTorch's DCGAN tutorial.
    ///
    /// # Errors
    /// The device failed.
    pub fn step(&mut self, real: &Tensor, z: &Tensor, fresh: Option<&Tensor>) -> Result<StepMetrics> {
        let pending = self.start_step(real, z, fresh)?;
        Ok(PendingStep::read(&[pending])?.remove(0))
    }

    /// [`Trainer::step`] without waiting for the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn start_step(&mut self, real: &Tensor, z: &Tensor, fresh: Option<&Tensor>) -> Result<PendingStep> {
        let backend = self.discriminator.backend();
        let device = real.device();
        let (real, fake, g) = backend.run(|| {
            with_layouts_kept(device, || -> Result<_> {
                let pass = self.discriminator_gradients(real, z)?;
                // An all-reduce over several processes would go between gradients and apply.
                self.adam_d.apply(&mut self.discriminator, &pass.grads)?;
                let (grads, loss) = self.generator_gradients(pass.fakes, fresh)?;
                self.adam_g.apply(&mut self.generator, &grads)?;
                Ok((pass.real, pass.fake, loss))
            })
        })?;
        Ok(PendingStep { real: real.value, fake: fake.value, g: g.value })
    }

    /// The gradients of a step, D's and G's, in PyTorch's names and layouts. Like [`Trainer::step`], it
    /// applies D's before it computes G's; it does not apply G's. For tests.
    ///
    /// # Errors
    /// The device failed.
    pub fn gradients(
        &mut self,
        real: &Tensor,
        z: &Tensor,
        fresh: Option<&Tensor>,
    ) -> Result<(NamedTensors, NamedTensors)> {
        let pass = self.discriminator_gradients(real, z)?;
        self.adam_d.apply(&mut self.discriminator, &pass.grads)?;
        let (grads, _) = self.generator_gradients(pass.fakes, fresh)?;
        Ok((self.discriminator.to_pytorch(&pass.grads)?, self.generator.to_pytorch(&grads)?))
    }

    fn discriminator_gradients(&mut self, real: &Tensor, z: &Tensor) -> Result<DiscriminatorPass> {
        let (g, d, loss) = (&self.generator, &self.discriminator, self.loss);
        let backend = d.backend();
        let on_reals = || discriminate(d, real, |logits| loss.real(logits));
        let on_fakes = || -> Result<_> {
            let fakes = g.forward_with_tape(z)?;
            let passed = discriminate(d, &fakes.0, |logits| loss.fake(logits))?;
            Ok((fakes, passed))
        };
        let (reals, fakes) = backend.both(real.elem_count(), on_reals, on_fakes);
        let (mut reals, (fakes, passed)) = (reals?, fakes?);
        self.generator.update_state(&fakes.1.states())?;
        self.discriminator.update_state(&reals.states)?;
        self.discriminator.update_state(&passed.states)?;
        let sums = reals.grads.iter_mut().zip(&passed.grads).collect();
        backend.each(sums, |(sum, grad)| backend.accumulate(sum, grad))?;
        Ok(DiscriminatorPass { grads: reals.grads, real: reals.loss, fake: passed.loss, fakes })
    }

    /// G's loss and the gradients of its parameters, on the images of the latents `fresh`, or without them on
    /// `fakes`.
    fn generator_gradients(
        &mut self,
        fakes: (Tensor, Tape),
        fresh: Option<&Tensor>,
    ) -> Result<(Vec<Tensor>, Loss)> {
        let (images, tape) = match fresh {
            Some(z) => self.generator.forward_train(z)?,
            None => fakes,
        };
        let (logits, through_d) = self.discriminator.forward_train(&images)?;
        let loss = self.loss.generator(&logits)?;
        let at_images = self.discriminator.backward_input(through_d, loss.grad.clone())?;
        Ok((self.generator.backward_params(tape, at_images)?, loss))
    }

    /// The complete state: `G.NAME` and `D.NAME` (weights and buffers), `adam_g.m.NAME`, `adam_g.v.NAME`,
    /// `adam_g.t` and the same for D, in PyTorch's names and layouts.
    ///
    /// # Errors
    /// The device failed.
    pub fn tensors(&self) -> Result<NamedTensors> {
        let parts = [
            ("G", self.generator.tensors()?),
            ("D", self.discriminator.tensors()?),
            ("adam_g", self.adam_g.tensors(&self.generator)?),
            ("adam_d", self.adam_d.tensors(&self.discriminator)?),
        ];
        let named = |(part, tensors): (&'static str, NamedTensors)| {
            tensors.into_iter().map(move |(name, tensor)| (format!("{part}.{name}"), tensor))
        };
        Ok(parts.into_iter().flat_map(named).collect())
    }

    /// Restores a state of [`Trainer::tensors`].
    ///
    /// # Errors
    /// A tensor is missing or has the wrong shape; the error names it.
    pub fn load(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let part = |prefix: &str| -> HashMap<String, Tensor> {
            let of = |(k, v): (&String, &Tensor)| Some((k.strip_prefix(prefix)?.to_string(), v.clone()));
            tensors.iter().filter_map(of).collect()
        };
        let within = |prefix: &'static str| move |e: Error| e.within(prefix);
        self.generator.load(&part("G.")).map_err(within("G."))?;
        self.discriminator.load(&part("D.")).map_err(within("D."))?;
        self.adam_g.load(&self.generator, &part("adam_g.")).map_err(within("adam_g."))?;
        self.adam_d.load(&self.discriminator, &part("adam_d.")).map_err(within("adam_d."))
    }
}
