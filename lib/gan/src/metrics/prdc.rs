//! Precision, recall, density and coverage of two sets of features by their nearest neighbors.
//!
//! Precision and recall: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing
//! Generative Models"; density and coverage: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for
//! Generative Models". As in the package `prdc` of the latter, a sample's ball reaches to its k-th nearest
//! neighbor in its own set, excluding its edge.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::products::{columns, inner_products};
use super::{Metric, Need, Scores};
use crate::{Error, Result};

/// The usual numbers of neighbors, rising.
const NEIGHBORS: [usize; 2] = [3, 5];
/// The larger of them: each set needs more samples.
const MAX_NEIGHBORS: usize = NEIGHBORS[1];
/// Samples of each set whose distances are computed in one product.
const BLOCK: usize = 512;

/// The metric `prdc`; the first input is the real images.
pub(super) const PRDC: Metric = Metric {
    name: "prdc",
    help: "precision, recall, density and coverage by 3 and 5 neighbors, A being the real images",
    needs: [Need::Features; 2],
    min_images: |_| MAX_NEIGHBORS + 1,
    min_images_option: None,
    compute: |comparison| {
        let all = prdc(comparison.features(0)?, comparison.features(1)?, comparison.spec.dims)?;
        let printed = all.iter().flat_map(|scores| {
            scores.named().map(|(name, value)| (format!("{name}-{}", scores.k), format!("{value:.4}")))
        });
        Ok(Scores { key: "prdc".into(), json: json!(all), printed: printed.collect() })
    },
};

/// The four numbers for one k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct PrdcScores {
    /// The number of neighbors.
    k: usize,
    /// The share of fakes in the ball of some real sample.
    precision: f64,
    /// The share of real samples in the ball of some fake.
    recall: f64,
    /// The mean number of real samples whose ball a fake is in, divided by k; may be above 1.
    density: f64,
    /// The share of real samples with a fake in their ball.
    coverage: f64,
}

impl PrdcScores {
    fn named(&self) -> [(&'static str, f64); 4] {
        let &PrdcScores { precision, recall, density, coverage, .. } = self;
        [("precision", precision), ("recall", recall), ("density", density), ("coverage", coverage)]
    }
}

/// The scores of `fake` `[m, dims]` against `real` `[n, dims]` for each k of [`NEIGHBORS`]. Time grows with
/// (n + m)², memory with n + m.
///
/// # Errors
/// A set has no more samples than neighbors.
fn prdc(real: &[f32], fake: &[f32], dims: usize) -> Result<[PrdcScores; 2]> {
    let (real, fake) = (Points::new(real, dims), Points::new(fake, dims));
    if let Some(few) = [real.len(), fake.len()].into_iter().find(|&n| n <= MAX_NEIGHBORS) {
        return Err(Error::Invalid(format!("{few} images have no {MAX_NEIGHBORS} neighbors each")));
    }
    let (real_radii, fake_radii) = (radii(&real), radii(&fake));
    let count_block = |i: usize| {
        let fakes = fake.block(i);
        let mut balls = vec![[0u64; 2]; fakes.len()];
        let mut counts = BallCounts::new(real.len());
        fake.each_distance(i, &real, |f, r, distance| {
            for k in 0..2 {
                balls[f - fakes.start][k] += u64::from(distance < real_radii[r][k]);
                counts.reals[r].recalled[k] |= distance < fake_radii[f][k];
            }
            counts.reals[r].nearest = counts.reals[r].nearest.min(distance);
        });
        for k in 0..2 {
            counts.precise[k] = balls.iter().filter(|balls| balls[k] > 0).count() as u64;
            counts.balls[k] = balls.iter().map(|balls| balls[k]).sum();
        }
        counts
    };
    let blocks = (0..fake.len().div_ceil(BLOCK)).into_par_iter().map(count_block);
    // Integers, minima and booleans: the order of the blocks changes nothing.
    let none = || BallCounts::new(real.len());
    let BallCounts { precise, balls, reals } = blocks.reduce(none, BallCounts::merge);
    let (n, m) = (real.len() as f64, fake.len() as f64);
    Ok([0, 1].map(|i| PrdcScores {
        k: NEIGHBORS[i],
        precision: precise[i] as f64 / m,
        recall: reals.iter().filter(|real| real.recalled[i]).count() as f64 / n,
        density: balls[i] as f64 / (NEIGHBORS[i] as f64 * m),
        coverage: reals.iter().zip(&real_radii).filter(|(real, r)| real.nearest < r[i]).count() as f64 / n,
    }))
}

/// Counts over some of the fakes; arrays have an element for each k.
struct BallCounts {
    /// Fakes in the ball of some real sample.
    precise: [u64; 2],
    /// Pairs of a fake and a real sample whose ball it is in.
    balls: [u64; 2],
    /// For each real sample.
    reals: Vec<RealSample>,
}

impl BallCounts {
    fn new(n: usize) -> BallCounts {
        let real = RealSample { nearest: f64::INFINITY, recalled: [false; 2] };
        BallCounts { precise: [0; 2], balls: [0; 2], reals: vec![real; n] }
    }

