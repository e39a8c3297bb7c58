use super::*;
use crate::metrics::features::tests::hashed::uniform;
use crate::metrics::features::tests::{golden, golden_array};

fn gaussian(d: usize, values: &[f64]) -> Gaussian {
    let mut covariance = RunningCovariance::new(d);
    covariance.push(values);
    covariance.gaussian().unwrap()
}

fn close(got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "{got}, not {want}");
}

/// Two samples [n, d] drawn by the recipe of the golden vectors.
fn samples(n: usize, d: usize) -> [Vec<f64>; 2] {
    let spread: Vec<f64> = (0..d).map(|j| 0.5 + uniform("s", j as u64)).collect();
    let offset: Vec<f64> = (0..d).map(|j| 0.3 * uniform("o", j as u64)).collect();
    let one = |i: usize| uniform("x1", i as u64);
    let two = |i: usize| uniform("x2", i as u64) * spread[i % d] + offset[i % d];
    [(0..n * d).map(one).collect(), (0..n * d).map(two).collect()]
}

#[test]
fn distances_are_those_of_other_programs() {
    let text = std::fs::read(golden("frechet_vectors.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(vectors.as_array().unwrap().len(), 3);
    for vector in vectors.as_array().unwrap() {
        let size = |key: &str| vector[key].as_u64().unwrap() as usize;
        let (n, d) = (size("n"), size("d"));
        let [x1, x2] = samples(n, d);
        for (x, key) in [(&x1, "x1_first3"), (&x2, "x2_first3")] {
            let first: Vec<f64> =
                vector[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            x.iter().zip(first).for_each(|(g, w)| close(*g, w, 1e-15));
        }
        let (a, b) = (gaussian(d, &x1), gaussian(d, &x2));
        close(a.trace(), vector["tr1"].as_f64().unwrap(), 1e-12);
        close(b.trace(), vector["tr2"].as_f64().unwrap(), 1e-12);
        let want = vector["nuclear norm of C1 C2^T (exact for few samples)"].as_f64().unwrap();
        close(distance(&a, &b).unwrap(), want, 1e-10);
        close(want, vector["pytorch_fid(scipy sqrtm)"].as_f64().unwrap(), 1e-9);
    }
}

/// 120 and 100 samples of 2048 features: the roots of a product of such covariances are mostly noise. The
/// wanted value is computed from numpy's singular values of the centered samples themselves.
#[test]
fn few_samples_are_exact() {
    let input = |name: &str| gaussian(2048, golden_array("features_2048.npz", name).as_slice().unwrap());
    close(distance(&input("a"), &input("b")).unwrap(), 92.86259723924928, 1e-9);
}

/// One covariance of full rank, the other not.
#[test]
fn few_samples_against_many_are_exact() {
    let (d, [x1, x2]) = (32, samples(300, 32));
    let (many, few) = (gaussian(d, &x1), gaussian(d, &x2[..5 * d]));
    // tr √(Σ1Σ2) by the singular values of the centered few samples times a factor of the many.
    let centered = faer::Mat::from_fn(d, 5, |i, j| (x2[j * d + i] - few.mu[i]) / 2.0);
    let factor = many.covariance().llt(faer::Side::Lower).unwrap();
    let root: f64 = (factor.L().transpose() * centered).singular_values().unwrap().iter().sum();
    let means: f64 = many.mu.iter().zip(&few.mu).map(|(a, b)| (a - b) * (a - b)).sum();
    let want = means + many.trace() + few.trace() - 2.0 * root;
    close(distance(&many, &few).unwrap(), want, 1e-10);
    close(distance(&few, &many).unwrap(), want, 1e-10);
}

#[test]
fn equal_covariances_leave_the_means() {
    let [x, _] = samples(400, 16);
    let a = gaussian(16, &x);
    let mut b = a.clone();
    b.mu.iter_mut().for_each(|m| *m += 0.5);
    close(distance(&a, &b).unwrap(), 0.25 * 16.0, 1e-12);
    // Not by the shortcut: the same covariance but for the last bit.
    b.sigma[0] = b.sigma[0].next_up();
    close(distance(&a, &b).unwrap(), 0.25 * 16.0, 1e-12);
}

#[test]
fn a_set_is_at_no_distance_from_itself() {
    let [x, _] = samples(50, 64);
    let a = gaussian(64, &x);
    assert_eq!(distance(&a, &a).unwrap(), 0.0);
}

#[test]
fn diagonal_covariances_have_a_closed_form() {
    let diagonal = |values: [f64; 3]| {
        let sigma = (0..9).map(|i| if i % 4 == 0 { values[i / 4] } else { 0.0 }).collect();
        Gaussian { mu: values.to_vec(), sigma }
    };
    // Σ (√a − √b)² + Σ (a − b)²; once with a feature that never varies.
    for (a, b) in [([1.0, 4.0, 9.0], [4.0, 4.0, 1.0]), ([1.0, 0.0, 9.0], [4.0, 0.0, 1.0])] {
        let want: f64 = (a.iter().zip(&b))
            .map(|(a, b): (&f64, &f64)| (a.sqrt() - b.sqrt()).powi(2) + (a - b).powi(2))
            .sum();
        close(distance(&diagonal(a), &diagonal(b)).unwrap(), want, 1e-12);
    }
}

#[test]
fn the_threads_change_no_bit() {
    let [x1, x2] = samples(700, 150);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (full, few) = (gaussian(150, &x1), gaussian(150, &x2[..90 * 150]));
            let other = gaussian(150, &x2);
            [distance(&full, &few).unwrap().to_bits(), distance(&full, &other).unwrap().to_bits()]
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn parts_merge_into_all_samples() {
    let (d, [x, _]) = (24, samples(900, 24));
    let all = gaussian(d, &x);
    let parts = [0..10, 10..600, 600..900].map(|part| {
        let n = part.len() as u64;
        (gaussian(d, &x[part.start * d..part.end * d]), n)
    });
    let merged = Gaussian::merge(&parts.each_ref().map(|(part, n)| (part, *n)));
    merged.mu.iter().zip(&all.mu).for_each(|(g, w)| close(*g, *w, 1e-13));
    let scale = all.trace() / d as f64;
    merged.sigma.iter().zip(&all.sigma).for_each(|(g, w)| assert!((g - w).abs() < 1e-13 * scale));
}

/// A variance of 1e-8 beside a mean of 1e4 would be lost without a shift.
#[test]
fn a_large_mean_costs_no_digits() {
    let values: Vec<f64> = (0..1000).map(|i| 1e4 + 1e-4 * f64::from(i % 2)).collect();
    let exact: Vec<f64> = values.iter().map(|v| v - 1e4).collect();
    let variance = gaussian(1, &exact).sigma[0];
    close(gaussian(1, &values).sigma[0], variance, 1e-6);
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let [x, _] = samples(10, 4);
    let a = gaussian(4, &x);
    let mut one = RunningCovariance::new(4);
    one.push(&x[..4]);
    assert_eq!((one.n(), RunningCovariance::new(3).n()), (1, 0));
    assert!(one.gaussian().unwrap_err().to_string().contains("at least two"));
    assert!(distance(&a, &gaussian(2, &x)).unwrap_err().to_string().contains("4 features against 2"));
    let mut broken = a.clone();
    broken.mu[1] = f64::NAN;
    assert!(distance(&a, &broken).unwrap_err().to_string().contains("not finite"));
}
