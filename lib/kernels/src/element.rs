//! What activations are stored in: f32, or bf16, which halves memory traffic and doubles the products per instruction.

use std::mem::MaybeUninit;

pub use half::bf16;

use crate::matmul::Isa;

/// f32 or bf16. Sums are f32 (or wider) for both.
pub trait Element:
    Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// Elements in the 32-bit word that one lane of a multiply-add consumes.
    const PER_WORD: usize;
    /// Instruction sets that multiply this type, the fastest first; the last one is there on every machine.
    const ISAS: &'static [Isa];

    /// Exact.
    fn to_f32(self) -> f32;

    /// Rounded to nearest, ties to even.
    fn from_f32(x: f32) -> Self;

    /// Rows (one, or two of them) as a row of words: f32 takes `even` alone, bf16 the pairs (even, odd).
    fn words(even: &[Self], odd: &[Self], out: &mut [Self]);
}

mod sealed {
    /// Buffers are reinterpreted as elements, so no other type may be one.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

impl Element for f32 {
    const PER_WORD: usize = 1;
    const ISAS: &'static [Isa] = &[Isa::Avx512, Isa::Avx2, Isa::Plain];

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn words(even: &[f32], _: &[f32], out: &mut [f32]) {
        out.copy_from_slice(even);
    }
}

impl Element for bf16 {
    const PER_WORD: usize = 2;
    const ISAS: &'static [Isa] = &[Isa::Amx, Isa::Avx512Bf16, Isa::Avx512, Isa::Avx2, Isa::Plain];

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }

    // As `half` rounds, without branches, so that loops vectorize.
    #[inline(always)]
    fn from_f32(x: f32) -> bf16 {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        bf16::from_bits(if x.is_nan() { (bits >> 16 | 0x40) as u16 } else { rounded as u16 })
    }

    // In chunks of a fixed length, which become shuffles of whole registers.
    #[inline(always)]
    fn words(even: &[bf16], odd: &[bf16], out: &mut [bf16]) {
        let (pairs, tail) = out.as_chunks_mut::<32>();
        let ((evens, last_even), (odds, last_odd)) = (even.as_chunks::<16>(), odd.as_chunks::<16>());
        for ((out, even), odd) in pairs.iter_mut().zip(evens).zip(odds) {
            for i in 0..16 {
                (out[2 * i], out[2 * i + 1]) = (even[i], odd[i]);
            }
        }
        for ((out, &a), &b) in tail.chunks_exact_mut(2).zip(last_even).zip(last_odd) {
            (out[0], out[1]) = (a, b);
        }
    }
}

/// A vector of `n` elements. Memory that is written anyhow is not filled with zeros before: for large images that would
/// be one more sweep over them, by one thread.
///
/// # Safety
/// `fill` writes every element.
pub(crate) unsafe fn filled<T: Element>(n: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut all = Vec::with_capacity(n);
    let room = &mut all.spare_capacity_mut()[..n];
    // What a test then finds unwritten is no number.
    if cfg!(test) {
        room.fill(MaybeUninit::new(T::from_f32(f32::NAN)));
    }
    fill(room);
    // SAFETY: there is room for n elements, and the caller promises that all are written.
    unsafe { all.set_len(n) };
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_half() {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            1e-45,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
        ];
        let many = (0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761)));
        for x in special.into_iter().chain(many) {
            let (ours, theirs) = (<bf16 as Element>::from_f32(x), bf16::from_f32(x));
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{x}");
            if !x.is_nan() {
                assert_eq!(Element::to_f32(ours), f32::from(theirs));
            }
        }
        assert!(<bf16 as Element>::from_f32(f32::NAN).is_nan());
    }
}
