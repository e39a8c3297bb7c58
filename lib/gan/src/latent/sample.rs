//! A folder of PNGs from a generator.

use std::path::Path;
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

/// Pictures in a grid, and in one of its rows.
const GRID: (usize, usize) = (64, 8);

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
    /// Pictures that are made before they are encoded and written, ≥ 1; it changes no byte of them.
    pub batch: usize,
    /// The folder to make or replace.
    pub out: &'a Path,
    /// A picture of the first 64, to write besides; outside `out`.
    pub grid: Option<&'a Path>,
    /// Whether `out` may be replaced though it holds what `sample` did not make.
    pub force: bool,
}

/// Makes pictures `000000.png` … of `job` in a folder that takes its place whole, at the end: until then, and after an
/// error, `job.out` is as it was. Pictures are encoded and written by all threads of the current pool.
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
    let mut first = Vec::new();
    // A batch is whole portions, or else portions would be made twice.
    let batch = job.batch.next_multiple_of(PORTION);
    for start in (0..job.count).step_by(batch) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let end = job.count.min(start + batch);
        let mut bytes = Vec::with_capacity(batch * size);
        for portion in (start..end).step_by(PORTION) {
            bytes.extend(make(job, portion as u64)?);
        }
        bytes.truncate((end - start) * size);
        bytes.par_chunks_exact(size).zip(start..end).try_for_each(|(picture, index)| {
            let text =
                json!({ "generator": job.generator.hash, "index": index, "seed": job.seed }).to_string();
            let png = encode_png(width, height, channels, picture, &[("gantools", &text)]);
            folder.add(&file_name(index), &png)
        })?;
        let wanted = job.count.min(GRID.0).saturating_sub(start).min(end - start);
        first.extend_from_slice(&bytes[..wanted * size]);
        progress.at(end as u64, job.count as u64, "");
    }
    if let Some(path) = job.grid {
        let text = json!({ "generator": job.generator.hash, "seed": job.seed }).to_string();
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

/// The bytes of a whole portion of pictures, from `first` on.
fn make(job: &Job, first: u64) -> Result<Vec<u8>> {
    let Generator { model, network, .. } = job.generator;
    let z = latents(job.seed, Stream::Sample, first, PORTION, model.latent_size(), job.device)?;
    pictures(network, &z)
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
