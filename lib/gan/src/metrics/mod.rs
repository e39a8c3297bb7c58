//! Distances between sets of images: features, statistics, and the metrics computed from them.
//!
//! A new metric is one file with a [`Metric`], and one line in [`METRICS`].

mod dataset_info;
pub mod features;
mod fid;
pub mod frechet;
mod image_set;
mod input;
mod kid;
mod measure;
mod metric;
mod partition;
mod prdc;
mod products;
mod registry;
pub mod stats;
mod warnings;

pub use dataset_info::DatasetInfo;
pub use image_set::ImageSet;
pub use input::{FeatureSpec, FidInput, resolve};
pub use measure::{FeatureStats, measure, seconds_per_image};
pub use metric::{Comparison, Metric, MetricOptions, Need, Scores};
pub use partition::Partition;
pub use registry::{METRICS, check, find, results};
pub use warnings::{comparability_warnings, few_images_warning, provenance_warning};
