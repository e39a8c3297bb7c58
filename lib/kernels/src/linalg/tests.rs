use faer::linalg::solvers::Svd;
use faer::{Mat, MatRef};

use super::*;

/// Pseudorandom values in (−½, ½).
fn noise(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
    let mut x = seed * 2 + 1;
    Mat::from_fn(rows, columns, |_, _| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    })
}

/// F·Fᵀ, exactly symmetric; row and column i are scaled by `grade`ⁱ.
fn covariance(d: usize, rank: usize, grade: f64, seed: u64) -> Mat<f64> {
    let mut f = noise(d, rank, seed);
    f.row_iter_mut().enumerate().for_each(|(i, row)| row.iter_mut().for_each(|v| *v *= grade.powi(i as i32)));
    let a = &f * f.transpose();
    Mat::from_fn(d, d, |i, j| a[(i.max(j), i.min(j))])
}

fn trace(a: MatRef<f64>) -> f64 {
    (0..a.nrows()).map(|i| a[(i, i)]).sum()
}

/// Small sizes, and sizes around multiples of vectors and blocks.
const SIZES: [usize; 14] = [1, 2, 3, 5, 15, 16, 17, 31, 33, 64, 95, 97, 130, 200];

/// The reference: singular values of a shifted, positive definite matrix.
#[test]
fn eigenvalues_match_another_method() {
    for d in SIZES {
        let a = &noise(d, d, d as u64) + noise(d, d, d as u64).transpose();
        let shift = a.norm_l2();
        let shifted = Mat::from_fn(d, d, |i, j| a[(i, j)] + if i == j { shift } else { 0.0 });
        let want: Vec<f64> = shifted.singular_values().unwrap().iter().rev().map(|s| s - shift).collect();
        let mut lower = a.clone();
        for j in 0..d {
            lower.col_mut(j).subrows_mut(0, j).fill(f64::NAN);
        }
        let got = eigenvalues(lower.as_ref()).unwrap();
        let size = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert_eq!(got.len(), d);
        got.iter()
            .zip(&want)
            .for_each(|(g, w)| assert!((g - w).abs() < 1e-14 * d as f64 * size, "{d}: {g} {w}"));
    }
}

#[test]
fn eigenvalues_match_closed_forms() {
    assert_eq!(eigenvalues(Mat::zeros(0, 0).as_ref()).unwrap(), [0.0; 0]);
    assert_eq!(eigenvalues(Mat::zeros(20, 20).as_ref()).unwrap(), [0.0; 20]);
    let diagonal =
        eigenvalues(Mat::from_fn(20, 20, |i, j| if i == j { 3.0 - i as f64 } else { 0.0 }).as_ref()).unwrap();
    diagonal.iter().zip(-16..).for_each(|(g, w)| assert!((g - f64::from(w)).abs() < 1e-14, "{g} {w}"));
    // The second difference: 2 − 2 cos(kπ/(n+1)); also with entries whose squares overflow or underflow.
    for scale in [1.0, 1e200, 1e-200] {
        let n = 50;
        let difference = |i: usize, j: usize| [2.0, -1.0, 0.0][i.abs_diff(j).min(2)] * scale;
        for (k, got) in (1..).zip(eigenvalues(Mat::from_fn(n, n, difference).as_ref()).unwrap()) {
            let want = (2.0 - 2.0 * (f64::from(k) * std::f64::consts::PI / (n as f64 + 1.0)).cos()) * scale;
            // Relative to the largest, about 4.
            assert!((got - want).abs() < 4e-14 * scale, "{got} {want}");
        }
    }
    assert_eq!(eigenvalues(Mat::from_fn(20, 20, |_, _| f64::NAN).as_ref()), Err(NotConverged));
    assert_eq!(
        eigenvalues(Mat::from_fn(20, 20, |i, _| if i == 7 { f64::INFINITY } else { 1.0 }).as_ref()),
        Err(NotConverged)
    );
}

/// Eigenvalues from 1 down to 1e-27 keep ten digits each. The reference: squares of singular values.
#[test]
fn small_eigenvalues_of_a_graded_matrix_keep_their_digits() {
    let d = 40;
    let rough = noise(d, d, 3);
    let grade = |j: usize| 0.45f64.powi(j as i32);
    let f = Mat::from_fn(d, d, |i, j| (f64::from(u8::from(i == j)) + 0.1 * rough[(i, j)]) * grade(j));
    let want: Vec<f64> =
        Svd::new(f.as_ref()).unwrap().S().column_vector().iter().rev().map(|s| s * s).collect();
    assert!(want[0] < 1e-26 * want[d - 1]);
    let got = eigenvalues((f.transpose() * &f).as_ref()).unwrap();
    got.iter().zip(&want).for_each(|(g, w)| assert!((g - w).abs() < 1e-10 * w, "{g} {w}"));
}

#[test]
fn a_factor_gives_the_matrix_back() {
    for (d, rank, grade) in
        SIZES.map(|d| (d, d, 1.0)).into_iter().chain([(150, 40, 1.0), (150, 149, 0.98), (97, 1, 0.9)])
    {
        let a = covariance(d, rank, grade, 5);
        let factor = Factor::new(a.as_ref()).unwrap();
        assert_eq!(factor.rank(), rank);
        let mut f = Mat::zeros(d, rank);
        factor.order.iter().enumerate().for_each(|(i, &row)| f.row_mut(row).copy_from(factor.l.row(i)));
        let left = &f * f.transpose() - &a;
        assert!(left.norm_max() < 1e-14 * trace(a.as_ref()), "{d} {rank}: {}", left.norm_max());
        // The lower triangle of Fᵀ·B·F.
        let b = covariance(d, d, 1.0, 6);
        let (got, want) = (factor.congruent(b.as_ref()), f.transpose() * &b * &f);
        for j in 0..rank {
            for i in j..rank {
                assert!((got[(i, j)] - want[(i, j)]).abs() < 1e-12 * want.norm_max(), "{d} {rank}: {i} {j}");
            }
        }
    }
}

#[test]
fn a_factor_omits_noise() {
    assert_eq!(Factor::new(Mat::zeros(10, 10).as_ref()).unwrap().rank(), 0);
    assert_eq!(Factor::new(Mat::zeros(0, 0).as_ref()).unwrap().rank(), 0);
    // Rank 30 in f32: the remainder consists of rounding errors, half of them negative.
    let a = covariance(120, 30, 1.0, 7);
    let rounded = Mat::from_fn(120, 120, |i, j| f64::from(a[(i, j)] as f32));
    let rank = Factor::new(rounded.as_ref()).unwrap().rank();
    assert!((30..=34).contains(&rank), "{rank}");
}

#[test]
fn a_gram_matrix_is_summed_below_the_diagonal() {
    for (d, n) in [(1, 1), (95, 7), (200, 33)] {
        let x = noise(d, n, 8);
        let mut acc = Mat::from_fn(d, d, |i, j| (i + j) as f64);
        add_gram(acc.as_mut(), x.as_ref());
        let want = &x * x.transpose();
        for j in 0..d {
            for i in j..d {
                assert!((acc[(i, j)] - (i + j) as f64 - want[(i, j)]).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn the_threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let factor = Factor::new(covariance(300, 250, 1.0, 9).as_ref()).unwrap();
            eigenvalues(factor.congruent(covariance(300, 300, 1.0, 10).as_ref()).as_ref()).unwrap()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}
