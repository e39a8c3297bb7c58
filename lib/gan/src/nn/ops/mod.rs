//! The tensor operations that training is made of: each forward and each gradient a plain function.
//!
//! Every operation has two implementations behind one name: `cpu`, slices handed to `gan-kernels`, and `portable`,
//! candle's tensor operations alone, so that any candle device runs it. [`Backend::of`] chooses by the device.
//!
//! Activations are channels-last, `[B, H, W, C]`, f32 or bf16; what is multiplied has that type, sums are f32, and so are
//! weights, their gradients and batch statistics. A convolution's output is of the type asked for.
//!
//! A convolution and its transpose share one weight layout,
//! `[kh, kw, C, S]`: C channels of the large image, S of the small one. The transposed convolution is the adjoint of
//! the convolution, so three products serve both layers, forward and backward.

mod constant;
mod cpu;
mod portable;
#[cfg(test)]
mod tests;
mod weight;

use candle_core::{DType, Device, Tensor};
use gan_kernels::conv::Conv;
use rayon::prelude::*;

pub use gan_kernels::Activation;
pub use gan_kernels::adam::AdamStep;
pub use weight::Weight;

use crate::Result;

/// The shapes of convolution that the models are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Geometry {
    /// Stride 2, padding 1: halves (transposed: doubles) the image's sides, which are even.
    K4S2P1,
    /// Stride 1, no padding, on a 4×4 image: 4×4 to 1×1 (transposed: 1×1 to 4×4), a matrix product.
    K4S1P0,
    /// A 1×1 kernel, stride 1, no padding: a matrix product over the pixels' channels. On an image of one pixel it is a
    /// linear layer.
    K1S1P0,
    /// Any other square one, of generators that other programs made. The large image is at least as large as
    /// the kernel without its padding.
    Square {
        /// The kernel's side.
        kernel: usize,
        /// 1 to the kernel's side.
        stride: usize,
        /// Below the kernel's side.
        padding: usize,
        /// Rows and columns that the transposed one adds below and at the right, below the stride (PyTorch's
        /// `output_padding`).
        output_padding: usize,
    },
}

impl Geometry {
    /// The same for the kernels.
    pub fn conv(self) -> Conv {
        let (k, stride, p) = match self {
            Geometry::K4S2P1 => (4, 2, 1),
            Geometry::K4S1P0 => (4, 1, 0),
            Geometry::K1S1P0 => (1, 1, 0),
            Geometry::Square { kernel, stride, padding, .. } => (kernel, stride, padding),
        };
        Conv { kernel: (k, k), stride, padding: (p, p) }
    }

    /// The large image's side for a small one of `side` pixels.
    pub fn large(self, side: usize) -> usize {
        match self {
            Geometry::K4S2P1 => 2 * side,
            Geometry::K4S1P0 => side + 3,
            Geometry::K1S1P0 => side,
            Geometry::Square { kernel, stride, padding, output_padding } => {
                (side - 1) * stride + kernel + output_padding - 2 * padding
            }
        }
    }
}

/// A batch's statistics per channel, `[C]` each.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// The mean.
    pub mean: Tensor,
    /// The biased variance.
    pub var: Tensor,
}

/// The affine part of a batch-norm: what it is given beside its input.
#[derive(Clone, Debug)]
pub struct Norm<'a> {
    /// Scale, `[C]`.
    pub gamma: &'a Tensor,
    /// Shift, `[C]`.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the result, in the same sweep.
    pub activation: Activation,
}

/// What batch-norm's backward gives.
#[derive(Clone, Debug)]
pub struct NormGrads {
    /// The input's gradient, the input's shape.
    pub x: Tensor,
    /// Gamma's, `[C]`.
    pub gamma: Tensor,
    /// Beta's, `[C]`.
    pub beta: Tensor,
}

/// LossValue in the tensors of an operation that leaves threads idle.
const FEW: usize = 1 << 19;

/// One of the two implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Slices and `gan-kernels`; tensors on the CPU only.
    Cpu,
    /// candle tensor operations; any device.
    Portable,
}

