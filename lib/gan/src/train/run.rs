//! The loop: batches in a random order, a step on each, and what a run leaves in its folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::batch::{Batch, Batches};
use super::monitor::Monitor;
use super::{PendingStep, StepMetrics, Trainer, folder};
use crate::checkpoint::{self, CheckpointKind, CheckpointMeta, ShardId, State};
use crate::data::shard::Shard;
use crate::nn::model::ModelConfig;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::rng::{Stream, permutation};
use crate::train::report::Metrics;
use crate::{Error, Result};

/// Measured steps are repeated until they have taken this long together, or there were [`MOST_MEASURED`].
const MEASURE_FOR: Duration = Duration::from_secs(1);
const MOST_MEASURED: usize = 8;
/// How often a run saves within epochs unless told otherwise.
pub const SAVE_EVERY: Duration = Duration::from_secs(600);

/// Steps of a device whose numbers are read together: to read them is to wait until it has done them all, with nothing to do
/// after. On the CPU, which has no time of its own, it is one.
const READ_TOGETHER: usize = 16;

/// A training run that is ready to start.
pub struct Run<'a> {
    recipe: &'a Recipe,
    model: ModelConfig,
    shard: &'a Shard,
    device: &'a Device,
    trainer: Trainer,
    /// Steps that were taken before.
    taken: u64,
    save_every: Duration,
    linked: bool,
}

/// How long a run will take.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// All steps of the run.
    pub steps: u64,
    /// Time of them all.
    pub duration: Duration,
    /// Images trained on per second.
    pub images_per_second: f64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The generator's file.
    pub generator: PathBuf,
    /// Steps that were taken.
    pub step: u64,
    /// The epoch of the last of them, from 1.
    pub epoch: u64,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Time from the first step to the last file.
    pub duration: Duration,
    /// Images trained on per second of that time.
    pub images_per_second: f64,
}

/// Steps that were taken, and not yet told of.
struct PendingMetrics {
    /// Of each: its number, its epoch, its images.
    steps: Vec<(u64, u64, usize)>,
    numbers: Vec<PendingStep>,
    /// When the first of them began.
    clock: Instant,
}

impl<'a> Run<'a> {
    /// Prepares a run of `recipe` on the images of `shard`: fresh networks from the recipe's seed.
    ///
    /// # Errors
    /// Images of a size or channel count that the architecture does not have; a single one, which has no
    /// score, where the recipe asks for scores; a device without room.
    pub fn new(recipe: &'a Recipe, shard: &'a Shard, device: &'a Device) -> Result<Run<'a>> {
        let about = |e| match e {
            Error::Invalid(what) => Error::file(shard.path(), what),
            other => other,
        };
        let model = recipe.model.model((shard.height(), shard.width(), shard.channels())).map_err(about)?;
        if recipe.output.score_every > 0 && shard.len() < 2 {
            let what = format!(
                "--fid-every: a score needs two images at least, and {} has one",
                shard.path().display()
            );
            return Err(Error::Invalid(what));
        }
        if let Some(augment) = &recipe.augment {
            augment.check_size(shard.height(), shard.width()).map_err(about)?;
        }
        let precision = recipe.schedule.precision;
        let generator = model.generator(recipe.seed, device)?.with_precision(precision);
        let discriminator = model.discriminator(recipe.seed, device)?.with_precision(precision);
        let optimizer = &recipe.optimizer;
        let trainer = Trainer::new(generator, discriminator, &optimizer.adam_g(), &optimizer.adam_d())?
            .with_loss(recipe.schedule.loss);
        Ok(Run { recipe, model, shard, device, trainer, taken: 0, save_every: SAVE_EVERY, linked: false })
    }

    /// The same run after the steps that `state` is of. Random numbers are a function of the step, so it goes on as if it had
    /// never stopped.
    ///
    /// # Errors
    /// A state of other networks, or of more steps than the run has.
    pub fn resumed(mut self, state: &State) -> Result<Run<'a>> {
        self.trainer.load(&state.tensors)?;
        self.taken = state.meta.step;
        match self.taken < self.steps() {
            true => Ok(self),
            false => Err(Error::Invalid(format!(
                "step {} of {} is taken already: --epochs (or --steps) lets it go on",
                self.taken,
                self.steps()
            ))),
        }
    }

