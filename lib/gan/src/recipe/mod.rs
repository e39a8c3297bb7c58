//! Recipes: what a training run needs besides the images, as TOML turned into checked parts.
//!
//! The recipes in `pipelines/` are built in; a recipe may also be a file. Every key must be there and no other may be:
//! a typo is an error that names the nearest key. The image's size and channels come from the shard.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::augment::Augment;
use crate::nn::adam::AdamConfig;
use crate::nn::loss::GeneratorLoss;
use crate::nn::model::{DcganConfig, MlpConfig, ModelConfig, check_hidden};
use crate::precision::Precision;
use crate::{Error, Result, counted};

mod parse;
#[cfg(test)]
mod tests;

/// The longest recipe that is read, in bytes.
const MAX_TOML: u64 = 1 << 20;
/// The range of `seed`: TOML's integers, from 0.
pub const SEEDS: RangeInclusive<u64> = 0..=i64::MAX as u64;
/// The range of `batch`, images in a step.
pub const BATCHES: RangeInclusive<u64> = 1..=65_536;
/// The range of a run in epochs.
pub const EPOCHS: RangeInclusive<u64> = 1..=1_000_000;
/// The range of a run in steps.
pub const STEPS: RangeInclusive<u64> = 1..=1_000_000_000;
/// The range of `nz`, `ngf` and `ndf`.
pub const WIDTHS: RangeInclusive<u64> = 1..=4_096;
/// The range of `sample_every`, in steps; 0: never.
pub const SAMPLE_EVERY: RangeInclusive<u64> = 0..=*STEPS.end();
/// The range of `fid_every`, in epochs; 0: never.
pub const FID_EVERY: RangeInclusive<u64> = 0..=*EPOCHS.end();
/// The recipe that is taken when none is named.
pub const DEFAULT: &str = "celeba";

/// The recipes that are built in: name and TOML.
const BUILT_IN: [(&str, &str); 6] = [
    ("celeba", include_str!("../../../../pipelines/celeba.toml")),
    ("cats", include_str!("../../../../pipelines/cats.toml")),
    ("mnist", include_str!("../../../../pipelines/mnist.toml")),
    ("fashion", include_str!("../../../../pipelines/fashion.toml")),
    ("mnist-fixed", include_str!("../../../../pipelines/mnist-fixed.toml")),
    ("demo", include_str!("../../../../pipelines/demo.toml")),
];

/// A checked recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// The seed of everything random in the run; at most 2^63 − 1, TOML's largest integer.
    pub seed: u64,
    /// The networks.
    pub model: ModelPart,
    /// How they are updated.
    pub optimizer: Optimizer,
    /// How long, in what portions.
    pub schedule: Schedule,
    /// What a run leaves besides its state, the networks and an image at the end of every epoch.
    #[serde(default)]
    pub output: Output,
    /// How a training image is changed each time that it is drawn, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

/// The networks, up to what the shard decides (size and channels).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "arch", rename_all = "lowercase")]
pub enum ModelPart {
    /// The DCGAN of Radford et al. 2015.
    Dcgan {
        /// Length of a latent vector, 1 to 4,096.
        nz: usize,
        /// Width of the generator's last hidden layer, 1 to 4,096.
        ngf: usize,
        /// Width of the discriminator's first layer, 1 to 4,096.
        ndf: usize,
        /// Slope of the discriminator's LeakyReLU below zero, in [0, 1).
        leaky_slope: f64,
        /// Standard deviation of the initial convolution weights N(0, σ), in [0, 1].
        #[serde(default = "init_std")]
        init_std: f64,
        /// Standard deviation of the initial batch-norm scales N(1, σ), in [0, 1].
        #[serde(default = "init_std")]
        norm_init_std: f64,
    },
    /// Multilayer perceptrons on the flattened images.
    Mlp {
        /// Length of a latent vector, 1 to 4,096.
        nz: usize,
        /// Widths of the generator's hidden layers, at most 16 of 1 to 4,096.
        hidden_g: Vec<usize>,
        /// Widths of the discriminator's hidden layers, at most 16 of 1 to 4,096.
        hidden_d: Vec<usize>,
        /// Slope below zero of the generator's hidden activations, in [0, 1); 0 is ReLU.
        slope_g: f64,
        /// Slope below zero of the discriminator's hidden activations, in [0, 1); 0 is ReLU.
        slope_d: f64,
    },
}