    fn merge(mut self, other: BallCounts) -> BallCounts {
        for k in 0..2 {
            self.precise[k] += other.precise[k];
            self.balls[k] += other.balls[k];
        }
        for (all, one) in self.reals.iter_mut().zip(other.reals) {
            all.nearest = all.nearest.min(one.nearest);
            (0..2).for_each(|k| all.recalled[k] |= one.recalled[k]);
        }
        self
    }
}

/// A real sample among the fakes.
#[derive(Clone, Copy)]
struct RealSample {
    /// The squared distance to the nearest fake.
    nearest: f64,
    /// Whether it is in the ball of some fake, for each k.
    recalled: [bool; 2],
}

/// Features `[n, dims]` and their squared lengths.
struct Points<'a> {
    features: &'a [f32],
    dims: usize,
    squares: Vec<f64>,
}

impl Points<'_> {
    fn new(features: &[f32], dims: usize) -> Points<'_> {
        let square = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum();
        Points { features, dims, squares: features.par_chunks_exact(dims).map(square).collect() }
    }

    fn len(&self) -> usize {
        self.squares.len()
    }

    /// The samples of block `i`.
    fn block(&self, i: usize) -> std::ops::Range<usize> {
        i * BLOCK..self.len().min((i + 1) * BLOCK)
    }

    /// Calls `f` with a sample of block `i`, a sample of `others` and their squared distance, for all pairs.
    fn each_distance(&self, i: usize, others: &Points, mut f: impl FnMut(usize, usize, f64)) {
        let columns = |points: &Points, block: &std::ops::Range<usize>| {
            columns(points.features, points.dims, block.len(), |i| block.start + i)
        };
        let block = self.block(i);
        let block_columns = columns(self, &block);
        for j in 0..others.len().div_ceil(BLOCK) {
            let other = others.block(j);
            let products = inner_products(block_columns.as_ref(), columns(others, &other).as_ref(), 1.0);
            for (column, b) in other.enumerate() {
                for (product, a) in products.col_as_slice(column).iter().zip(block.clone()) {
                    f(a, b, (self.squares[a] + others.squares[b] - 2.0 * product).max(0.0));
                }
            }
        }
    }
}

/// The squared distance of each sample to its k-th nearest neighbor, itself excluded, for each k.
fn radii(points: &Points) -> Vec<[f64; 2]> {
    let of_block = |i: usize| {
        let block = points.block(i);
        // The nearest so far, rising.
        let mut nearest = vec![[f64::INFINITY; MAX_NEIGHBORS]; block.len()];
        points.each_distance(i, points, |a, b, distance| {
            let nearest = &mut nearest[a - block.start];
            if a != b && distance < nearest[MAX_NEIGHBORS - 1] {
                let place = nearest.partition_point(|&d| d <= distance);
                nearest[place..].rotate_right(1);
                nearest[place] = distance;
            }
        });
        nearest.into_iter().map(|nearest| NEIGHBORS.map(|k| nearest[k - 1])).collect::<Vec<_>>()
    };
    let blocks: Vec<_> = (0..points.len().div_ceil(BLOCK)).into_par_iter().map(of_block).collect();
    blocks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::tests::{golden, hashed_samples};

    #[test]
    fn the_numbers_are_prdcs() {
        let text = std::fs::read(golden("kid_prdc.json")).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let (n, m, d) = (size("n1"), size("n2"), size("d"));
            let [real, fake] = hashed_samples(n, m, d);
            for ours in prdc(&real, &fake, d).unwrap() {
                let theirs = |key: &str| case[format!("prdc_{}", ours.k)][key].as_f64().unwrap();
                for (key, value) in ours.named() {
                    let theirs = theirs(key);
                    assert!(
                        (value - theirs).abs() < 1e-12,
                        "{n} {m} {d} k {}: {key} {value} {theirs}",
                        ours.k
                    );
                }
            }
        }
    }

    /// More samples than a block, against the definition written out.
    #[test]
    fn blocks_change_nothing() {
        let (n, m, d) = (BLOCK + 90, BLOCK + 7, 3);
        let [real, fake] = hashed_samples(n, m, d);
        let distance = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
        };
        let radius = |x: &[f32], i: usize, k: usize| {
            let row = |i: usize| &x[i * d..][..d];
            let mut all: Vec<f64> =
                (0..x.len() / d).filter(|&j| j != i).map(|j| distance(row(i), row(j))).collect();
            all.sort_by(f64::total_cmp);
            all[k - 1]
        };
        let radii: Vec<f64> = (0..n).map(|i| radius(&real, i, 5)).collect();
        let inside = |f: usize, r: usize| distance(&fake[f * d..][..d], &real[r * d..][..d]) < radii[r];
        let ours = prdc(&real, &fake, d).unwrap()[1];
        let precise = (0..m).filter(|&f| (0..n).any(|r| inside(f, r))).count();
        let covered = (0..n).filter(|&r| (0..m).any(|f| inside(f, r))).count();
        assert_eq!((ours.precision, ours.coverage), (precise as f64 / m as f64, covered as f64 / n as f64));
    }

    #[test]
    fn equal_sets_have_all_of_each_and_far_ones_nothing() {
        let [real, _] = hashed_samples(200, 10, 6);
        for ours in prdc(&real, &real, 6).unwrap() {
            assert_eq!((ours.precision, ours.recall, ours.coverage), (1.0, 1.0, 1.0));
            // A ball has its own sample and k − 1 others in it, and the k-th at its edge.
            assert!((ours.density - 1.0).abs() < 1e-9, "{}", ours.density);
        }
        let far: Vec<f32> = real.iter().map(|v| v + 100.0).collect();
        for ours in prdc(&real, &far, 6).unwrap() {
            assert_eq!([ours.precision, ours.recall, ours.density, ours.coverage], [0.0; 4]);
        }
        assert!(prdc(&real[..5 * 6], &real, 6).is_err());
    }
}
