//! `fid` on statistics that other programs made.

use std::io::{Cursor, Write};

use crate::common::Sandbox;
use crate::fid::sandbox;

/// An `.npz` as numpy's `savez` makes it, of arrays of f64: name, shape, values.
fn npz(arrays: &[(&str, &str, &[f64])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, values) in arrays {
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(header.as_bytes()).unwrap();
        values.iter().for_each(|value| zip.write_all(&value.to_le_bytes()).unwrap());
    }
    zip.finish().unwrap().into_inner()
}

/// Statistics of `d` independent features, in arrays of these names.
fn independent(names: [&str; 2], d: usize, mean: f64, variance: impl Fn(usize) -> f64) -> Vec<u8> {
    let mut sigma = vec![0.0; d * d];
    (0..d).for_each(|i| sigma[i * d + i] = variance(i));
    let shapes = [format!("({d},)"), format!("({d}, {d})")];
    npz(&[(names[0], &shapes[0], &vec![mean; d]), (names[1], &shapes[1], &sigma)])
}

/// The distance of independent features is Σ (μ1−μ2)² + (σ1−σ2)².
#[test]
fn statistics_of_other_programs_are_compared_and_called_what_they_are() {
    let sandbox = Sandbox::new();
    for (d, label) in [
        (1, "FD-1 "),
        (3, "FD-3 "),
        (64, "FD-64 "),
        (512, "FD-512 "),
        (768, "FD-768 "),
        (1000, "FD-1000 "),
        (2048, ""),
    ] {
        sandbox.write("a.npz", independent(["mu", "sigma"], d, 0.25, |i| (i % 4) as f64));
        // Under other names, and no `.npz` by its own.
        sandbox.write("b", independent(["mean", "cov"], d, -0.25, |i| if i % 4 == 3 { 12.0 } else { 4.0 }));
        let deviation = |i: usize| ((i % 4) as f64).sqrt() - if i % 4 == 3 { 12f64.sqrt() } else { 2.0 };
        let wanted = d as f64 * 0.25 + (0..d).map(|i| deviation(i).powi(2)).sum::<f64>();
        let done = sandbox.run("fid a.npz b");
        let number: f64 = done.line().strip_prefix(label).expect(label).parse().unwrap();
        assert!((number / wanted - 1.0).abs() < 1e-6, "{d}: {number} {wanted}");
        let warned = format!(
            "fid: warning: a.npz and b: the network, weights and resizing of the {d} features are unknown"
        );
        assert_eq!(done.stderr.matches(&warned).count(), 1, "{}", done.stderr);
        assert_eq!(done.stderr.contains("only if they are pytorch-fid's"), d == 2048, "{}", done.stderr);
        let json = sandbox.run("fid a.npz b --json -q").json();
        let key = if d == 2048 { "fid" } else { "fd" };
        assert!((json[key].as_f64().unwrap() / wanted - 1.0).abs() < 1e-12, "{json}");
        assert_eq!((&json["proved"], &json["dims"]), (&false.into(), &d.into()));
        assert_eq!(json["features"], if d == 2048 { "inception".into() } else { serde_json::Value::Null });
        assert!(sandbox.run(&format!("fid a.npz b -q --dims {d}")).line().starts_with(label));
        let refused = sandbox.run(&format!("fid a.npz b --dims {}", d + 1));
        assert!(
            refused.failure(1).starts_with(&format!("--dims: {}, but a.npz has {d} features", d + 1)),
            "{}",
            refused.stderr
        );
    }
}

/// Only statistics of gantools are taken as SqueezeNet's.
#[test]
fn statistics_of_another_network_are_not_taken_for_squeezenets() {
    let sandbox = sandbox();
    sandbox.write("clip.npz", independent(["mu", "sigma"], 512, 0.0, |_| 1.0));
    sandbox.write("vit.npz", independent(["mu", "sigma"], 1024, 0.0, |_| 1.0));
    sandbox.run("fid --save-stats real ours.npz --features squeezenet -q").line();
    for (line, wanted) in [
        (
            "clip.npz real",
            "clip.npz: has 512 features of an unknown network of another program; only gantools saves \
             SqueezeNet's",
        ),
        ("real clip.npz --force", "clip.npz: has 512 features of an unknown network of another program"),
        (
            "real clip.npz --features squeezenet",
            "clip.npz: has 512 features of an unknown network of another",
        ),
        (
            "ours.npz clip.npz",
            "of an unknown network of another program, but ours.npz has SqueezeNet's (--force compares them)",
        ),
        (
            "vit.npz real",
            "vit.npz: has 1024 features of an unknown network; Inception has 64, 192, 768, 2048",
        ),
        ("vit.npz clip.npz", "clip.npz: has 512 features of an unknown network, but vit.npz has 1024"),
    ] {
        let done = sandbox.run(&format!("fid {line}"));
        assert!(done.failure(1).contains(wanted), "{line}: {}", done.stderr);
    }
    let forced = sandbox.run("fid ours.npz clip.npz --force");
    assert!(
        forced.line().starts_with("FD-512 ")
            && forced.stderr.contains(
                "warning: clip.npz: the network, weights and resizing of the 512 features are unknown"
            )
    );
    assert_eq!(sandbox.run("fid ours.npz clip.npz --force -q --json").json()["proved"], false);
    let own = sandbox.run("fid ours.npz real");
    assert!(own.line().starts_with("FD-SqueezeNet ") && !own.stderr.contains("unknown"), "{}", own.stderr);
    sandbox.write("s.pkl", b"\x80\x04}(mu sigma");
    let pickle = sandbox.run("fid s.pkl real");
    assert!(
        pickle.failure(1).starts_with("s.pkl: statistics in a pickle, which is not read"),
        "{}",
        pickle.stderr
    );
}
