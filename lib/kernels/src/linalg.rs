//! The few dense f64 factorisations that the Fréchet distance needs, over faer with a fixed split of the work.
//!
//! They are here, not beside the distance, since compiling faer's generic code takes longer than all of the rest.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor as llt;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// The factorisation did not converge: the matrix holds values that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConverged;

/// How the work is split. faer sums each part apart, so the split is fixed: results do not depend on the threads.
fn par() -> Par {
    Par::rayon(8)
}

/// The lower triangle of `acc += x·xᵀ`; the upper one is left as it is. `acc` is [d, d], `x` [d, n].
pub fn add_gram(acc: MatMut<f64>, x: MatRef<f64>) {
    let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(acc, lower, Accum::Add, x, all, x.transpose(), all, 1.0, par());
}

/// `a·b`.
pub fn product(a: MatRef<f64>, b: MatRef<f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(&mut out, Accum::Replace, a, b, 1.0, par());
    out
}

/// The lower triangular L with L·Lᵀ = `a`, or `None` where a pivot is not positive. Reads the lower triangle.
pub fn cholesky(a: MatRef<f64>) -> Option<Mat<f64>> {
    let d = a.nrows();
    let mut l = Mat::zeros(d, d);
    l.copy_from_triangular_lower(a);
    let mut memory = MemBuffer::new(llt::cholesky_in_place_scratch::<f64>(d, par(), Default::default()));
    let stack = MemStack::new(&mut memory);
    llt::cholesky_in_place(l.as_mut(), Default::default(), par(), stack, Default::default()).ok()?;
    for column in 1..d {
        l.col_mut(column).subrows_mut(0, column).fill(0.0);
    }
    Some(l)
}

/// The eigenvalues of the symmetric `a`, ascending. Reads the lower triangle.
pub fn eigenvalues(a: MatRef<f64>) -> Result<Vec<f64>, NotConverged> {
    let mut values = Diag::<f64>::zeros(a.nrows());
    let scratch =
        self_adjoint_evd_scratch::<f64>(a.nrows(), ComputeEigenvectors::No, par(), Default::default());
    let mut memory = MemBuffer::new(scratch);
    self_adjoint_evd(a, values.as_mut(), None, par(), MemStack::new(&mut memory), Default::default())
        .map_err(|_| NotConverged)?;
    Ok(values.column_vector().iter().copied().collect())
}

/// The eigenvalues of the symmetric `a`, ascending, and its eigenvectors as columns. Reads the lower triangle.
pub fn eigen(a: MatRef<f64>) -> Result<(Vec<f64>, Mat<f64>), NotConverged> {
    let d = a.nrows();
    let mut values = Diag::<f64>::zeros(d);
    let mut vectors = Mat::zeros(d, d);
    let scratch = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::Yes, par(), Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(a, values.as_mut(), Some(vectors.as_mut()), par(), stack, Default::default())
        .map_err(|_| NotConverged)?;
    Ok((values.column_vector().iter().copied().collect(), vectors))
}

/// The sum of the singular values of `a`.
pub fn nuclear_norm(a: MatRef<f64>) -> Result<f64, NotConverged> {
    let (m, n) = (a.nrows(), a.ncols());
    let mut values = Diag::<f64>::zeros(m.min(n));
    let no = ComputeSvdVectors::No;
    let mut memory = MemBuffer::new(svd_scratch::<f64>(m, n, no, no, par(), Default::default()));
    svd(a, values.as_mut(), None, None, par(), MemStack::new(&mut memory), Default::default())
        .map_err(|_| NotConverged)?;
    Ok(values.column_vector().iter().sum())
}
