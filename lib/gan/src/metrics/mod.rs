//! Distances between sets of images: features, statistics, and the metrics computed from them.

pub mod features;
pub mod frechet;
mod image_set;
pub mod kid;
mod dataset_info;
mod metric;
mod pass;
pub mod prdc;
mod side;
pub mod stats;

pub use image_set::ImageSet;
pub use dataset_info::{DatasetInfo, comparability_warnings, few};
pub use metric::{Metric, check, results};
pub use pass::{Measured, measure, seconds_per_image};
pub use side::{Choice, Compared, Side, choose, compared, unproved};
