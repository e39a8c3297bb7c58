//! Networks with explicit forward and backward passes, their losses and their optimizer.

pub mod adam;
pub mod layer;
pub mod loss;
pub mod model;
pub mod ops;