/// What recipes had before they said.
fn init_std() -> f64 {
    0.02
}

/// Adam's settings for the two networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// The generator's learning rate, in (0, 1].
    pub lr_g: f64,
    /// The discriminator's learning rate, in (0, 1].
    pub lr_d: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// What is added to the root of the second moment, in (0, 1].
    pub eps: f64,
}

/// How long a run takes, in what portions and what a step of it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Images in a step, 1 to 65,536; the last step of an epoch has what is left.
    pub batch: usize,
    /// Whether G's update draws latents of its own; else it learns from the fakes that D has just seen. (Weights that an
    /// earlier version saved do not say: it knew the latter alone.)
    #[serde(default)]
    pub fresh_noise: bool,
    /// What G minimizes.
    #[serde(default)]
    pub loss: GeneratorLoss,
    /// What the networks are computed in.
    #[serde(default)]
    pub precision: Precision,
    /// How long.
    #[serde(flatten)]
    pub length: Length,
}

/// What a run leaves besides its state, the networks and an image at the end of every epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The epochs after which the generator is kept in a file of its own, rising from 1.
    pub keep_at: Vec<u64>,
    /// Steps between two images within an epoch; 0: at the ends of epochs alone.
    pub sample_every: u64,
    /// Epochs between two scores of the generator; 0: none.
    pub fid_every: u64,
}

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// So many times through all images.
    Epochs(u64),
    /// So many steps, however many epochs that is.
    Steps(u64),
}

/// Values that take the place of a recipe's own; `None` keeps the recipe's.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the recipe's key of the same name")]
pub struct Overrides {
    pub batch: Option<usize>,
    pub length: Option<Length>,
    pub lr_g: Option<f64>,
    pub lr_d: Option<f64>,
    pub beta1: Option<f64>,
    pub beta2: Option<f64>,
    pub nz: Option<usize>,
    pub ngf: Option<usize>,
    pub ndf: Option<usize>,
    pub loss: Option<GeneratorLoss>,
    pub precision: Option<Precision>,
    pub keep_at: Option<Vec<u64>>,
    pub sample_every: Option<u64>,
    pub fid_every: Option<u64>,
    pub seed: Option<u64>,
}

/// All built-in recipes.
pub fn built_in() -> Vec<Recipe> {
    let parse = |(name, text): &(&str, &str)| {
        parse::recipe(text, Path::new(name)).expect("the tests parse every built-in recipe")
    };
    BUILT_IN.iter().map(parse).collect()
}

impl Recipe {
    /// The recipe called `name`: a built-in one, or a file where `name` ends in `.toml` or has a `/` in it.
    ///
    /// # Errors
    /// No such recipe (the nearest name is given), an unreadable file, or one that is not a whole and sound recipe.
    pub fn load(name: &str) -> Result<Recipe> {
        if name.ends_with(".toml") || name.contains('/') {
            let mut text = String::new();
            let file = File::open(name).map_err(Error::io(name))?;
            file.take(MAX_TOML + 1).read_to_string(&mut text).map_err(Error::io(name))?;
            if text.len() as u64 > MAX_TOML {
                return Err(Error::file(name, "too long to be a recipe"));
            }
            return parse::recipe(&text, Path::new(name));
        }
        let names = BUILT_IN.map(|(n, _)| n);
        built_in().into_iter().find(|r| r.name == name).ok_or_else(|| {
            Error::Invalid(format!(
                "--recipe {name}: there is none of that name; did you mean `{}`? (there are {}, or name a FILE.toml)",
                parse::nearest(name, &names),
                names.join(", ")
            ))
        })
    }

