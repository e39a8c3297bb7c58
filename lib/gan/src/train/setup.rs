//! What stays the same throughout a run.

use candle_core::Device;

use crate::data::shard::Shard;
use crate::nn::model::ModelConfig;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// The inputs of a run.
pub struct Setup<'a> {
    pub recipe: &'a Recipe,
    pub model: ModelConfig,
    pub shard: &'a Shard,
    pub device: &'a Device,
}

/// A step's place in the run.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// Whether it is the last step of its epoch.
    pub ends_epoch: bool,
    /// Whether it is the last step of the run.
    pub is_last: bool,
}

impl<'a> Setup<'a> {
    /// Checks that `recipe` can train on the images of `shard`.
    ///
    /// # Errors
    /// The architecture or the augmentation does not support the images' size or channels; the recipe asks
    /// for scores of a single image, which has no covariance.
    pub fn new(recipe: &'a Recipe, shard: &'a Shard, device: &'a Device) -> Result<Setup<'a>> {
        let with_path = |e| match e {
            Error::Invalid(what) => Error::file(shard.path(), what),
            other => other,
        };
        let model =
            recipe.model.model((shard.height(), shard.width(), shard.channels())).map_err(with_path)?;
        if recipe.output.score_every > 0 && shard.len() < 2 {
            let what = format!("a score needs at least two images; {} has one", shard.path().display());
            return Err(Error::argument("score_every", what));
        }
        if let Some(augment) = &recipe.augment {
            augment.check_size(shard.height(), shard.width()).map_err(with_path)?;
        }
        Ok(Setup { recipe, model, shard, device })
    }

    /// Steps of the run.
    pub fn steps(&self) -> u64 {
        self.recipe.schedule.total_steps(self.shard.len())
    }

    /// Steps of an epoch.
    pub fn epoch_steps(&self) -> u64 {
        self.recipe.schedule.epoch_steps(self.shard.len())
    }

    /// Images in all steps of the run; the last batch of an epoch may be smaller than the others.
    pub fn images(&self) -> u64 {
        let (steps, epoch_steps) = (self.steps(), self.epoch_steps());
        let (n, batch) = (self.shard.len() as u64, self.recipe.schedule.batch_size as u64);
        steps / epoch_steps * n + (steps % epoch_steps) * batch
    }

    /// The place of `step`, from 1.
    pub fn position(&self, step: u64) -> Position {
        let epoch_steps = self.epoch_steps();
        Position {
            step,
            epoch: step.div_ceil(epoch_steps),
            ends_epoch: step.is_multiple_of(epoch_steps),
            is_last: step == self.steps(),
        }
    }
}
