//! One pass over a set of pictures: decode, features, sums. Memory does not grow with the set, unless features are kept.

use std::time::Instant;

use rayon::prelude::*;

use super::features::Extractor;
use super::{Look, Pictures};
use crate::Result;
use crate::data::image::{Notes, Picture};
use crate::metrics::frechet::Moments;
use crate::progress::Progress;

/// What a pass over pictures gives.
pub struct Measured {
    /// The sums of their features.
    pub moments: Moments,
    /// The features themselves, `[n, dims]`, where they were to be kept.
    pub features: Option<Vec<f32>>,
    /// What the pictures look like.
    pub look: Look,
}

/// Measures all pictures, `batch` at a time through the network.
///
/// # Errors
/// A picture that cannot be read; the device fails.
pub fn measure(
    pictures: &Pictures,
    extractor: &Extractor,
    batch: usize,
    keep: bool,
    progress: &dyn Progress,
) -> Result<Measured> {
    let mut moments = Moments::new(extractor.dims());
    let (mut kept, mut look) = (keep.then(Vec::new), Look::of(pictures));
    let (n, began) = (pictures.len(), Instant::now());
    for start in (0..n).step_by(batch.max(1)) {
        let end = n.min(start + batch.max(1));
        let (decoded, notes) = decode(pictures, start..end)?;
        decoded.iter().zip(notes).for_each(|(picture, notes)| look.see(picture, notes));
        let features = extractor.run(&decoded)?;
        moments.push(&features);
        if let Some(kept) = &mut kept {
            kept.extend(features);
        }
        let rate = end as f64 / began.elapsed().as_secs_f64();
        progress.at(end as u64, n as u64, &format!("{rate:.1} pictures/s"));
    }
    Ok(Measured { moments, features: kept, look })
}

/// Measured seconds per picture: one batch once to warm up and once more.
///
/// # Errors
/// As [`measure`].
pub fn seconds_per_picture(pictures: &Pictures, extractor: &Extractor, batch: usize) -> Result<f64> {
    let n = batch.clamp(1, pictures.len());
    extractor.run(&decode(pictures, 0..1)?.0)?;
    let began = Instant::now();
    extractor.run(&decode(pictures, 0..n)?.0)?;
    Ok(began.elapsed().as_secs_f64() / n as f64)
}

/// The pictures of a range, and what there is to say of their files.
fn decode(pictures: &Pictures, range: std::ops::Range<usize>) -> Result<(Vec<Picture>, Vec<Notes>)> {
    let decoded = range.into_par_iter().map(|i| pictures.get(i)).collect::<Result<Vec<_>>>()?;
    Ok(decoded.into_iter().unzip())
}
