//! Images as a folder of PNG files.

use std::path::Path;
use std::sync::OnceLock;

use super::output_dir::{OutputDir, check_outside, file_name};
use super::sheet::{COLUMNS, check_image, grid_png};
use super::{CHUNK, Latents, Sampler};
use crate::Result;
use crate::data::image::encode_png;
use crate::io::atomic;

/// Images in a grid: they are all of the first chunk.
const IN_GRID: usize = 64;
const _: () = assert!(IN_GRID <= CHUNK);

/// Writes the images of `latents` to the folder `out` as `000000.png`, `000001.png`, …, and one PNG of the
/// first 64 to `grid`. The folder appears complete, at the end: until then, and after an error, `out` is as
/// it was. A folder that `sample` made is replaced, with `force` any folder.
///
/// # Errors
/// [`Error::Exists`](crate::Error::Exists); `grid` is inside `out`; the operating system refuses; those of
/// [`Sampler::for_each_batch`].
pub fn write_folder(
    sampler: &Sampler,
    latents: &Latents,
    out: &Path,
    grid: Option<&Path>,
    force: bool,
) -> Result<()> {
    let folder = OutputDir::begin(out, force)?;
    if let Some(grid) = grid {
        check_outside("grid", grid, out)?;
        check_image(grid, force)?;
    }
    let (height, width, channels) = sampler.shape();
    let size = sampler.image_size();
    let first_images = OnceLock::new();
    sampler.for_each_batch(latents, |first, bytes| {
        for (image, index) in bytes.chunks_exact(size).zip(first..) {
            let text = sampler.provenance(latents, [("index", index.into())]).to_string();
            let png = encode_png(width, height, channels, image, &[("gantools", &text)]);
            folder.add(&file_name(index), &png)?;
        }
        if first == 0 {
            first_images.get_or_init(|| bytes[..bytes.len().min(IN_GRID * size)].to_vec());
        }
        Ok(())
    })?;
    if let Some(grid) = grid {
        let first_images = first_images.into_inner().unwrap_or_default();
        let cells: Vec<&[u8]> = first_images.chunks_exact(size).collect();
        let text = sampler.provenance(latents, []).to_string();
        let png = grid_png(&cells, sampler.shape(), COLUMNS, &text);
        atomic::write(grid, |out| out.write_all(&png))?;
    }
    let marker = sampler.provenance(latents, [("images", latents.count().into())]);
    folder.finish(marker, sampler.progress)
}
