//! Compiles a loop for every instruction set and runs the best one; and transposes squares, which compilers
//! do not vectorize.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

use crate::Isa;
use crate::isa::limit_once;

/// The width and height of a square that is transposed at once.
pub const SQUARE: usize = 16;

/// Runs `work`, compiled for the best instruction set that the processor has.
/// `work` must be a closure marked `#[inline(always)]`, and so must the functions that it calls.
///
/// A closure passed directly to `Arch::dispatch` is not compiled for that instruction set: if it only
/// borrows, it is called through a shim that is not inlined.
#[inline(always)]
pub fn simd<R>(work: impl FnOnce() -> R) -> R {
    struct Inlined<F>(F);

    impl<R, F: FnOnce() -> R> WithSimd for Inlined<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }

    arch().dispatch(Inlined(work))
}

/// The best instruction set of the loops, up to [`crate::isa::limit`].
#[inline]
fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match limit_once() {
        Isa::Plain => Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
        _ => Arch::new(),
    })
}

/// The transpose of a square given by its rows.
#[inline(always)]
pub fn transpose(rows: &[&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx512.supported() {
        // SAFETY: the processor has AVX-512F.
        return unsafe { x86::transpose(rows) };
    }
    transpose_plain(rows)
}

#[inline(always)]
fn transpose_plain(rows: &[&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    let mut square = [[0.0; SQUARE]; SQUARE];
    for (i, row) in rows.iter().enumerate() {
        for (j, &v) in row.iter().enumerate() {
            square[j][i] = v;
        }
    }
    square
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::SQUARE;

    /// Interleaves rows by single elements, by pairs, and then by fours: 64 shuffles instead of 256 loads and
    /// stores.
    #[target_feature(enable = "avx512f")]
    pub fn transpose(rows: &[&[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
        let zero = _mm512_setzero_ps();
        let (mut rows, from) = ([zero; SQUARE], rows);
        for (row, from) in rows.iter_mut().zip(from) {
            // SAFETY: a row has the 16 f32 of a register.
            *row = unsafe { _mm512_loadu_ps(from.as_ptr()) };
        }
        // Without `map`, which may be inlined too late for the arrays to stay in registers.
        let mut singles = [_mm512_setzero_pd(); SQUARE];
        for i in (0..SQUARE).step_by(2) {
            singles[i] = _mm512_castps_pd(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
            singles[i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
        }
        let mut pairs = singles;
        for i in (0..SQUARE).step_by(4) {
            pairs[i] = _mm512_unpacklo_pd(singles[i], singles[i + 2]);
            pairs[i + 1] = _mm512_unpackhi_pd(singles[i], singles[i + 2]);
            pairs[i + 2] = _mm512_unpacklo_pd(singles[i + 1], singles[i + 3]);
            pairs[i + 3] = _mm512_unpackhi_pd(singles[i + 1], singles[i + 3]);
        }
        // The even fours of two registers, and the odd ones.
        let even = |a, b| _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
        let odd = |a, b| _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
        let mut transposed = pairs;
        for i in 0..4 {
            let [a, b, c, d] = [pairs[i], pairs[i + 4], pairs[i + 8], pairs[i + 12]];
            let (e, o) = ([even(a, b), even(c, d)], [odd(a, b), odd(c, d)]);
            transposed[i] = even(e[0], e[1]);
            transposed[i + 4] = even(o[0], o[1]);
            transposed[i + 8] = odd(e[0], e[1]);
            transposed[i + 12] = odd(o[0], o[1]);
        }
        // SAFETY: 16 registers are 16 rows of 16 f32, and every bit pattern is a valid f32.
        unsafe { std::mem::transmute::<[__m512d; SQUARE], [[f32; SQUARE]; SQUARE]>(transposed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_elements_are_in_their_places() {
        let square: [[f32; SQUARE]; SQUARE] =
            std::array::from_fn(|i| std::array::from_fn(|j| (i * 100 + j) as f32));
        let rows = std::array::from_fn(|i| &square[i]);
        for method in [transpose, transpose_plain] {
            let turned = method(&rows);
            assert!((0..256).all(|k| turned[k / 16][k % 16] == square[k % 16][k / 16]), "{turned:?}");
        }
    }
}
