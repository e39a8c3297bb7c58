//! The windows of a convolution over a batch of images, and their patches.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{BatchShape, COLUMNS, ConvWindow, ROWS, Scratch, chunks};
use crate::element::Element;
use crate::matmul::{
    A_STRIDE, Buffer, KBlock, Lhs, Output, PackedMatrix, Rhs, Sums, finish, last_product, padded, product,
};
use crate::{Activation, Isa};

/// The windows over images `[B, H, W, C]`. The patch of a window is `[kh, kw, C]`, zero outside of the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub shape: BatchShape,
    pub kernel: (usize, usize),
    pub stride: usize,
    /// How far above and left of the image the first window begins.
    pub before: (isize, isize),
    /// Windows in a column and in a row of one image.
    pub count: (usize, usize),
}

/// Lines of a patch with at most this many elements are copied as if they had this many.
const SHORT_LINE: usize = 16;

impl Windows {
    /// The windows of a convolution.
    pub fn of(conv: &ConvWindow, shape: BatchShape) -> Windows {
        let before = (conv.padding.0 as isize, conv.padding.1 as isize);
        let count = conv.output(shape.1, shape.2);
        Windows { shape, kernel: conv.kernel, stride: conv.stride, before, count }
    }

    /// Single pixels: the patches are the pixels of the image.
    pub fn pixels(shape: BatchShape) -> Windows {
        Windows { shape, kernel: (1, 1), stride: 1, before: (0, 0), count: (shape.1, shape.2) }
    }

    /// The number of elements of a patch.
    pub fn patch(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.shape.3
    }

    /// Copies `elements` of the patches of `windows` to the rows of `out`, `stride` apart, and pads each row
    /// with zeros to `width`.
    pub fn gather<T: Copy + Default>(
        &self,
        x: &[T],
        windows: Range<usize>,
        elements: Range<usize>,
        out: &mut [T],
        stride: usize,
        width: usize,
    ) {
        let (_, h, w, c) = self.shape;
        let line = self.kernel.1 * c;
        let lines = elements.start / line..elements.end.div_ceil(line);
        let mut place = self.place(windows.start);
        for out in out.chunks_mut(stride).take(windows.len()) {
            let (image, oy, ox) = place;
            place = self.after(place);
            let left = (ox * self.stride) as isize - self.before.1;
            // The part of each line of the patch that lies inside the image.
            let inside = |x: isize| (x.clamp(0, w as isize) - left) as usize * c;
            let (low, high) = (inside(left), inside(left + self.kernel.1 as isize));
            let mut at = 0;
            for ky in lines.clone() {
                let from = elements.start.max(ky * line) - ky * line;
                let to = elements.end.min((ky + 1) * line) - ky * line;
                let start_of_part = at;
                at += to - from;
                let room = out.len() >= start_of_part + SHORT_LINE;
                let part = &mut out[start_of_part..at];
                let y = (oy * self.stride + ky) as isize - self.before.0;
                if y < 0 || y >= h as isize {
                    part.fill(T::default());
                    continue;
                }
                let first = low.clamp(from, to);
                let end = high.clamp(first, to);
                if end == first {
                    part.fill(T::default());
                    continue;
                }
                let start = ((image * h + y as usize) * w * c) as isize + left * c as isize;
                let start = (start + first as isize) as usize;
                if end - first < to - from {
                    part[..first - from].fill(T::default());
                    part[end - from..].fill(T::default());
                    part[first - from..end - from].copy_from_slice(&x[start..start + end - first]);
                } else if part.len() <= SHORT_LINE && room && x.len() >= start + SHORT_LINE {
                    // A copy of a fixed length is a few instructions; the excess is overwritten later.
                    out[start_of_part..][..SHORT_LINE].copy_from_slice(&x[start..start + SHORT_LINE]);
                } else {
                    part.copy_from_slice(&x[start..start + end - first]);
                }
            }
            if at < width {
                out[at..width].fill(T::default());
            }
        }
    }

    /// The elements `block` of the patches of `windows`, one row of `full` elements each: in place if they
    /// are contiguous in the image, else copied to `room`, `pitch` elements apart, and padded with zeros.
    #[expect(clippy::too_many_arguments, reason = "the operands of a copy")]
    pub fn rows<'a, T: Copy + Default>(
        &self,
        x: &'a [T],
        windows: Range<usize>,
        block: Range<usize>,
        full: usize,
        room: &'a mut [T],
        pitch: usize,
        rows: &mut [&'a [T]],
    ) {
        let (_, h, w, c) = self.shape;
        let line = self.kernel.1 * c;
        let ky = block.start / line;
        // The block lies in one line of the patch and needs no padding.
        let contiguous = block.end <= (ky + 1) * line && block.len() == full;
        if !contiguous {
            self.gather(x, windows, block, room, pitch, full);
            let room: &[T] = room;
            rows.iter_mut().zip(room.chunks(pitch)).for_each(|(row, room)| *row = room);
            return;
        }
        let (first, last) = (block.start - ky * line, block.end - 1 - ky * line);
        let (leftmost, rightmost) = ((first / c) as isize, (last / c) as isize);
        // Windows above or below the image share one row of zeros.
        let mut zeros: Option<&[T]> = None;
        let (mut next, mut rest, mut rooms) = (windows.start, rows, room.chunks_mut(pitch));
        while next < windows.end {
            // The windows of one row of an image.
            let (image, oy, ox) = self.place(next);
            let run;
            (run, rest) = rest.split_at_mut((self.count.1 - ox).min(windows.end - next));
            let y = (oy * self.stride + ky) as isize - self.before.0;
            let outside = !(0..h as isize).contains(&y);
            let line = &x[if outside { 0 } else { (image * h + y as usize) * w * c }..];
            for (i, (row, room)) in run.iter_mut().zip(&mut rooms).enumerate() {
                let left = ((ox + i) * self.stride) as isize - self.before.1;
                if !outside && left + leftmost >= 0 && left + rightmost < w as isize {
                    *row = &line[(left * c as isize + first as isize) as usize..][..full];
                } else if let (true, Some(zeros)) = (outside, zeros) {
                    *row = zeros;
                } else {
                    self.gather(x, next + i..next + i + 1, block.clone(), room, full, full);
                    *row = room;
                    zeros = outside.then_some(*row).or(zeros);
                }
            }
            next += run.len();
        }
    }

