//! Distances between sets of images: features, statistics, and the metrics computed from them.

pub mod features;
pub mod frechet;
mod image_set;
pub mod kid;
mod dataset_info;
mod registry;
mod pass;
pub mod prdc;
mod input;
pub mod stats;

pub use image_set::ImageSet;
pub use dataset_info::{DatasetInfo, comparability_warnings, few};
pub use registry::{Metric, check, results};
pub use pass::{Measured, measure, seconds_per_image};
pub use input::{FeatureSpec, FeatureStats, FidInput, compute_stats, resolve, unproved};
