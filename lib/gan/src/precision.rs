//! The number types that networks are computed in.

use crate::named::named_enum;
use candle_core::DType;
use gan_kernels::{Isa, bf16};

named_enum! {
    /// What activations and their gradients are stored in and multiplied as; everything else is f32.
    #[derive(Default)]
    pub enum Precision {
        /// Single precision.
        #[default]
        F32 = "f32",
        /// bfloat16: f32's range with 8 bits of precision, half the memory, and fast where the processor multiplies it (AVX-512-BF16, AMX).
        Bf16 = "bf16",
    }
}

impl Precision {
    /// candle's name for it.
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// Whether this processor has instructions to multiply it; bf16 is multiplied as f32 where it has none.
    pub fn is_native(self) -> bool {
        self == Precision::F32 || Isa::best::<bf16>() >= Isa::Avx512Bf16
    }
}
