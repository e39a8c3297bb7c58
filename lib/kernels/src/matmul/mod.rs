//! Matrix products of f32 or bf16 with f32 sums, on one thread; callers split the work.
//!
//! The method is that of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008).
//! The inner dimension is cut into blocks of at most [`K_WORDS`] words. A block of `a` and the panels of `b`
//! stay in the second-level cache while tiles of a few rows by 16 to 48 columns run over them. `a` needs no
//! panels: its words are broadcast one by one, so its rows may lie anywhere (Dukhan, "The Indirect
//! Convolution Algorithm", 2019).
//!
//! Every sum runs over the inner dimension in order, block after block. The bytes of a result depend on the
//! instruction set, but not on how rows and columns are cut, nor on the number of threads.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod buffer;
mod pack;
mod peak;
#[cfg(test)]
mod tests;
mod tile;

use std::mem::MaybeUninit;
use std::ops::Range;

pub(crate) use buffer::Buffer;
pub(crate) use pack::MatrixView;
pub use pack::PackedMatrix;
pub use peak::peak;

use crate::activation::{leaky_relu, tanh};
use crate::{Activation, Element, Isa};
use tile::{LhsLayout, Tile, TileOutput};

/// The most words of the inner dimension in a block: 9 rows of `a` then fill a quarter of a first-level
/// cache.
pub(crate) const K_WORDS: usize = 256;

/// The fewest words of a line for which blocks end at the lines of `a`, so that rows are read in place.
const MIN_LINE_WORDS: usize = 64;

/// Words between the rows of a copied block of `a`. Not a power of two, so that the rows of a tile lie in
/// different cache sets.
pub(crate) const A_STRIDE: usize = K_WORDS + 16;

/// The height of AMX tiles; blocks are padded to a multiple of it.
const AMX_ROWS: usize = 32;

/// Columns are padded to a multiple of this: the f32 in a register of 512 bits.
const LANES: usize = 16;

/// The widest panel.
const PANEL: usize = 48;

/// Matrices may be cut at multiples of this number of columns, where panels of every width end.
pub(crate) const PANELS: usize = 96;

/// How the products of an instruction set are cut.
impl Isa {
    /// The height of a tile.
    fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => tile::AVX2_ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => tile::AVX512_ROWS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::NeonBf16 => tile::NEON_ROWS,
            Isa::Amx => AMX_ROWS,
            _ => tile::PLAIN_ROWS,
        }
    }

    /// Whether a panel stays in the first-level cache while all rows of `a` run over it. The panels of
    /// AVX-512 and AMX are too wide for that; there a few rows of `a` stay while panels run over them.
    pub(crate) fn keeps_panels(self) -> bool {
        !matches!(self, Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx)
    }

    /// The rows that blocks of `a` and of sums need memory for if they have `rows` rows.
    pub(crate) fn room(self, rows: usize) -> usize {
        if self == Isa::Amx { rows.next_multiple_of(AMX_ROWS) } else { rows }
    }

    /// The words of a block are padded with zeros to a multiple of this.
    pub(crate) fn step(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => amx::STEP,
            _ => 1,
        }
    }

    /// Whether the rows of `a` may lie anywhere; otherwise they are [`A_STRIDE`] words apart.
    pub(crate) fn indirect(self) -> bool {
        self != Isa::Amx
    }

    /// The panels of `b` that `columns`, a multiple of 16, are cut into. They are as wide as a tile, except
    /// that with AVX-512 the last 32 or 64 columns are cut into panels of 32.
    pub(crate) fn panels(self, columns: usize) -> impl Iterator<Item = Range<usize>> {
        let widest = match self {
            Isa::Amx => 32,
            Isa::Avx512 | Isa::Avx512Bf16 => PANEL,
            _ => LANES,
        };
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = columns - first;
            let width = if rest == 64 || rest == 32 { widest.min(32) } else { rest.min(widest) };
            first += width;
            (width > 0).then(|| first - width..first)
        })
    }

    /// The blocks that `k` elements of T along the inner dimension are cut into. The elements form lines of
    /// `line` elements, each contiguous in memory. If lines are long, no block has parts of two.
    pub(crate) fn blocks<T: Element>(self, k: usize, line: usize) -> impl Iterator<Item = KBlock> + Clone {
        let by_line =
            self.indirect() && line.is_multiple_of(T::PER_WORD) && line / T::PER_WORD >= MIN_LINE_WORDS;
        let line = if by_line { line } else { k.max(1) };
        let words = line.div_ceil(T::PER_WORD);
        let size = words.div_ceil(words.div_ceil(K_WORDS)).next_multiple_of(self.step());
        (0..k).step_by(line).flat_map(move |start| {
            (0..words.div_ceil(size)).map(move |i| {
                let end = words.min((i + 1) * size);
                KBlock {
                    elements: start + i * size * T::PER_WORD..start + line.min(end * T::PER_WORD),
                    words: (end - i * size).next_multiple_of(self.step()),
                }
            })
        })
    }
}

