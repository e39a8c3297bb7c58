//! The tensor operations of training: every forward pass and every gradient is a plain function.
//!
//! Each operation has two implementations: `cpu` calls `gan-kernels` on slices; `portable` uses only candle's
//! tensor operations, so any candle device runs it. [`Backend::of`] chooses by the device.
//!
//! Activations are channels-last, `[B, H, W, C]`, f32 or bf16. Products have that type; sums, weights, their
//! gradients and batch statistics are f32. The caller chooses the type of a convolution's output.
//!
//! A convolution and its transpose share one weight layout, `[kh, kw, C, S]`: C channels of the large image,
//! S of the small image. The transposed convolution is the adjoint of the convolution, so three products
//! serve both layers, forward and backward.

mod constant;
mod cpu;
mod portable;
#[cfg(test)]
mod tests;
mod weight;

use candle_core::{DType, Device, Tensor};
use gan_kernels::conv::ConvWindow;
use rayon::prelude::*;

pub use gan_kernels::Activation;
pub use gan_kernels::adam::AdamStep;
pub use weight::Weight;

use crate::Result;

/// The kernel, stride and padding of a convolution or transposed convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Geometry {
    /// A 4×4 kernel, stride 2, padding 1: halves (transposed: doubles) the height and width, which are even.
    K4S2P1,
    /// A 4×4 kernel, stride 1, no padding, on a 4×4 image: 4×4 to 1×1 (transposed: 1×1 to 4×4), a matrix
    /// product.
    K4S1P0,
    /// A 1×1 kernel, stride 1, no padding: a matrix product over channels. On an image of one pixel it is a
    /// linear layer.
    K1S1P0,
    /// Any other square kernel, for generators of other programs. The padded large image is at least as large
    /// as the kernel.
    Square {
        /// The height and width of the kernel.
        kernel: usize,
        /// 1 to `kernel`.
        stride: usize,
        /// Less than `kernel`.
        padding: usize,
        /// Rows and columns that the transposed convolution adds at the bottom and right, less than `stride`
        /// (PyTorch's `output_padding`).
        output_padding: usize,
    },
}

impl Geometry {
    /// The shape of the convolution.
    pub fn conv(self) -> ConvWindow {
        let (k, stride, p) = match self {
            Geometry::K4S2P1 => (4, 2, 1),
            Geometry::K4S1P0 => (4, 1, 0),
            Geometry::K1S1P0 => (1, 1, 0),
            Geometry::Square { kernel, stride, padding, .. } => (kernel, stride, padding),
        };
        ConvWindow { kernel: (k, k), stride, padding: (p, p) }
    }

    /// The height or width of the large image from that of the small image.
    pub fn large(self, small: usize) -> usize {
        match self {
            Geometry::K4S2P1 => 2 * small,
            Geometry::K4S1P0 => small + 3,
            Geometry::K1S1P0 => small,
            Geometry::Square { kernel, stride, padding, output_padding } => {
                (small - 1) * stride + kernel + output_padding - 2 * padding
            }
        }
    }
}

/// The statistics of a batch per channel, `[C]` each.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// The mean.
    pub mean: Tensor,
    /// The biased variance.
    pub var: Tensor,
}

/// The parameters of a batch norm and the activation after it.
#[derive(Clone, Debug)]
pub struct Norm<'a> {
    /// Scale, `[C]`.
    pub gamma: &'a Tensor,
    /// Shift, `[C]`.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the result in the same pass.
    pub activation: Activation,
}

/// The gradients of a batch norm.
#[derive(Clone, Debug)]
pub struct NormGrads {
    /// The gradient of the input, in its shape.
    pub x: Tensor,
    /// The gradient of gamma, `[C]`.
    pub gamma: Tensor,
    /// The gradient of beta, `[C]`.
    pub beta: Tensor,
}

/// The most elements of an operation that leaves threads idle.
const PARALLEL_THRESHOLD: usize = 1 << 19;

/// An implementation of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `gan-kernels` on slices; tensors on the CPU only.
    Cpu,
    /// candle tensor operations; any device.
    Portable,
}

/// Declares each operation and dispatches it to the module of the backend.
macro_rules! operations {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $out:ty;)*) => {
        impl Backend {
            $($(#[$doc])*
            pub fn $name(self, $($arg: $type),*) -> Result<$out> {
                match self {
                    Backend::Cpu => cpu::$name($($arg),*),
                    Backend::Portable => portable::$name($($arg),*),
                }
            })*
        }
    };
}