    /// The same run that, when it first saves, points `./G.safetensors` at its generator: it is the newest then.
    pub fn linked(mut self) -> Run<'a> {
        self.linked = true;
        self
    }

    /// The same run that saves also within epochs, this long after the last time.
    pub fn save_every(mut self, time: Duration) -> Run<'a> {
        self.save_every = time;
        self
    }

    /// All steps of the run.
    pub fn steps(&self) -> u64 {
        self.recipe.schedule.total_steps(self.shard.len())
    }

    /// Images in all steps of the run; the last batch of an epoch may be smaller.
    fn images(&self) -> u64 {
        let (n, batch) = (self.shard.len() as u64, self.recipe.schedule.batch_size as u64);
        let per_epoch = self.recipe.schedule.epoch_steps(self.shard.len());
        self.steps() / per_epoch * n + (self.steps() % per_epoch) * batch
    }

    /// Measures a few steps on a copy of the networks: the run itself is where it was.
    ///
    /// # Errors
    /// A device without room.
    pub fn estimate(&self) -> Result<Estimate> {
        let mut copy = self.trainer.copy()?;
        let order = permutation(self.recipe.seed, Stream::Shuffle, 0, self.shard.len());
        let indices = &order[..self.recipe.schedule.batch_size.min(order.len())];
        let batch = self.batches().gather(indices, 0);
        let count = batch.count;
        let (real, z, fresh) = batch.on(self.device)?;
        // The first step pays for fresh memory.
        copy.step(&real, &z, fresh.as_ref())?;
        let (start, mut measured) = (Instant::now(), vec![]);
        while measured.is_empty() || start.elapsed() < MEASURE_FOR && measured.len() < MOST_MEASURED {
            measured.push(copy.start_step(&real, &z, fresh.as_ref())?);
        }
        PendingStep::read(&measured)?;
        let images_per_second = (count * measured.len()) as f64 / start.elapsed().as_secs_f64();
        let duration = Duration::from_secs_f64(self.images() as f64 / images_per_second);
        Ok(Estimate { steps: self.steps(), duration, images_per_second })
    }

    /// Trains, and leaves in `folder` the resolved recipe, the metrics, and at the end of every epoch and of the run the
    /// state, both networks, images, plots and the page; state and networks more often as [`Run::save_every`] has it. Once `stop` is set it finishes its step, saves and returns.
    ///
    /// The last batch of an epoch is what is left, down to one image: as in PyTorch's loader without `drop_last`. Every
    /// batch-norm of a DCGAN sees at least 4×4 values per image, so even that has a variance.
    ///
    /// # Errors
    /// A loss that is not finite (then the last good checkpoint stays), a file that cannot be written, or
    /// [`Error::Stopped`] if `stop` was set before the first step.
    pub fn train(mut self, folder: &Path, stop: &AtomicBool, progress: &dyn Progress) -> Result<Outcome> {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let model = self.model.clone();
        let mut monitor =
            Monitor::begin(self.recipe, &model, self.shard, self.device, folder, progress, self.taken)?;
        let shuffled = self.batches();
        let (taken, total) = (self.taken, self.steps());
        // On one thread of the pool: tensors are then allocated and freed on the same one, and its heap uses them again. No
        // other work of the pool may be waited for here, since there may be no other thread.
        rayon::scope(|_| {
            thread::scope(|scope| {
                // One batch waits while another is trained on.
                let (sender, batches) = sync_channel(1);
                scope.spawn(move || shuffled.send(taken..total, &sender));
                self.steps_on(batches, folder, stop, progress, &mut monitor)
            })
        })
    }

    /// A step on each batch, to the last one or until `stop`.
    fn steps_on(
        &mut self,
        batches: Receiver<Batch>,
        folder: &Path,
        stop: &AtomicBool,
        progress: &dyn Progress,
        monitor: &mut Monitor,
    ) -> Result<Outcome> {
        let total = self.steps();
        let per_epoch = self.recipe.schedule.epoch_steps(self.shard.len());
        let (start, mut seen) = (Instant::now(), 0);
        let mut saved = Some(self.taken).filter(|&taken| taken > 0);
        let mut save_clock = Instant::now();
        let mut pending = PendingMetrics { steps: vec![], numbers: vec![], clock: start };
        let together = if self.device.is_cpu() { 1 } else { READ_TOGETHER };
        progress.start(self.taken);
        for (step, batch) in (self.taken + 1..).zip(batches) {
            let epoch = (step - 1) / per_epoch + 1;
            let count = batch.count;
            let (real, z, fresh) = batch.on(self.device)?;
            pending.numbers.push(self.trainer.start_step(&real, &z, fresh.as_ref())?);
            pending.steps.push((step, epoch, count));
            seen += count;
            let (ends_epoch, last) = (step % per_epoch == 0, step == total);
            let due = ends_epoch || last || save_clock.elapsed() >= self.save_every;
            // Nothing is shown or saved of a step before all numbers up to it were seen to be finite.
            let told = pending.steps.len() >= together
                || due
                || monitor.should_sample(step)
                || stop.load(Ordering::Relaxed);
            if told {
                for metrics in pending.flush(folder, saved)? {
                    let metrics = metrics?;
                    monitor.step(&metrics)?;
                    let speed = seen as f64 / start.elapsed().as_secs_f64();
                    progress.update(metrics.step, total, &note(&metrics, speed));
                }
            }
            monitor.show(step, &self.trainer.generator)?;
            let stopped = told && stop.load(Ordering::Relaxed) && !last;
            if due || stopped {
                let state = self.state(step, folder, saved)?;
                self.export(folder, step, epoch)?;
                if ends_epoch && self.recipe.output.snapshot_epochs.contains(&epoch) {
                    self.keep(&folder::kept_generator(folder, epoch), step, epoch)?;
                }
                let scored = ends_epoch || last;
                if scored
                    && monitor.score(step, epoch, &self.trainer.generator)?.is_some_and(|score| score.best)
                {
                    self.keep(&folder.join(folder::BEST), step, epoch)?;
                }
                if scored || stopped {
                    monitor.epoch(step, epoch, &self.trainer.generator, start.elapsed())?;
                }
                if last || stopped {
                    monitor.end()?;
                }
                monitor.sync()?;
                if self.linked {
                    folder::link_newest(folder)?.iter().for_each(|line| progress.warn(line));
                    self.linked = false;
                }
                // Last of all: whatever a state is of, the rest of it is there. What a kill before this leaves is made again.
                self.save(folder, step, epoch, &state)?;
                saved = Some(step);
                save_clock = Instant::now();
            }
            if pending.steps.is_empty() {
                // What is shown and saved is not training: it counts for no step's speed.
                pending.clock = Instant::now();
            }
            if last || stopped {
                let duration = start.elapsed();
                return Ok(Outcome {
                    generator: folder.join(CheckpointKind::Generator.file_name()),
                    step,
                    epoch,
                    stopped,
                    duration,
                    images_per_second: seen as f64 / duration.as_secs_f64(),
                });
            }
        }
        unreachable!("there are as many batches as steps")
    }

    fn batches(&self) -> Batches<'a> {
        Batches::new(self.shard, self.recipe, self.model.latent_size(), self.device)
    }

    /// The state, if it is sound; `saved` is the step of the last one that was written.
    fn state(&self, step: u64, folder: &Path, saved: Option<u64>) -> Result<Vec<(String, Tensor)>> {
        let state = self.trainer.tensors()?;
        match checkpoint::is_finite(&state)? {
            true => Ok(state),
            false => Err(diverged(step, "a weight is not finite", folder, saved)),
        }
    }

    /// Writes the state.
    fn save(&self, folder: &Path, step: u64, epoch: u64, state: &[(String, Tensor)]) -> Result<()> {
        checkpoint::write_state(
            &folder.join(CheckpointKind::State.file_name()),
            &self.meta(step, epoch),
            state,
        )
    }

    /// Writes discriminator and generator.
    fn export(&self, folder: &Path, step: u64, epoch: u64) -> Result<()> {
        let meta = CheckpointMeta { kind: CheckpointKind::Discriminator, ..self.meta(step, epoch) };
        // In a step D runs on the real images, on the fakes, and on images for G.
        let tensors = with_batches_tracked(self.trainer.discriminator.tensors()?, 3 * step)?;
        checkpoint::write(&folder.join(meta.kind.file_name()), &meta, &tensors)?;
        self.keep(&folder.join(CheckpointKind::Generator.file_name()), step, epoch)
    }

    /// Writes the generator.
    fn keep(&self, path: &Path, step: u64, epoch: u64) -> Result<()> {
        // In a step it runs once, or a second time on noise of its own.
        let batches = if self.recipe.schedule.fresh_noise { 2 * step } else { step };
        let tensors = with_batches_tracked(self.trainer.generator.tensors()?, batches)?;
        checkpoint::write(
            path,
            &CheckpointMeta { kind: CheckpointKind::Generator, ..self.meta(step, epoch) },
            &tensors,
        )
    }

    /// What the state's file says of itself.
    fn meta(&self, step: u64, epoch: u64) -> CheckpointMeta {
        let name = self.shard.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hash = self.shard.meta().content_hash.clone();
        CheckpointMeta {
            kind: CheckpointKind::State,
            model: self.model.clone(),
            recipe: self.recipe.clone(),
            shard: ShardId { name, hash, images: self.shard.len() },
            step,
            epoch,
            tool: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

impl PendingMetrics {
    /// What each of the steps measured, or that it diverged; `saved` is the step of the state in `folder`.
    ///
    /// # Errors
    /// The device failed.
    fn flush(&mut self, folder: &Path, saved: Option<u64>) -> Result<Vec<Result<Metrics>>> {
        let reports = PendingStep::read(&self.numbers)?;
        let images: usize = self.steps.iter().map(|(.., count)| count).sum();
        let speed = images as f64 / self.clock.elapsed().as_secs_f64();
        self.numbers.clear();
        let each =
            self.steps.drain(..).zip(&reports).map(|((step, epoch, _), report)| match report.is_finite() {
                true => Ok(metrics(step, epoch, report, speed)),
                false => Err(diverged(step, "the loss is not finite", folder, saved)),
            });
        Ok(each.collect())
    }
}

/// Adds what PyTorch counts in each batch-norm, so that a `state_dict` has the very same keys.
fn with_batches_tracked(mut tensors: Vec<(String, Tensor)>, batches: u64) -> Result<Vec<(String, Tensor)>> {
    let norm = |(name, _): &(String, Tensor)| name.strip_suffix("running_mean").map(String::from);
    for norm in tensors.iter().filter_map(norm).collect::<Vec<_>>() {
        tensors.push((format!("{norm}num_batches_tracked"), Tensor::new(batches as i64, &Device::Cpu)?));
    }
    Ok(tensors)
}

fn metrics(step: u64, epoch: u64, losses: &StepMetrics, images_per_second: f64) -> Metrics {
    let &StepMetrics { loss_d_real, loss_d_fake, loss_g, d_x, d_g_z1, d_g_z2 } = losses;
    let loss_d = losses.loss_d();
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

/// What stands beside the bar.
fn note(m: &Metrics, images_per_second: f64) -> String {
    format!("epoch {} loss D {:.3} G {:.3} {images_per_second:.0} img/s", m.epoch, m.loss_d, m.loss_g)
}

/// The error of a run that diverged at `step` and was last saved at `saved`.
fn diverged(step: u64, what: &str, folder: &Path, saved: Option<u64>) -> Error {
    let kept = match saved {
        Some(step) => format!("{} is of step {step}", CheckpointKind::State.file_name()),
        None => "nothing was saved yet".into(),
    };
    Error::file(folder, format!("step {step}: {what}; {kept}; lower --lr-g and --lr-d"))
}
