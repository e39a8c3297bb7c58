//! CPU compute of gantools: plain functions over slices. No candle, no files.
//!
//! Activations are channels-last, `[B, H, W, C]`, row-major. Convolution weights are `[kh, kw, Cin, Cout]`.
//! Work is split into pieces whose sizes depend on shapes alone and is summed in a fixed order, so no result depends on
//! the number of threads; the pieces run on rayon's current pool. Loops over channels are compiled for every
//! instruction set that `pulp` knows and dispatched at run time.

pub mod activation;
pub mod adam;
pub mod conv;
pub mod linalg;
pub mod matmul;
pub mod norm;
mod simd;

pub use activation::Activation;

/// Rows that one piece of row-wise work covers; part of what a result's bytes depend on, hence a constant.
const ROWS: usize = 256;
