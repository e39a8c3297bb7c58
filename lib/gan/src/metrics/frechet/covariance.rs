//! Running sums of features for a mean and a covariance, in memory that does not grow with the samples.

use faer::{MatMut, MatRef};
use gan_kernels::linalg;

use super::Gaussian;
use crate::{Error, Result};

/// Samples that are added to the sums in one matrix product. Fixed, so that the sums do not depend on how the
/// samples are divided among calls.
const CHUNK: usize = 256;

/// n, Σ(x−s) and Σ(x−s)(x−s)ᵀ in f64, s being the mean of the first chunk: without this shift, a covariance
/// that is small beside the mean loses digits.
#[derive(Debug, Clone)]
pub struct RunningCovariance {
    dims: usize,
    n: u64,
    shift: Option<Vec<f64>>,
    sum: Vec<f64>,
    /// `[d, d]`, the lower triangle only.
    outer: Vec<f64>,
    /// Fewer than `CHUNK` samples that are not yet in the sums, `[n, d]`.
    pending: Vec<f64>,
}

impl RunningCovariance {
    /// No samples yet, of `dims` features each.
    pub fn new(dims: usize) -> RunningCovariance {
        let outer = vec![0.0; dims * dims];
        RunningCovariance { dims, n: 0, shift: None, sum: vec![0.0; dims], outer, pending: Vec::new() }
    }

    /// The number of samples so far.
    pub fn n(&self) -> u64 {
        self.n + (self.pending.len() / self.dims) as u64
    }

    /// Adds samples, `[n, d]`.
    ///
    /// # Panics
    /// The slice's length is not a multiple of d.
    pub fn push<T: Copy + Into<f64>>(&mut self, features: &[T]) {
        assert_eq!(features.len() % self.dims, 0, "each sample has d features");
        for row in features.chunks_exact(self.dims) {
            self.pending.extend(row.iter().map(|&v| v.into()));
            if self.pending.len() == CHUNK * self.dims {
                self.flush();
            }
        }
    }

    /// Adds the pending samples to the sums.
    fn flush(&mut self) {
        let (d, n) = (self.dims, self.pending.len() / self.dims);
        if n == 0 {
            return;
        }
        let shift = self.shift.get_or_insert_with(|| {
            let mut mean = vec![0.0; d];
            self.pending.chunks_exact(d).for_each(|row| add(&mut mean, row, 1.0 / n as f64));
            mean
        });
        for row in self.pending.chunks_exact_mut(d) {
            add(row, shift, -1.0);
            add(&mut self.sum, row, 1.0);
        }
        let x = MatRef::from_column_major_slice(&self.pending, d, n);
        linalg::add_gram(MatMut::from_column_major_slice_mut(&mut self.outer, d, d), x);
        self.n += n as u64;
        self.pending.clear();
    }

    /// Mean and covariance (divisor n−1, as `numpy.cov`).
    ///
    /// # Errors
    /// Fewer than two samples; features that are not finite.
    pub fn gaussian(mut self) -> Result<Gaussian> {
        self.flush();
        let (d, n) = (self.dims, self.n as f64);
        if self.n < 2 {
            return Err(Error::Invalid("a covariance needs at least two images".to_string()));
        }
        let shift = self.shift.unwrap_or_default();
        let mu: Vec<f64> = shift.iter().zip(&self.sum).map(|(s, sum)| s + sum / n).collect();
        if mu.iter().any(|v| !v.is_finite()) {
            return Err(Error::Invalid("the features are not finite; are the weights damaged?".to_string()));
        }
        let mut sigma = vec![0.0; d * d];
        for j in 0..d {
            for i in j..d {
                let value = (self.outer[j * d + i] - self.sum[i] * self.sum[j] / n) / (n - 1.0);
                sigma[j * d + i] = value;
                sigma[i * d + j] = value;
            }
        }
        Ok(Gaussian { mu, sigma })
    }
}

/// `acc += factor · x`.
fn add(acc: &mut [f64], x: &[f64], factor: f64) {
    acc.iter_mut().zip(x).for_each(|(a, x)| *a += factor * x);
}
