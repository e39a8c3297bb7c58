//! Dense linear algebra in f64 for the Fréchet distance, on faer: sums of outer products, a Cholesky factor
//! of a covariance of any rank, and the eigenvalues of a symmetric matrix.
//!
//! Symmetric matrices are given and returned by their lower triangles. faer cuts the work into a constant
//! number of tasks, so no result depends on the number of threads.

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt_pivoting::factor as pivoted;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use BlockStructure::{Rectangular, TriangularLower, TriangularUpper};

/// The tasks that faer cuts an operation into. Results depend on this number in their last digits, hence a
/// constant.
const TASKS: Par = Par::Rayon(NonZeroUsize::new(16).unwrap());

/// The factorization failed: the matrix holds values that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConverged;

/// Adds the lower triangle of x·xᵀ to `acc`. `acc` is [d, d], `x` [d, n].
pub fn add_gram(acc: MatMut<f64>, x: MatRef<f64>) {
    matmul(acc, TriangularLower, Accum::Add, x, Rectangular, x.transpose(), Rectangular, 1.0, TASKS);
}

/// The eigenvalues of the symmetric `a`, ascending. Reads the lower triangle.
///
/// If `a` is graded, with its largest entries at the top left, small eigenvalues keep their relative
/// accuracy. In other matrices their errors are those of the largest eigenvalue.
///
/// # Errors
/// `a` holds values that are not finite.
pub fn eigenvalues(a: MatRef<f64>) -> Result<Vec<f64>, NotConverged> {
    let n = a.nrows();
    if (0..n).any(|j| a.col(j).iter().skip(j).any(|v| !v.is_finite())) {
        return Err(NotConverged);
    }
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::No, TASKS, Default::default());
    let (mut values, mut memory) = (Diag::zeros(n), MemBuffer::new(scratch));
    self_adjoint_evd(a, values.as_mut(), None, TASKS, MemStack::new(&mut memory), Default::default())
        .map_err(|_| NotConverged)?;
    Ok(values.column_vector().iter().copied().collect())
}

/// F [d, r] with F·Fᵀ = A for a positive semi-definite A of rank r, by Cholesky's method with complete
/// pivoting (Higham 2002, Accuracy and Stability of Numerical Algorithms, §10.3).
#[derive(Debug, Clone)]
pub struct Factor {
    /// Row i of `l` is row `order[i]` of F.
    order: Vec<usize>,
    /// [d, r], zeros above the diagonal, the diagonal descending.
    l: Mat<f64>,
}

impl Factor {
    /// Factors the symmetric `a`, [d, d]. Reads the lower triangle.
    ///
    /// The factorization stops where the largest remaining pivot is noise: below the rounding errors of f64,
    /// or, if `a` was stored with fewer digits, no larger than the most negative remaining pivot.
    ///
    /// # Errors
    /// `a` holds values that are not finite.
    pub fn new(a: MatRef<f64>) -> Result<Factor, NotConverged> {
        let d = a.nrows();
        let mut diagonal: Vec<f64> = (0..d).map(|i| a[(i, i)].max(0.0)).collect();
        if diagonal.iter().all(|&v| v == 0.0) {
            return Ok(Factor { order: (0..d).collect(), l: Mat::zeros(d, 0) });
        }
        let mut l = a.to_owned();
        // A variance of zero may be negative by rounding, which faer rejects.
        l.diagonal_mut().column_vector_mut().iter_mut().zip(&diagonal).for_each(|(v, &to)| *v = to);
        let (mut order, mut inverse) = (vec![0; d], vec![0; d]);
        // One thread: distances factor two matrices at once.
        let scratch = pivoted::cholesky_in_place_scratch::<usize, f64>(d, Par::Seq, Default::default());
        let (memory, parameters) = (&mut MemBuffer::new(scratch), Default::default());
        let stack = MemStack::new(memory);
        let (info, _) =
            pivoted::cholesky_in_place(l.as_mut(), &mut order, &mut inverse, Par::Seq, stack, parameters)
                .map_err(|_| NotConverged)?;
        diagonal = order.iter().map(|&i| diagonal[i]).collect();
        let rank = (0..info.rank).find(|&j| is_noise(&l, j, &mut diagonal)).unwrap_or(info.rank);
        l.resize_with(d, rank, |_, _| 0.0);
        (1..rank).for_each(|j| l.col_mut(j).subrows_mut(0, j).fill(0.0));
        Ok(Factor { order, l })
    }

    /// The number of columns.
    pub fn rank(&self) -> usize {
        self.l.ncols()
    }

    /// The lower triangle of Fᵀ·`a`·F, [r, r], zeros above it. `a` is [d, d]; both of its triangles are read.
    pub fn congruent(&self, a: MatRef<f64>) -> Mat<f64> {
        let (d, r) = (self.order.len(), self.rank());
        let mut ordered = Mat::<f64>::zeros(d, d);
        ordered.as_mut().par_col_iter_mut().zip(&self.order).for_each(|(to, &j)| {
            to.iter_mut().zip(&self.order).for_each(|(to, &i)| *to = a[(i, j)]);
        });
        let (top, bottom) = self.l.split_at_row(r);
        let mut x = Mat::zeros(d, r);
        let (left, right) = ordered.split_at_col(r);
        matmul(&mut x, Rectangular, Accum::Replace, left, Rectangular, top, TriangularLower, 1.0, TASKS);
        matmul(&mut x, Rectangular, Accum::Add, right, Rectangular, bottom, Rectangular, 1.0, TASKS);
        let mut out = Mat::zeros(r, r);
        let (top, bottom) = (top.transpose(), bottom.transpose());
        let (above, below) = x.split_at_row(r);
        matmul(
            &mut out,
            TriangularLower,
            Accum::Replace,
            top,
            TriangularUpper,
            above,
            Rectangular,
            1.0,
            TASKS,
        );
        matmul(&mut out, TriangularLower, Accum::Add, bottom, Rectangular, below, Rectangular, 1.0, TASKS);
        out
    }
}

/// Whether pivot `j` is no larger than the most negative entry of `diagonal`, what columns before `j` of `l`
/// leave of the diagonal; if it is larger, takes column `j` from `diagonal`.
fn is_noise(l: &Mat<f64>, j: usize, diagonal: &mut [f64]) -> bool {
    let column = l.col(j);
    if diagonal[j..].iter().any(|&v| -v >= column[j] * column[j]) {
        return true;
    }
    diagonal.iter_mut().zip(column.iter()).skip(j + 1).for_each(|(left, v)| *left -= v * v);
    false
}
