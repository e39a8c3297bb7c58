//! Saves a run: its networks, and the state from which it resumes.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::run_dir::{BEST, RunDir};
use super::setup::{Position, Setup};
use super::trainer::{NamedTensors, Trainer};
use crate::checkpoint::{self, CheckpointKind, CheckpointMeta, ShardId};
use crate::progress::Progress;
use crate::{Error, Result};

/// The default time between two saves within an epoch.
pub const SAVE_EVERY: Duration = Duration::from_secs(600);

/// Writes the networks and the state of a run.
pub struct Saver<'a> {
    pub setup: &'a Setup<'a>,
    pub dir: &'a RunDir,
    pub progress: &'a dyn Progress,
    /// The time between two saves within an epoch.
    pub every: Duration,
    /// Whether the next save points `./G.safetensors` at this run.
    pub link: bool,
    /// The step of the last state.
    pub saved: Option<u64>,
    /// The time of the last save.
    pub clock: Instant,
}

/// The state of a run, all of it finite.
pub struct FiniteState(NamedTensors);

impl Saver<'_> {
    /// Whether the run is to be saved after this step.
    pub fn is_due(&self, at: Position) -> bool {
        at.ends_epoch || at.is_last || self.clock.elapsed() >= self.every
    }

    /// The state after this step.
    ///
    /// # Errors
    /// A weight is not finite.
    pub fn state(&self, at: Position, trainer: &Trainer) -> Result<FiniteState> {
        let state = trainer.tensors()?;
        match checkpoint::is_finite(&state)? {
            true => Ok(FiniteState(state)),
            false => Err(self.diverged(at.step, "a weight is not finite")),
        }
    }

    /// Writes everything from which the run resumes, and G as the best one if it is.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(&mut self, at: Position, trainer: &Trainer, state: FiniteState, is_best: bool) -> Result<()> {
        let (g, d) = (&trainer.generator, &trainer.discriminator);
        // In a step D runs on real images, on fakes, and for G's update; G runs once, or twice with fresh
        // noise.
        let schedule = &self.setup.recipe.schedule;
        let (batches_d, batches_g) = (3 * at.step, if schedule.fresh_noise { 2 * at.step } else { at.step });
        let [kind_g, kind_d] = [CheckpointKind::Generator, CheckpointKind::Discriminator];
        let snapshot = at.ends_epoch && self.setup.recipe.output.snapshot_epochs.contains(&at.epoch);
        let names_g = [
            Some(kind_g.file_name().to_string()),
            snapshot.then(|| RunDir::snapshot(at.epoch)),
            is_best.then(|| BEST.into()),
        ];
        let tensors = with_batch_counts(d.tensors()?, batches_d)?;
        self.dir.write_network(kind_d.file_name(), &self.meta(kind_d, at), &tensors)?;
        let tensors = with_batch_counts(g.tensors()?, batches_g)?;
        for name in names_g.iter().flatten() {
            self.dir.write_network(name, &self.meta(kind_g, at), &tensors)?;
        }
        self.dir.sync_metrics()?;
        if std::mem::take(&mut self.link) {
            self.dir.link_newest()?.iter().for_each(|line| self.progress.warn(line));
        }
        // The state comes last: a run that is killed before this line resumes from the last state, and writes
        // the other files again.
        self.dir.write_state(&self.meta(CheckpointKind::State, at), &state.0)?;
        self.saved = Some(at.step);
        self.clock = Instant::now();
        Ok(())
    }

    /// The error of a run that diverged at `step`.
    pub fn diverged(&self, step: u64, what: &str) -> Error {
        let saved = match self.saved {
            Some(step) => format!("{} holds step {step}", CheckpointKind::State.file_name()),
            None => "nothing was saved".into(),
        };
        Error::file(self.dir.path(), format!("step {step}: {what}; {saved}; lower lr_g and lr_d"))
    }

    fn meta(&self, kind: CheckpointKind, at: Position) -> CheckpointMeta {
        let &Setup { recipe, ref model, shard, .. } = self.setup;
        let name = shard.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        CheckpointMeta {
            kind,
            model: model.clone(),
            recipe: recipe.clone(),
            shard: ShardId { name, hash: shard.meta().content_hash.clone(), images: shard.len() },
            step: at.step,
            epoch: at.epoch,
            tool: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Adds PyTorch's count of batches to each batch-norm, so that a `state_dict` has the same keys.
fn with_batch_counts(mut tensors: NamedTensors, batches: u64) -> Result<NamedTensors> {
    let norm = |(name, _): &(String, Tensor)| name.strip_suffix("running_mean").map(String::from);
    for norm in tensors.iter().filter_map(norm).collect::<Vec<_>>() {
        tensors.push((format!("{norm}num_batches_tracked"), Tensor::new(batches as i64, &Device::Cpu)?));
    }
    Ok(tensors)
}
