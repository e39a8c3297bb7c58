//! The number types of networks.

use candle_core::DType;
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
        /// AVX-512-BF16 or AMX.
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

    /// Whether this processor has instructions to multiply it. Without them bf16 is multiplied as f32.
    pub fn is_native(self) -> bool {
        self == Precision::F32 || Isa::best::<bf16>() >= Isa::Avx512Bf16
    }
}