/// A block of the inner dimension (k).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KBlock {
    /// Its elements.
    pub elements: Range<usize>,
    /// Its number of words, padding included.
    pub words: usize,
}

/// The number of columns with padding.
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// The left operand of a product.
#[derive(Clone, Copy)]
pub(crate) enum Lhs<'a, T> {
    /// Rows, each of `words` words.
    Rows(&'a [&'a [T]]),
    /// `rows` rows, given as columns.
    Columns { columns: &'a [&'a [T]], rows: usize },
    /// Rows [`A_STRIDE`] words apart, in memory for [`Isa::room`] rows, and their number. AMX takes only this
    /// form.
    Block(&'a [T], usize),
}

/// The right operand of a product: `words` rows of `columns` words.
#[derive(Clone, Copy)]
pub(crate) enum Rhs<'a, T> {
    /// [`Isa::panels`], each `[words, columns]`.
    Panels(&'a [T]),
    /// Rows, and the words between their starts.
    Rows(&'a [T], usize),
}

/// The destination of a product: memory for sums, and the result that the last block of the inner dimension
/// writes.
pub(crate) struct Sums<'a> {
    /// Rows, as far apart as the product has columns; room for [`Isa::room`] rows. Those beyond the rows of
    /// the left operand get arbitrary values.
    pub c: &'a mut [f32],
    /// Whether the sums start at the values of `c`, not at zero.
    pub add: bool,
}

/// The result of a product: `activation(sums + bias)`, rounded to O.
pub(crate) struct Output<'a, O> {
    pub out: &'a mut [MaybeUninit<O>],
    /// The element of `out` that each row begins at.
    pub starts: &'a [usize],
    /// The number of columns, padding excluded.
    pub columns: usize,
    /// A value for each column, padding included.
    pub bias: &'a [f32],
    pub activation: Activation,
}

/// `c (+)= a·b` for one block of the inner dimension of `words` words; `columns` is a multiple of 16.
pub(crate) fn product<T: Element>(isa: Isa, a: Lhs<T>, words: usize, b: Rhs<T>, columns: usize, sums: Sums) {
    run::<T, f32>(isa, a, words, b, columns, sums, None);
}

/// The last block of a product: `out = activation(c + a·b + bias)`. `c` serves as scratch memory.
pub(crate) fn last_product<T: Element, O: Element>(
    isa: Isa,
    a: Lhs<T>,
    words: usize,
    b: Rhs<T>,
    columns: usize,
    sums: Sums,
    output: Output<O>,
) {
    let slope = match output.activation {
        Activation::Identity => 1.0,
        Activation::LeakyRelu(slope) => slope,
        Activation::Tanh => 0.0,
    };
    // Where tiles do not finish their sums, they are finished from memory.
    if isa == Isa::Amx || output.activation == Activation::Tanh {
        let Sums { c, add } = sums;
        run::<T, f32>(isa, a, words, b, columns, Sums { c: &mut *c, add }, None);
        let Output { out, starts, columns: wanted, bias, activation } = output;
        crate::simd::simd(
            #[inline(always)]
            || {
                for (sums, &start) in c.chunks_exact(columns).zip(starts) {
                    finish(&sums[..wanted], &bias[..wanted], activation, &mut out[start..start + wanted]);
                }
            },
        );
        return;
    }
    run(isa, a, words, b, columns, sums, Some((output, slope)));
}

/// `out = activation(sums + bias)`, rounded to the type of `out`; all have the same length.
#[inline(always)]
pub(crate) fn finish<O: Element>(
    sums: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [MaybeUninit<O>],
) {
    #[inline(always)]
    fn each<O: Element>(sums: &[f32], bias: &[f32], out: &mut [MaybeUninit<O>], f: impl Fn(f32) -> f32) {
        let all = out.iter_mut().zip(sums).zip(bias);
        all.for_each(|((o, s), b)| *o = MaybeUninit::new(O::from_f32(f(s + b))));
    }
    match activation {
        Activation::Identity => each(sums, bias, out, |v| v),
        Activation::LeakyRelu(slope) => each(sums, bias, out, |v| leaky_relu(v, slope)),
        Activation::Tanh => each(sums, bias, out, tanh),
    }
}

