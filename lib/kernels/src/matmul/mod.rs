//! Matrix products of f32 or bf16 with f32 sums, on one thread; callers split the work.
//!
//! The method is that of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008).
//! The inner dimension is cut into blocks of at most [`K_WORDS`] words. A block of `a` and the panels of `b`
//! stay in the second-level cache while tiles of a few rows by 48 columns run over them. `a` needs no panels:
//! its words are broadcast one by one, so its rows may lie anywhere (Dukhan, "The Indirect Convolution
//! Algorithm", 2019).
//!
//! Every sum runs over the inner dimension in order, block after block. The bytes of a result depend on the
//! instruction set, but not on how rows and columns are cut, nor on the number of threads.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod buffer;
mod peak;
#[cfg(test)]
mod tests;
mod tile;

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

pub(crate) use buffer::Buffer;
pub use peak::peak;

use crate::simd::{SQUARE, transpose};
use crate::{Element, Isa};
use tile::{LhsLayout, MAX_ROWS, Tile};

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

/// Matrices may be cut at multiples of this number of columns, where panels of every width end.
pub(crate) const PANELS: usize = 96;

/// How the products of an instruction set are cut.
impl Isa {
    /// The height of a tile of T.
    fn rows<T: Element>(self) -> usize {
        match self {
            Isa::Plain => tile::PLAIN_ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => tile::AVX2_ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => AMX_ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if T::PER_WORD == 2 => tile::AVX512_PAIR_ROWS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => tile::AVX512_ROWS,
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("not supported"),
        }
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
    /// that the last 32 or 64 columns are cut into panels of 32.
    pub(crate) fn panels(self, columns: usize) -> impl Iterator<Item = Range<usize>> {
        let widest = if self == Isa::Amx { 32 } else { 48 };
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = columns - first;
            let width = if rest == 64 || rest == 32 { 32 } else { rest.min(widest) };
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
    /// `rows` rows, given as columns `pitch` words apart.
    Columns { data: &'a [T], rows: usize, pitch: usize },
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

/// `c (+)= a·b` for one block of the inner dimension of `words` words.
///
/// `columns` is a multiple of 16. Rows of `c` are `columns` apart; it has memory for [`Isa::room`] rows, and
/// those beyond the rows of `a` get arbitrary values.
pub(crate) fn product<T: Element>(
    isa: Isa,
    a: Lhs<T>,
    words: usize,
    b: Rhs<T>,
    columns: usize,
    c: &mut [f32],
    add: bool,
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
    let (rows, fits) = match a {
        Lhs::Rows(a) => (a.len(), a.iter().all(|row| row.len() >= words * T::PER_WORD)),
        Lhs::Columns { data, rows, pitch } => {
            (rows, words == 0 || data.len() >= ((words - 1) * pitch + rows) * T::PER_WORD)
        }
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
    let run = runner::<T>(isa);
    let tiles = rows.div_ceil(isa.rows::<T>());
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        // SAFETY: the instruction set is supported, see above.
        unsafe { amx::configure() };
    }
    for i in 0..tiles {
        // Tiles of even heights, instead of full ones and a low one at the end.
        let (first, end) = match a {
            Lhs::Block(..) => (i * isa.rows::<T>(), room.min((i + 1) * isa.rows::<T>())),
            _ => (i * rows / tiles, (i + 1) * rows / tiles),
        };
        let a = match a {
            Lhs::Rows(a) => {
                let mut starts = [std::ptr::null(); MAX_ROWS];
                starts.iter_mut().zip(&a[first..end]).for_each(|(p, row)| *p = row.as_ptr().cast());
                LhsLayout::Rows(starts)
            }
            Lhs::Columns { data, pitch, .. } => {
                LhsLayout::Columns(data[first * T::PER_WORD..].as_ptr().cast(), pitch)
            }
            Lhs::Block(a, _) => LhsLayout::Block(a[first * A_STRIDE * T::PER_WORD..].as_ptr().cast()),
        };
        for panel in isa.panels(columns) {
            let (width, first_column) = (panel.len(), panel.start);
            let (b_start, b_stride) = pitch.map_or((first_column * words, width), |p| (first_column, p));
            let tile = Tile {
                rows: end - first,
                columns: width,
                k: words,
                a,
                b: b[b_start * T::PER_WORD..].as_ptr().cast(),
                b_stride,
                c: c[first * columns + first_column..].as_mut_ptr(),
                stride: columns,
                add,
            };
            // SAFETY: the instruction set is supported; by the assertions above rows first..end of a and c
            // and this panel of b lie within the slices; c is borrowed mutably.
            unsafe { run(&tile) };
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
        (Isa::Avx2, _) => tile::avx2_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 1) => tile::avx512_f32,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, _) => tile::avx512_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, 2) => tile::dot_bf16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx, 2) => amx::bf16,
        _ => unreachable!("the instruction set is supported and multiplies this type"),
    }
}

/// A matrix `[k, n]` packed into panels, ready to be the right operand of products.
#[derive(Clone, Debug)]
pub struct PackedMatrix<T> {
    isa: Isa,
    k: usize,
    n: usize,
    /// Elements of the left operand that are contiguous in memory.
    line: usize,
    /// `[block][panel][words, columns]`.
    panels: Buffer<T>,
}

/// A borrowed f32 matrix, row-major or column-major.
#[derive(Clone, Copy)]
pub(crate) enum MatrixView<'a> {
    /// Row k begins at `k·stride`.
    Rows { data: &'a [f32], stride: usize },
    /// Column j begins at `j·stride`.
    Columns { data: &'a [f32], stride: usize },
}

/// Rows of words that are packed together.
const GROUP: usize = 16;

/// The widest panel.
const PANEL: usize = 48;

/// The rows of elements of a group; f32 uses half of them.
type Lines<T> = [[T; PANEL]; 2 * GROUP];

/// Packs the rows `group` and columns `wanted` of a stack of matrices into up to [`GROUP`] rows of `width`
/// words. `lines` is zero, or as an earlier group of the same columns left it; beyond `wanted` it stays zero.
#[inline(always)]
fn pack_group<T: Element>(
    parts: &[MatrixView],
    rows: usize,
    group: Range<usize>,
    wanted: Range<usize>,
    width: usize,
    lines: &mut Lines<T>,
    out: &mut [MaybeUninit<T>],
) {
    let mut k = group.start;
    while k < group.end {
        let (part, row) = (k / rows, k % rows);
        let n = (rows - row).min(group.end - k);
        let lines = &mut lines[k - group.start..][..n];
        match parts[part] {
            MatrixView::Rows { data, stride } => {
                for (i, line) in lines.iter_mut().enumerate() {
                    let from = &data[(row + i) * stride..][wanted.clone()];
                    // Copies of a fixed length compile to instructions instead of calls.
                    for (line, from) in line.chunks_exact_mut(LANES).zip(from.chunks(LANES)) {
                        match from.first_chunk::<LANES>() {
                            Some(from) => {
                                line.iter_mut().zip(from).for_each(|(to, &v)| *to = T::from_f32(v));
                            }
                            None => line.iter_mut().zip(from).for_each(|(to, &v)| *to = T::from_f32(v)),
                        }
                    }
                }
            }
            MatrixView::Columns { data, stride } => {
                for column in wanted.clone().step_by(SQUARE) {
                    let (at, columns) = (column - wanted.start, SQUARE.min(wanted.end - column));
                    for (i, lines) in lines.chunks_mut(SQUARE).enumerate() {
                        // Columns are read in place; those that end early, from a copy.
                        let mut short = [[0.0; SQUARE]; SQUARE];
                        let mut square = [&[0.0; SQUARE]; SQUARE];
                        for (j, (square, short)) in
                            square.iter_mut().zip(&mut short).enumerate().take(columns)
                        {
                            let from = &data[(column + j) * stride + row + i * SQUARE..][..lines.len()];
                            *square = match from.first_chunk::<SQUARE>() {
                                Some(from) => from,
                                None => {
                                    short[..from.len()].copy_from_slice(from);
                                    short
                                }
                            };
                        }
                        let square = transpose(&square);
                        for (line, square) in lines.iter_mut().zip(&square) {
                            let line = line[at..at + SQUARE].iter_mut();
                            line.zip(square).for_each(|(to, &v)| *to = T::from_f32(v));
                        }
                    }
                }
            }
        }
        k += n;
    }
    // Padding of the last block.
    lines[group.len()..].fill([T::default(); PANEL]);
    let mut words = [T::default(); 2 * PANEL];
    for (lines, out) in lines.chunks_exact(T::PER_WORD).zip(out.chunks_exact_mut(width * T::PER_WORD)) {
        let words = &mut words[..width * T::PER_WORD];
        T::words(&lines[0][..width], &lines[T::PER_WORD - 1][..width], words);
        out.iter_mut().zip(&*words).for_each(|(out, &word)| *out = MaybeUninit::new(word));
    }
}

impl<T: Element> PackedMatrix<T> {
    /// Packs a stack of the matrices `parts`, `rows`×`n` each. Rows of the left operand consist of lines of
    /// `line` elements, each contiguous in memory.
    pub(crate) fn new(isa: Isa, parts: &[MatrixView], rows: usize, n: usize, line: usize) -> PackedMatrix<T> {
        let k = parts.len() * rows;
        let columns = padded(n);
        let blocks: Vec<KBlock> = isa.blocks::<T>(k, line).collect();
        let words: usize = blocks.iter().map(|b| b.words).sum();
        let write = |mut rest: &mut [MaybeUninit<T>]| {
            let mut work = Vec::new();
            for block in &blocks {
                for columns in isa.panels(columns) {
                    let width = columns.len();
                    let (panel, after) = rest.split_at_mut(block.words * width * T::PER_WORD);
                    rest = after;
                    work.push((block, columns.start..columns.end.min(n), width, panel));
                }
            }
            work.into_par_iter().for_each(|(block, wanted, width, panel)| {
                crate::simd::simd(
                    #[inline(always)]
                    || {
                        let mut lines = [[T::default(); PANEL]; 2 * GROUP];
                        for (i, out) in panel.chunks_mut(GROUP * width * T::PER_WORD).enumerate() {
                            let first = block.elements.start + i * GROUP * T::PER_WORD;
                            let group = first..block.elements.end.min(first + GROUP * T::PER_WORD);
                            pack_group(parts, rows, group, wanted.clone(), width, &mut lines, out);
                        }
                    },
                );
            });
        };
        // SAFETY: panels cover the buffer, groups of rows cover each panel, and every word of a row is
        // written.
        let panels = unsafe { Buffer::uninit(words * columns * T::PER_WORD, write) };
        PackedMatrix { isa, k, n, line, panels }
    }

    /// The number of rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The number of columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The instruction set that the matrix is packed for.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `run(block, panels)` for each block of the inner dimension with its panels of `columns`. The
    /// range begins at a multiple of [`PANELS`] and ends at one or at the last column.
    pub(crate) fn blocks(&self, columns: Range<usize>, mut run: impl FnMut(KBlock, &[T])) {
        let (width, mut before) = (padded(self.n), 0);
        for block in self.isa.blocks::<T>(self.k, self.line) {
            let words = block.words;
            let panels = &self.panels.as_slice()[(before + columns.start * words) * T::PER_WORD..];
            run(block, &panels[..padded(columns.len()) * words * T::PER_WORD]);
            before += width * words;
        }
    }
}
