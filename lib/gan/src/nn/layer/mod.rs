//! Layers with explicit forward and backward passes.

mod batch_norm;
mod conv;
mod interface;
mod reshape;

pub use batch_norm::{BN_EPS, BatchNorm};
pub use conv::{Conv, ConvTranspose};
pub use interface::{Context, GradTarget, Layer, Saved, State};
pub use reshape::Reshape;
