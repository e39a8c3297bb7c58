//! The number types of networks.

use candle_core::{DType, Device};
use gan_kernels::{Isa, bf16};

use crate::named::named_enum;

named_enum! {
    /// The type of activations and their gradients, in memory and in products. Everything else is f32.
    #[derive(Default)]
    pub enum Precision {
        /// Single precision.
        #[default]
        F32 = "f32",
        /// bfloat16: the range of f32, 8 bits of precision, half the memory. Fast on processors with
        /// AVX-512-BF16, AMX or ARM's BF16; on others f32 is used.
        Bf16 = "bf16",
    }
}

impl Precision {
    /// candle's type.
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// What a device computes in if this is wanted: f32 instead of bf16 on a processor that has no
    /// instructions for bf16, where f32 is faster.
    pub fn on(self, device: &Device) -> Precision {
        if device.is_cpu() && Isa::best::<bf16>() == Isa::Plain { Precision::F32 } else { self }
    }
}
