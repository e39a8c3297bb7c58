//! The Fréchet distance between two sets of features, each summed up as a Gaussian, in f64.
//!
//! d² = |μ1−μ2|² + tr Σ1 + tr Σ2 − 2 tr √(Σ1Σ2) (Dowson and Landau 1982; Heusel et al. 2017 for Inception features).
//! The trace of the root is never taken from a matrix square root: with Σ1 = F·Fᵀ it is the sum of the roots of the
//! eigenvalues of Fᵀ·Σ2·F.

mod moments;
#[cfg(test)]
mod tests;

use faer::MatRef;
use gan_kernels::linalg::{self, Factor, NotConverged};

pub use moments::RunningCovariance;

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

/// tr √(Σ1Σ2): the roots of the eigenvalues of Fᵀ·Σ·F, F of the side of the smaller rank, since zeros that rounding
/// makes 1e-16 would count as 1e-8. F is graded by its pivots, so small eigenvalues keep their digits.
fn trace_of_root(a: MatRef<f64>, b: MatRef<f64>) -> Result<f64, NotConverged> {
    let (f, g) = rayon::join(|| Factor::new(a), || Factor::new(b));
    let (f, g) = (f?, g?);
    let (factor, other) = if f.rank() <= g.rank() { (f, b) } else { (g, a) };
    let values = linalg::eigenvalues(factor.congruent(other).as_ref())?;
    Ok(values.iter().map(|v| v.max(0.0).sqrt()).sum())
}
