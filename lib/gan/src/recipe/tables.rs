//! The tables of a recipe: every key with its default, range and meaning.

use std::fmt;

use crate::config::{Wrong, table};
use crate::counted;
use crate::data::augment::Augment;
use crate::nn::adam::AdamConfig;
use crate::nn::loss::LossKind;
use crate::nn::model::Arch;
use crate::precision::Precision;

/// The length of a run whose recipe gives none.
pub(super) const DEFAULT_EPOCHS: u64 = 5;
/// The largest seed: TOML's largest integer.
const MAX_SEED: u64 = i64::MAX as u64;

table! {
    /// A recipe.
    pub struct Recipe {
        /// Its name.
        name: String = String::new();
        /// One line about it.
        description ["about"]: String = String::new();
        /// The seed of everything random in the run.
        seed: u64 = 0, Whole(0, MAX_SEED);
        /// The networks.
        model: Arch = Arch::default();
        /// How they are updated.
        optimizer ["optimiser"]: Optimizer = Optimizer::default();
        /// The length of the run, and what a step is.
        schedule: Schedule = Schedule::default();
        /// What a run writes besides its state, the networks and an image grid at the end of every epoch.
        output: Output = Output::default();
        /// The random changes of a training image, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        augment: Option<Augment> = None;
    }
}

table! {
    /// Adam's settings for the two networks.
    pub struct Optimizer {
        /// The generator's learning rate.
        lr_g: f64 = 2e-4, Positive;
        /// The discriminator's learning rate.
        lr_d: f64 = 2e-4, Positive;
        /// Decay of the first moment.
        beta1: f64 = 0.5, BelowOne;
        /// Decay of the second moment.
        beta2: f64 = 0.999, BelowOne;
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, Positive;
    }
}

table! {
    /// The length of a run, and what a step is.
    pub struct Schedule {
        /// Images in a step. The last step of an epoch has the rest.
        batch_size ["batch"]: usize = 128, Whole(1, 65_536);
        /// Whether G's update draws latents of its own; else it learns from the fakes that D has just seen.
        fresh_noise: bool = false;
        /// The loss of the two networks, by name.
        loss: LossKind = LossKind::default();
        /// The number type that the networks are computed in.
        precision: Precision = Precision::F32;
        /// Length of the run in epochs; 5 unless `steps` is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        epochs: Option<u64> = None, Whole(1, 1_000_000);
        /// Length of the run in steps, instead of `epochs`.
        #[serde(skip_serializing_if = "Option::is_none")]
        steps: Option<u64> = None, Whole(1, 1_000_000_000);
    }
}

table! {
    /// What a run writes besides its state, the networks and an image grid at the end of every epoch.
    pub struct Output {
        /// The epochs, rising from 1, after which the generator is kept in a file of its own.
        snapshot_epochs ["keep_at"]: Vec<u64> = vec![];
        /// Steps between two image grids within an epoch; 0: none.
        sample_every: u64 = 0, Whole(0, 1_000_000_000);
        /// Epochs between two scores (FD-SqueezeNet) of the generator; 0: none.
        score_every ["fid_every"]: u64 = 0, Whole(0, 1_000_000);
    }
}

/// The length of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Passes over all images.
    Epochs(u64),
    /// Steps, however many epochs that is.
    Steps(u64),
}

impl Recipe {
    /// Checks all values.
    ///
    /// # Errors
    /// The first key whose value is wrong, and what is wrong with it.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_ranges()?;
        self.model.check()?;
        self.optimizer.check_ranges()?;
        self.schedule.check_ranges()?;
        if self.schedule.epochs.is_some() && self.schedule.steps.is_some() {
            return Err(("steps", "`epochs` is set, too; keep one of them".into()));
        }
        self.output.check_ranges()?;
        self.output.check_epochs(self.schedule.length())?;
        self.augment.as_ref().map_or(Ok(()), Augment::check)
    }

    /// What of this recipe `other` changes, besides the run's length, its output and its name, as one line. `None` if
    /// nothing: then a run of this one may be resumed as the other.
    pub fn changed_by(&self, other: &Recipe) -> Option<String> {
        let lines = |recipe: &Recipe| {
            let mut same = recipe.clone();
            (same.name, same.description, same.output) = Default::default();
            (same.schedule.epochs, same.schedule.steps) = (None, None);
            same.to_toml().lines().map(String::from).collect::<Vec<_>>()
        };
        let (ours, theirs) = (lines(self), lines(other));
        let differs = |a: &[String], b: &[String]| a.iter().find(|line| !b.contains(line)).cloned();
        match (differs(&ours, &theirs), differs(&theirs, &ours)) {
            (None, None) => None,
            (ours, theirs) => {
                let or = |line: Option<String>| line.unwrap_or("no such line".into());
                Some(format!("`{}` where it had `{}`", or(theirs), or(ours)))
            }
        }
    }

    /// The recipe with all of its keys, as a TOML file that [`Recipe::load`] reads; the same bytes for the same recipe.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings and numbers within TOML's range")
    }
}

impl Optimizer {
    /// Adam for the generator.
    pub fn adam_g(&self) -> AdamConfig {
        AdamConfig { lr: self.lr_g, beta1: self.beta1, beta2: self.beta2, eps: self.eps }
    }

    /// Adam for the discriminator.
    pub fn adam_d(&self) -> AdamConfig {
        AdamConfig { lr: self.lr_d, ..self.adam_g() }
    }
}

impl Output {
    /// Checks the epochs of snapshots in a run of `length`.
    fn check_epochs(&self, length: Length) -> Result<(), Wrong> {
        let last = match length {
            Length::Epochs(last) => last,
            // The shard decides the number of epochs.
            Length::Steps(_) => u64::MAX,
        };
        let wrong = |what: String| Err(("snapshot_epochs", what));
        if let Some(pair) = self.snapshot_epochs.windows(2).find(|pair| pair[0] >= pair[1]) {
            return wrong(format!("{} after {}: name each epoch once, rising", pair[1], pair[0]));
        }
        match self.snapshot_epochs.iter().find(|epoch| !(1..=last).contains(*epoch)) {
            Some(0) => wrong("0: epochs are counted from 1".into()),
            Some(epoch) => wrong(format!("{epoch}: the run ends after {length}")),
            None => Ok(()),
        }
    }
}

impl Schedule {
    /// The length of the run.
    pub fn length(&self) -> Length {
        match self.steps {
            Some(steps) => Length::Steps(steps),
            None => Length::Epochs(self.epochs.unwrap_or(DEFAULT_EPOCHS)),
        }
    }

    /// Steps in an epoch of `images`: ⌈images / batch_size⌉.
    pub fn epoch_steps(&self, images: usize) -> u64 {
        images.div_ceil(self.batch_size) as u64
    }

    /// Steps in the complete run over `images`.
    pub fn total_steps(&self, images: usize) -> u64 {
        match self.length() {
            Length::Epochs(epochs) => epochs * self.epoch_steps(images),
            Length::Steps(steps) => steps,
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (n, unit) = match self {
            Length::Epochs(n) => (n, "epoch"),
            Length::Steps(n) => (n, "step"),
        };
        f.write_str(&counted(*n, unit))
    }
}
