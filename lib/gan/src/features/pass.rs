//! One pass over a set of pictures: decode, features, sums. Memory does not grow with the set, unless features are kept.

use std::time::Instant;

use rayon::prelude::*;

use super::{Extractor, Pictures};
use crate::Result;
use crate::frechet::Moments;
use crate::picture::Picture;
use crate::progress::Progress;

/// The sums of the features of all pictures, `batch` pictures at a time through the network; the features themselves are added to
/// `kept`, `[n, dims]`, where there is one.
///
/// # Errors
/// A picture that cannot be read; the device fails.
pub fn measure(
    pictures: &Pictures,
    extractor: &Extractor,
    batch: usize,
    mut kept: Option<&mut Vec<f32>>,
    progress: &dyn Progress,
) -> Result<Moments> {
    let mut moments = Moments::new(extractor.dims());
    let (n, began) = (pictures.len(), Instant::now());
    for start in (0..n).step_by(batch.max(1)) {
        let end = n.min(start + batch.max(1));
        let features = extractor.run(&decode(pictures, start..end)?)?;
        moments.push(&features);
        if let Some(kept) = &mut kept {
            kept.extend(features);
        }
        let rate = end as f64 / began.elapsed().as_secs_f64();
        progress.at(end as u64, n as u64, &format!("{rate:.1} pictures/s"));
    }
    Ok(moments)
}

/// Measured seconds per picture: one batch once to warm up and once more.
///
/// # Errors
/// As [`measure`].
pub fn seconds_per_picture(pictures: &Pictures, extractor: &Extractor, batch: usize) -> Result<f64> {
    let n = batch.clamp(1, pictures.len());
    extractor.run(&decode(pictures, 0..1)?)?;
    let began = Instant::now();
    extractor.run(&decode(pictures, 0..n)?)?;
    Ok(began.elapsed().as_secs_f64() / n as f64)
}

fn decode(pictures: &Pictures, range: std::ops::Range<usize>) -> Result<Vec<Picture>> {
    range.into_par_iter().map(|i| pictures.get(i)).collect()
}