    /// This recipe with the flags' values in place of its own.
    ///
    /// # Errors
    /// A value out of its range, or that the recipe's architecture does not have, named by its flag.
    pub fn with(mut self, flags: &Overrides) -> Result<Recipe> {
        fn put<T: Clone>(value: &mut T, flag: Option<T>) {
            if let Some(flag) = flag {
                *value = flag;
            }
        }
        match &mut self.model {
            ModelPart::Dcgan { nz, ngf, ndf, .. } => {
                put(nz, flags.nz);
                put(ngf, flags.ngf);
                put(ndf, flags.ndf);
            }
            ModelPart::Mlp { nz, .. } => {
                put(nz, flags.nz);
                for (flag, value, key) in [("ngf", flags.ngf, "hidden_g"), ("ndf", flags.ndf, "hidden_d")] {
                    if value.is_some() {
                        return Err(Error::Invalid(format!(
                            "--{flag}: an MLP has no such width; a recipe file sets its layers (`{key}`; --dry-run prints \
                             recipe {})",
                            self.name
                        )));
                    }
                }
            }
        }
        put(&mut self.optimizer.lr_g, flags.lr_g);
        put(&mut self.optimizer.lr_d, flags.lr_d);
        put(&mut self.optimizer.beta1, flags.beta1);
        put(&mut self.optimizer.beta2, flags.beta2);
        put(&mut self.schedule.batch, flags.batch);
        put(&mut self.schedule.length, flags.length);
        put(&mut self.schedule.loss, flags.loss);
        put(&mut self.schedule.precision, flags.precision);
        // A shorter run keeps what it comes to of the recipe's own.
        if let Some(Length::Epochs(last)) = flags.length {
            self.output.keep_at.retain(|&epoch| epoch <= last);
        }
        put(&mut self.output.keep_at, flags.keep_at.clone());
        put(&mut self.output.sample_every, flags.sample_every);
        put(&mut self.output.fid_every, flags.fid_every);
        put(&mut self.seed, flags.seed);
        // The recipe itself was in order: what is wrong now came with a flag.
        self.check()
            .map_err(|(key, wrong)| Error::Invalid(format!("--{}: {wrong}", key.replace('_', "-"))))?;
        Ok(self)
    }

    /// The first value that is out of its range, as (key, what is wrong with it).
    fn check(&self) -> Result<(), Wrong> {
        self.model.check()?;
        let length = match self.schedule.length {
            Length::Epochs(n) => ("epochs", n, EPOCHS),
            Length::Steps(n) => ("steps", n, STEPS),
        };
        let batch = ("batch", self.schedule.batch as u64, BATCHES);
        in_range(&[("seed", self.seed, SEEDS), batch, length])?;
        let o = &self.optimizer;
        for (key, value) in [("lr_g", o.lr_g), ("lr_d", o.lr_d), ("eps", o.eps)] {
            if !(value > 0.0 && value <= 1.0) {
                return Err((key, format!("{value} is not above 0 and at most 1")));
            }
        }
        below_one(&[("beta1", o.beta1), ("beta2", o.beta2)])?;
        self.output.check(self.schedule.length)?;
        self.augment.as_ref().map_or(Ok(()), Augment::check)
    }

    /// What of this recipe another one changes, other than how long it is and what it leaves behind, as one line; `None` if
    /// nothing: then a run of this one may go on as the other.
    pub fn changed_by(&self, other: &Recipe) -> Option<String> {
        let flat = |recipe: &Recipe| {
            let mut same = recipe.clone();
            (same.output, same.schedule.length) = (Output::default(), Length::Steps(0));
            (same.name, same.about) = Default::default();
            same.to_toml().lines().map(String::from).collect::<Vec<_>>()
        };
        let (ours, theirs) = (flat(self), flat(other));
        let differs = |a: &[String], b: &[String]| a.iter().find(|line| !b.contains(line)).cloned();
        match (differs(&ours, &theirs), differs(&theirs, &ours)) {
            (None, None) => None,
            (ours, theirs) => {
                let or = |line: Option<String>| line.unwrap_or("nothing of that kind".into());
                Some(format!("`{}` where it had `{}`", or(theirs), or(ours)))
            }
        }
    }

    /// The recipe as a TOML file that [`Recipe::load`] takes; the same bytes for the same recipe.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings and numbers within TOML's range")
    }
}

