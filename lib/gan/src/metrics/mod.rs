//! Distances between sets of images: features, statistics, and the metrics computed from them.

mod dataset_info;
pub mod features;
pub mod frechet;
mod image_set;
mod input;
pub mod kid;
mod pass;
pub mod prdc;
mod registry;
pub mod stats;

pub use dataset_info::{DatasetInfo, comparability_warnings, few};
pub use image_set::ImageSet;
pub use input::{FeatureSpec, FeatureStats, FidInput, compute_stats, resolve, unproved};
pub use pass::{Measured, measure, seconds_per_image};
pub use registry::{Metric, check, results};
