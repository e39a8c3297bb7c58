//! One pass over a set of images: decode, compute features, accumulate their mean and covariance. Memory does
//! not grow with the set, unless the features are kept.

use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;

use super::ImageSet;
use super::features::Extractor;
use super::frechet::RunningCovariance;
use super::stats::{Stats, StatsFile, StatsMeta};
use crate::data::image::{Image, Notes};
use crate::progress::Progress;
use crate::{Error, Result};

/// An input of a comparison as its features.
pub struct FeatureStats {
    /// The path of the images or the statistics.
    pub path: PathBuf,
    /// Their mean and covariance, and what they were computed from.
    pub stats: Stats,
    /// The features themselves, `[n, dims]`, where they were kept.
    pub features: Option<Vec<f32>>,
    /// The seconds that it took to compute them; 0 of saved statistics.
    pub seconds: f64,
}

impl From<StatsFile> for FeatureStats {
    fn from(StatsFile { path, stats }: StatsFile) -> FeatureStats {
        FeatureStats { path, stats, features: None, seconds: 0.0 }
    }
}

/// Measures all images, `batch_size` at a time. `keep_features` keeps the features themselves: 8 KB for each
/// image at 2,048 features.
///
/// # Errors
/// An image that cannot be read; fewer than two; a failure of the device.
pub fn measure(
    images: &ImageSet,
    extractor: &Extractor,
    batch_size: usize,
    keep_features: bool,
    progress: &dyn Progress,
) -> Result<FeatureStats> {
    let meta = StatsMeta::new(images, extractor, images.content()?.0);
    let mut covariance = RunningCovariance::new(extractor.dims());
    let (mut kept, mut dataset) = (keep_features.then(Vec::new), images.info());
    let (n, start) = (images.len(), Instant::now());
    for first in (0..n).step_by(batch_size.max(1)) {
        let end = n.min(first + batch_size.max(1));
        let (decoded, notes) = decode(images, first..end)?;
        decoded.iter().zip(notes).for_each(|(image, notes)| dataset.update(image, notes));
        let features = extractor.run(&decoded)?;
        covariance.push(&features);
        if let Some(kept) = &mut kept {
            kept.extend(features);
        }
        let rate = end as f64 / start.elapsed().as_secs_f64();
        progress.update(end as u64, n as u64, &format!("{rate:.1} images/s"));
    }
    let gaussian = covariance.gaussian().map_err(|e| Error::file(&images.path, e.to_string()))?;
    let stats = Stats { gaussian, meta: Some(StatsMeta { dataset: Some(dataset), ..meta }) };
    let (path, seconds) = (images.path.clone(), start.elapsed().as_secs_f64());
    Ok(FeatureStats { path, stats, features: kept, seconds })
}

/// The seconds per image, measured on one batch after one image to warm up.
///
/// # Errors
/// As [`measure`].
pub fn seconds_per_image(images: &ImageSet, extractor: &Extractor, batch_size: usize) -> Result<f64> {
    let n = batch_size.clamp(1, images.len());
    extractor.run(&decode(images, 0..1)?.0)?;
    let start = Instant::now();
    extractor.run(&decode(images, 0..n)?.0)?;
    Ok(start.elapsed().as_secs_f64() / n as f64)
}

/// The images of a range, and the notes on their files. Of several broken images the first one is the error,
/// so that the same input gives the same line.
fn decode(images: &ImageSet, range: std::ops::Range<usize>) -> Result<(Vec<Image>, Vec<Notes>)> {
    let decoded: Vec<_> = range.into_par_iter().map(|i| images.get(i)).collect();
    decoded.into_iter().collect()
}