/// A recipe's key, and what is wrong with its value.
type Wrong = (&'static str, String);

/// Refuses a (key, value, range) whose value is not in it.
fn in_range(values: &[(&'static str, u64, RangeInclusive<u64>)]) -> Result<(), Wrong> {
    match values.iter().find(|(_, value, range)| !range.contains(value)) {
        Some((key, value, range)) => {
            Err((key, format!("{value} is not in {} to {}", range.start(), range.end())))
        }
        None => Ok(()),
    }
}

/// Refuses a (key, value) whose value is not in [0, 1).
fn below_one(values: &[(&'static str, f64)]) -> Result<(), Wrong> {
    match values.iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
        Some((key, value)) => Err((key, format!("{value} is not at least 0 and below 1"))),
        None => Ok(()),
    }
}

impl ModelPart {
    /// The first value that is out of its range.
    fn check(&self) -> Result<(), Wrong> {
        let width = |key, value: usize| (key, value as u64, WIDTHS);
        match self {
            &ModelPart::Dcgan { nz, ngf, ndf, leaky_slope, init_std, norm_init_std } => {
                in_range(&[width("nz", nz), width("ngf", ngf), width("ndf", ndf)])?;
                below_one(&[("leaky_slope", leaky_slope)])?;
                match [("init_std", init_std), ("norm_init_std", norm_init_std)]
                    .into_iter()
                    .find(|(_, std)| !(0.0..=1.0).contains(std))
                {
                    Some((key, std)) => Err((key, format!("{std} is not in 0 to 1"))),
                    None => Ok(()),
                }
            }
            ModelPart::Mlp { nz, hidden_g, hidden_d, slope_g, slope_d } => {
                in_range(&[width("nz", *nz)])?;
                check_hidden(hidden_g).map_err(|wrong| ("hidden_g", wrong))?;
                check_hidden(hidden_d).map_err(|wrong| ("hidden_d", wrong))?;
                below_one(&[("slope_g", *slope_g), ("slope_d", *slope_d)])
            }
        }
    }

    /// The networks for images of `height` × `width` × `channels`.
    ///
    /// # Errors
    /// Images that are not square, or of a size or channel count that the architecture does not have.
    pub fn config(&self, height: usize, width: usize, channels: usize) -> Result<ModelConfig> {
        if height != width {
            return Err(Error::Invalid(format!(
                "the images are {width}×{height}: the models take square ones (`prep --size 64`)"
            )));
        }
        let config = match self.clone() {
            ModelPart::Dcgan { nz, ngf, ndf, leaky_slope, init_std, norm_init_std } => {
                let size = height;
                ModelConfig::Dcgan(DcganConfig {
                    size,
                    channels,
                    nz,
                    ngf,
                    ndf,
                    leaky_slope,
                    init_std,
                    norm_init_std,
                })
            }
            ModelPart::Mlp { nz, hidden_g, hidden_d, slope_g, slope_d } => {
                let size = height;
                ModelConfig::Mlp(MlpConfig { size, channels, nz, hidden_g, hidden_d, slope_g, slope_d })
            }
        };
        config.check()?;
        Ok(config)
    }
}

impl Optimizer {
    /// Adam for the generator.
    pub fn generator(&self) -> AdamConfig {
        AdamConfig { lr: self.lr_g, beta1: self.beta1, beta2: self.beta2, eps: self.eps }
    }

    /// Adam for the discriminator.
    pub fn discriminator(&self) -> AdamConfig {
        AdamConfig { lr: self.lr_d, ..self.generator() }
    }
}

impl Output {
    /// The first value that is out of its range.
    fn check(&self, length: Length) -> Result<(), Wrong> {
        let most = match length {
            Length::Epochs(most) => most,
            // How many epochs so many steps are the shard decides.
            Length::Steps(_) => u64::MAX,
        };
        if let Some(pair) = self.keep_at.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(("keep_at", format!("{} after {}: name each epoch once, rising", pair[1], pair[0])));
        }
        match self.keep_at.iter().find(|epoch| !(1..=most).contains(*epoch)) {
            Some(0) => Err(("keep_at", "0: epochs are counted from 1".into())),
            Some(epoch) => Err(("keep_at", format!("{epoch}: the run ends after {length}"))),
            None => in_range(&[
                ("sample_every", self.sample_every, SAMPLE_EVERY),
                ("fid_every", self.fid_every, FID_EVERY),
            ]),
        }
    }
}

impl Schedule {
    /// Steps in an epoch of `images`: ⌈images / batch⌉.
    pub fn epoch_steps(&self, images: usize) -> u64 {
        images.div_ceil(self.batch) as u64
    }

    /// Steps in the whole run over `images`.
    pub fn steps(&self, images: usize) -> u64 {
        match self.length {
            Length::Epochs(n) => n * self.epoch_steps(images),
            Length::Steps(n) => n,
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
