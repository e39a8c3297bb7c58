//! The dense f64 factorisations that the Fréchet distance needs: a rank-revealing Cholesky factor and the eigenvalues of
//! a symmetric matrix.
//!
//! Nearly all of the arithmetic is products of blocks (`blocks`): faer's matrix product on one thread each, many at once.
//! Blocks depend on the shapes alone, so no result depends on the number of threads.
//!
//! They are here, not beside the distance, since compiling faer's generic code takes longer than all of the rest.

mod band;
mod blocks;
mod cholesky;
mod tridiagonal;

#[cfg(test)]
mod tests;

use faer::{Mat, MatMut, MatRef};

pub use cholesky::Factor;

/// The iteration did not converge: the matrix holds values that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConverged;

/// The lower triangle of `acc += x·xᵀ`; what is above the diagonal has no meaning, before or after. `acc` is [d, d], `x`
/// [d, n].
pub fn add_gram(acc: MatMut<f64>, x: MatRef<f64>) {
    blocks::add_lower(acc, 1.0, x, x.transpose());
}

/// The eigenvalues of the symmetric `a`, ascending. Reads the lower triangle.
///
/// The small ones of a matrix that is graded, its largest entries at the top left, keep digits that they would lose in
/// others, where rounding errors are as large as those of the largest.
///
/// # Errors
/// Values that are not finite.
pub fn eigenvalues(mut a: Mat<f64>) -> Result<Vec<f64>, NotConverged> {
    let n = a.nrows();
    let mut largest = 0.0f64;
    for v in (0..n).flat_map(|j| a.col(j).iter().skip(j)) {
        if !v.is_finite() {
            return Err(NotConverged);
        }
        largest = largest.max(v.abs());
    }
    if largest == 0.0 {
        return Ok(vec![0.0; n]);
    }
    // Squares of what is left neither overflow nor vanish.
    let scale = 1.0 / largest;
    a.col_iter_mut().for_each(|column| column.iter_mut().for_each(|v| *v *= scale));
    let (diagonal, below) = band::tridiagonal(a);
    let mut values = tridiagonal::eigenvalues(diagonal, below)?;
    values.iter_mut().for_each(|v| *v *= largest);
    Ok(values)
}
