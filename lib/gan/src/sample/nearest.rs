//! The nearest training images: a generator that memorizes copies them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::data::shard::Shard;
use crate::progress::Progress;
use crate::{Error, Result};

/// Images of the shard that a thread compares with all given images at once.
const BLOCK: usize = 32;
/// Bytes whose squared differences are summed in 32 bits: 2¹⁵ · 255² is below 2³¹.
const BLOCK_BYTES: usize = 1 << 15;

/// The training image that is nearest to a given one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Its index in the shard, the lowest of those that are equally near.
    pub index: usize,
    /// The root mean square difference of their bytes, 0 to 255.
    pub rms: f64,
}

/// The nearest image of `shard` to each of `images` (`[N, H, W, C]` bytes, of the shard's shape), by the
/// Euclidean distance over bytes; over pixels in [-1, 1] the order is the same. All images are compared with
/// all, in integers. Each thread has one block of the shard in memory at a time.
///
/// # Errors
/// [`Error::Stopped`] after `stop` was set.
///
/// # Panics
/// If the length of `images` is not a multiple of the image size.
pub(super) fn nearest(
    images: &[u8],
    shard: &Shard,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Vec<Neighbor>> {
    let size = shard.height() * shard.width() * shard.channels();
    assert_eq!(images.len() % size, 0, "a multiple of {size} bytes");
    let count = images.len() / size;
    let done = AtomicUsize::new(0);
    // (distance, index) for each image; the minimum does not depend on the order of threads.
    let none = || vec![(u64::MAX, usize::MAX); count];
    let best = (0..shard.len())
        .into_par_iter()
        .step_by(BLOCK)
        .try_fold(none, |mut best, first| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let mut block = vec![0; BLOCK.min(shard.len() - first) * size];
            let each = block.chunks_exact_mut(size).zip(first..);
            each.for_each(|(bytes, index)| shard.pixels(index, bytes));
            for (image, best) in images.chunks_exact(size).zip(&mut best) {
                for (bytes, index) in block.chunks_exact(size).zip(first..) {
                    *best = (*best).min((squared(image, bytes), index));
                }
            }
            let now = block.len() / size;
            let done = done.fetch_add(now, Ordering::Relaxed) + now;
            progress.update(done as u64, shard.len() as u64, "");
            Ok(best)
        })
        .try_reduce(none, |a, b| Ok(a.into_iter().zip(b).map(|(a, b)| a.min(b)).collect()))?;
    let neighbor = |(sum, index)| Neighbor { index, rms: (sum as f64 / size as f64).sqrt() };
    Ok(best.into_iter().map(neighbor).collect())
}

/// The sum of squared differences.
fn squared(a: &[u8], b: &[u8]) -> u64 {
    let blocks = a.chunks(BLOCK_BYTES).zip(b.chunks(BLOCK_BYTES));
    blocks.map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| square(a, b)).sum::<i32>() as u64).sum()
}

/// (a − b)², from 16 bits: the compiler makes one vector instruction of two products and their sum.
fn square(a: u8, b: u8) -> i32 {
    let d = i32::from(i16::from(a) - i16::from(b));
    d * d
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::image::{Filter, Transform};
    use crate::data::shard::{self, Dtype};
    use crate::data::source::Source;
    use crate::progress::Silent;
    use crate::rng::{Stream, uniforms};

    fn find(images: &[u8], shard: &Shard) -> Vec<Neighbor> {
        nearest(images, shard, &AtomicBool::new(false), &Silent).unwrap()
    }

    /// A shard of demo faces; more than two blocks.
    fn faces(folder: &Path, dtype: Dtype, gray: bool) -> Shard {
        let path = folder.join("faces.safetensors");
        let fit = Transform { crop: None, size: Some(32), filter: Filter::Bilinear };
        let options = shard::ShardOptions { fit, gray, dtype, ..shard::ShardOptions::default() };
        shard::make(&path, &Source::demo(70, 5), &options, &Silent, &AtomicBool::new(false)).unwrap();
        Shard::open(&path).unwrap()
    }

    #[test]
    fn agrees_with_a_plain_loop_in_f64() {
        let folder = tempfile::tempdir().unwrap();
        for (dtype, gray) in [(Dtype::U8, false), (Dtype::F32, true)] {
            let shard = faces(folder.path(), dtype, gray);
            let size = 32 * 32 * shard.channels();
            let mut noise = vec![0.0; 9 * size];
            uniforms(1, Stream::Noise, 0, &mut noise);
            let images: Vec<u8> = noise.iter().map(|v| (v * 255.0) as u8).collect();
            let found = find(&images, &shard);
            for (image, near) in images.chunks_exact(size).zip(found) {
                let rms = |index| {
                    let mut other = vec![0.0; size];
                    shard.gather(&[index], &mut other);
                    let unit = image.iter().map(|&v| f64::from(v) / 127.5 - 1.0);
                    let sum: f64 = unit.zip(other).map(|(a, b)| (a - f64::from(b)).powi(2)).sum();
                    (sum / size as f64).sqrt() * 127.5
                };
                let index = (0..70).min_by(|&a, &b| rms(a).total_cmp(&rms(b))).unwrap();
                assert_eq!(near.index, index);
                assert!((near.rms - rms(index)).abs() < 1e-4, "{} and {}", near.rms, rms(index));
            }
        }
    }

    #[test]
    fn an_image_of_the_shard_finds_itself() {
        let folder = tempfile::tempdir().unwrap();
        let shard = faces(folder.path(), Dtype::U8, false);
        let mut all = vec![0; 70 * 32 * 32 * 3];
        all.chunks_exact_mut(32 * 32 * 3).enumerate().for_each(|(i, bytes)| shard.pixels(i, bytes));
        let expected: Vec<Neighbor> = (0..70).map(|index| Neighbor { index, rms: 0.0 }).collect();
        assert_eq!(find(&all, &shard), expected);
        assert!(find(&[], &shard).is_empty());
        let stopped = nearest(&all, &shard, &AtomicBool::new(true), &Silent);
        assert!(matches!(stopped, Err(Error::Stopped)));
    }

    #[test]
    fn sums_do_not_overflow() {
        let (black, white) = (vec![0; 3 * BLOCK_BYTES + 5], vec![255; 3 * BLOCK_BYTES + 5]);
        assert_eq!(squared(&black, &white), (3 * BLOCK_BYTES as u64 + 5) * 255 * 255);
        assert_eq!(squared(&white, &black), squared(&black, &white));
    }
}
