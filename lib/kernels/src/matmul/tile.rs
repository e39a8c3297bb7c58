//! The innermost loop of a matrix product, written once over the vector registers of each instruction set.
//!
//! Operands are 32-bit words: one f32, or two bf16 that are neighbors along the inner dimension. A tile is a
//! few rows of `a`, whose words are broadcast, times 16, 32 or 48 columns of `b`. Its sums stay in registers.
#![expect(unsafe_op_in_unsafe_fn, reason = "all unsafe functions here have the condition of `Tile`")]

/// One tile: `c (+)= a·b`.
///
/// # Safety A function of this module that takes a `Tile` requires that the processor has the function's
/// instruction set and that the pointers are valid for the stated rows, columns and k.
pub(in crate::matmul) struct Tile {
    /// Rows, at least 1 and at most the instruction set's.
    pub rows: usize,
    /// 16, 32 or 48; for AMX 16 or 32.
    pub columns: usize,
    /// Words along the inner dimension.
    pub k: usize,
    pub a: LhsLayout,
    /// Row l, of `columns` words, begins at `l·b_stride`.
    pub b: *const u32,
    /// Words between the rows of `b`.
    pub b_stride: usize,
    /// Row i begins at `i·stride`.
    pub c: *mut f32,
    /// f32 between the rows of `c`.
    pub stride: usize,
    /// Whether to add to `c`; otherwise it is overwritten.
    pub add: bool,
}

/// The most rows of a tile, except on AMX.
pub(super) const MAX_ROWS: usize = 9;

/// Where the words of `a` lie.
#[derive(Clone, Copy)]
pub(in crate::matmul) enum LhsLayout {
    /// Row i, of `k` words, begins at its own pointer.
    Rows([*const u32; MAX_ROWS]),
    /// Column l, of `rows` words, begins at l times the second field.
    Columns(*const u32, usize),
    /// Row i begins at `i·A_STRIDE`: for AMX only.
    Block(*const u32),
}

/// The addresses of the words of `a`.
trait LhsWords: Copy {
    /// The word of row i and column l.
    unsafe fn at(&self, i: usize, l: usize) -> *const u32;
}

/// [`LhsLayout::Rows`] for M rows.
#[derive(Clone, Copy)]
struct Rows<const M: usize>([*const u32; M]);

impl<const M: usize> LhsWords for Rows<M> {
    #[inline(always)]
    unsafe fn at(&self, i: usize, l: usize) -> *const u32 {
        self.0[i].add(l)
    }
}

/// [`LhsLayout::Columns`].
#[derive(Clone, Copy)]
struct Columns(*const u32, usize);

impl LhsWords for Columns {
    #[inline(always)]
    unsafe fn at(&self, i: usize, l: usize) -> *const u32 {
        self.0.add(l * self.1 + i)
    }
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
    /// Prefetches the cache line at `from`, which may be any address.
    unsafe fn prefetch(from: *const u32);
}

/// The contents of a word and how they are multiplied.
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

/// How many rows of `b` ahead are prefetched.
const AHEAD: usize = 16;

/// The unrolling of the loop along the inner dimension.
const UNROLLED: usize = 4;

/// A tile of M rows and V vectors.
#[inline(always)]
unsafe fn tile<R: Registers, P: Multiply<R>, const M: usize, const V: usize>(t: &Tile) {
    match t.a {
        LhsLayout::Rows(rows) => {
            let mut first = [rows[0]; M];
            first.copy_from_slice(&rows[..M]);
            sum::<R, P, _, M, V>(t, Rows(first));
        }
        LhsLayout::Columns(start, pitch) => sum::<R, P, _, M, V>(t, Columns(start, pitch)),
        LhsLayout::Block(_) => unreachable!("a block is for AMX"),
    }
}

#[inline(always)]
unsafe fn sum<R: Registers, P: Multiply<R>, L: LhsWords, const M: usize, const V: usize>(t: &Tile, a: L) {
    let mut sums = [[R::zero(); V]; M];
    if t.add {
        for (i, row) in sums.iter_mut().enumerate() {
            for (j, sums) in row.iter_mut().enumerate() {
                *sums = R::load(t.c.add(i * t.stride + j * R::LANES));
            }
        }
    }
    let even = t.k - t.k % UNROLLED;
    // Loops, not `for_each`: its closure may not be inlined, and sums would then live in memory.
    for l in (0..even).step_by(UNROLLED) {
        for i in 0..UNROLLED {
            step::<R, P, L, M, V>(t, a, &mut sums, l + i);
        }
    }
    for l in even..t.k {
        step::<R, P, L, M, V>(t, a, &mut sums, l);
    }
    for (i, row) in sums.iter().enumerate() {
        for (j, &sums) in row.iter().enumerate() {
            R::store(t.c.add(i * t.stride + j * R::LANES), sums);
        }
    }
}