    /// The image, row and column of a window.
    fn place(&self, window: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.count;
        (window / (rows * columns), window / columns % rows, window % columns)
    }

    /// The place of the next window.
    fn after(&self, (image, oy, ox): (usize, usize, usize)) -> (usize, usize, usize) {
        let (rows, columns) = self.count;
        match (ox + 1 == columns, oy + 1 == rows) {
            (false, _) => (image, oy, ox + 1),
            (true, false) => (image, oy + 1, 0),
            (true, true) => (image + 1, 0, 0),
        }
    }

    /// Multiplies the patches of `windows`, at most [`ROWS`], with a packed matrix. Calls `done(columns,
    /// sums, image)` for chunks of its columns; row i of `sums` begins at i times the padded number of
    /// columns; `image` is scratch memory.
    pub fn multiply<T: Element>(
        &self,
        x: &[T],
        windows: Range<usize>,
        weight: &PackedMatrix<T>,
        scratch: &mut Scratch<T>,
        mut done: impl FnMut(Range<usize>, &[f32], &mut [f32]),
    ) {
        let Scratch { a, c, image, .. } = scratch;
        for columns in chunks(weight.n(), COLUMNS) {
            let width = padded(columns.len());
            let c = c.get(weight.isa().room(windows.len()) * width);
            if weight.k() == 0 {
                c.fill(0.0);
            }
            weight.blocks(columns.clone(), |block, panels, add, _| {
                self.left(x, windows.clone(), &block, weight.isa(), a, |left| {
                    let sums = Sums { c: &mut *c, add };
                    product(weight.isa(), left, block.words, Rhs::Panels(panels), width, sums);
                });
            });
            done(columns, c, image.as_mut_slice());
        }
    }

    /// Multiplies the patches of `windows`, at most [`ROWS`], with a packed matrix. The row of window i,
    /// `activation(sums + bias)`, begins at element `starts[i]` of `out`; `bias` has a value for each column
    /// of the matrix, padding included.
    #[expect(clippy::too_many_arguments, reason = "the operands of a convolution")]
    pub fn multiply_into<T: Element, O: Element>(
        &self,
        x: &[T],
        windows: Range<usize>,
        weight: &PackedMatrix<T>,
        scratch: &mut Scratch<T>,
        bias: &[f32],
        activation: Activation,
        out: &mut [MaybeUninit<O>],
        starts: &mut [usize],
    ) {
        let Scratch { a, c, .. } = scratch;
        for columns in chunks(weight.n(), COLUMNS) {
            let width = padded(columns.len());
            let c = c.get(weight.isa().room(windows.len()) * width);
            let bias = &bias[columns.start..];
            if weight.k() == 0 {
                for &start in &*starts {
                    let out = &mut out[start..start + columns.len()];
                    finish(&vec![0.0; columns.len()], &bias[..columns.len()], activation, out);
                }
            }
            weight.blocks(columns.clone(), |block, panels, add, last| {
                self.left(x, windows.clone(), &block, weight.isa(), a, |left| {
                    let (isa, right, sums) = (weight.isa(), Rhs::Panels(panels), Sums { c: &mut *c, add });
                    if !last {
                        return product(isa, left, block.words, right, width, sums);
                    }
                    let output = Output { out: &mut *out, starts, columns: columns.len(), bias, activation };
                    last_product(isa, left, block.words, right, width, sums, output);
                });
            });
            starts.iter_mut().for_each(|start| *start += columns.len());
        }
    }

    /// Calls `run` with a block of the patches of `windows` as a left operand; `a` is memory for copies.
    fn left<T: Element>(
        &self,
        x: &[T],
        windows: Range<usize>,
        block: &KBlock,
        isa: Isa,
        a: &mut Buffer<T>,
        run: impl FnOnce(Lhs<T>),
    ) {
        let count = windows.len();
        let a = a.get(isa.room(count) * A_STRIDE * T::PER_WORD);
        if isa.indirect() {
            let mut rows = [&[][..]; ROWS];
            let (full, pitch) = (block.words * T::PER_WORD, A_STRIDE * T::PER_WORD);
            self.rows(x, windows, block.elements.clone(), full, a, pitch, &mut rows[..count]);
            run(Lhs::Rows(&rows[..count]));
        } else {
            let full = block.words * T::PER_WORD;
            self.gather(x, windows, block.elements.clone(), a, A_STRIDE * T::PER_WORD, full);
            run(Lhs::Block(a, count));
        }
    }
}
