//! Generators and discriminators from a configuration.

mod dcgan;
mod interface;
mod mlp;
mod registry;

pub use dcgan::Dcgan;
pub use interface::{Architecture, ImageShape, Init, Layers};
pub use mlp::Mlp;
pub use registry::{Arch, ModelConfig};