/// Adds the products along one word of the inner dimension.
#[inline(always)]
unsafe fn step<R: Registers, P: Multiply<R>, L: LhsWords, const M: usize, const V: usize>(
    t: &Tile,
    a: L,
    sums: &mut [[R::Sums; V]; M],
    l: usize,
) {
    let b = t.b.add(l * t.b_stride);
    for j in (0..V * R::LANES).step_by(16) {
        R::prefetch(b.wrapping_add(AHEAD * t.b_stride + j));
    }
    let columns: [R::Words; V] = std::array::from_fn(|j| R::words(b.add(j * R::LANES)));
    for (i, row) in sums.iter_mut().enumerate() {
        let word = R::splat(a.at(i, l));
        for (sums, &column) in row.iter_mut().zip(&columns) {
            *sums = P::multiply_add(*sums, word, column);
        }
    }
}

/// Declares `$name`, which computes a tile whose registers hold `$lanes` f32.
macro_rules! tiles {
    ($(#[$attribute:meta])* $name:ident, $registers:ty, $multiply:ty, $lanes:literal, $($rows:literal)*) => {
        $(#[$attribute])*
        pub(in crate::matmul) unsafe fn $name(t: &Tile) {
            match (t.columns, t.rows) {
                $((48, $rows) => tile::<$registers, $multiply, $rows, { 48 / $lanes }>(t),)*
                $((32, $rows) => tile::<$registers, $multiply, $rows, { 32 / $lanes }>(t),)*
                $((16, $rows) => tile::<$registers, $multiply, $rows, { 16 / $lanes }>(t),)*
                (columns, rows) => unreachable!("no tile of {rows} rows and {columns} columns"),
            }
        }
    };
}

/// Arrays, which the compiler maps to the registers of the target.
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

/// The two bf16 of a word as f32, in order.
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
    plain_f32, Plain, Single, 4, 1 2
}
tiles! {
    /// A tile of bf16 on any processor.
    plain_bf16, Plain, Pair, 4, 1 2
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::*;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dot, Multiply, Pair, Registers, Single, Tile, tile};

    struct Avx2;

    /// Rows of a tile with AVX2: 12 registers of sums, one of columns, two broadcast.
    pub(in crate::matmul) const AVX2_ROWS: usize = 2;

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
        avx2_f32, Avx2, Single, 8, 1 2
    }
    tiles! {
        /// A tile of bf16 with AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        avx2_bf16, Avx2, Pair, 8, 1 2
    }

    struct Avx512;

    /// Rows of a tile with AVX-512: 27 registers of sums, three of columns, one broadcast. (14 rows by two
    /// registers take a tenth more instructions for the same number of products.)
    pub(in crate::matmul) const AVX512_ROWS: usize = 9;
    /// Rows of a tile of bf16 pairs, which take two multiplications: columns and broadcast need four more
    /// registers.
    pub(in crate::matmul) const AVX512_PAIR_ROWS: usize = 7;

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
            // The same 512 bits, as bf16.
            let [a, b] = [a, b].map(|w| std::mem::transmute::<__m512i, __m512bh>(w));
            _mm512_dpbf16_ps(sums, a, b)
        }
    }

    tiles! {
        /// A tile of f32 with AVX-512.
        #[target_feature(enable = "avx512f")]
        avx512_f32, Avx512, Single, 16, 1 2 3 4 5 6 7 8 9
    }
    tiles! {
        /// A tile of bf16 with AVX-512.
        #[target_feature(enable = "avx512f")]
        avx512_bf16, Avx512, Pair, 16, 1 2 3 4 5 6 7
    }
    tiles! {
        /// A tile of bf16 with AVX-512-BF16.
        #[target_feature(enable = "avx512f,avx512bf16")]
        dot_bf16, Avx512, Dot, 16, 1 2 3 4 5 6 7 8 9
    }
}
