//! Losses on logits, with their gradients, by name.

mod cross_entropy;
mod interface;
mod registry;

pub use interface::{GanLoss, Loss, LossValue, MeanLoss, sigmoid};
pub use registry::{LOSSES, LossKind};
