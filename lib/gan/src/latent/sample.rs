//! A folder of PNGs from a generator.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde_json::json;

use super::folder::Folder;
use super::{PORTION, latents, pictures};
use crate::checkpoint::Generator;
use crate::picture::{encode_png, grid};
use crate::progress::Progress;
use crate::rng::Stream;
use crate::{Error, Result, atomic};
use candle_core::Device;

/// Pictures in a grid, and in one of its rows. All are of the first portion.
const GRID: (usize, usize) = (64, 8);
const _: () = assert!(GRID.0 <= PORTION);
/// Why a lock is never poisoned.
const SOUND: &str = "no panic while held";

/// What to make.
pub struct Job<'a> {
    /// The generator.
    pub generator: &'a Generator,
    /// Where it computes.
    pub device: &'a Device,
    /// The seed of the latents.
    pub seed: u64,
    /// How many pictures, ≥ 1.
    pub count: usize,
    /// Pictures that a thread makes before it encodes and writes them, ≥ 1; it changes no byte of them.
    pub batch: usize,
    /// The folder to make or replace.
    pub out: &'a Path,
    /// A picture of the first 64, to write besides; outside `out`.
    pub grid: Option<&'a Path>,
    /// Whether `out` may be replaced though it holds what `sample` did not make.
    pub force: bool,
}

/// Makes pictures `000000.png` … of `job` in a folder that takes its place whole, at the end: until then, and after an
/// error, `job.out` is as it was. Pictures are made, encoded and written by all threads of the current pool.
///
/// # Errors
/// A folder that may not be replaced, a grid inside it, a file that cannot be written, NaN from the generator, or
/// [`Error::Stopped`] after `stop` was set.
pub fn sample(job: &Job, stop: &AtomicBool, progress: &dyn Progress) -> Result<()> {
    let folder = Folder::begin(job.out, job.force)?;
    if let Some(path) = job.grid {
        check_grid(path, job.out)?;
    }
    let (height, width, channels) = job.generator.model.image_shape();
    let size = height * width * channels;
    // A batch is whole portions, or else portions would be made twice.
    let batch = job.batch.next_multiple_of(PORTION);
    let (done, first) = (Mutex::new(0), Mutex::new(Vec::new()));
    // Each batch is one thread's: while it encodes and writes, others run the network. Threads that find no batch help
    // with the products of the last ones.
    (0..job.count).into_par_iter().step_by(batch).with_max_len(1).try_for_each(|start| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let range = start..job.count.min(start + batch);
        let bytes = make(job, range.clone())?;
        for (picture, index) in bytes.chunks_exact(size).zip(range.clone()) {
            let text =
                json!({ "generator": job.generator.hash, "index": index, "seed": job.seed }).to_string();
            let png = encode_png(width, height, channels, picture, &[("gantools", &text)]);
            folder.add(&file_name(index), &png)?;
        }
        if start == 0 {
            *first.lock().expect(SOUND) = bytes[..range.len().min(GRID.0) * size].to_vec();
        }
        let mut done = done.lock().expect(SOUND);
        *done += range.len();
        progress.at(*done as u64, job.count as u64, "");
        Ok(())
    })?;
    if let Some(path) = job.grid {
        let text = json!({ "generator": job.generator.hash, "seed": job.seed }).to_string();
        let first = first.into_inner().expect(SOUND);
        let first: Vec<&[u8]> = first.chunks_exact(size).collect();
        let (w, h, bytes) = grid(&first, width, height, channels, GRID.1);
        let png = encode_png(w, h, channels, &bytes, &[("gantools", &text)]);
        atomic::write(path, |out| out.write_all(&png))?;
    }
    let about = json!({ "generator": job.generator.hash, "pictures": job.count, "seed": job.seed });
    folder.finish(about, progress)
}

/// The name of picture `index`.
pub(super) fn file_name(index: usize) -> String {
    format!("{index:06}.png")
}

/// The bytes of the pictures of a range that begins with a portion.
fn make(job: &Job, range: Range<usize>) -> Result<Vec<u8>> {
    let Generator { model, network, .. } = job.generator;
    let mut bytes = Vec::new();
    for first in range.clone().step_by(PORTION) {
        let z = latents(job.seed, Stream::Sample, first as u64, PORTION, model.latent_size(), job.device)?;
        bytes.extend(pictures(network, &z)?);
    }
    bytes.truncate(bytes.len() / range.len().next_multiple_of(PORTION) * range.len());
    Ok(bytes)
}

/// A grid in the folder would be taken for a sample by whatever reads it.
fn check_grid(path: &Path, out: &Path) -> Result<()> {
    let absolute = |p: &Path| p.canonicalize().or_else(|_| std::path::absolute(p)).map_err(Error::io(p));
    if absolute(atomic::folder_of(path))?.starts_with(absolute(out)?) {
        let what = format!("--grid may not be inside {}, which holds single pictures alone", out.display());
        return Err(Error::file(path, what));
    }
    Ok(())
}
