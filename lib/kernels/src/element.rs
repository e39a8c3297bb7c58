//! The element types of activations: f32, and bf16, which halves memory traffic and doubles the products per
//! instruction.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use rayon::prelude::*;

pub use half::bf16;

/// An element type: f32 or bf16. Sums are f32 or wider for both.
pub trait Element:
    Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// Elements in the 32-bit word that one lane of a multiply-add consumes.
    const PER_WORD: usize;

    /// The value, exactly.
    fn to_f32(self) -> f32;

    /// The nearest value of this type, ties to even.
    fn from_f32(x: f32) -> Self;

    /// The nearest values of this type.
    fn from_floats(floats: Vec<f32>) -> Vec<Self>;

    /// Writes a row of words: for f32 the row `even`, for bf16 the pairs of `even` and `odd`.
    fn words(even: &[Self], odd: &[Self], out: &mut [Self]);
}

mod sealed {
    /// Buffers are reinterpreted as elements, so no other type may implement `Element`.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

impl Element for f32 {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }

    fn from_floats(floats: Vec<f32>) -> Vec<f32> {
        floats
    }

    #[inline(always)]
    fn words(even: &[f32], _: &[f32], out: &mut [f32]) {
        out.copy_from_slice(even);
    }
}

impl Element for bf16 {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }

    // The rounding of `half`, without branches, so that loops vectorize.
    #[inline(always)]
    fn from_f32(x: f32) -> bf16 {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        bf16::from_bits(if x.is_nan() { (bits >> 16 | 0x40) as u16 } else { rounded as u16 })
    }

    fn from_floats(floats: Vec<f32>) -> Vec<bf16> {
        crate::simd::simd(
            #[inline(always)]
            || floats.iter().map(|&v| Element::from_f32(v)).collect(),
        )
    }

    // Chunks of a fixed length become shuffles of registers.
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

/// Words as the elements of T in them.
pub(crate) fn in_words<T: Element>(words: &[u32]) -> &[T] {
    // SAFETY: T is f32 or bf16 (`Element` is sealed): PER_WORD of them are as large as a word, their
    // alignment is not larger, and every bit pattern is valid.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * T::PER_WORD) }
}

/// `x` `[B, n]` as words `[⌈B / PER_WORD⌉, n]`: for f32 itself, for bf16 the pairs of the same element of two
/// neighbors. The last without a neighbor is paired with zeros.
pub(crate) fn in_pairs<T: Element>(x: &[T], n: usize) -> Cow<'_, [u32]> {
    if T::PER_WORD == 1 {
        // SAFETY: T is f32, as large and as aligned as a word, whose every bit pattern is valid.
        return Cow::Borrowed(unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) });
    }
    /// Words in a piece of work.
    const PIECE: usize = 1 << 12;
    let n = n.max(1);
    let mut words = vec![0u32; (x.len() / n).div_ceil(2) * n];
    let zeros = [T::default(); PIECE];
    words.par_chunks_mut(n).zip(x.par_chunks(2 * n)).for_each(|(words, pair)| {
        let (even, odd) = pair.split_at(n);
        words.par_chunks_mut(PIECE).enumerate().for_each(|(i, words)| {
            let range = i * PIECE..i * PIECE + words.len();
            let odd = odd.get(range.clone()).unwrap_or(&zeros[..words.len()]);
            // SAFETY: as in `in_words`, of words that are borrowed mutably.
            let out = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) };
            crate::simd::simd(
                #[inline(always)]
                || T::words(&even[range], odd, out),
            );
        });
    });
    Cow::Owned(words)
}

/// A vector of `n` elements that `write` initializes. The memory is not zeroed first: for large images that
/// would be one more pass over them, on one thread.
///
/// # Safety
/// `write` writes every element.
pub(crate) unsafe fn vec_uninit<T: Element>(n: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut elements = Vec::with_capacity(n);
    let room = &mut elements.spare_capacity_mut()[..n];
    // In tests, elements that are not written are NaN.
    if cfg!(test) {
        room.fill(MaybeUninit::new(T::from_f32(f32::NAN)));
    }
    write(room);
    // SAFETY: there is room for n elements, and all are written, as the caller promises.
    unsafe { elements.set_len(n) };
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_matches_half() {
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
