//! Convolution, its adjoint (the transposed convolution) and the gradient of its weights, as matrix products.
//! Their left operand is read from the channels-last image, in place or copied block by block (implicit
//! GEMM).
//!
//! All three share one weight layout, `[kh, kw, C, S]`: C channels of the convolution's input (the large
//! image), S of its output (the small image). As a matrix W of `kh·kw·C` rows and S columns:
//!
//! - [`conv2d`]: patches(x)·W; also the input gradient of a transposed convolution,
//! - [`conv_transpose2d`]: the adjoint; also the input gradient of a convolution,
//! - [`weight_grad`]: patches(x)ᵀ·y, for both.
//!
//! Images are f32 or bf16; sums are f32; weights are f32, rounded when they are packed.

mod forward;
mod gradient;
#[cfg(test)]
mod tests;
mod transposed;
mod windows;

pub use crate::matmul::PackedMatrix;
pub use forward::{ConvPart, conv2d, convs2d, pack};
pub use gradient::weight_grad;
pub use transposed::{PackedTransposed, conv_transpose2d};

use crate::matmul::{Buffer, PANELS};
use std::any::Any;
use std::cell::RefCell;

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvWindow {
    /// Kernel height and width.
    pub kernel: (usize, usize),
    /// The stride, the same in both directions.
    pub stride: usize,
    /// Zeros added above and below, left and right.
    pub padding: (usize, usize),
}

/// The sizes of a channels-last batch: images, height, width, channels.
pub type BatchShape = (usize, usize, usize, usize);

impl ConvWindow {
    /// The output's height and width for an input of `h`×`w`.
    ///
    /// # Panics
    /// If the padded input is smaller than the kernel.
    pub fn output(&self, h: usize, w: usize) -> (usize, usize) {
        let size = |n: usize, k: usize, p: usize| {
            assert!(n + 2 * p >= k, "convolution: an input of {n} is smaller than the kernel of {k}");
            (n + 2 * p - k) / self.stride + 1
        };
        (size(h, self.kernel.0, self.padding.0), size(w, self.kernel.1, self.padding.1))
    }

    /// The number of pixels under the kernel.
    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }
}

/// The most rows of a product that are computed at once: their sums stay in the cache.
const ROWS: usize = 128;

/// The most columns of a product that are computed at once, a multiple of [`PANELS`].
const COLUMNS: usize = 3 * PANELS;

/// Rows per piece of work, such that every thread of the pool gets the same number of pieces. No sum depends
/// on it.
fn rows_per_piece(total: usize) -> usize {
    let threads = rayon::current_num_threads();
    let pieces = total.div_ceil(ROWS * threads) * threads;
    total.div_ceil(pieces.max(1)).max(1)
}

/// Cuts `columns` into even chunks of at most `most` columns. All chunks but the last are multiples of
/// [`PANELS`].
fn chunks(columns: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> + Clone {
    let count = columns.div_ceil(most).max(1);
    let size = columns.div_ceil(count).next_multiple_of(PANELS);
    (0..columns).step_by(size.max(1)).map(move |first| first..columns.min(first + size))
}

/// The buffers of a piece of work.
#[derive(Default)]
struct Scratch<T> {
    /// The left operand.
    a: Buffer<T>,
    /// The right operand, unless it is a weight.
    b: Buffer<T>,
    /// Two rows of an operand.
    rows: Buffer<T>,
    /// Sums.
    c: Buffer<f32>,
    /// An image before rounding.
    image: Buffer<f32>,
    /// Where the rows of the result begin.
    starts: Vec<usize>,
}

thread_local! {
    /// At most one value of each type.
    static SCRATCH: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with this thread's K, which is kept: new pages cost more than the work on small pieces.
fn with_scratch<K: Default + 'static, R>(f: impl FnOnce(&mut K) -> R) -> R {
    // Taken, not borrowed: rayon may run another piece of work on this thread inside `f`.
    let scratch = SCRATCH.with_borrow_mut(|all| {
        let at = all.iter().position(|k| k.is::<K>())?;
        all.swap_remove(at).downcast::<K>().ok()
    });
    let mut scratch = scratch.unwrap_or_default();
    let result = f(&mut scratch);
    SCRATCH.with_borrow_mut(|all| {
        if !all.iter().any(|k| k.is::<K>()) {
            all.push(scratch);
        }
    });
    result
}
