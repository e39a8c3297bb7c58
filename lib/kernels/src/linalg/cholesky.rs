//! The Cholesky factor of a covariance of any rank.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::blocks;

/// Columns that are taken from what is left of the matrix in one product.
const PANEL: usize = 64;
/// Numbers between the ends of two columns: with a power of two between their starts, all entries of a row would share
/// a few lines of the cache.
const GAP: usize = 8;

/// F [d, r] with F·Fᵀ = A for a positive semi-definite A, by Cholesky's method with complete pivoting (Higham 2002,
/// Accuracy and Stability of Numerical Algorithms, §10.3). r is the rank of A within rounding.
#[derive(Debug, Clone)]
pub struct Factor {
    /// Row i of `l` is row `order[i]` of F.
    pub(super) order: Vec<usize>,
    /// [d, r] in columns `stride` apart, zeros above the diagonal, the diagonal descending.
    l: Vec<f64>,
    stride: usize,
    rank: usize,
}

impl Factor {
    /// Factors the symmetric `a`, [d, d]. Reads the lower triangle.
    ///
    /// It ends where no pivot is left that is more than noise: rounding errors of f64, or, where `a` has larger ones
    /// since it was stored in f32, the most negative entry of a diagonal that should have none.
    pub fn new(a: MatRef<f64>) -> Factor {
        let d = a.nrows();
        let stride = d + GAP;
        let mut l = vec![0.0; stride * d];
        l.chunks_exact_mut(stride).zip(a.col_iter()).enumerate().for_each(|(j, (to, from))| {
            to[j..d].iter_mut().zip(from.iter().skip(j)).for_each(|(to, from)| *to = *from);
        });
        let diagonal: Vec<f64> = (0..d).map(|i| a[(i, i)]).collect();
        let noise = d as f64 * f64::EPSILON * diagonal.iter().copied().fold(0.0, f64::max);
        let mut work = Work { order: (0..d).collect(), l, stride, diagonal, noise };
        let rank = work.factor();
        let Work { order, mut l, .. } = work;
        l.truncate(rank * stride);
        l.chunks_exact_mut(stride).enumerate().for_each(|(j, column)| column[..j].fill(0.0));
        Factor { order, l, stride, rank }
    }

    /// The number of columns.
    pub fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn l(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice_with_stride(&self.l, self.order.len(), self.rank, self.stride)
    }

    /// The lower triangle of Fᵀ·`a`·F [r, r] for a symmetric `a` [d, d] of which both triangles are there. What is above
    /// the diagonal has no meaning.
    pub fn congruent(&self, a: MatRef<f64>) -> Mat<f64> {
        let d = self.order.len();
        let mut ordered = Mat::<f64>::zeros(d, d);
        ordered.as_mut().par_col_iter_mut().zip(&self.order).for_each(|(to, &j)| {
            to.iter_mut().zip(&self.order).for_each(|(to, &i)| *to = a[(i, j)]);
        });
        let l = self.l();
        let mut product = Mat::zeros(d, self.rank);
        blocks::product_with_lower(ordered.as_ref(), l, product.as_mut());
        let mut out = Mat::zeros(self.rank, self.rank);
        blocks::lower_of_transpose_product(l, product.as_ref(), out.as_mut());
        out
    }
}

/// A factor in the making: columns of L, then what is left of the matrix, rows and columns in `order`.
struct Work {
    order: Vec<usize>,
    l: Vec<f64>,
    stride: usize,
    /// What is left of the diagonal; in `l` it is out of date.
    diagonal: Vec<f64>,
    noise: f64,
}

impl Work {
    /// Makes all columns and returns their number.
    fn factor(&mut self) -> usize {
        let d = self.order.len();
        for first in (0..d).step_by(PANEL) {
            let end = d.min(first + PANEL);
            for j in first..end {
                let Some(pivot) = self.pivot(j) else { return j };
                self.swap(j, pivot);
                self.column(first, j);
            }
            self.update(first, end);
        }
        d
    }

    /// The row of the largest entry left on the diagonal, unless that is noise.
    fn pivot(&self, j: usize) -> Option<usize> {
        let (mut largest, mut least) = (j, j);
        for (i, &v) in self.diagonal.iter().enumerate().skip(j) {
            if v > self.diagonal[largest] {
                largest = i;
            }
            if v < self.diagonal[least] {
                least = i;
            }
        }
        (self.diagonal[largest] > self.noise.max(-self.diagonal[least])).then_some(largest)
    }

    /// Swaps rows and columns `j` and `i` ≥ `j`.
    fn swap(&mut self, j: usize, i: usize) {
        if i == j {
            return;
        }
        self.order.swap(i, j);
        self.diagonal.swap(i, j);
        let (d, s) = (self.order.len(), self.stride);
        for column in self.l.chunks_exact_mut(s).take(j) {
            column.swap(i, j);
        }
        // The lower triangle alone: between j and i, what is a column of the one is a row of the other.
        for k in j + 1..i {
            self.l.swap(j * s + k, k * s + i);
        }
        let (left, right) = self.l.split_at_mut(i * s);
        left[j * s + i + 1..j * s + d].swap_with_slice(&mut right[i + 1..d]);
    }

    /// Makes column `j` of L; of the panel that begins at `first`, the columns before it are not yet taken from it.
    fn column(&mut self, first: usize, j: usize) {
        let (d, s) = (self.order.len(), self.stride);
        let (done, rest) = self.l.split_at_mut(j * s);
        let panel = MatRef::from_column_major_slice_with_stride(&done[first * s..], d, j - first, s);
        let row: Vec<f64> = panel.row(j).iter().copied().collect();
        let row = MatRef::from_column_major_slice(&row, j - first, 1);
        let pivot = self.diagonal[j].sqrt();
        rest[j] = pivot;
        let below = &mut rest[j + 1..d];
        let column = MatMut::from_column_major_slice_mut(below, d - j - 1, 1);
        matmul(column, Accum::Add, panel.get(j + 1.., ..), row, -1.0, Par::Seq);
        for (v, left) in below.iter_mut().zip(&mut self.diagonal[j + 1..]) {
            *v /= pivot;
            *left -= *v * *v;
        }
    }

    /// Takes the panel of columns `first..end` from what is right of it.
    fn update(&mut self, first: usize, end: usize) {
        let (d, s) = (self.order.len(), self.stride);
        let (done, rest) = self.l.split_at_mut(end * s);
        let panel = MatRef::from_column_major_slice_with_stride(&done[first * s..], d, end - first, s);
        let panel = panel.get(end.., ..);
        let left = MatMut::from_column_major_slice_with_stride_mut(rest, d, d - end, s).get_mut(end.., ..);
        blocks::add_lower(left, -1.0, panel, panel.transpose());
    }
}
