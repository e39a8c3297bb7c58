//! The Fréchet distance between two sets of features, each summed up as a Gaussian, in f64.
//!
//! d² = |μ1−μ2|² + tr Σ1 + tr Σ2 − 2 tr √(Σ1Σ2) (Dowson and Landau 1982; Heusel et al. 2017 for Inception
//! features). The trace of the root is never taken from a matrix square root: with Σ1 = F·Fᵀ it is the sum of
//! the roots of the eigenvalues of Fᵀ·Σ2·F.

mod covariance;
#[cfg(test)]
mod tests;

use faer::MatRef;
use gan_kernels::linalg::{self, Factor, NotConverged};

pub use covariance::RunningCovariance;

use crate::{Error, Result};

/// Mean and covariance of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// The mean, `[d]`.
    pub mu: Vec<f64>,
    /// The covariance (divisor n−1), `[d, d]`, symmetric.
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

    /// The mean and covariance of all samples, from those of parts and their numbers of samples: those of one
    /// pass over them, except for rounding (Chan, Golub and LeVeque 1979).
    ///
    /// # Panics
    /// There are no parts, or they differ in dims.
    pub(super) fn merge(parts: &[(&Gaussian, u64)]) -> Gaussian {
        let (d, n) = (parts[0].0.dims(), parts.iter().map(|part| part.1).sum::<u64>() as f64);
        assert!(parts.iter().all(|part| part.0.dims() == d), "parts of the same dims");
        let mut mu = vec![0.0; d];
        for (part, count) in parts {
            mu.iter_mut().zip(&part.mu).for_each(|(all, one)| *all += *count as f64 / n * one);
        }
        let mut sigma = vec![0.0; d * d];
        for (part, count) in parts {
            let count = *count as f64;
            let offset: Vec<f64> = part.mu.iter().zip(&mu).map(|(one, all)| one - all).collect();
            let rows = sigma.chunks_exact_mut(d).zip(part.sigma.chunks_exact(d)).zip(&offset);
            for ((all, one), a) in rows {
                for ((all, one), b) in all.iter_mut().zip(one).zip(&offset) {
                    *all += ((count - 1.0) * one + count * a * b) / (n - 1.0);
                }
            }
        }
        Gaussian { mu, sigma }
    }
}

/// The squared Fréchet distance between two Gaussians; ≥ 0. Exact up to f64 rounding for singular covariances
/// too (fewer samples than features), where a matrix square root is mostly noise.
///
/// # Errors
/// Different numbers of features; statistics that are not finite.
pub fn distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    if a.dims() != b.dims() {
        return Err(Error::Invalid(format!("{} features against {}", a.dims(), b.dims())));
    }
    if [a, b].iter().any(|g| g.mu.iter().chain(&g.sigma).any(|v| !v.is_finite())) {
        return Err(Error::Invalid("the statistics have values that are not finite".to_string()));
    }
    let means: f64 = a.mu.iter().zip(&b.mu).map(|(x, y)| (x - y) * (x - y)).sum();
    if a.sigma == b.sigma {
        return Ok(means);
    }
    let root = trace_of_root(a.covariance(), b.covariance()).map_err(|NotConverged| {
        Error::Invalid("the covariances could not be factored; are the statistics damaged?".to_string())
    })?;
    // Rounding may leave a distance of 0 slightly below it.
    Ok((means + (a.trace() + b.trace() - 2.0 * root)).max(0.0))
}

/// tr √(Σ1Σ2): the roots of the eigenvalues of Fᵀ·Σ·F, F being the factor of smaller rank: a zero that
/// rounding makes 1e-16 would count as 1e-8. F is graded by its pivots, so small eigenvalues keep their
/// digits.
fn trace_of_root(a: MatRef<f64>, b: MatRef<f64>) -> Result<f64, NotConverged> {
    let (f, g) = rayon::join(|| Factor::new(a), || Factor::new(b));
    let (f, g) = (f?, g?);
    let (factor, other) = if f.rank() <= g.rank() { (f, b) } else { (g, a) };
    let values = linalg::eigenvalues(factor.congruent(other).as_ref())?;
    Ok(values.iter().map(|v| v.max(0.0).sqrt()).sum())
}
