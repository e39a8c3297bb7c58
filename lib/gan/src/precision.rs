//! The number types that networks are computed in.

use candle_core::DType;
use gan_kernels::{Isa, bf16};
use serde::{Deserialize, Serialize};

/// What activations and their gradients are stored in and multiplied as; everything else is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: f32's range with 8 bits of precision, half the memory, and fast where the processor multiplies it (AVX-512-BF16, AMX).
    Bf16,
}

impl Precision {
    /// What [`str::parse`] takes.
    pub const NAMES: [&'static str; 2] = ["f32", "bf16"];

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

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Precision, String> {
        let all = [Precision::F32, Precision::Bf16];
        all.into_iter().find(|p| p.to_string() == name).ok_or_else(|| format!("{name}: no such precision"))
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}
