//! Latent vectors and the images that a generator makes of them.
//!
//! They are drawn from a seed, read from a file, lie on a [walk](Interpolation) from image to image, or are what an
//! [expression](Expr) of images comes to. The images go into a folder, or a [sheet](sheet()) of all.
//!
//! Latent i is a function of (seed, stream, i), and image i is made in chunk i / [`CHUNK`] of fixed size and
//! place, so that neither depends on how many others are made, in what batches, by how many threads.

mod expr;
mod interpolate;
mod latents;
mod nearest;
mod output_dir;
mod sample;
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
pub use interpolate::{Interpolation, slerp};
pub use latents::Latents;
pub use nearest::{Neighbor, nearest};
pub use sample::{Job, sample};
pub use sheet::{OutputFormat, nearest_grid, sheet};

/// Images that go through the generator together. The shapes of a matrix product decide its order of summation, so
/// this is a constant: an image at the end of a request is computed among the same neighbors as in a longer one. Fewer
/// images make products of few rows, which are slower.
pub const CHUNK: usize = 64;

/// Latents `first..first + count` of a stream: `[count, nz]`, standard normal.
///
/// # Errors
/// The device has no room.
pub fn latents(
    seed: u64,
    stream: Stream,
    first: u64,
    count: usize,
    nz: usize,
    device: &Device,
) -> Result<Tensor> {
    let mut z = vec![0.0; count * nz];
    z.chunks_exact_mut(nz).zip(first..).for_each(|(row, i)| rng::normals(seed, stream, i, row));
    Ok(Tensor::from_vec(z, (count, nz), device)?)
}

/// The images that `generator` makes of `z` `[B, nz]` in evaluation mode: B·H·W·C bytes. A value x becomes
/// `round((x + 1) · 127.5)`; the range is fixed, never stretched.
///
/// # Errors
/// A NaN among the values, or a device without room.
pub fn images(generator: &Network, z: &Tensor) -> Result<Vec<u8>> {
    let made = with_layouts_kept(z.device(), || generator.forward(z))?;
    let values = made.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    if values.iter().any(|v| v.is_nan()) {
        return Err(Error::Invalid("the generator makes NaN: its training diverged".into()));
    }
    Ok(values.into_iter().map(to_u8).collect())
}
