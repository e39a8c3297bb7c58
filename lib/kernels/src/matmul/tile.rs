//! The innermost loop of a matrix product, written once over the vector registers of each instruction set.
//!
//! Operands are 32-bit words: one f32, or two bf16 that lie next to each other along the inner dimension. A tile is a few
//! rows of `a`, whose words are broadcast, times 16 or 32 columns of `b`; its sums stay in registers.
#![expect(unsafe_op_in_unsafe_fn, reason = "every unsafe function here has the one condition of `Tile`")]

/// Words from one row of an `a` block to the next: a constant, so that every operand's address is a base and a constant,
/// and no power of two, so that the rows of a tile lie in different cache sets.
pub(crate) const A_STRIDE: usize = super::K_WORDS + 16;

/// One tile: `c (+)= a·b`.
///
/// # Safety
/// Whoever passes one to a function of this module promises that the processor has the function's instruction set and that
/// the three pointers are good for the rows, columns and k stated.
pub(in crate::matmul) struct Tile {
    /// Rows, at least 1 and at most the instruction set's.
    pub rows: usize,
    /// 16 or 32.
    pub columns: usize,
    /// Words along the inner dimension.
    pub k: usize,
    /// Row i begins at `i·A_STRIDE`.
    pub a: *const u32,
    /// Row l, of `columns` words, begins at `l·b_stride`.
    pub b: *const u32,
    /// From one row of `b` to the next.
    pub b_stride: usize,
    /// Row i begins at `i·stride`.
    pub c: *mut f32,
    /// From one row of `c` to the next.
    pub stride: usize,
    /// Whether to add to `c` rather than replace it.
    pub add: bool,
}

/// The vector registers of an instruction set.
trait Registers {
    /// f32 sums.
    type Sums: Copy;
    /// 32-bit words.
    type Words: Copy;
    /// f32 or words in a register.
    const LANES: usize;
    unsafe fn zero() -> Self::Sums;
    unsafe fn load(from: *const f32) -> Self::Sums;
    unsafe fn store(to: *mut f32, sums: Self::Sums);
    unsafe fn words(from: *const u32) -> Self::Words;
    unsafe fn splat(from: *const u32) -> Self::Words;
    /// Asks for the cache line at `from`, which need not be memory of ours.
    unsafe fn prefetch(from: *const u32);
}

/// What a word is, and how it is multiplied.
trait Multiply<R: Registers> {
    /// `sums + a·b`, lane by lane.
    unsafe fn multiply_add(sums: R::Sums, a: R::Words, b: R::Words) -> R::Sums;
}

/// A word is one f32.
struct Single;
/// A word is two bf16, multiplied as f32.
struct Pair;
/// A word is two bf16, multiplied by an instruction for them.
#[cfg(target_arch = "x86_64")]
struct Dot;

/// Rows of `b` that are asked for ahead.
const AHEAD: usize = 16;

/// A tile of M rows and V vectors.
#[inline(always)]
unsafe fn tile<R: Registers, P: Multiply<R>, const M: usize, const V: usize>(t: &Tile) {
    let mut sums = [[R::zero(); V]; M];
    if t.add {
        for (i, row) in sums.iter_mut().enumerate() {
            for (j, sums) in row.iter_mut().enumerate() {
                *sums = R::load(t.c.add(i * t.stride + j * R::LANES));
            }
        }
    }
    let (mut a, mut b) = (t.a, t.b);
    for _ in 0..t.k {
        (0..V * R::LANES).step_by(16).for_each(|j| R::prefetch(b.wrapping_add(AHEAD * t.b_stride + j)));
        let columns: [R::Words; V] = std::array::from_fn(|j| R::words(b.add(j * R::LANES)));
        for (i, row) in sums.iter_mut().enumerate() {
            let word = R::splat(a.add(i * A_STRIDE));
            for (sums, &column) in row.iter_mut().zip(&columns) {
                *sums = P::multiply_add(*sums, word, column);
            }
        }
        a = a.add(1);
        b = b.add(t.b_stride);
    }
    for (i, row) in sums.iter().enumerate() {
        for (j, &sums) in row.iter().enumerate() {
            R::store(t.c.add(i * t.stride + j * R::LANES), sums);
        }
    }
}

