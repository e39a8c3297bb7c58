//! Convolution, its adjoint (the transposed convolution) and the gradient of its weights, each as matrix products whose
//! left operand is read from the channels-last image, where it lies or copied a block at a time (implicit GEMM).
//!
//! One weight layout serves all three: `[kh, kw, C, S]`, where C counts the channels of the convolution's input (the
//! large image) and S those of its output (the small one). Read as a matrix W of `kh·kw·C` rows and S columns:
//!
//! - [`conv2d`]: patches(x)·W; also the input gradient of a transposed convolution,
//! - [`conv_transpose2d`]: the adjoint; also the input gradient of a convolution,
//! - [`weight_grad`]: patches(x)ᵀ·y, for both.
//!
//! Images are f32 or bf16, sums are f32, weights come as f32 and are rounded when they are packed.

mod forward;
mod gradient;
#[cfg(test)]
mod tests;
mod transposed;
mod windows;

pub use crate::matmul::Packed;
pub use forward::{conv2d, pack};
pub use gradient::weight_grad;
pub use transposed::{PackedTransposed, conv_transpose2d};

use std::any::Any;
use std::cell::RefCell;
use std::mem::MaybeUninit;

use crate::Activation;
use crate::element::Element;
use crate::matmul::{Buffer, PANELS};

/// A convolution's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Kernel height and width.
    pub kernel: (usize, usize),
    /// The stride, the same in both directions.
    pub stride: usize,
    /// Zeros added above and below, left and right.
    pub padding: (usize, usize),
}

/// The sizes of a channels-last batch: images, height, width, channels.
pub type Shape = (usize, usize, usize, usize);

impl Conv {
    /// The output's height and width for an input of `h`×`w`.
    ///
    /// # Panics
    /// If the padded input is smaller than the kernel.
    pub fn output(&self, h: usize, w: usize) -> (usize, usize) {
        let side = |n: usize, k: usize, p: usize| {
            assert!(n + 2 * p >= k, "convolution: an input of {n} is smaller than the kernel of {k}");
            (n + 2 * p - k) / self.stride + 1
        };
        (side(h, self.kernel.0, self.padding.0), side(w, self.kernel.1, self.padding.1))
    }

    /// The number of pixels under the kernel.
    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }
}

/// The most rows of a product that are computed at once: so many keep their sums in the cache.
const ROWS: usize = 128;

/// Columns of a product that are computed at once: three times as many as panels can be cut at.
const COLUMNS: usize = 3 * PANELS;

/// Rows per piece of work, so that every thread of the pool gets as many pieces as any other. Which rows share a piece
/// changes no sum.
fn rows_per_piece(total: usize) -> usize {
    let threads = rayon::current_num_threads();
    let pieces = total.div_ceil(ROWS * threads) * threads;
    total.div_ceil(pieces.max(1)).max(1)
}

/// `columns` in even chunks of at most `most`, a multiple of [`PANELS`], as are all but the last.
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
    /// The right operand, where it is not a weight.
    b: Buffer<T>,
    /// Two rows of one of them.
    rows: Buffer<T>,
    /// Sums.
    c: Buffer<f32>,
    /// An image before it is rounded.
    image: Buffer<f32>,
}

thread_local! {
    /// One of each type at most.
    static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with this thread's K, which is kept: fresh pages cost more than the work on small pieces.
fn with_kept<K: Default + 'static, R>(f: impl FnOnce(&mut K) -> R) -> R {
    // Taken out rather than borrowed: rayon may run another piece of work on this thread inside `f`.
    let kept = KEPT.with_borrow_mut(|all| {
        let at = all.iter().position(|k| k.is::<K>())?;
        all.swap_remove(at).downcast::<K>().ok()
    });
    let mut kept = kept.unwrap_or_default();
    let result = f(&mut kept);
    KEPT.with_borrow_mut(|all| {
        if !all.iter().any(|k| k.is::<K>()) {
            all.push(kept);
        }
    });
    result
}

/// `out = activation(sums + bias)`, rounded to what `out` holds; all of one length.
#[inline(always)]
fn finish<O: Element>(
    sums: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [MaybeUninit<O>],
) {
    #[inline(always)]
    fn each<O: Element>(
        sums: &[f32],
        bias: Option<&[f32]>,
        out: &mut [MaybeUninit<O>],
        f: impl Fn(f32) -> f32,
    ) {
        let round = |v| MaybeUninit::new(O::from_f32(f(v)));
        match bias {
            Some(bias) => out.iter_mut().zip(sums).zip(bias).for_each(|((o, s), b)| *o = round(s + b)),
            None => out.iter_mut().zip(sums).for_each(|(o, &s)| *o = round(s)),
        }
    }
    match activation {
        Activation::Identity => each(sums, bias, out, |v| v),
        Activation::LeakyRelu(slope) => each(sums, bias, out, |v| if v > 0.0 { v } else { v * slope }),
        Activation::Tanh => each(sums, bias, out, crate::activation::tanh),
    }
}
