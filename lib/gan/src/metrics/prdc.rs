//! Precision, recall, density and coverage of two sets of features by their nearest neighbors.
//!
//! Precision and recall: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models";
//! density and coverage: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models". As the latter's
//! package `prdc` computes them: a sample's ball reaches to its k-th nearest neighbor on its own side, its edge not included.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde::Serialize;

use crate::{Error, Result};

/// The usual numbers of neighbors.
pub const NEIGHBORS: [usize; 2] = [3, 5];
/// The larger of them: each side needs more samples than that.
pub const MOST: usize = NEIGHBORS[1];
/// Samples of either side whose distances are computed in one product.
const BLOCK: usize = 512;

/// The four numbers for one k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prdc {
    /// The number of neighbors.
    pub k: usize,
    /// The share of fakes within some real one's ball.
    pub precision: f64,
    /// The share of real ones within some fake's ball.
    pub recall: f64,
    /// The mean number of real ones' balls that a fake is in, divided by k; may be above 1.
    pub density: f64,
    /// The share of real ones whose ball has a fake in it.
    pub coverage: f64,
}

/// The numbers of `fake` `[m, dims]` against `real` `[n, dims]` for each k of [`NEIGHBORS`]. Time grows with (n + m)², memory
/// with n + m.
///
/// # Errors
/// No more samples on a side than neighbors.
pub fn prdc(real: &[f32], fake: &[f32], dims: usize) -> Result<[Prdc; 2]> {
    let (real, fake) = (Samples::new(real, dims), Samples::new(fake, dims));
    if let Some(few) = [real.len(), fake.len()].into_iter().find(|&n| n <= MOST) {
        return Err(Error::Invalid(format!("{few} images have no {MOST} neighbors each")));
    }
    let (real_radii, fake_radii) = (radii(&real), radii(&fake));
    let of_block = |i: usize| {
        let fakes = fake.block(i);
        let mut within = vec![[0u64; 2]; fakes.len()];
        let mut tally = Tally::nothing(real.len());
        fake.each_distance(i, &real, |f, r, distance| {
            for k in 0..2 {
                within[f - fakes.start][k] += u64::from(distance < real_radii[r][k]);
                tally.found[r].inside[k] |= distance < fake_radii[f][k];
            }
            tally.found[r].nearest = tally.found[r].nearest.min(distance);
        });
        for k in 0..2 {
            tally.precise[k] = within.iter().filter(|w| w[k] > 0).count() as u64;
            tally.within[k] = within.iter().map(|w| w[k]).sum();
        }
        tally
    };
    let blocks = (0..fake.len().div_ceil(BLOCK)).into_par_iter().map(of_block);
    // Whole numbers, minima and whether: in any order they come to the same.
    let Tally { precise, within, found } = blocks.reduce(|| Tally::nothing(real.len()), Tally::with);
    let (n, m) = (real.len() as f64, fake.len() as f64);
    Ok([0, 1].map(|i| Prdc {
        k: NEIGHBORS[i],
        precision: precise[i] as f64 / m,
        recall: found.iter().filter(|f| f.inside[i]).count() as f64 / n,
        density: within[i] as f64 / (NEIGHBORS[i] as f64 * m),
        coverage: found.iter().zip(&real_radii).filter(|(f, r)| f.nearest < r[i]).count() as f64 / n,
    }))
}

/// What some of the fakes come to, for each k where there are two.
struct Tally {
    /// Fakes within some real one's ball.
    precise: [u64; 2],
    /// Pairs of a fake and a real one's ball that it is in.
    within: [u64; 2],
    /// For each real sample.
    found: Vec<Found>,
}

impl Tally {
    fn nothing(n: usize) -> Tally {
        let none = Found { nearest: f64::INFINITY, inside: [false; 2] };
        Tally { precise: [0; 2], within: [0; 2], found: vec![none; n] }
    }

    fn with(mut self, other: Tally) -> Tally {
        for k in 0..2 {
            self.precise[k] += other.precise[k];
            self.within[k] += other.within[k];
        }
        for (all, one) in self.found.iter_mut().zip(other.found) {
            all.nearest = all.nearest.min(one.nearest);
            (0..2).for_each(|k| all.inside[k] |= one.inside[k]);
        }
        self
    }
}

/// What a real sample sees of the fakes.
#[derive(Clone, Copy)]
struct Found {
    /// The squared distance to the nearest.
    nearest: f64,
    /// Whether it is within some fake's ball, for each k.
    inside: [bool; 2],
}

/// Samples `[n, dims]` and their squared lengths.
struct Samples<'a> {
    values: &'a [f32],
    dims: usize,
    squares: Vec<f64>,
}

impl Samples<'_> {
    fn new(values: &[f32], dims: usize) -> Samples<'_> {
        let square = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum();
        Samples { values, dims, squares: values.par_chunks_exact(dims).map(square).collect() }
    }

    fn len(&self) -> usize {
        self.squares.len()
    }

    /// The samples of block `i`.
    fn block(&self, i: usize) -> std::ops::Range<usize> {
        i * BLOCK..self.len().min((i + 1) * BLOCK)
    }

    /// The samples of block `i` as columns, in f64: where two samples nearly agree, f32's rounding would be their distance.
    fn columns(&self, i: usize) -> Mat<f64> {
        let block = self.block(i);
        Mat::from_fn(self.dims, block.len(), |row, column| {
            f64::from(self.values[(block.start + column) * self.dims + row])
        })
    }

    /// Calls `f` with (sample of block `i`, sample of `others`, their squared distance).
    fn each_distance(&self, i: usize, others: &Samples, mut f: impl FnMut(usize, usize, f64)) {
        let (block, columns) = (self.block(i), self.columns(i));
        for j in 0..others.len().div_ceil(BLOCK) {
            let other = others.block(j);
            let products = products(columns.as_ref(), others.columns(j).as_ref());
            for (column, b) in other.enumerate() {
                for (product, a) in products.col_as_slice(column).iter().zip(block.clone()) {
                    f(a, b, (self.squares[a] + others.squares[b] - 2.0 * product).max(0.0));
                }
            }
        }
    }
}

fn products(a: MatRef<f64>, b: MatRef<f64>) -> Mat<f64> {
    let mut products = Mat::zeros(a.ncols(), b.ncols());
    matmul(products.as_mut(), Accum::Replace, a.transpose(), b, 1.0, Par::Seq);
    products
}

/// The squared distance of each sample to its k-th nearest neighbor, itself not counted, for each k.
fn radii(samples: &Samples) -> Vec<[f64; 2]> {
    let of_block = |i: usize| {
        let block = samples.block(i);
        // The nearest so far, rising.
        let mut nearest = vec![vec![f64::INFINITY; MOST]; block.len()];
        samples.each_distance(i, samples, |a, b, distance| {
            let nearest = &mut nearest[a - block.start];
            if a != b && distance < nearest[MOST - 1] {
                let place = nearest.partition_point(|&d| d <= distance);
                nearest[place..].rotate_right(1);
                nearest[place] = distance;
            }
        });
        nearest.into_iter().map(|nearest| NEIGHBORS.map(|k| nearest[k - 1])).collect::<Vec<_>>()
    };
    let blocks: Vec<_> = (0..samples.len().div_ceil(BLOCK)).into_par_iter().map(of_block).collect();
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
                for (key, value) in [
                    ("precision", ours.precision),
                    ("recall", ours.recall),
                    ("density", ours.density),
                    ("coverage", ours.coverage),
                ] {
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
