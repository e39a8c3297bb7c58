//! Tiles with AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{Multiply, Pair, Registers, Single, Tile, store_rounded, tile, tiles};

struct Avx2;

/// Rows of a tile with AVX2: 12 registers of sums, two of columns, one broadcast. Six rows by 16 columns take
/// 8 loads for 12 multiply-adds, and a panel of 16 columns stays in the first-level cache.
pub(in crate::matmul) const AVX2_ROWS: usize = 6;

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
    unsafe fn finish(sums: __m256, bias: __m256, slope: f32) -> __m256 {
        let v = _mm256_add_ps(sums, bias);
        // The second operand if one is NaN.
        _mm256_max_ps(_mm256_mul_ps(v, _mm256_set1_ps(slope)), v)
    }
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: __m256) {
        store_rounded(to, std::mem::transmute::<__m256, [f32; 8]>(sums));
    }
}

impl Multiply<Avx2> for Single {
    #[inline(always)]
    unsafe fn multiply_add(sums: __m256, a: __m256i, b: __m256i) -> __m256 {
        _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), sums)
    }
}

tiles! {
    /// A tile of f32 with AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    avx2_f32, Avx2, Single, [1 2 3 4 5 6] [16]
}

struct Avx512;

/// Rows of a tile with AVX-512: 27 registers of sums, three of columns, one broadcast. (14 rows by two
/// registers take a tenth more instructions for the same number of products.)
pub(in crate::matmul) const AVX512_ROWS: usize = 9;

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
    unsafe fn finish(sums: __m512, bias: __m512, slope: f32) -> __m512 {
        let v = _mm512_add_ps(sums, bias);
        // The second operand if one is NaN.
        _mm512_max_ps(_mm512_mul_ps(v, _mm512_set1_ps(slope)), v)
    }
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: __m512) {
        // As `Element::from_f32`: half of the last place is added, and the lower half cut off.
        let bits = _mm512_castps_si512(sums);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sums, sums);
        let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40 << 16));
        let upper = _mm512_srli_epi32::<16>(_mm512_mask_mov_epi32(rounded, nan, quiet));
        _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(upper));
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
        // The same 512 bits, as bf16.
        let [a, b] = [a, b].map(|w| std::mem::transmute::<__m512i, __m512bh>(w));
        _mm512_dpbf16_ps(sums, a, b)
    }
    const STORES_BF16: bool = true;
    // One instruction, which also takes numbers below 2⁻¹²⁶ for zero.
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: __m512) {
        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(sums));
        _mm256_storeu_si256(to.cast(), rounded);
    }
}

tiles! {
    /// A tile of f32 with AVX-512.
    #[target_feature(enable = "avx512f")]
    avx512_f32, Avx512, Single, [1 2 3 4 5 6 7 8 9] [16 32 48]
}
tiles! {
    /// A tile of bf16 with AVX-512-BF16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    avx512_bf16, Avx512, Pair, [1 2 3 4 5 6 7 8 9] [16 32 48]
}
