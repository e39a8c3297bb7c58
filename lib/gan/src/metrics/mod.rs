//! Distances between sets of images: features, statistics, and the metrics computed from them.
//!
//! A new metric is one file with an `impl Metric` and one line in the list of the `registry` module.

mod dataset_info;
pub mod features;
pub mod frechet;
mod image_set;
mod input;
mod kid;
mod measure;
mod prdc;
mod products;
mod registry;
pub mod stats;

pub use dataset_info::{DatasetInfo, comparability_warnings, few_images_warning};
pub use image_set::ImageSet;
pub use input::{FeatureSpec, FidInput, provenance_warning, resolve};
pub use measure::{FeatureStats, measure, seconds_per_image};
pub use registry::{Comparison, METRICS, Metric, MetricOptions, Need, Scores, check, find, results};