/// Declares each operation once and hands it to the backend's module.
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
    /// `activation(conv(x) + bias)`: x `[B, H, W, C]`, weight `[kh, kw, C, S]`, bias `[S]` → `[B, H', W', S]`.
    /// Without a bias and with [`Activation::Identity`] also the input gradient of [`Backend::conv_transpose2d`].
    fn conv2d(
        geometry: Geometry,
        x: &Tensor,
        weight: &Weight,
        bias: Option<&Tensor>,
        activation: Activation,
        out: DType,
    ) -> Tensor;

    /// `activation(conv_transpose(y))`: y `[B, H', W', S]`, weight `[kh, kw, C, S]` → `[B, H, W, C]`.
    /// With [`Activation::Identity`] also the input gradient of [`Backend::conv2d`].
    fn conv_transpose2d(
        geometry: Geometry,
        y: &Tensor,
        weight: &Weight,
        activation: Activation,
        out: DType,
    ) -> Tensor;

    /// The weights' gradient `[kh, kw, C, S]` from the large image `[B, H, W, C]` and the small one `[B, H', W', S]`: for a
    /// convolution (input, output's gradient), for a transposed one (output's gradient, input).
    fn weight_grad(geometry: Geometry, large: &Tensor, small: &Tensor) -> Tensor;

    /// The backward pass of [`Backend::conv_transpose2d`] without its activation, from the gradient dy `[B, H, W, C]` and the input x
    /// `[B, H', W', S]`: the weights' gradient and the input's, of dy's type, whichever are wanted.
    fn conv_transpose_backward(
        geometry: Geometry,
        dy: &Tensor,
        x: &Tensor,
        weight: &Weight,
        own: bool,
        input: bool,
    ) -> (Option<Tensor>, Option<Tensor>);

    /// The gradient `[C]` of a bias that was added to every row, from the gradient `[.., C]` at the sums.
    fn bias_grad(dy: &Tensor) -> Tensor;

    /// The gradient at an activation's input from its output y and the gradient dy there; all of one shape. On the CPU dy's
    /// own numbers become the result, so also those of its clones and views.
    fn activation_backward(activation: Activation, y: &Tensor, dy: Tensor) -> Tensor;

    /// Mean and biased variance over all but the last dimension of x `[.., C]`.
    fn moments(x: &Tensor) -> BatchStats;

    /// `activation((x − mean)/√(var + eps)·gamma + beta)`, x `[.., C]`.
    fn batch_norm(x: &Tensor, moments: &BatchStats, norm: &Norm) -> Tensor;

    /// The backward pass of [`Backend::batch_norm`] where the moments are x's own (training mode):
    /// input x, output y, and the gradient dy at the output, all `[.., C]`. On the CPU dy's own numbers become the input's
    /// gradient, so also those of its clones and views.
    fn batch_norm_backward(x: &Tensor, y: &Tensor, dy: Tensor, moments: &BatchStats, norm: &Norm) -> NormGrads;

    /// `sum += x`, of one shape. On the CPU the tensor's own numbers change, so also those of its clones and views.
    fn accumulate(sum: &mut Tensor, x: &Tensor) -> ();

    /// One Adam step on all weights, which have their gradients g (see [`gan_kernels::adam::adam`]), and on the moments m and v
    /// that [`Backend::join`] made. On the CPU the tensors' own numbers change, so also those of their clones and views.
    fn adam(step: &AdamStep, weights: Vec<&mut Tensor>, m: &mut [Tensor], v: &mut [Tensor], g: &[Tensor]) -> ();

    /// f32 tensors as the optimizer keeps them: as they are on the CPU, else one vector of all their numbers, so that a sweep over
    /// them is one operation.
    fn join(tensors: Vec<Tensor>) -> Vec<Tensor>;

    /// The inverse of [`Backend::join`], in the shapes of `like`.
    fn split(joined: &[Tensor], like: &[&Tensor]) -> Vec<Tensor>;
}

impl Backend {
    /// The implementation for tensors on `device`.
    pub fn of(device: &Device) -> Backend {
        if device.is_cpu() { Backend::Cpu } else { Backend::Portable }
    }

    /// Two results that do not depend on each other, on tensors of so many numbers. On the CPU, where these are few, side by side:
    /// neither would keep all threads busy alone. Where they are many, each does, and both at once would cost memory.
    pub fn both<A: Send, B: Send>(
        self,
        numbers: usize,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match self {
            Backend::Cpu if numbers <= FEW => rayon::join(a, b),
            _ => (a(), b()),
        }
    }

    /// Does `work`, which is many operations: on the CPU on a thread of rayon's pool, where the many small pieces of operations start
    /// at once; from outside, each would wait to be taken up by one. Elsewhere here: a device's work is sent by one thread.
    pub fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Backend::Cpu => rayon::scope(|_| work()),
            Backend::Portable => work(),
        }
    }

    /// Any number of changes that do not depend on each other.
    pub fn each<T: Send>(self, all: Vec<T>, change: impl Fn(T) -> Result<()> + Send + Sync) -> Result<()> {
        match self {
            Backend::Cpu => all.into_par_iter().try_for_each(change),
            Backend::Portable => all.into_iter().try_for_each(change),
        }
    }
}
