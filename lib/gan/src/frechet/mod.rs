//! The Fréchet distance between two sets of features, each summed up as a Gaussian, in f64.
//!
//! d² = |μ1−μ2|² + tr Σ1 + tr Σ2 − 2 tr √(Σ1Σ2) (Dowson and Landau 1982; Heusel et al. 2017 for Inception features).
//! The trace of the root is never taken from a matrix square root: with Σ1 = F1·F1ᵀ and Σ2 = F2·F2ᵀ it is the sum
//! of the singular values of F1ᵀ·F2, and also the sum of the roots of the eigenvalues of F1ᵀ·Σ2·F1.

mod moments;
#[cfg(test)]
mod tests;

use faer::{Mat, MatRef};
use gan_kernels::linalg::{self, NotConverged};

pub use moments::Moments;

use crate::{Error, Result};

/// Mean and covariance of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// The mean, [d].
    pub mu: Vec<f64>,
    /// The covariance (divisor n−1), [d, d], symmetric.
    pub sigma: Vec<f64>,
}

impl Gaussian {
    /// The number of features.
    pub fn dims(&self) -> usize {
        self.mu.len()
    }

    fn covariance(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.sigma, self.dims(), self.dims())
    }

    fn trace(&self) -> f64 {
        (0..self.dims()).map(|i| self.sigma[i * self.dims() + i]).sum()
    }
}

/// The squared Fréchet distance between two Gaussians; ≥ 0. Exact up to f64 rounding for singular covariances too
/// (fewer samples than features), where a matrix square root is mostly noise.
///
/// # Errors
/// Different numbers of features; statistics that are not finite.
pub fn distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    if a.dims() != b.dims() {
        return Err(Error::Invalid(format!("{} features on one side, {} on the other", a.dims(), b.dims())));
    }
    if [a, b].iter().any(|g| g.mu.iter().chain(&g.sigma).any(|v| !v.is_finite())) {
        return Err(Error::Invalid("the statistics hold values that are not finite".to_string()));
    }
    let means: f64 = a.mu.iter().zip(&b.mu).map(|(x, y)| (x - y) * (x - y)).sum();
    if a.sigma == b.sigma {
        return Ok(means);
    }
    let root = trace_of_root(a.covariance(), b.covariance()).map_err(|NotConverged| {
        Error::Invalid("the covariances could not be factored: are the statistics sound?".to_string())
    })?;
    // Rounding may leave a distance of nothing a hair below zero.
    Ok((means + (a.trace() + b.trace() - 2.0 * root)).max(0.0))
}

/// tr √(Σ1Σ2).
fn trace_of_root(a: MatRef<f64>, b: MatRef<f64>) -> Result<f64, NotConverged> {
    match (regular_factor(a), regular_factor(b)) {
        (Some(l), Some(_)) => {
            let m = linalg::product(linalg::product(l.transpose(), b).as_ref(), l.as_ref());
            Ok(linalg::eigenvalues(m.as_ref())?.iter().map(|v| v.max(0.0).sqrt()).sum())
        }
        (f, g) => {
            let f = f.map_or_else(|| singular_factor(a), Ok)?;
            let g = g.map_or_else(|| singular_factor(b), Ok)?;
            linalg::nuclear_norm(linalg::product(f.transpose(), g.as_ref()).as_ref())
        }
    }
}

/// Below this fraction of the largest entry a pivot or an eigenvalue is rounding noise.
fn noise(d: usize) -> f64 {
    d as f64 * f64::EPSILON
}

/// The Cholesky factor of a covariance of full rank; `None` where a pivot is lost in the rounding noise.
fn regular_factor(sigma: MatRef<f64>) -> Option<Mat<f64>> {
    let d = sigma.nrows();
    let largest = (0..d).map(|i| sigma[(i, i)]).fold(0.0, f64::max);
    let l = linalg::cholesky(sigma)?;
    (0..d).all(|i| l[(i, i)] * l[(i, i)] > noise(d) * largest).then_some(l)
}

/// F [d, r] with F·Fᵀ = Σ from the eigenvalues above the noise. The most negative eigenvalue of what should have none
/// tells how large the noise is where Σ was stored in f32.
fn singular_factor(sigma: MatRef<f64>) -> Result<Mat<f64>, NotConverged> {
    let (values, vectors) = linalg::eigen(sigma)?;
    let (Some(least), Some(largest)) = (values.first(), values.last()) else { return Ok(Mat::zeros(0, 0)) };
    let floor = (noise(values.len()) * largest).max(-least);
    let first = values.partition_point(|&v| v <= floor);
    Ok(Mat::from_fn(values.len(), values.len() - first, |i, j| {
        vectors[(i, first + j)] * values[first + j].sqrt()
    }))
}
