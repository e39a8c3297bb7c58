//! The Kernel Inception Distance: an unbiased estimate of the squared maximum mean discrepancy of two sets of
//! features under the kernel (x·y/d + 1)³ (Bińkowski et al. 2018, "Demystifying MMD GANs", section 4), as in
//! torch-fidelity.

use faer::MatRef;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::products::{columns, inner_products};
use super::{Metric, MetricOptions, Need, Scores};
use crate::rng::{Stream, permutation};
use crate::{Error, Result};

/// The number of random subsets, over which the estimate is a mean.
const SUBSETS: usize = 100;

/// The metric `kid`.
pub(super) const KID: Metric = Metric {
    name: "kid",
    help: "kernel distance",
    needs: [Need::Features; 2],
    min_images: |options| options.kid_subset_size.max(2),
    min_images_option: Some("kid_subset_size"),
    compute: |comparison| {
        let (spec, subset) = (comparison.spec, comparison.options.kid_subset_size);
        let kid = kid(comparison.features(0)?, comparison.features(1)?, spec.dims, subset)?;
        let usual = MetricOptions::default().kid_subset_size;
        let of = if subset == usual { String::new() } else { format!("-subset-{subset}") };
        let printed = (spec.label("KID", "KD") + &of, format!("{:.6} ± {:.6}", kid.mean, kid.std));
        Ok(Scores { key: spec.key("KID", "KD"), json: json!(kid), printed: vec![printed] })
    },
};

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct KidEstimate {
    /// The mean over the subsets. It may be slightly below 0, since the estimate is unbiased.
    mean: f64,
    /// The standard deviation over the subsets.
    std: f64,
    /// The number of subsets.
    subsets: usize,
    /// The samples of each input in a subset.
    subset: usize,
}

/// The distance between features `a` `[n, dims]` and `b` `[m, dims]`, over subsets of `subset` samples of
/// each. The subsets are drawn without replacement and are the same each time. If `n`, `m` and `subset` are
/// equal, there is one.
///
/// # Errors
/// An input of fewer samples than a subset has; subsets of fewer than two.
fn kid(a: &[f32], b: &[f32], dims: usize, subset: usize) -> Result<KidEstimate> {
    let (n, m) = (a.len() / dims, b.len() / dims);
    if subset < 2 || n.min(m) < subset {
        let what = format!("{subset} is not in 2 to {}, the number of images", n.min(m));
        return Err(Error::argument("kid_subset_size", what));
    }
    let subsets = if subset == n && subset == m { 1 } else { SUBSETS };
    let draw = |x: &[f32], draw: u64, n: usize| {
        let indices = permutation(0, Stream::Subset, draw, n);
        columns(x, dims, subset, |i| indices[i])
    };
    let estimates: Vec<f64> = (0..subsets as u64)
        .into_par_iter()
        .map(|i| discrepancy(draw(a, 2 * i, n).as_ref(), draw(b, 2 * i + 1, m).as_ref()))
        .collect();
    let mean = estimates.iter().sum::<f64>() / subsets as f64;
    let variance = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / subsets as f64;
    Ok(KidEstimate { mean, std: variance.sqrt(), subsets, subset })
}

/// The unbiased estimate from as many samples of both inputs, in columns: the means of the kernel over all
/// pairs of different samples of an input, less twice its mean over all pairs across.
fn discrepancy(a: MatRef<f64>, b: MatRef<f64>) -> f64 {
    let n = a.ncols() as f64;
    let within = |x| {
        let (all, diagonal) = kernel_sums(x, x);
        (all - diagonal) / (n * (n - 1.0))
    };
    within(a) + within(b) - 2.0 * kernel_sums(a, b).0 / (n * n)
}

/// The sums of the kernel over all pairs, and over the pairs of equal indices.
fn kernel_sums(a: MatRef<f64>, b: MatRef<f64>) -> (f64, f64) {
    let products = inner_products(a, b, 1.0 / a.nrows() as f64);
    let kernel = |product: &f64| (product + 1.0).powi(3);
    let sums = (0..b.ncols()).map(|j| products.col_as_slice(j).iter().map(kernel).sum::<f64>());
    (sums.sum(), (0..a.ncols()).map(|i| kernel(&products[(i, i)])).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::tests::{golden, hashed_samples};

    const SUBSET: usize = 1000;

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
        let all = |x: &[f32]| columns(x, 4, 1300, |i| i);
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
