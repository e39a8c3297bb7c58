//! The Kernel Inception Distance: an unbiased estimate of the squared maximum mean discrepancy of two sets of features under
//! the kernel (x·y/d + 1)³ (Bińkowski et al. 2018, "Demystifying MMD GANs", section 4), as torch-fidelity has it.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde::Serialize;

use crate::rng::{Stream, permutation};
use crate::{Error, Result};

/// Random subsets that the estimate is the mean of.
pub const SUBSETS: usize = 100;
/// The usual number of samples of each side in a subset.
pub const SUBSET: usize = 1000;

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kid {
    /// The mean over the subsets. It may be a little below 0: the estimate is unbiased.
    pub mean: f64,
    /// The standard deviation over the subsets.
    pub std: f64,
    /// How many subsets.
    pub subsets: usize,
    /// How many samples of each side in each.
    pub subset: usize,
}

/// The distance between features `a` `[n, dims]` and `b` `[m, dims]`, over subsets of `subset` samples of
/// each. The subsets are the same each time, and drawn without replacement; where both sides are one subset,
/// there is one.
///
/// # Errors
/// A side of fewer samples than a subset has; subsets of a single one.
pub fn kid(a: &[f32], b: &[f32], dims: usize, subset: usize) -> Result<Kid> {
    let (n, m) = (a.len() / dims, b.len() / dims);
    if subset < 2 || n.min(m) < subset {
        return Err(Error::Invalid(format!("KID of {n} and {m} images has no subsets of {subset}")));
    }
    let subsets = if subset == n && subset == m { 1 } else { SUBSETS };
    let estimates: Vec<f64> = (0..subsets as u64)
        .into_par_iter()
        .map(|i| {
            let a = chosen(a, dims, &permutation(0, Stream::Subset, 2 * i, n)[..subset]);
            let b = chosen(b, dims, &permutation(0, Stream::Subset, 2 * i + 1, m)[..subset]);
            discrepancy(a.as_ref(), b.as_ref())
        })
        .collect();
    let mean = estimates.iter().sum::<f64>() / subsets as f64;
    let variance = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / subsets as f64;
    Ok(Kid { mean, std: variance.sqrt(), subsets, subset })
}

/// The rows `indices` of `x`, as columns.
fn chosen(x: &[f32], dims: usize, indices: &[usize]) -> Mat<f64> {
    Mat::from_fn(dims, indices.len(), |row, column| f64::from(x[indices[column] * dims + row]))
}

/// The unbiased estimate from equally many samples of both sides, in columns: means of the kernel over all pairs of different
/// samples of a side, less twice the mean over all pairs across.
fn discrepancy(a: MatRef<f64>, b: MatRef<f64>) -> f64 {
    let n = a.ncols() as f64;
    let within = |x| {
        let (all, diagonal) = kernel_sums(x, x);
        (all - diagonal) / (n * (n - 1.0))
    };
    within(a) + within(b) - 2.0 * kernel_sums(a, b).0 / (n * n)
}

/// The sums of the kernel over all pairs, and over the pairs of equal places.
fn kernel_sums(a: MatRef<f64>, b: MatRef<f64>) -> (f64, f64) {
    let mut products = Mat::zeros(a.ncols(), b.ncols());
    matmul(products.as_mut(), Accum::Replace, a.transpose(), b, 1.0 / a.nrows() as f64, Par::Seq);
    let kernel = |product: &f64| (product + 1.0).powi(3);
    let columns = (0..b.ncols()).map(|j| products.col_as_slice(j).iter().map(kernel).sum::<f64>());
    (columns.sum(), (0..a.ncols()).map(|i| kernel(&products[(i, i)])).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::tests::{golden, hashed_samples};

    #[test]
    fn kid_is_torch_fidelitys() {
        let text = std::fs::read(golden("kid_prdc.json")).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let mut compared = 0;
        for case in golden["cases"].as_array().unwrap() {
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let [a, b] = hashed_samples(size("n1"), size("n2"), size("d"));
            let Some(theirs) = case["kid"].as_f64() else { continue };
            let ours = kid(&a, &b, size("d"), size("n1").min(size("n2"))).unwrap();
            assert!((ours.mean - theirs).abs() < 1e-12 * theirs, "{} {theirs}", ours.mean);
            assert_eq!((ours.subsets, ours.std), (1, 0.0));
            compared += 1;
        }
        assert_eq!(compared, 2);
    }

    /// Over subsets the mean is near that of all samples, and no farther than their spread allows.
    #[test]
    fn subsets_estimate_the_whole() {
        let [a, b] = hashed_samples(1400, 1300, 4);
        let ours = kid(&a, &b, 4, SUBSET).unwrap();
        assert_eq!((ours.subsets, ours.subset), (SUBSETS, SUBSET));
        let all = |x: &[f32]| chosen(x, 4, &(0..1300).collect::<Vec<_>>());
        let whole = discrepancy(all(&a).as_ref(), all(&b).as_ref());
        assert!(ours.std > 0.0 && (ours.mean - whole).abs() < 2.0 * ours.std, "{ours:?} {whole}");
        assert_eq!(kid(&a, &b, 4, SUBSET).unwrap(), ours, "the same subsets each time");
    }

    #[test]
    fn a_set_against_itself_is_at_most_nothing_and_too_few_images_are_refused() {
        let [a, _] = hashed_samples(300, 300, 8);
        let same = kid(&a, &a, 8, 300).unwrap().mean;
        assert!(same < 0.0 && same > -0.1, "the diagonal counts across and not within: {same}");
        for (few, subset) in [(1, 1), (1, 2), (299, 300), (300, 301)] {
            assert!(kid(&a[..few * 8], &a, 8, subset).is_err() && kid(&a, &a[..few * 8], 8, subset).is_err());
        }
    }
}
