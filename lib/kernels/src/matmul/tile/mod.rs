//! The innermost loop of a matrix product, written once over the vector registers of each instruction set.
//!
//! Operands are 32-bit words: one f32, or two bf16 that are neighbors along the inner dimension. A tile is a
//! few rows of `a`, whose words are broadcast, times up to 48 columns of `b`. Its sums stay in registers; the
//! last block of the inner dimension leaves them finished in the result.
#![expect(unsafe_op_in_unsafe_fn, reason = "all unsafe functions here have the condition of `Tile`")]

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(super) use arm::*;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::*;

use super::PANEL;

/// One tile: `c (+)= a·b`, or `out = activation(c + a·b + bias)`.
///
/// # Safety A function of this module that takes a `Tile` requires that the processor has the function's
/// instruction set and that the pointers are valid for the stated rows, columns and k.
pub(in crate::matmul) struct Tile {
    /// Rows, at least 1 and at most the instruction set's.
    pub rows: usize,
    /// A width of the instruction set's panels: 16, 32 or 48.
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
    /// Whether the sums start at `c`, and not at zero.
    pub add: bool,
    /// Where the sums go; without it, to `c`.
    pub out: Option<TileOutput>,
}

/// Where the finished sums of a tile go.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct TileOutput {
    /// The f32, or the bf16 if `rounds`.
    pub out: *mut u8,
    /// Whether results are rounded to bf16.
    pub rounds: bool,
    /// The element of `out` that row i begins at.
    pub starts: *const usize,
    /// The tile's first column in a row, and how many of its columns there are.
    pub first: usize,
    pub wanted: usize,
    /// A value for each column, padding included.
    pub bias: *const f32,
    /// The factor of values that are not above zero, at most 1: LeakyReLU; 1 for the identity.
    pub slope: f32,
}

/// Where the words of `a` lie.
#[derive(Clone, Copy)]
pub(in crate::matmul) enum LhsLayout {
    /// Row i, of `k` words, begins at its own pointer.
    Rows(*const *const u32),
    /// Column l, of `rows` words, begins at its own pointer plus the second field.
    Columns(*const *const u32, usize),
    /// Row i begins at `i·A_STRIDE`: for AMX only.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
    Block(*const u32),
}

/// The addresses of the words of `a`.
trait LhsWords: Copy {
    /// Where column l begins.
    unsafe fn column(&self, l: usize) -> *const u32;
    /// The word of row i and column l, which begins at `column`.
    unsafe fn at(&self, column: *const u32, i: usize, l: usize) -> *const u32;
}

/// [`LhsLayout::Rows`] for M rows.
#[derive(Clone, Copy)]
struct Rows<const M: usize>([*const u32; M]);

impl<const M: usize> LhsWords for Rows<M> {
    #[inline(always)]
    unsafe fn column(&self, _: usize) -> *const u32 {
        std::ptr::null()
    }
    #[inline(always)]
    unsafe fn at(&self, _: *const u32, i: usize, l: usize) -> *const u32 {
        self.0[i].add(l)
    }
}

/// [`LhsLayout::Columns`].
#[derive(Clone, Copy)]
struct Columns(*const *const u32, usize);

impl LhsWords for Columns {
    #[inline(always)]
    unsafe fn column(&self, l: usize) -> *const u32 {
        (*self.0.add(l)).add(self.1)
    }
    #[inline(always)]
    unsafe fn at(&self, column: *const u32, i: usize, _: usize) -> *const u32 {
        column.add(i)
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
    /// `sums + bias` where that is above zero, and `slope` times it elsewhere. The slope is in [0, 1].
    unsafe fn finish(sums: Self::Sums, bias: Self::Sums, slope: f32) -> Self::Sums;
    /// Stores the nearest bf16, ties to even.
    unsafe fn store_bf16(to: *mut u16, sums: Self::Sums);
    /// Prefetches the cache line at `from`, which may be any address.
    #[inline(always)]
    unsafe fn prefetch(_from: *const u32) {}
}

/// The contents of a word and how they are multiplied.
trait Multiply<R: Registers> {
    /// `sums + a·b`, lane by lane.
    unsafe fn multiply_add(sums: R::Sums, a: R::Words, b: R::Words) -> R::Sums;
    /// Whether `store_bf16` is so short that all sums of a tile can be stored without a loop.
    const STORES_BF16: bool = false;
    /// Stores the nearest bf16.
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: R::Sums) {
        R::store_bf16(to, sums);
    }
}

/// A word is one f32.
struct Single;
/// A word is two bf16.
struct Pair;

/// How many rows of `b` ahead are prefetched.
const AHEAD: usize = 16;

/// The unrolling of the loop along the inner dimension.
const UNROLLED: usize = 4;

