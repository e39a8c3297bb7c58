//! Images of a generator: latents, the images made of them, and the files that these are written to.
//!
//! [`Latents`] are drawn from a seed or read from a file. An [`Interpolation`] or an [`Expr`] makes further
//! ones of them. A [`Sampler`] makes their images; [`write_folder`], [`write_sheet`] and [`write_nearest`]
//! write these.
//!
//! Drawn latent i is a function of (seed, stream, i). Image i is made in chunk i / [`CHUNK`], of fixed size
//! and place. So neither depends on the number of images, on batches, or on threads.

mod expr;
mod folder;
mod interpolate;
mod latents;
mod nearest;
mod output_dir;
mod sampler;
mod sheet;
#[cfg(test)]
mod tests;

use candle_core::{Device, Tensor};

use crate::data::image::to_u8;
use crate::device::with_layouts_kept;
use crate::nn::Network;
use crate::rng::{self, Stream};
use crate::{Error, Result};

pub use expr::Expr;
pub use folder::write_folder;
pub use interpolate::Interpolation;
pub use latents::Latents;
pub use nearest::Neighbor;
pub use output_dir::{check_folder, check_outside};
pub use sampler::Sampler;
pub use sheet::{OutputFormat, write_nearest, write_sheet};

/// Images that go through the generator together. The shapes of a matrix product decide its order of
/// summation, so this is a constant: the last image of a request is computed among the same neighbors as in a
/// longer request. Fewer images make matrix products of few rows, which are slower.
pub const CHUNK: usize = 64;

/// Latents `first..first + count` of a stream: `[count, nz]`, standard normal.
///
/// # Errors
/// The device is out of memory.
pub fn latents(
    seed: u64,
    stream: Stream,
    first: u64,
    count: usize,
    nz: usize,
    device: &Device,
) -> Result<Tensor> {
    Ok(Tensor::from_vec(draw(seed, stream, first, count, nz), (count, nz), device)?)
}

/// The numbers of [`latents`], row by row.
fn draw(seed: u64, stream: Stream, first: u64, count: usize, nz: usize) -> Vec<f32> {
    let mut rows = vec![0.0; count * nz];
    rows.chunks_exact_mut(nz).zip(first..).for_each(|(row, i)| rng::normals(seed, stream, i, row));
    rows
}

/// The images that `generator` makes of `z` `[B, nz]` in evaluation mode: `[B, H, W, C]` bytes. A value x
/// becomes `round((x + 1) · 127.5)`, cut off to 0 to 255; the range is fixed, never stretched.
///
/// # Errors
/// The generator makes NaN; the device is out of memory.
pub fn images(generator: &Network, z: &Tensor) -> Result<Vec<u8>> {
    let images = with_layouts_kept(z.device(), || generator.forward(z))?;
    let values = images.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    if values.iter().any(|v| v.is_nan()) {
        return Err(Error::Invalid("the generator makes NaN: its training diverged".into()));
    }
    Ok(values.into_iter().map(to_u8).collect())
}