operations! {
    /// `activation(conv(x) + bias)`: x `[B, H, W, C]`, weight `[kh, kw, C, S]`, bias `[S]` → `[B, H', W',
    /// S]`. Without a bias and with [`Activation::Identity`] it is also the input gradient of
    /// [`Backend::conv_transpose2d`].
    fn conv2d(
        geometry: Geometry,
        x: &Tensor,
        weight: &Weight,
        bias: Option<&Tensor>,
        activation: Activation,
        out: DType,
    ) -> Tensor;

    /// `activation(conv_transpose(y))`: y `[B, H', W', S]`, weight `[kh, kw, C, S]` → `[B, H, W, C]`.
    /// With [`Activation::Identity`] it is also the input gradient of [`Backend::conv2d`].
    fn conv_transpose2d(
        geometry: Geometry,
        y: &Tensor,
        weight: &Weight,
        activation: Activation,
        out: DType,
    ) -> Tensor;

    /// The gradient of the weight `[kh, kw, C, S]` from the large image `[B, H, W, C]` and the small image
    /// `[B, H', W', S]`: for a convolution (input, output's gradient), for a transposed one (output's
    /// gradient, input).
    fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Tensor;

    /// The backward pass of [`Backend::conv_transpose2d`] without its activation, from the gradient dy `[B,
    /// H, W, C]` and the input x `[B, H', W', S]`: the gradients of the weight and of the input (of dy's
    /// type), if wanted.
    fn conv_transpose_backward(
        geometry: Geometry,
        dy: &Tensor,
        x: &Tensor,
        weight: &Weight,
        wants_weight: bool,
        wants_input: bool,
    ) -> (Option<Tensor>, Option<Tensor>);

    /// The gradient `[C]` of a bias from the gradient dy `[.., C]` of the sums.
    fn bias_grad(dy: &Tensor) -> Tensor;

    /// The gradient at an activation's input from its output y and the gradient dy there; all have the same
    /// shape. On the CPU dy is overwritten, and with it its clones and views.
    fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Tensor;

    /// Mean and biased variance over all but the last dimension of x `[.., C]`.
    fn batch_stats(x: &Tensor) -> BatchStats;

    /// `activation((x − mean)/√(var + eps)·gamma + beta)`, x `[.., C]`.
    fn batch_norm(x: &Tensor, stats: &BatchStats, norm: &Norm) -> Tensor;

    /// The backward pass of [`Backend::batch_norm`] in training mode, where the statistics are those of x:
    /// input x, output y, and the gradient dy at the output, all `[.., C]`. On the CPU dy is overwritten, and
    /// with it its clones and views.
    fn batch_norm_backward(x: &Tensor, y: &Tensor, dy: Tensor, stats: &BatchStats, norm: &Norm) -> NormGrads;

    /// `sum += x`; both have the same shape. On the CPU the clones and views of `sum` change, too.
    fn accumulate(sum: &mut Tensor, x: &Tensor) -> ();

    /// One Adam step on all weights and on the moments m and v, which [`Backend::join`] made, from the
    /// gradients g (see [`gan_kernels::adam::adam`]). On the CPU the clones and views of all these change,
    /// too.
    fn adam(
        step: &AdamStep,
        weights: Vec<&mut Tensor>,
        m: &mut [Tensor],
        v: &mut [Tensor],
        g: &[Tensor],
    ) -> ();

    /// f32 tensors as the optimizer keeps them: unchanged on the CPU, else one vector of all their elements,
    /// so that one operation updates them all.
    fn join(tensors: Vec<Tensor>) -> Vec<Tensor>;

    /// The inverse of [`Backend::join`], in the shapes of `like`.
    fn split(joined: &[Tensor], like: &[&Tensor]) -> Vec<Tensor>;
}

impl Backend {
    /// The implementation for tensors on `device`.
    pub fn of(device: &Device) -> Backend {
        if device.is_cpu() { Backend::Cpu } else { Backend::Portable }
    }

    /// Computes two independent results, on tensors of `elements` elements. On the CPU small ones run in
    /// parallel, since neither keeps all threads busy. Large ones run in turn: each keeps all threads busy,
    /// and both at once need more memory.
    pub fn both<A: Send, B: Send>(
        self,
        elements: usize,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match self {
            Backend::Cpu if elements <= PARALLEL_THRESHOLD => rayon::join(a, b),
            _ => (a(), b()),
        }
    }

    /// Runs `work`, a sequence of operations. On the CPU it runs on a thread of rayon's pool, where small
    /// pieces start immediately; from outside, each would wait for a thread. For other devices it runs on the
    /// calling thread.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Backend::Cpu => rayon::scope(|_| work()),
            Backend::Portable => work(),
        }
    }

    /// Applies independent changes, in parallel on the CPU.
    pub fn each<T: Send>(self, all: Vec<T>, change: impl Fn(T) -> Result<()> + Send + Sync) -> Result<()> {
        match self {
            Backend::Cpu => all.into_par_iter().try_for_each(change),
            Backend::Portable => all.into_iter().try_for_each(change),
        }
    }
}
