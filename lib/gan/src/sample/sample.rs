//! A folder of PNGs from a generator.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde_json::{Value, json};

use super::output_dir::OutputDir;
use super::{CHUNK, Latents, images};
use crate::checkpoint::Generator;
use crate::data::image::{encode_png, grid};
use crate::io::atomic;
use crate::progress::Progress;
use crate::{Error, Result};
use candle_core::Device;

/// Images in a grid, and in one of its rows. All are of the first chunk.
const GRID: (usize, usize) = (64, 8);
const _: () = assert!(GRID.0 <= CHUNK);
/// Why a lock is never poisoned.
pub(super) const SOUND: &str = "no panic while held";

/// What to make.
pub struct Job<'a> {
    /// The generator.
    pub generator: &'a Generator,
    /// Where it computes.
    pub device: &'a Device,
    /// The latents of the images, of the generator's size, ≥ 1.
    pub latents: &'a Latents,
    /// Images that a thread makes before it encodes and writes them, ≥ 1; it changes no byte of them.
    pub batch: usize,
    /// The folder or file to make or replace.
    pub out: &'a Path,
    /// A file for the latents besides, outside `out`.
    pub save: Option<&'a Path>,
    /// Whether `out` and `save` may be replaced though they hold what `sample` did not make.
    pub force: bool,
}

/// Makes images `000000.png` … of `job` in a folder that takes its place whole, at the end: until then, and after an
/// error, `job.out` is as it was. Images are made, encoded and written by all threads of the current pool. `grid_to` is
/// an image of the first 64, to write besides, outside the folder.
///
/// # Errors
/// A folder that may not be replaced, a grid or latents inside it, a file that cannot be written, NaN from the generator,
/// or [`Error::Stopped`] after `stop` was set.
pub fn sample(job: &Job, grid_to: Option<&Path>, stop: &AtomicBool, progress: &dyn Progress) -> Result<()> {
    let folder = OutputDir::begin(job.out, job.force)?;
    for (flag, path) in [("--grid", grid_to), ("--save-latents", job.save)] {
        path.map_or(Ok(()), |path| {
            check_outside(flag, path, job.out).and_then(|()| atomic::check_place(path))
        })?;
    }
    if let Some(path) = job.save {
        Latents::may_replace(path, job.force)?;
    }
    let (height, width, channels) = job.generator.image_shape;
    let size = height * width * channels;
    let first = Mutex::new(Vec::new());
    for_each_batch(job, stop, progress, |start, bytes| {
        for (image, index) in bytes.chunks_exact(size).zip(start..) {
            let text = about(job, json!({ "index": index })).to_string();
            let png = encode_png(width, height, channels, image, &[("gantools", &text)]);
            folder.add(&file_name(index), &png)?;
        }
        if start == 0 {
            *first.lock().expect(SOUND) = bytes[..bytes.len().min(GRID.0 * size)].to_vec();
        }
        Ok(())
    })?;
    if let Some(path) = grid_to {
        let text = about(job, json!({})).to_string();
        let first = first.into_inner().expect(SOUND);
        let first: Vec<&[u8]> = first.chunks_exact(size).collect();
        let (w, h, bytes) = grid(&first, width, height, channels, GRID.1);
        let png = encode_png(w, h, channels, &bytes, &[("gantools", &text)]);
        atomic::write(path, |out| out.write_all(&png))?;
    }
    if let Some(path) = job.save {
        job.latents.write(path, job.force)?;
    }
    folder.finish(about(job, json!({ "pictures": job.latents.count() })), progress)
}

/// Makes all images of `job`, and hands `take` the number of a batch's first one and the batch's bytes. Each batch is one
/// thread's: while it encodes and writes, others run the network. Threads that find no batch help with the products of
/// the last ones.
pub(super) fn for_each_batch(
    job: &Job,
    stop: &AtomicBool,
    progress: &dyn Progress,
    take: impl Fn(usize, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    // A batch is whole chunks, or else chunks would be made twice.
    let (count, batch) = (job.latents.count(), job.batch.next_multiple_of(CHUNK));
    let done = Mutex::new(0);
    (0..count).into_par_iter().step_by(batch).with_max_len(1).try_for_each(|start| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let range = start..count.min(start + batch);
        take(start, &make(job, range.clone())?)?;
        let mut done = done.lock().expect(SOUND);
        *done += range.len();
        progress.update(*done as u64, count as u64, "");
        Ok(())
    })
}

/// What a file tells of its images: the generator, what the latents are, and `more`, an object.
pub(super) fn about(job: &Job, more: Value) -> Value {
    let mut about = job.latents.about().clone();
    about["generator"] = job.generator.hash.as_str().into();
    let more = more.as_object().cloned().unwrap_or_default();
    more.into_iter().for_each(|(key, value)| about[key] = value);
    about
}

/// The name of image `index`.
pub(super) fn file_name(index: usize) -> String {
    format!("{index:06}.png")
}

/// The bytes of the images of a range that begins with a chunk.
fn make(job: &Job, range: Range<usize>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for first in range.clone().step_by(CHUNK) {
        bytes.extend(images(&job.generator.network, &job.latents.chunk(first, job.device)?)?);
    }
    bytes.truncate(bytes.len() / range.len().next_multiple_of(CHUNK) * range.len());
    Ok(bytes)
}

/// A file in the folder would be taken for a sample by whatever reads it.
fn check_outside(flag: &str, path: &Path, out: &Path) -> Result<()> {
    let absolute = |p: &Path| p.canonicalize().or_else(|_| std::path::absolute(p)).map_err(Error::io(p));
    if absolute(atomic::folder_of(path))?.starts_with(absolute(out)?) {
        let what = format!("{flag} may not be inside {}, which holds single images alone", out.display());
        return Err(Error::file(path, what));
    }
    Ok(())
}