/// A tile of M rows and V vectors.
#[inline(always)]
unsafe fn tile<R: Registers, P: Multiply<R>, const M: usize, const V: usize>(t: &Tile) {
    match t.a {
        LhsLayout::Rows(rows) => sum::<R, P, _, M, V>(t, Rows(rows.cast::<[*const u32; M]>().read())),
        LhsLayout::Columns(columns, first) => sum::<R, P, _, M, V>(t, Columns(columns, first)),
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
    // Each loop below is small enough to be unrolled; otherwise the sums would live in memory from the start.
    let Some(to) = &t.out else {
        for (i, row) in sums.iter().enumerate() {
            for (j, &sums) in row.iter().enumerate() {
                R::store(t.c.add(i * t.stride + j * R::LANES), sums);
            }
        }
        return;
    };
    let bias: [R::Sums; V] = std::array::from_fn(|j| R::load(to.bias.add(j * R::LANES)));
    let full = to.wanted == V * R::LANES;
    if full && !to.rounds {
        for (i, row) in sums.iter().enumerate() {
            let out = to.out.cast::<f32>().add(*to.starts.add(i) + to.first);
            for (j, &sums) in row.iter().enumerate() {
                R::store(out.add(j * R::LANES), R::finish(sums, bias[j], to.slope));
            }
        }
        return;
    }
    if full && P::STORES_BF16 {
        for (i, row) in sums.iter().enumerate() {
            let out = to.out.cast::<u16>().add(*to.starts.add(i) + to.first);
            for (j, &sums) in row.iter().enumerate() {
                P::store_bf16(out.add(j * R::LANES), R::finish(sums, bias[j], to.slope));
            }
        }
        return;
    }
    let mut finished = [[0f32; PANEL]; M];
    for (row, finished) in sums.iter().zip(&mut finished) {
        for (j, &sums) in row.iter().enumerate() {
            R::store(finished.as_mut_ptr().add(j * R::LANES), R::finish(sums, bias[j], to.slope));
        }
    }
    store_rows::<R, P>(to, &finished);
}

/// Stores finished rows, of which only some columns may be wanted.
#[inline(always)]
unsafe fn store_rows<R: Registers, P: Multiply<R>>(to: &TileOutput, rows: &[[f32; PANEL]]) {
    for (i, row) in rows.iter().enumerate() {
        let start = *to.starts.add(i) + to.first;
        if !to.rounds {
            to.out.cast::<f32>().add(start).copy_from_nonoverlapping(row.as_ptr(), to.wanted);
            continue;
        }
        let out = to.out.cast::<u16>().add(start);
        let full = to.wanted / R::LANES;
        for j in 0..full {
            P::store_bf16(out.add(j * R::LANES), R::load(row.as_ptr().add(j * R::LANES)));
        }
        if full * R::LANES < to.wanted {
            let mut rest = [0u16; 16];
            P::store_bf16(rest.as_mut_ptr(), R::load(row.as_ptr().add(full * R::LANES)));
            let (at, n) = (full * R::LANES, to.wanted - full * R::LANES);
            out.add(at).copy_from_nonoverlapping(rest.as_ptr(), n);
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
    let column = a.column(l);
    for (i, row) in sums.iter_mut().enumerate() {
        let word = R::splat(a.at(column, i, l));
        for (sums, &column) in row.iter_mut().zip(&columns) {
            *sums = P::multiply_add(*sums, word, column);
        }
    }
}

/// Declares `$name`, which computes a tile of `$registers` for each height and width in columns.
macro_rules! tiles {
    (
        $(#[$attribute:meta])*
        $name:ident, $registers:ty, $multiply:ty, [$($rows:literal)*] $widths:tt
    ) => {
        $(#[$attribute])*
        pub(in crate::matmul) unsafe fn $name(t: &Tile) {
            match t.rows {
                $($rows => tiles!(@widths t, $registers, $multiply, $rows, $widths),)*
                rows => unreachable!("no tile of {rows} rows"),
            }
        }
    };
    (@widths $t:ident, $registers:ty, $multiply:ty, $rows:literal, [$($width:literal)*]) => {
        match $t.columns {
            $($width => tile::<$registers, $multiply, $rows, { $width / <$registers>::LANES }>($t),)*
            columns => unreachable!("no tile of {columns} columns"),
        }
    };
}
use tiles;

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
    unsafe fn finish(sums: [f32; 4], bias: [f32; 4], slope: f32) -> [f32; 4] {
        std::array::from_fn(|i| crate::activation::leaky_relu(sums[i] + bias[i], slope))
    }
    #[inline(always)]
    unsafe fn store_bf16(to: *mut u16, sums: [f32; 4]) {
        store_rounded(to, sums);
    }
}

/// Stores the nearest bf16.
#[inline(always)]
unsafe fn store_rounded<const N: usize>(to: *mut u16, values: [f32; N]) {
    let rounded = values.map(|v| <crate::bf16 as crate::Element>::from_f32(v).to_bits());
    to.cast::<[u16; N]>().write_unaligned(rounded);
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
    plain_f32, Plain, Single, [1 2] [16]
}
tiles! {
    /// A tile of bf16 on any processor.
    plain_bf16, Plain, Pair, [1 2] [16]
}
