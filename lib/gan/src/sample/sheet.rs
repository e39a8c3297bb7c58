//! Images in one file: in a row, as an animation, or beside their nearest training images.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::nearest::{Neighbor, nearest};
use super::{Latents, Sampler};
use crate::data::image::{encode_apng, encode_gif, encode_png, grid};
use crate::data::shard::Shard;
use crate::io::{atomic, check_overwrite, check_place};
use crate::named::named_enum;
use crate::{Error, Result};

/// How long a frame of an animation is shown.
const FRAME: Duration = Duration::from_millis(80);

/// Images in a row of a grid.
pub(super) const COLUMNS: usize = 8;

named_enum! {
    /// How images become one file, by its extension.
    pub enum OutputFormat {
        /// One PNG, all images in a row.
        Row = "png",
        /// An animated GIF.
        Gif = "gif",
        /// An animated PNG.
        Apng = "apng",
    }
}

impl OutputFormat {
    /// The format of a file name's extension; `None` for any other, the name of a folder.
    pub fn of(path: &Path) -> Option<OutputFormat> {
        path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
    }
}

/// Writes the images of `latents` to the file `out`. An animation shows them in `order` (indices of images)
/// and repeats; a row has each once. An image that `sample` made is replaced, with `force` any file.
///
/// # Errors
/// [`Error::Exists`]; the operating system refuses; those of [`Sampler::all`]. Then `out` is as it was.
pub fn write_sheet(
    sampler: &Sampler,
    latents: &Latents,
    out: &Path,
    format: OutputFormat,
    order: &[usize],
    force: bool,
) -> Result<()> {
    check_image(out, force)?;
    let bytes = sampler.all(latents)?;
    let (height, width, channels) = sampler.shape();
    let images: Vec<&[u8]> = bytes.chunks_exact(sampler.image_size()).collect();
    let frames = || order.iter().map(|&i| images[i]).collect::<Vec<_>>();
    let text = sampler.provenance(latents, []).to_string();
    let (times, texts) = ([FRAME; 2], [("gantools", &*text)]);
    let file = match format {
        OutputFormat::Row => grid_png(&images, sampler.shape(), images.len(), &text),
        OutputFormat::Gif => encode_gif(&frames(), width, height, channels, times),
        OutputFormat::Apng => encode_apng(&frames(), width, height, channels, times, &texts),
    };
    atomic::write(out, |out| out.write_all(&file))
}

/// Writes each image of `latents`, with the nearest image of `shard` to its right, as one PNG to `out`, eight
/// pairs in a row. Returns the nearest images in order.
///
/// # Errors
/// Those of [`write_sheet`]; the shard's images have another shape than the generator's.
pub fn write_nearest(
    sampler: &Sampler,
    latents: &Latents,
    out: &Path,
    shard: &Shard,
    force: bool,
) -> Result<Vec<Neighbor>> {
    check_image(out, force)?;
    let (height, width, channels) = sampler.shape();
    let theirs = (shard.height(), shard.width(), shard.channels());
    if theirs != sampler.shape() {
        let [theirs, ours] = [theirs, sampler.shape()].map(|(h, w, c)| format!("{h}×{w}×{c}"));
        let what = format!("has images of {theirs}, but the generator makes {ours}");
        return Err(Error::file(shard.path(), what));
    }
    let bytes = sampler.all(latents)?;
    let neighbors = nearest(&bytes, shard, sampler.stop, sampler.progress)?;
    let mut other = vec![0; sampler.image_size()];
    let mut pairs = Vec::with_capacity(neighbors.len());
    for (image, neighbor) in bytes.chunks_exact(sampler.image_size()).zip(&neighbors) {
        shard.pixels(neighbor.index, &mut other);
        let rows = image.chunks_exact(width * channels).zip(other.chunks_exact(width * channels));
        pairs.push(rows.flat_map(|(left, right)| [left, right]).collect::<Vec<_>>().concat());
    }
    let cells: Vec<&[u8]> = pairs.iter().map(Vec::as_slice).collect();
    let indices: Vec<usize> = neighbors.iter().map(|neighbor| neighbor.index).collect();
    let more = [("nearest", indices.into()), ("shard", shard.meta().content_hash.as_str().into())];
    let text = sampler.provenance(latents, more).to_string();
    let png = grid_png(&cells, (height, 2 * width, channels), COLUMNS, &text);
    atomic::write(out, |out| out.write_all(&png))?;
    Ok(neighbors)
}

/// A PNG of `cells`, bytes of images of one shape, in rows of `columns`.
pub(super) fn grid_png(cells: &[&[u8]], shape: (usize, usize, usize), columns: usize, text: &str) -> Vec<u8> {
    let (height, width, channels) = shape;
    let (width, height, bytes) = grid(cells, width, height, channels, columns);
    encode_png(width, height, channels, &bytes, &[("gantools", text)])
}

/// Checks that an image file may be written to `path`: see [`check_overwrite`]. Our PNGs are known by their
/// text; a GIF has none.
pub(super) fn check_image(path: &Path, force: bool) -> Result<()> {
    check_place(path)?;
    check_overwrite(path, force, || {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut start));
        read.map_err(Error::io(path))?;
        let is_ours = start.starts_with(b"GIF89a") || start.windows(9).any(|w| w == b"gantools\0");
        Ok((!is_ours).then(|| "was not made by `sample`".into()))
    })
}
