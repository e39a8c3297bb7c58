//! Images of a generator in one file: in a row, as an animation, beside their nearest training images.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;

use super::Latents;
use super::nearest::{Neighbor, nearest};
use super::sample::{Job, SOUND, about, for_each_batch};
use crate::data::image::{encode_apng, encode_gif, encode_png, grid};
use crate::data::shard::Shard;
use crate::io::atomic;
use crate::progress::Progress;
use crate::{Error, Result};

/// How long a frame of an animation is shown.
const FRAME: Duration = Duration::from_millis(80);
/// Pairs in a row of the image of nearest ones.
const PAIRS: usize = 8;

/// How images become one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// A PNG of all in one row.
    Row,
    /// An animated GIF.
    Gif,
    /// An animated PNG.
    Apng,
}

impl OutputFormat {
    /// The form that a file's extension tells, or `None` where it tells none: a folder's name.
    pub fn of(path: &Path) -> Option<OutputFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(OutputFormat::Row),
            "gif" => Some(OutputFormat::Gif),
            "apng" => Some(OutputFormat::Apng),
            _ => None,
        }
    }
}

/// Writes the images of `job` to the one file `job.out`. An animation shows them in `order` (indices of images) and goes
/// round; a row has all in their own.
///
/// # Errors
/// A file that cannot be written, NaN from the generator, or [`Error::Stopped`] after `stop` was set; then `job.out` is
/// as it was.
pub fn sheet(
    job: &Job,
    form: OutputFormat,
    order: &[usize],
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<()> {
    let (height, width, channels) = job.generator.image_shape;
    let bytes = render(job, stop, progress)?;
    let images: Vec<&[u8]> = bytes.chunks_exact(height * width * channels).collect();
    let frames: Vec<&[u8]> = order.iter().map(|&i| images[i]).collect();
    let text = about(job, json!({})).to_string();
    let text = [("gantools", text.as_str())];
    let file = match form {
        OutputFormat::Row => {
            let (w, h, bytes) = grid(&images, width, height, channels, images.len());
            encode_png(w, h, channels, &bytes, &text)
        }
        OutputFormat::Gif => encode_gif(&frames, width, height, channels, [FRAME; 2]),
        OutputFormat::Apng => encode_apng(&frames, width, height, channels, [FRAME; 2], &text),
    };
    write(job, &file)
}

/// Writes each image of `job`, to its right the nearest one of `shard`, as one PNG to `job.out`, eight pairs in a row,
/// and returns the nearest ones in order.
///
/// # Errors
/// Those of [`sheet`], and a shard whose images have another size than the generator's.
pub fn nearest_grid(
    job: &Job,
    shard: &Shard,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Vec<Neighbor>> {
    let (height, width, channels) = job.generator.image_shape;
    let theirs = (shard.height(), shard.width(), shard.channels());
    if theirs != (height, width, channels) {
        let (h, w, c) = theirs;
        let what = format!("has images of {h}×{w}×{c}, but the generator makes {height}×{width}×{channels}");
        return Err(Error::file(shard.path(), what));
    }
    let bytes = render(job, stop, progress)?;
    let found = nearest(&bytes, shard, stop, progress)?;
    let mut pairs = Vec::new();
    let mut other = vec![0; height * width * channels];
    for (image, near) in bytes.chunks_exact(other.len()).zip(&found) {
        shard.pixels(near.index, &mut other);
        let row = width * channels;
        let rows = image.chunks_exact(row).zip(other.chunks_exact(row));
        pairs.push(rows.flat_map(|(left, right)| [left, right]).flatten().copied().collect::<Vec<u8>>());
    }
    let pairs: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
    let (w, h, bytes) = grid(&pairs, 2 * width, height, channels, PAIRS);
    let indices: Vec<usize> = found.iter().map(|near| near.index).collect();
    let text = about(job, json!({ "nearest": indices, "shard": shard.meta().content_hash })).to_string();
    write(job, &encode_png(w, h, channels, &bytes, &[("gantools", &text)]))?;
    Ok(found)
}

/// All images of `job`, one after the other.
fn render(job: &Job, stop: &AtomicBool, progress: &dyn Progress) -> Result<Vec<u8>> {
    [Some(job.out), job.save].into_iter().flatten().try_for_each(atomic::check_place)?;
    if let Some(path) = job.save {
        Latents::may_replace(path, job.force)?;
    }
    let (height, width, channels) = job.generator.image_shape;
    let size = height * width * channels;
    let all = Mutex::new(vec![0; job.latents.count() * size]);
    for_each_batch(job, stop, progress, |first, bytes| {
        all.lock().expect(SOUND)[first * size..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    })?;
    Ok(all.into_inner().expect(SOUND))
}

fn write(job: &Job, file: &[u8]) -> Result<()> {
    if let Some(path) = job.save {
        job.latents.write(path, job.force)?;
    }
    atomic::write(job.out, |out| out.write_all(file))
}
