//! Architectures by name, and a model: an architecture for images of one shape.

mod dcgan;
mod interface;
mod mlp;

use candle_core::Device;
use serde::{Deserialize, Serialize};

pub use dcgan::Dcgan;
pub use interface::{Architecture, ImageShape, Init, Layers};
pub use mlp::Mlp;

use crate::config::{Key, Wrong};
use crate::nn::Network;
use crate::rng::Stream;
use crate::{Error, Result};

/// Defines [`Arch`]. A line is `"name" => Variant(Table)`.
macro_rules! architectures {
    ($($name:literal => $table:ident),* $(,)?) => {
        /// An architecture and its settings; written with its name as `arch`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "arch")]
        pub enum Arch {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $table($table),)*
        }

        impl Arch {
            /// The names, the default first, and the keys of each.
            pub const ALL: &'static [(&'static str, &'static [Key])] = &[$(($name, $table::KEYS)),*];

            /// The name.
            pub fn name(&self) -> &'static str {
                match self { $(Arch::$table(_) => $name),* }
            }

            fn architecture(&self) -> &dyn Architecture {
                match self { $(Arch::$table(settings) => settings),* }
            }

            fn check_ranges(&self) -> Result<(), Wrong> {
                match self { $(Arch::$table(settings) => settings.check_ranges()),* }
            }
        }
    };
}

architectures! {
    "dcgan" => Dcgan,
    "mlp" => Mlp,
}

impl Default for Arch {
    fn default() -> Arch {
        Arch::Dcgan(Dcgan::default())
    }
}

impl Arch {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first key whose value is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), Wrong> {
        self.check_ranges()?;
        self.architecture().check()
    }

    /// The model for images of `shape`.
    ///
    /// # Errors
    /// Images that are not square, or of a size or a number of channels that the architecture does not have.
    pub fn model(&self, (height, width, channels): ImageShape) -> Result<ModelConfig> {
        if height != width {
            return Err(Error::Invalid(format!(
                "the images are {width}×{height}: the models take square ones (`prep --size 64`)"
            )));
        }
        let model = ModelConfig { size: height, channels, arch: self.clone() };
        model.check()?;
        Ok(model)
    }
}

/// A model: an architecture for images of one shape; saved in every file of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The image's height and width in pixels.
    pub size: usize,
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// The architecture and its settings.
    #[serde(flatten)]
    pub arch: Arch,
}

impl ModelConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn check(&self) -> Result<()> {
        self.arch.check().map_err(|(key, what)| Error::argument(key, what))?;
        if ![1, 3].contains(&self.channels) {
            return Err(Error::Invalid(format!("images of {} channels: must be 1 or 3", self.channels)));
        }
        self.arch.architecture().check_image(self.size).map_err(Error::Invalid)
    }

    /// The architecture, sizes and image shape, in a few words.
    pub fn describe(&self) -> String {
        self.arch.architecture().describe(self.image_shape())
    }

    /// The length of a latent vector.
    pub fn latent_size(&self) -> usize {
        self.arch.architecture().latent_size()
    }

    /// Height, width and channels of an image.
    pub fn image_shape(&self) -> ImageShape {
        (self.size, self.size, self.channels)
    }

    /// At most as many elements as a generator's weights have.
    pub(crate) fn min_generator_elements(&self) -> usize {
        self.arch.architecture().min_generator_elements(self.image_shape())
    }

    /// A generator with the initial weights of `seed`: `[B, nz]` → `[B, H, W, C]` in [−1, 1].
    ///
    /// # Errors
    /// Settings that cannot be used; the device is out of memory.
    pub fn generator(&self, seed: u64, device: &Device) -> Result<Network> {
        self.build_generator(Some(seed), device)
    }

    /// A generator of zeros, whose weights are to be loaded.
    pub(crate) fn blank_generator(&self, device: &Device) -> Result<Network> {
        self.build_generator(None, device)
    }

    fn build_generator(&self, seed: Option<u64>, device: &Device) -> Result<Network> {
        self.check()?;
        let mut init = Init::new(seed, Stream::Generator, device);
        Ok(Network::new(self.arch.architecture().generator(self.image_shape(), &mut init)?, device))
    }

    /// A discriminator with the initial weights of `seed`: `[B, H, W, C]` → logits `[B, 1, 1, 1]`.
    ///
    /// # Errors
    /// Settings that cannot be used; the device is out of memory.
    pub fn discriminator(&self, seed: u64, device: &Device) -> Result<Network> {
        self.check()?;
        let mut init = Init::new(Some(seed), Stream::Discriminator, device);
        Ok(Network::new(self.arch.architecture().discriminator(self.image_shape(), &mut init)?, device))
    }
}
