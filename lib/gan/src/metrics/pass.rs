//! One pass over a set of images: decode, features, sums. Memory does not grow with the set, unless features are kept.

use std::time::Instant;

use rayon::prelude::*;

use super::features::Extractor;
use super::{DatasetInfo, ImageSet};
use crate::Result;
use crate::data::image::{Image, Notes};
use crate::metrics::frechet::RunningCovariance;
use crate::progress::Progress;

/// What a pass over images gives.
pub struct Measured {
    /// The sums of their features.
    pub moments: RunningCovariance,
    /// The features themselves, `[n, dims]`, where they were to be kept.
    pub features: Option<Vec<f32>>,
    /// What the images look like.
    pub look: DatasetInfo,
}

/// Measures all images, `batch` at a time through the network.
///
/// # Errors
/// An image that cannot be read; the device fails.
pub fn measure(
    images: &ImageSet,
    extractor: &Extractor,
    batch: usize,
    keep: bool,
    progress: &dyn Progress,
) -> Result<Measured> {
    let mut moments = RunningCovariance::new(extractor.dims());
    let (mut kept, mut look) = (keep.then(Vec::new), DatasetInfo::of(images));
    let (n, began) = (images.len(), Instant::now());
    for start in (0..n).step_by(batch.max(1)) {
        let end = n.min(start + batch.max(1));
        let (decoded, notes) = decode(images, start..end)?;
        decoded.iter().zip(notes).for_each(|(image, notes)| look.update(image, notes));
        let features = extractor.run(&decoded)?;
        moments.push(&features);
        if let Some(kept) = &mut kept {
            kept.extend(features);
        }
        let rate = end as f64 / began.elapsed().as_secs_f64();
        progress.update(end as u64, n as u64, &format!("{rate:.1} images/s"));
    }
    Ok(Measured { moments, features: kept, look })
}

/// Measured seconds per image: one batch once to warm up and once more.
///
/// # Errors
/// As [`measure`].
pub fn seconds_per_image(images: &ImageSet, extractor: &Extractor, batch: usize) -> Result<f64> {
    let n = batch.clamp(1, images.len());
    extractor.run(&decode(images, 0..1)?.0)?;
    let began = Instant::now();
    extractor.run(&decode(images, 0..n)?.0)?;
    Ok(began.elapsed().as_secs_f64() / n as f64)
}

/// The images of a range, and what there is to say of their files.
fn decode(images: &ImageSet, range: std::ops::Range<usize>) -> Result<(Vec<Image>, Vec<Notes>)> {
    let decoded = range.into_par_iter().map(|i| images.get(i)).collect::<Result<Vec<_>>>()?;
    Ok(decoded.into_iter().unzip())
}
