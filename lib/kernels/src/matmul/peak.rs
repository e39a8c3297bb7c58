//! The peak speed of the processor: multiply-adds in registers, without loads. Benchmarks report speeds in
//! percent of it. It is measured in the same run, since the speed of a shared machine drifts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::{Element, Isa};

/// Operations per second of the instruction that [`Isa::best`] multiplies T with, on all threads of rayon's
/// current pool together, measured for `duration`. A multiply-add is two operations. Without an instruction
/// for bf16 it is f32's.
pub fn peak<T: Element>(duration: Duration) -> f64 {
    let isa = Isa::best::<T>();
    let per_thread = rayon::broadcast(|_| {
        let (start, mut operations) = (Instant::now(), 0.0);
        while start.elapsed() < duration {
            operations += burst(isa) as f64;
        }
        operations / start.elapsed().as_secs_f64()
    });
    per_thread.iter().sum()
}

/// Independent chains of multiply-adds: enough to hide their latency.
const CHAINS: usize = 16;

/// Multiply-adds of a chain in a burst, which takes about 0.1 ms.
const ROUNDS: usize = 20_000;

/// Runs some multiply-adds and returns the number of operations.
fn burst(isa: Isa) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Plain {
        assert!(isa.supported(), "peak: this machine has no {isa:?}");
        // SAFETY: the instruction set is supported.
        return unsafe {
            match isa {
                Isa::Avx2 => x86::avx2(),
                Isa::Avx512 => x86::avx512(),
                Isa::Avx512Bf16 => x86::dot(),
                Isa::Amx => super::amx::burst(),
                Isa::Plain | Isa::Neon | Isa::NeonBf16 => unreachable!("not supported here"),
            }
        };
    }
    #[cfg(target_arch = "aarch64")]
    if isa != Isa::Plain {
        assert!(isa.supported(), "peak: this machine has no {isa:?}");
        // SAFETY: the instruction set is supported.
        return unsafe { if isa == Isa::NeonBf16 { arm::dot() } else { arm::fma() } };
    }
    assert_eq!(isa, Isa::Plain, "peak: this machine has no {isa:?}");
    plain()
}

/// Multiply and add as the compiler vectorizes them.
fn plain() -> usize {
    const LANES: usize = 8 * CHAINS;
    let (m, a) = (black_box(0.999f32), black_box(1e-3f32));
    let mut x = [a; LANES];
    for _ in 0..ROUNDS {
        x.iter_mut().for_each(|x| *x = *x * m + a);
    }
    black_box(x);
    ROUNDS * LANES * 2
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{CHAINS, ROUNDS, black_box};

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> usize {
        // 16 registers: 12 chains and two constants.
        const CHAINS: usize = 12;
        let (m, a) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
        let mut x = [a; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = _mm256_fmadd_ps(*x, m, a));
        }
        black_box(x);
        ROUNDS * CHAINS * 8 * 2
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> usize {
        let (m, a) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
        let mut x = [a; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = _mm512_fmadd_ps(*x, m, a));
        }
        black_box(x);
        ROUNDS * CHAINS * 16 * 2
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn dot() -> usize {
        let (zero, one) = (_mm512_setzero_ps(), _mm512_set1_ps(black_box(1.0)));
        let (m, a) = (_mm512_cvtne2ps_pbh(one, one), _mm512_cvtne2ps_pbh(zero, one));
        let mut x = [zero; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = _mm512_dpbf16_ps(*x, m, a));
        }
        black_box(x);
        ROUNDS * CHAINS * 16 * 2 * 2
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::{CHAINS, ROUNDS, black_box};

    #[target_feature(enable = "neon")]
    pub fn fma() -> usize {
        let (m, a) = (vdupq_n_f32(black_box(0.999)), vdupq_n_f32(black_box(1e-3)));
        let mut x = [a; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = vfmaq_f32(a, *x, m));
        }
        black_box(x);
        ROUNDS * CHAINS * 4 * 2
    }

    #[target_feature(enable = "neon,bf16")]
    pub fn dot() -> usize {
        let (m, mut x) = (vdupq_n_u32(black_box(0)), [vdupq_n_f32(0.0); CHAINS]);
        for _ in 0..ROUNDS {
            for x in &mut x {
                // SAFETY: the instruction reads and writes registers alone.
                unsafe {
                    asm!(
                        ".arch_extension bf16",
                        "bfdot {x:v}.4s, {m:v}.8h, {m:v}.8h",
                        x = inout(vreg) *x,
                        m = in(vreg) m,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
        black_box(x);
        ROUNDS * CHAINS * 4 * 2 * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::bf16;

    /// AMX is emulated on processors that lack it.
    #[test]
    fn every_instruction_set_has_a_burst() {
        crate::testing::emulate();
        for isas in [Isa::candidates::<f32>(), Isa::candidates::<bf16>()] {
            let done: Vec<usize> = isas.iter().filter(|i| i.supported()).map(|&i| burst(i)).collect();
            assert!(done.iter().all(|&operations| operations >= 1 << 20), "{done:?}");
        }
    }
}
