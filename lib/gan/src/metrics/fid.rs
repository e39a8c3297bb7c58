//! The metric `fid`: the Fréchet distance, which is the FID if the features are Inception's.

use super::frechet::distance;
use super::{Comparison, Metric, Need, Scores};

/// The metric `fid`.
pub(super) const FID: Metric = Metric {
    name: "fid",
    help: "Fréchet distance",
    needs: [Need::Statistics; 2],
    min_images: |_| 2,
    min_images_option: None,
    compute: |Comparison { inputs, spec, .. }| {
        let distance = distance(&inputs[0].stats.gaussian, &inputs[1].stats.gaussian)?;
        let printed = vec![(spec.label("FID", "FD"), format!("{distance:.6}"))];
        Ok(Scores { key: spec.key("FID", "FD"), json: distance.into(), printed })
    },
};
