//! The training loop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::Device;

use super::loader::{Batch, Loader};
use super::metrics::PendingMetrics;
use super::monitor::Monitor;
use super::run_dir::RunDir;
use super::saver::{SAVE_EVERY, Saver};
use super::setup::{Position, Setup};
use super::trainer::{PendingStep, Trainer};
use crate::checkpoint::{CheckpointKind, State};
use crate::data::shard::Shard;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::rng::{Stream, permutation};
use crate::{Error, Result};

/// Steps are measured until they have taken this long together, but at most [`MAX_MEASURED`].
const MEASURE_FOR: Duration = Duration::from_secs(1);
const MAX_MEASURED: usize = 8;

/// Steps of a GPU whose metrics are read together: each read waits until the GPU has finished all its work,
/// and leaves it idle. On the CPU each step is read.
const READ_TOGETHER: usize = 16;

/// A training run that is ready to start.
pub struct Run<'a> {
    setup: Setup<'a>,
    trainer: Trainer,
    /// Steps taken before.
    taken: u64,
    save_every: Duration,
    linked: bool,
}

/// The expected duration of a run.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Steps of the run.
    pub steps: u64,
    /// The time for all steps.
    pub duration: Duration,
    /// Training images per second.
    pub images_per_second: f64,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The generator's file.
    pub generator: PathBuf,
    /// The last step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// Whether the run was stopped before its last step.
    pub stopped: bool,
    /// The time from the first step to the last file.
    pub duration: Duration,
    /// Training images per second of that time.
    pub images_per_second: f64,
}

impl<'a> Run<'a> {
    /// Prepares a run of `recipe` on the images of `shard`, with new networks from the recipe's seed.
    ///
    /// # Errors
    /// The architecture or the augmentation does not support the images' size or channels; the recipe asks
    /// for scores of a single image; the device is out of memory.
    pub fn new(recipe: &'a Recipe, shard: &'a Shard, device: &'a Device) -> Result<Run<'a>> {
        let setup = Setup::new(recipe, shard, device)?;
        let precision = recipe.schedule.precision.on(device);
        let generator = setup.model.generator(recipe.seed, device)?.with_precision(precision);
        let discriminator = setup.model.discriminator(recipe.seed, device)?.with_precision(precision);
        let (adam_g, adam_d) = (recipe.optimizer.adam_g(), recipe.optimizer.adam_d());
        let trainer = Trainer::new(generator, discriminator, &adam_g, &adam_d)?;
        let trainer = trainer.with_loss(recipe.schedule.loss);
        Ok(Run { setup, trainer, taken: 0, save_every: SAVE_EVERY, linked: false })
    }

    /// Resumes from `state`. Random numbers are a function of the step, so the run continues as if it had
    /// never stopped.
    ///
    /// # Errors
    /// The state is of other networks, or has all steps of the run.
    pub fn resumed(mut self, state: &State) -> Result<Run<'a>> {
        self.trainer.load(&state.tensors)?;
        self.taken = state.meta.step;
        let (step, steps) = (self.taken, self.steps());
        match step < steps {
            true => Ok(self),
            false => Err(Error::Invalid(format!(
                "the run is complete (step {step} of {steps}); raise epochs or steps to continue"
            ))),
        }
    }

    /// Points the link `./G.safetensors` at the run's generator at its first save.
    pub fn linked(mut self) -> Run<'a> {
        self.linked = true;
        self
    }

    /// Also saves within epochs, this long after the last save.
    pub fn save_every(mut self, time: Duration) -> Run<'a> {
        self.save_every = time;
        self
    }

    /// Steps of the run.
    pub fn steps(&self) -> u64 {
        self.setup.steps()
    }

    /// Measures a few steps on a copy of the networks; the run does not change.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn estimate(&self) -> Result<Estimate> {
        let Setup { recipe, shard, .. } = self.setup;
        let mut copy = self.trainer.copy()?;
        let order = permutation(recipe.seed, Stream::Shuffle, 0, shard.len());
        let indices = &order[..recipe.schedule.batch_size.min(order.len())];
        let batch = Loader::new(&self.setup).load(indices, self.setup.position(1));
        let count = batch.count;
        let (real, z, fresh) = batch.into_tensors()?;
        // Not measured: the first step also allocates memory.
        copy.step(&real, &z, fresh.as_ref())?;
        let (start, mut measured) = (Instant::now(), vec![]);
        while measured.is_empty() || start.elapsed() < MEASURE_FOR && measured.len() < MAX_MEASURED {
            measured.push(copy.start_step(&real, &z, fresh.as_ref())?);
        }
        PendingStep::read(&measured)?;
        let images_per_second = (count * measured.len()) as f64 / start.elapsed().as_secs_f64();
        let duration = Duration::from_secs_f64(self.setup.images() as f64 / images_per_second);
        Ok(Estimate { steps: self.steps(), duration, images_per_second })
    }

    /// Trains. Writes the recipe and the metrics into `dir`; after each epoch and at the end of the run also
    /// the state, both networks, images, charts and the report; state and networks also as often as
    /// [`Run::save_every`] says. When `stop` is set, the run finishes its step, saves and returns.
    ///
    /// The last batch of an epoch holds the rest, at least one image, as PyTorch's loader does without
    /// `drop_last`. Each batch-norm of a DCGAN has at least 4×4 values per image, so its variance is defined
    /// even then.
    ///
    /// # Errors
    /// A loss or a weight is not finite (the last good state is kept); a file cannot be written;
    /// [`Error::Stopped`] if `stop` is set before the first step.
    pub fn train(self, dir: &RunDir, stop: &AtomicBool, progress: &dyn Progress) -> Result<Outcome> {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let Run { setup, trainer, taken, save_every, linked } = self;
        let monitor = Monitor::new(&setup, dir, progress, taken)?;
        let start = Instant::now();
        let saver = Saver {
            setup: &setup,
            dir,
            progress,
            every: save_every,
            link: linked,
            saved: Some(taken).filter(|&taken| taken > 0),
            clock: start,
        };
        let pending = PendingMetrics::new();
        let training =
            Loop { setup: &setup, trainer, monitor, saver, pending, stop, progress, start, images: 0 };
        let loader = Loader::new(&setup);
        // On a thread of the pool: the same thread then allocates and frees all tensors, and its heap reuses
        // them. Nothing here may wait for other work of the pool, which may have no second thread.
        rayon::scope(|_| {
            thread::scope(|scope| {
                // One batch waits while the loop trains on the one before.
                let (sender, batches) = sync_channel(1);
                scope.spawn(move || loader.send(taken, &sender));
                progress.start(taken);
                training.run(batches)
            })
        })
    }
}

