//! The CPU kernels of gantools: plain functions over slices, without tensors or files.
//!
//! Activations are channels-last, `[B, H, W, C]`, row-major. Convolution weights are `[kh, kw, Cin, Cout]`.
//! Work is split into pieces and summed in an order that depends on shapes alone, so no result depends on the
//! number of threads. The pieces run on rayon's current pool. Loops over channels are compiled for every
//! instruction set that `pulp` knows; the best one is chosen at run time.

pub mod activation;
pub mod adam;
mod channels;
pub mod conv;
pub mod element;
pub mod isa;
pub mod linalg;
pub mod matmul;
pub mod norm;
pub mod pool;
mod simd;

pub use activation::Activation;
pub use channels::Channels;
pub use element::{Element, bf16};
pub use isa::Isa;

/// Rows in a piece of row-wise work. Sums depend on it in their last digits, hence a constant.
const ROWS: usize = 256;

#[cfg(test)]
mod testing {
    /// Makes AMX available: emulates it on processors that lack it.
    pub fn emulate() {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        crate::matmul::amx::emulator::install();
    }

    /// `n` pseudorandom values in [−0.5, 0.5).
    pub fn random(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed.wrapping_mul(747_796_405).wrapping_add(1);
        let mut next = || {
            s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (s >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }
}
