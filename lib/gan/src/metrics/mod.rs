//! Distances between sets of images: features, statistics, and the metrics computed from them.

pub mod features;
pub mod frechet;
pub mod kid;
mod look;
mod metric;
mod pass;
mod pictures;
pub mod prdc;
mod side;
pub mod stats;

pub use look::{Look, advice, few};
pub use metric::{Metric, check, results};
pub use pass::{Measured, measure, seconds_per_picture};
pub use pictures::Pictures;
pub use side::{Choice, Compared, Side, choose, compared, unproved};