/// A run in progress.
struct Loop<'a> {
    setup: &'a Setup<'a>,
    trainer: Trainer,
    monitor: Monitor<'a>,
    saver: Saver<'a>,
    pending: PendingMetrics,
    stop: &'a AtomicBool,
    progress: &'a dyn Progress,
    start: Instant,
    /// Images trained on since the start.
    images: usize,
}

impl Loop<'_> {
    /// Takes a step on each batch, to the last one or until `stop` is set.
    fn run(mut self, batches: Receiver<Batch>) -> Result<Outcome> {
        for batch in batches {
            let at = batch.at;
            self.step(batch)?;
            if !self.should_flush(at) {
                continue;
            }
            // From here on the losses up to this step are known to be finite: nothing else is shown or saved.
            self.flush()?;
            self.monitor.sample(at, &self.trainer.generator)?;
            let stopped = self.should_stop() && !at.is_last;
            if stopped || self.saver.is_due(at) {
                self.save(at, stopped)?;
            }
            if stopped || at.is_last {
                return Ok(self.outcome(at, stopped));
            }
            // The time of samples and saves is not training time.
            self.pending.restart_clock();
        }
        unreachable!("the last batch is that of the last step")
    }

    fn step(&mut self, batch: Batch) -> Result<()> {
        let (at, count) = (batch.at, batch.count);
        let (real, z, fresh) = batch.into_tensors()?;
        self.pending.push(at, count, self.trainer.start_step(&real, &z, fresh.as_ref())?);
        self.images += count;
        Ok(())
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the metrics are read now: enough are pending, or something is shown or saved after this step.
    fn should_flush(&self, at: Position) -> bool {
        self.setup.device.is_cpu()
            || self.pending.len() >= READ_TOGETHER
            || self.saver.is_due(at)
            || self.monitor.should_sample(at)
            || self.should_stop()
    }

    fn flush(&mut self) -> Result<()> {
        for metrics in self.pending.flush()? {
            if !(metrics.loss_d + metrics.loss_g).is_finite() {
                return Err(self.saver.diverged(metrics.step, "the loss is not finite"));
            }
            self.monitor.step(&metrics)?;
            let (epoch, loss_d, loss_g) = (metrics.epoch, metrics.loss_d, metrics.loss_g);
            let speed = self.images_per_second();
            let note = format!("epoch {epoch} loss D {loss_d:.3} G {loss_g:.3} {speed:.0} img/s");
            self.progress.update(metrics.step, self.setup.steps(), &note);
        }
        Ok(())
    }

    fn save(&mut self, at: Position, stopped: bool) -> Result<()> {
        // First, so that nothing is written of weights that are not finite.
        let state = self.saver.state(at, &self.trainer)?;
        let generator = &self.trainer.generator;
        let is_best = self.monitor.score(at, generator)?;
        let ends = stopped || at.is_last;
        if ends || at.ends_epoch {
            self.monitor.report(at, generator, self.start.elapsed())?;
        }
        if ends {
            self.monitor.finish()?;
        }
        self.saver.save(at, &self.trainer, state, is_best)
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.start.elapsed().as_secs_f64()
    }

    fn outcome(&self, at: Position, stopped: bool) -> Outcome {
        Outcome {
            generator: self.saver.dir.file(CheckpointKind::Generator.file_name()),
            step: at.step,
            epoch: at.epoch,
            stopped,
            duration: self.start.elapsed(),
            images_per_second: self.images_per_second(),
        }
    }
}
