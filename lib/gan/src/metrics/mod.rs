//! Distances between sets of images: features, statistics, and the metrics computed from them.

pub mod features;
pub mod frechet;
mod image_set;
pub mod kid;
mod look;
mod metric;
mod pass;
pub mod prdc;
mod side;
pub mod stats;

pub use image_set::ImageSet;
pub use look::{Look, advice, few};
pub use metric::{Metric, check, results};
pub use pass::{Measured, measure, seconds_per_image};
pub use side::{Choice, Compared, Side, choose, compared, unproved};
