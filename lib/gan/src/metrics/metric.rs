//! What a metric is: see [`Metric`].

use serde_json::Value;

use super::{FeatureSpec, FeatureStats};
use crate::{Error, Result};

/// A way to compare two sets of images, or to judge one.
pub struct Metric {
    /// Its name, which [`find`](super::find) takes.
    pub name: &'static str,
    /// What it computes, in a few words.
    pub help: &'static str,
    /// What it needs of the first input (the reference) and of the second.
    pub needs: [Need; 2],
    /// The fewest images of an input.
    pub min_images: fn(&MetricOptions) -> usize,
    /// The option that lowers [`Metric::min_images`], where there is one.
    pub min_images_option: Option<&'static str>,
    /// Computes it.
    ///
    /// # Errors
    /// Inputs of different dims, of too few images, or without what the metric needs.
    pub compute: fn(&Comparison) -> Result<Scores>,
}

/// What a metric needs of an input. The output of another layer, such as logits, would be a variant here and
/// a field of [`FeatureStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the metric is of the other input alone.
    Nothing,
    /// The mean and covariance of its features, which a file of statistics has, too.
    Statistics,
    /// The features of each image.
    Features,
}

/// The options of all metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricOptions {
    /// The images of each input in a subset of KID; at least 2. Published numbers use 1000.
    pub kid_subset_size: usize,
}

impl Default for MetricOptions {
    fn default() -> MetricOptions {
        MetricOptions { kid_subset_size: 1000 }
    }
}

/// What a metric computes from.
pub struct Comparison<'a> {
    /// The two inputs.
    pub inputs: &'a [FeatureStats; 2],
    /// Their features.
    pub spec: FeatureSpec,
    /// The options.
    pub options: MetricOptions,
}

impl Comparison<'_> {
    /// The features `[n, dims]` of an input.
    ///
    /// # Errors
    /// They were not kept, since [`Metric::needs`] does not ask for them.
    pub fn features(&self, input: usize) -> Result<&[f32]> {
        let features = self.inputs[input].features.as_deref();
        features.ok_or_else(|| Error::Invalid("the features were not kept".into()))
    }
}

/// The results of a metric.
pub struct Scores {
    /// The key in the JSON object.
    pub key: String,
    /// The results under that key.
    pub json: Value,
    /// Name and value of each printed result.
    pub printed: Vec<(String, String)>,
}
