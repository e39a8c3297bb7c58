//! Saves a run: its networks, and the state from which it resumes.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::run_dir::{BEST, RunDir};
use super::setup::{Position, Setup};
use super::trainer::{NamedTensors, Trainer};
use crate::checkpoint::{self, CheckpointKind, CheckpointMeta, ShardId};
use crate::nn::layer::Network;
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
        let fresh = self.setup.recipe.schedule.fresh_noise;
        let (runs_d, runs_g) = (3 * at.step, if fresh { 2 * at.step } else { at.step });
        let name = CheckpointKind::Discriminator.file_name();
        self.write_network(name, CheckpointKind::Discriminator, at, d, runs_d)?;
        let snapshot = at.ends_epoch && self.setup.recipe.output.keep_at.contains(&at.epoch);
        let names = [
            Some(CheckpointKind::Generator.file_name().to_string()),
            snapshot.then(|| RunDir::snapshot(at.epoch)),
            is_best.then(|| BEST.into()),
        ];
        for name in names.iter().flatten() {
            self.write_network(name, CheckpointKind::Generator, at, g, runs_g)?;
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

    /// Writes a network that has run on `batches` batches.
    fn write_network(
        &self,
        name: &str,
        kind: CheckpointKind,
        at: Position,
        network: &Network,
        batches: u64,
    ) -> Result<()> {
        let mut tensors = network.tensors()?;
        // PyTorch counts the batches of each batch-norm; with this count a state_dict has the same keys.
        let norm = |(name, _): &(String, Tensor)| name.strip_suffix("running_mean").map(String::from);
        for norm in tensors.iter().filter_map(norm).collect::<Vec<_>>() {
            tensors.push((format!("{norm}num_batches_tracked"), Tensor::new(batches as i64, &Device::Cpu)?));
        }
        self.dir.write_network(name, &self.meta(kind, at), &tensors)
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
