//! Makes the images of latents with a generator, on all threads.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rayon::prelude::*;
use serde_json::Value;

use super::{CHUNK, Latents, images};
use crate::checkpoint::Generator;
use crate::progress::Progress;
use crate::{Error, Result};

/// Why a lock is never poisoned.
const NO_PANIC: &str = "no panic while held";

/// Makes the images of latents. [`write_folder`](super::write_folder), [`write_sheet`](super::write_sheet)
/// and [`write_nearest`](super::write_nearest) write them to files.
pub struct Sampler<'a> {
    generator: &'a Generator,
    device: &'a Device,
    batch_size: usize,
    /// Stops the work when set.
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: &'a dyn Progress,
}

impl<'a> Sampler<'a> {
    /// A sampler of `generator`, which is on `device`. `batch_size` (≥ 1, rounded up to a multiple of
    /// [`CHUNK`]) is the number of images that a thread makes before it writes them; it changes no byte of
    /// them.
    pub fn new(
        generator: &'a Generator,
        device: &'a Device,
        batch_size: usize,
        stop: &'a AtomicBool,
        progress: &'a dyn Progress,
    ) -> Sampler<'a> {
        // Part of a chunk costs as much as a chunk.
        Sampler { generator, device, batch_size: batch_size.next_multiple_of(CHUNK), stop, progress }
    }

    /// Height, width and channels of an image.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        self.generator.image_shape
    }

    /// Bytes of an image.
    pub(super) fn image_size(&self) -> usize {
        let (height, width, channels) = self.shape();
        height * width * channels
    }

    /// Makes the images of `latents` in batches, and calls `take` with the index of a batch's first image and
    /// the bytes of its images (`[B, H, W, C]`). Batches are made in parallel and taken in any order: while
    /// one thread encodes and writes, others run the network. Idle threads help with the matrix products of
    /// the last batches.
    ///
    /// # Errors
    /// Those of [`images`] and of `take`; [`Error::Stopped`].
    pub fn for_each_batch(
        &self,
        latents: &Latents,
        take: impl Fn(usize, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        let (count, done) = (latents.count(), Mutex::new(0));
        (0..count).into_par_iter().step_by(self.batch_size).with_max_len(1).try_for_each(|first| {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let batch = first..count.min(first + self.batch_size);
            take(first, &self.batch(latents, batch.clone())?)?;
            let mut done = done.lock().expect(NO_PANIC);
            *done += batch.len();
            self.progress.update(*done as u64, count as u64, "");
            Ok(())
        })
    }

    /// The bytes of the images of a range that begins with a chunk.
    fn batch(&self, latents: &Latents, range: Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for first in range.clone().step_by(CHUNK) {
            bytes.extend(images(&self.generator.network, &latents.chunk(first, self.device)?)?);
        }
        bytes.truncate(range.len() * self.image_size());
        Ok(bytes)
    }

    /// All images of `latents` in memory: `[N, H, W, C]` bytes.
    ///
    /// # Errors
    /// Those of [`Sampler::for_each_batch`].
    pub fn all(&self, latents: &Latents) -> Result<Vec<u8>> {
        let size = self.image_size();
        let all = Mutex::new(vec![0; latents.count() * size]);
        self.for_each_batch(latents, |first, bytes| {
            all.lock().expect(NO_PANIC)[first * size..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        })?;
        Ok(all.into_inner().expect(NO_PANIC))
    }

    /// Where images are from, for the text of a file: the generator, the latents, and `more`.
    pub(super) fn provenance<const N: usize>(&self, latents: &Latents, more: [(&str, Value); N]) -> Value {
        let mut provenance = latents.provenance_with(more);
        provenance["generator"] = self.generator.hash.as_str().into();
        provenance
    }
}