/// Declares `$name`, which computes a tile: `$wide` vectors are 32 columns, `$narrow` are 16.
macro_rules! tiles {
    ($(#[$attribute:meta])* $name:ident, $registers:ty, $multiply:ty, $wide:literal, $narrow:literal, $($rows:literal)*) => {
        $(#[$attribute])*
        pub(in crate::matmul) unsafe fn $name(t: &Tile) {
            match (t.columns, t.rows) {
                $((32, $rows) => tile::<$registers, $multiply, $rows, $wide>(t),)*
                $((16, $rows) => tile::<$registers, $multiply, $rows, $narrow>(t),)*
                (columns, rows) => unreachable!("no tile of {rows} rows and {columns} columns"),
            }
        }
    };
}

/// Arrays, which the compiler puts into whatever registers the target has.
struct Plain;

/// Rows of a tile of plain arrays.
pub(super) const PLAIN_ROWS: usize = 2;

impl Registers for Plain {
    type Sums = [f32; 4];
    type Words = [u32; 4];
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> [f32; 4] {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        from.cast::<[f32; 4]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: [f32; 4]) {
        to.cast::<[f32; 4]>().write_unaligned(sums);
    }
    #[inline(always)]
    unsafe fn words(from: *const u32) -> [u32; 4] {
        from.cast::<[u32; 4]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn splat(from: *const u32) -> [u32; 4] {
        [from.read_unaligned(); 4]
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u32) {}
}

impl Multiply<Plain> for Single {
    #[inline(always)]
    unsafe fn multiply_add(sums: [f32; 4], a: [u32; 4], b: [u32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| sums[i] + f32::from_bits(a[i]) * f32::from_bits(b[i]))
    }
}

/// The two bf16 of a word, as f32, the first of them first.
fn halves(word: u32) -> [f32; 2] {
    let [a, b, c, d] = word.to_ne_bytes();
    [[a, b], [c, d]].map(|bytes| f32::from_bits((u16::from_ne_bytes(bytes) as u32) << 16))
}

impl Multiply<Plain> for Pair {
    #[inline(always)]
    unsafe fn multiply_add(sums: [f32; 4], a: [u32; 4], b: [u32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| {
            let ([a0, a1], [b0, b1]) = (halves(a[i]), halves(b[i]));
            sums[i] + a0 * b0 + a1 * b1
        })
    }
}

tiles! {
    /// A tile of f32 on any processor.
    plain_f32, Plain, Single, 8, 4, 1 2
}
tiles! {
    /// A tile of bf16 on any processor.
    plain_bf16, Plain, Pair, 8, 4, 1 2
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::*;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dot, Multiply, Pair, Registers, Single, Tile, tile};

    struct Avx2;

    /// Rows of a tile with AVX2: 12 registers of sums, one of columns, one broadcast.
    pub(in crate::matmul) const AVX2_ROWS: usize = 3;

    impl Registers for Avx2 {
        type Sums = __m256;
        type Words = __m256i;
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> __m256 {
            _mm256_setzero_ps()
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            _mm256_loadu_ps(from)
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, sums: __m256) {
            _mm256_storeu_ps(to, sums);
        }
        #[inline(always)]
        unsafe fn words(from: *const u32) -> __m256i {
            _mm256_loadu_si256(from.cast())
        }
        #[inline(always)]
        unsafe fn splat(from: *const u32) -> __m256i {
            _mm256_set1_epi32(from.read_unaligned() as i32)
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const u32) {
            _mm_prefetch::<_MM_HINT_T0>(from.cast());
        }
    }

    impl Multiply<Avx2> for Single {
        #[inline(always)]
        unsafe fn multiply_add(sums: __m256, a: __m256i, b: __m256i) -> __m256 {
            _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), sums)
        }
    }

    impl Multiply<Avx2> for Pair {
        #[inline(always)]
        unsafe fn multiply_add(sums: __m256, a: __m256i, b: __m256i) -> __m256 {
            // Little-endian: the first of the pair is the lower half.
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let first = [a, b].map(|w| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(w)));
            let second = [a, b].map(|w| _mm256_castsi256_ps(_mm256_and_si256(w, upper)));
            _mm256_fmadd_ps(second[0], second[1], _mm256_fmadd_ps(first[0], first[1], sums))
        }
    }

    tiles! {
        /// A tile of f32 with AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        avx2_f32, Avx2, Single, 4, 2, 1 2 3
    }
    tiles! {
        /// A tile of bf16 with AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        avx2_bf16, Avx2, Pair, 4, 2, 1 2 3
    }

    struct Avx512;

    /// Rows of a tile with AVX-512: 28 registers of sums, two of columns, one broadcast.
    pub(in crate::matmul) const AVX512_ROWS: usize = 14;
    /// The same where a word is a pair of bf16 that takes two multiplications: columns and broadcast take three more.
    pub(in crate::matmul) const AVX512_PAIR_ROWS: usize = 12;

    impl Registers for Avx512 {
        type Sums = __m512;
        type Words = __m512i;
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn zero() -> __m512 {
            _mm512_setzero_ps()
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            _mm512_loadu_ps(from)
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, sums: __m512) {
            _mm512_storeu_ps(to, sums);
        }
        #[inline(always)]
        unsafe fn words(from: *const u32) -> __m512i {
            _mm512_loadu_si512(from.cast())
        }
        #[inline(always)]
        unsafe fn splat(from: *const u32) -> __m512i {
            _mm512_set1_epi32(from.read_unaligned() as i32)
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const u32) {
            _mm_prefetch::<_MM_HINT_T0>(from.cast());
        }
    }

    impl Multiply<Avx512> for Single {
        #[inline(always)]
        unsafe fn multiply_add(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
            _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums)
        }
    }

    impl Multiply<Avx512> for Pair {
        #[inline(always)]
        unsafe fn multiply_add(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let first = [a, b].map(|w| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(w)));
            let second = [a, b].map(|w| _mm512_castsi512_ps(_mm512_and_si512(w, upper)));
            _mm512_fmadd_ps(second[0], second[1], _mm512_fmadd_ps(first[0], first[1], sums))
        }
    }

    impl Multiply<Avx512> for Dot {
        #[inline(always)]
        unsafe fn multiply_add(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
            // 512 bits of bf16, whatever the register was called.
            let [a, b] = [a, b].map(|w| std::mem::transmute::<__m512i, __m512bh>(w));
            _mm512_dpbf16_ps(sums, a, b)
        }
    }

    tiles! {
        /// A tile of f32 with AVX-512.
        #[target_feature(enable = "avx512f")]
        avx512_f32, Avx512, Single, 2, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14
    }
    tiles! {
        /// A tile of bf16 with AVX-512.
        #[target_feature(enable = "avx512f")]
        avx512_bf16, Avx512, Pair, 2, 1, 1 2 3 4 5 6 7 8 9 10 11 12
    }
    tiles! {
        /// A tile of bf16 with AVX-512-BF16.
        #[target_feature(enable = "avx512f,avx512bf16")]
        dot_bf16, Avx512, Dot, 2, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14
    }
}