/// The product of a block, with what its last block does.
fn run<T: Element, O: Element>(
    isa: Isa,
    a: Lhs<T>,
    words: usize,
    b: Rhs<T>,
    columns: usize,
    Sums { c, add }: Sums,
    output: Option<(Output<O>, f32)>,
) {
    assert!(
        isa.supported() && Isa::candidates::<T>().contains(&isa),
        "matrix product: {isa:?} does not suit this machine or type"
    );
    assert!(
        words <= A_STRIDE && words.is_multiple_of(isa.step()),
        "matrix product: {words} words in a block"
    );
    assert!(columns.is_multiple_of(LANES), "matrix product: {columns} columns");
    // The starts of the rows, or of the columns, of `a`.
    let mut starts = [std::ptr::null::<u32>(); A_STRIDE];
    let mut keep = |slices: &[&[T]], least: usize| {
        starts.iter_mut().zip(slices).for_each(|(start, slice)| *start = slice.as_ptr().cast());
        slices.len() <= A_STRIDE && slices.iter().all(|slice| slice.len() >= least * T::PER_WORD)
    };
    let (rows, fits) = match a {
        Lhs::Rows(a) => (a.len(), keep(a, words)),
        Lhs::Columns { columns, rows } => (rows, columns.len() >= words && keep(&columns[..words], rows)),
        Lhs::Block(a, rows) => (rows, a.len() >= isa.room(rows) * A_STRIDE * T::PER_WORD),
    };
    assert!(fits, "matrix product: {rows} rows of {words} words expected");
    assert!(
        matches!(a, Lhs::Block(..)) != isa.indirect(),
        "matrix product: {isa:?} takes another form of the left operand"
    );
    let (b, pitch) = match b {
        Rhs::Panels(b) => (b, None),
        Rhs::Rows(b, pitch) => (b, Some(pitch)),
    };
    let extent = pitch.map_or(words * columns, |pitch| words.saturating_sub(1) * pitch + columns);
    assert!(
        b.len() >= extent * T::PER_WORD && pitch.is_none_or(|p| p >= columns),
        "matrix product: {extent} words expected"
    );
    let room = isa.room(rows);
    assert!(c.len() >= room * columns, "matrix product: room for {room}×{columns} sums expected");
    let output = output.map(|(Output { out, starts, columns: wanted, bias, .. }, slope)| {
        assert!(wanted <= columns && bias.len() >= columns, "matrix product: {columns} biases expected");
        let fits = |&start: &usize| start <= out.len() && out.len() - start >= wanted;
        assert!(
            starts.len() >= rows && starts[..rows].iter().all(fits),
            "matrix product: a place for {rows}×{wanted} results expected"
        );
        let (out, rounds) = (out.as_mut_ptr().cast(), O::PER_WORD == 2);
        let (starts, bias) = (starts.as_ptr(), bias.as_ptr());
        TileOutput { out, rounds, starts, first: 0, wanted, bias, slope }
    });
    let c = c.as_mut_ptr();
    let tile = |part: Range<usize>, panel: Range<usize>| {
        let a = match a {
            Lhs::Rows(_) => LhsLayout::Rows(starts[part.start..].as_ptr()),
            Lhs::Columns { .. } => LhsLayout::Columns(starts.as_ptr(), part.start),
            Lhs::Block(a, _) => LhsLayout::Block(a[part.start * A_STRIDE * T::PER_WORD..].as_ptr().cast()),
        };
        let (width, first) = (panel.len(), panel.start);
        let (b_start, b_stride) = pitch.map_or((first * words, width), |pitch| (first, pitch));
        let out = output.map(|all| TileOutput {
            // In bounds: rows `part` have starts, every column has a bias.
            starts: all.starts.wrapping_add(part.start),
            bias: all.bias.wrapping_add(first),
            first,
            wanted: all.wanted.saturating_sub(first).min(width),
            ..all
        });
        Tile {
            rows: part.len(),
            columns: width,
            k: words,
            a,
            b: b[b_start * T::PER_WORD..].as_ptr().cast(),
            b_stride,
            // In bounds, see above.
            c: c.wrapping_add(part.start * columns + first),
            stride: columns,
            add,
            out,
        }
    };
    let run = runner::<T>(isa);
    let height = isa.rows();
    let count = rows.div_ceil(height);
    let part = |i: usize| match a {
        Lhs::Block(..) => i * height..room.min((i + 1) * height),
        // Even heights, instead of full ones and a low one at the end.
        _ => i * rows / count..(i + 1) * rows / count,
    };
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        // SAFETY: the instruction set is supported, see above.
        unsafe { amx::configure() };
    }
    if isa.keeps_panels() {
        for panel in isa.panels(columns) {
            for part in (0..count).map(part) {
                // SAFETY: the instruction set is supported; by the assertions above the rows and this panel
                // lie within the slices; c and out are borrowed mutably.
                unsafe { run(&tile(part, panel.clone())) };
            }
        }
    } else {
        for part in (0..count).map(part) {
            for panel in isa.panels(columns) {
                // SAFETY: as above.
                unsafe { run(&tile(part.clone(), panel)) };
            }
        }
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        // SAFETY: the instruction set is supported.
        unsafe { amx::release() };
    }
}

/// The tile function for T.
fn runner<T: Element>(isa: Isa) -> unsafe fn(&Tile) {
    match (isa, T::PER_WORD) {
        (Isa::Plain, 1) => tile::plain_f32,
        (Isa::Plain, _) => tile::plain_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, 1) => tile::avx2_f32,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 1) => tile::avx512_f32,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, 2) => tile::avx512_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx, 2) => amx::bf16,
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, 1) => tile::neon_f32,
        #[cfg(target_arch = "aarch64")]
        (Isa::NeonBf16, 2) => tile::neon_bf16,
        _ => unreachable!("the instruction set is supported and multiplies this type"),
    }
}
