//! What a run measures: the lines of `metrics.jsonl` and `scores.jsonl`.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::setup::Position;
use super::trainer::{PendingStep, StepMetrics};
use crate::Result;

/// One line of `metrics.jsonl`: the metrics of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// D's loss on real images, in nats.
    pub loss_d_real: f64,
    /// D's loss on fakes, in nats.
    pub loss_d_fake: f64,
    /// The sum of both.
    pub loss_d: f64,
    /// G's loss, in nats.
    pub loss_g: f64,
    /// The value of the game, E log D(x) + E log(1 − D(G(z))), in nats, which D maximizes (Goodfellow et al.
    /// 2014).
    pub value: f64,
    /// D's mean probability that the real images are real.
    pub d_x: f64,
    /// D's mean probability that the fakes are real, before D's update.
    pub d_g_z1: f64,
    /// The same after D's update.
    pub d_g_z2: f64,
    /// Images per second, including the wait for the batch.
    pub images_per_second: f64,
}

/// One line of `scores.jsonl`: the distance of G's images from the training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The epoch at whose end it was measured, from 1.
    pub epoch: u64,
    /// The last step of that epoch.
    pub step: u64,
    /// The Fréchet distance of SqueezeNet features; 0 is best. It is not the FID.
    pub fd_squeezenet: f64,
    /// The number of G's images measured.
    pub fakes: usize,
    /// The number of training images measured.
    pub reals: usize,
    /// Whether it is the best of the run so far.
    pub best: bool,
}

/// Steps whose metrics are still on the device.
pub struct PendingMetrics {
    /// The place of each step, and its number of images.
    steps: Vec<(Position, usize)>,
    values: Vec<PendingStep>,
    /// The start of the first of them.
    clock: Instant,
}

impl PendingMetrics {
    pub fn new() -> PendingMetrics {
        PendingMetrics { steps: vec![], values: vec![], clock: Instant::now() }
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn push(&mut self, at: Position, images: usize, values: PendingStep) {
        self.steps.push((at, images));
        self.values.push(values);
    }

    /// Reads and removes the metrics of all pending steps: one copy from the device, which first finishes
    /// them.
    ///
    /// # Errors
    /// The device failed.
    pub fn flush(&mut self) -> Result<Vec<Metrics>> {
        let values = PendingStep::read(&self.values)?;
        self.values.clear();
        let images: usize = self.steps.iter().map(|(_, images)| images).sum();
        let speed = images as f64 / self.clock.elapsed().as_secs_f64();
        Ok(self
            .steps
            .drain(..)
            .zip(values)
            .map(|((at, _), values)| Metrics::new(at, values, speed))
            .collect())
    }

    /// Starts the clock of the next step.
    pub fn restart_clock(&mut self) {
        self.clock = Instant::now();
    }
}

impl Metrics {
    fn new(at: Position, values: StepMetrics, images_per_second: f64) -> Metrics {
        let StepMetrics { loss_d_real, loss_d_fake, loss_g, d_x, d_g_z1, d_g_z2 } = values;
        let (Position { step, epoch, .. }, loss_d) = (at, values.loss_d());
        let value = -loss_d;
        Metrics {
            step,
            epoch,
            loss_d_real,
            loss_d_fake,
            loss_d,
            loss_g,
            value,
            d_x,
            d_g_z1,
            d_g_z2,
            images_per_second,
        }
    }
}
