//! The instruction sets that matrix products are written for, and which of them this processor has.

use std::sync::OnceLock;

use crate::Element;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// No extension: any processor.
    Plain,
    /// NEON, which every 64-bit ARM processor has.
    Neon,
    /// NEON with the products of bf16 pairs.
    NeonBf16,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
    /// AVX-512F with the products of bf16 pairs.
    Avx512Bf16,
    /// AMX with bf16.
    Amx,
}

/// The variable that sets [`limit`].
pub const LIMIT: &str = "GANTOOLS_ISA";

/// Names for [`LIMIT`].
const NAMES: [(&str, Isa); 7] = [
    ("plain", Isa::Plain),
    ("neon", Isa::Neon),
    ("neon-bf16", Isa::NeonBf16),
    ("avx2", Isa::Avx2),
    ("avx512", Isa::Avx512),
    ("avx512-bf16", Isa::Avx512Bf16),
    ("amx", Isa::Amx),
];

/// The best instruction set that may be used, from the environment variable [`LIMIT`]: to measure what an
/// older processor would do, or to repeat its bytes. The names are `plain`, `neon`, `neon-bf16`, `avx2`,
/// `avx512`, `avx512-bf16`, `amx`.
///
/// # Errors
/// The variable is none of them.
pub fn limit() -> Result<Isa, String> {
    let Some(name) = std::env::var_os(LIMIT) else { return Ok(Isa::Amx) };
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|&(_, isa)| isa);
    let unknown = || format!("{LIMIT}: {name:?} is none of {}", NAMES.map(|n| n.0).join(", "));
    named.ok_or_else(unknown)
}

/// [`limit`] at the first call; a program that has not checked it before panics here if it is wrong.
pub(crate) fn limit_once() -> Isa {
    static LIMITED: OnceLock<Isa> = OnceLock::new();
    *LIMITED.get_or_init(|| limit().unwrap_or_else(|e| panic!("{e}")))
}

impl Isa {
    /// The instruction sets that multiply T, the fastest first. The last is [`Isa::Plain`].
    pub fn candidates<T: Element>() -> &'static [Isa] {
        match T::PER_WORD {
            1 => &[Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Plain],
            _ => &[Isa::Amx, Isa::Avx512Bf16, Isa::NeonBf16, Isa::Plain],
        }
    }

    /// The fastest instruction set of this processor for T, up to [`limit`].
    pub fn best<T: Element>() -> Isa {
        Isa::candidates::<T>().iter().copied().find(|isa| isa.supported()).unwrap_or(Isa::Plain)
    }

    /// Whether the processor has it, the system permits it, and [`limit`] does not exclude it.
    pub fn supported(self) -> bool {
        if self == Isa::Plain {
            return true;
        }
        if self > limit_once() {
            return false;
        }
        #[cfg(target_arch = "x86_64")]
        return match self {
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            Isa::Avx512Bf16 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"),
            Isa::Amx => amx::supported(),
            Isa::Plain | Isa::Neon | Isa::NeonBf16 => false,
        };
        #[cfg(target_arch = "aarch64")]
        return match self {
            Isa::Neon => true,
            Isa::NeonBf16 => std::arch::is_aarch64_feature_detected!("bf16"),
            _ => false,
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return false;
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx {
    use std::sync::OnceLock;
    #[cfg(test)]
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Set when an emulator handles the instructions of AMX.
    #[cfg(test)]
    pub(crate) static EMULATED: AtomicBool = AtomicBool::new(false);

    /// Whether the processor has AMX with bf16 and the system lets this process use it.
    pub(super) fn supported() -> bool {
        #[cfg(test)]
        if EMULATED.load(Ordering::Acquire) {
            return true;
        }
        static SUPPORTED: OnceLock<bool> = OnceLock::new();
        *SUPPORTED.get_or_init(|| in_hardware() && permitted())
    }

    /// Intel's manual, volume 2A, CPUID leaf 7: EDX bits 22 (AMX-BF16) and 24 (AMX-TILE).
    pub(crate) fn in_hardware() -> bool {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        const NEEDED: u32 = 1 << 22 | 1 << 24;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & NEEDED == NEEDED
    }

    /// Linux saves the tile registers (8 KiB per thread) only for processes that request it.
    fn permitted() -> bool {
        #[cfg(target_os = "linux")]
        {
            const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
            const XFEATURE_XTILEDATA: libc::c_long = 18;
            // SAFETY: the request takes two numbers and touches no memory of this process.
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
        }
        #[cfg(not(target_os = "linux"))]
        false
    }
}
