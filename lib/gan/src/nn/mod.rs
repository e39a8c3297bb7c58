//! Networks with explicit forward and backward passes, their losses and their optimizer.

pub mod adam;
pub mod layer;
pub mod loss;
pub mod model;
mod network;
pub mod ops;
mod state_dict;

pub use network::{Network, States, Tape};
