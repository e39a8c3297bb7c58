use std::fs;
use std::io::Write;
use std::path::PathBuf;

use ndarray::{Array1, Array2, ShapeBuilder, array};

use super::*;
use crate::metrics::Partition;
use crate::precision::Precision;

/// Metadata of ten images.
pub(crate) fn stats_meta(features: Features, dims: usize) -> StatsMeta {
    StatsMeta {
        features,
        dims,
        n: 10,
        weights: "00ff".to_string(),
        precision: Precision::F32,
        content: "listing 01".to_string(),
        dataset: None,
        source: "celeba".to_string(),
        tool: "test".to_string(),
    }
}

fn stats(d: usize) -> Stats {
    let sigma = (0..d * d).map(|i| if i / d == i % d { 1.5 } else { 0.1 }).collect();
    let mu = (0..d).map(|i| i as f64 / 3.0).collect();
    Stats { gaussian: Gaussian { mu, sigma }, meta: Some(stats_meta(Features::Inception, d)) }
}

/// Writes arrays as `fill` says and reads them as statistics.
fn read(fill: impl FnOnce(&mut NpzWriter<fs::File>)) -> Result<Stats, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    let mut npz = NpzWriter::new(fs::File::create(&path).unwrap());
    fill(&mut npz);
    npz.finish().unwrap();
    Stats::read(&path).map_err(|e| e.to_string())
}

fn fails(what: &str, fill: impl FnOnce(&mut NpzWriter<fs::File>)) {
    let error = read(fill).unwrap_err();
    assert!(error.contains("s.npz: ") && error.contains(what) && !error.contains('\n'), "{error}");
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("a.npz"), folder.path().join("b.npz"));
    let stats = stats(64);
    stats.write(&path, SystemTime::now()).unwrap();
    stats.write(&again, SystemTime::now()).unwrap();
    assert_eq!(Stats::read(&path).unwrap(), stats);
    assert_eq!(fs::read(&path).unwrap(), fs::read(again).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing but the files themselves is left");
}

#[test]
fn statistics_are_up_to_date_until_images_or_features_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    let (listed, stats) = (SystemTime::now(), stats(4));
    let wanted = stats.meta.clone().unwrap();
    assert!(!is_up_to_date(&path, &wanted, None));
    stats.write(&path, listed).unwrap();
    let copy = StatsMeta { source: "a copy".to_string(), tool: "later".to_string(), ..wanted.clone() };
    assert!(is_up_to_date(&path, &copy, Some(listed)));
    let later = listed + std::time::Duration::from_secs(1);
    assert!(!is_up_to_date(&path, &wanted, Some(later)));
    for other in [
        StatsMeta { content: "listing 02".to_string(), ..wanted.clone() },
        StatsMeta { precision: Precision::Bf16, ..wanted.clone() },
        StatsMeta { weights: "11".to_string(), ..wanted.clone() },
        StatsMeta { features: Features::Squeezenet, ..wanted.clone() },
    ] {
        assert!(!is_up_to_date(&path, &other, None));
    }
    fs::write(&path, b"something else").unwrap();
    assert!(!is_up_to_date(&path, &wanted, None));
}

/// The keys of `meta` are those of all earlier versions.
#[test]
fn the_keys_of_meta_are_kept() {
    let json = r#"{"features":"inception","dims":2,"n":10,"weights":"00ff","precision":"f32",
        "content":"listing 01","look":{"sizes":[[1,2],[3,4]],"jpeg":true,"prepared":null},
        "source":"celeba","tool":"test"}"#;
    let meta: StatsMeta = serde_json::from_str(json).unwrap();
    assert_eq!(meta.dataset.as_ref().unwrap().sizes, Some([[1, 2], [3, 4]]));
    assert_eq!(StatsMeta { dataset: None, ..meta.clone() }, stats(2).meta.unwrap());
    assert!(serde_json::to_string(&meta).unwrap().contains(r#""content":"listing 01","look":{"sizes""#));
    let early =
        r#"{"features":"squeezenet","dims":2,"n":10,"weights":"","content":"","source":"","tool":""}"#;
    let early: StatsMeta = serde_json::from_str(early).unwrap();
    assert_eq!((early.precision, early.dataset), (Precision::F32, None));
}

#[test]
fn numpys_files_are_read() {
    let golden = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/npz").join(name);
    let want = Stats::read(&golden("compressed.npz")).unwrap();
    assert_eq!(want.gaussian.mu, [0.5, -0.25, 4.0]);
    assert_eq!(want.gaussian.sigma, [2.0, 0.5, 0.25, 0.5, 3.0, 0.125, 0.25, 0.125, 1.0]);
    assert_eq!(want.meta, None);
    for name in ["stored.npz", "fortran.npz", "single.npz", "big_endian.npz"] {
        assert_eq!(Stats::read(&golden(name)).unwrap(), want, "{name}");
    }
}

/// Adds an array by its parts: `descr` as numpy writes it, the shape as Python would, the bytes.
fn raw(npz: &mut zip::ZipWriter<fs::File>, name: &str, descr: &str, shape: &str, bytes: &[u8]) {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    npz.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
    npz.write_all(b"\x93NUMPY\x01\x00").unwrap();
    npz.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    npz.write_all(header.as_bytes()).unwrap();
    npz.write_all(bytes).unwrap();
}

fn read_raw(fill: impl FnOnce(&mut zip::ZipWriter<fs::File>)) -> Result<Stats, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    let mut npz = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    fill(&mut npz);
    npz.finish().unwrap();
    Stats::read(&path).map_err(|e| e.to_string())
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn half_precision_is_read() {
    let halves = |values: &[f32], big: bool| -> Vec<u8> {
        let words = values.iter().map(|&v| half::f16::from_f32(v).to_bits());
        words.flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }).collect()
    };
    for (descr, big) in [("'<f2'", false), ("'>f2'", true)] {
        let stats = read_raw(|npz| {
            raw(npz, "mu", descr, "(2,)", &halves(&[-0.1, 1000.5], big));
            raw(npz, "sigma", descr, "(2, 2)", &halves(&[2.0, 0.25, 0.25, 1e-4], big));
        });
        // 0.1 in f16 is 1638/16384, 1e-4 is 1678/2^24.
        let stats = stats.unwrap().gaussian;
        assert_eq!(stats.mu, [-1638.0 / 16384.0, 1000.5]);
        assert_eq!(stats.sigma, [2.0, 0.25, 0.25, 1678.0 / f64::from(1 << 24)]);
    }
    let cut = read_raw(|npz| {
        raw(npz, "mu", "'<f2'", "(2,)", &[0; 3]);
        raw(npz, "sigma", "'<f2'", "(2, 2)", &[0; 8]);
    });
    assert!(cut.unwrap_err().contains("array `mu`"));
}

/// numpy's covariance of a single feature is a number without axes.
#[test]
fn one_feature_is_read_whatever_its_axes() {
    for (mu, sigma) in [("()", "()"), ("(1,)", "(1, 1)"), ("(1, 1)", "(1,)")] {
        let stats = read_raw(|npz| {
            raw(npz, "mu", "'<f8'", mu, &f64s(&[3.0]));
            raw(npz, "sigma", "'<f8'", sigma, &f64s(&[2.0]));
        });
        assert_eq!(stats.unwrap().gaussian, Gaussian { mu: vec![3.0], sigma: vec![2.0] });
    }
}

#[test]
fn the_names_of_other_programs_are_read_where_they_are_one_pair() {
    let read = |names: &[&str]| {
        read_raw(|npz| {
            for (i, name) in names.iter().enumerate() {
                let mean = name.contains("mu") || name.contains("mean");
                let values = if mean { vec![i as f64; 2] } else { vec![1.0, 0.0, 0.0, i as f64] };
                raw(npz, name, "'<f8'", if mean { "(2,)" } else { "(2, 2)" }, &f64s(&values));
            }
        })
    };
    for names in [
        &["arr", "mu", "sigma", "mu_s", "sigma_s"][..],
        &["sigma_clean", "mu_clean", "sigma"],
        &["n", "mean", "cov"],
        &["mu", "cov"],
        &["sigma1", "mean", "covariance", "mean2"],
    ] {
        let gaussian = read(names).unwrap().gaussian;
        let read = [gaussian.mu[0] as usize, gaussian.sigma[3] as usize].map(|i| names[i]);
        let wanted = match names {
            ["arr", ..] => ["mu", "sigma"],
            ["sigma_clean", ..] => ["mu_clean", "sigma_clean"],
            ["n", ..] => ["mean", "cov"],
            ["mu", ..] => ["mu", "cov"],
            _ => ["mean", "covariance"],
        };
        assert_eq!(read, wanted);
    }
    for (names, what) in [
        (&["mu_a", "sigma_a", "mu_b", "sigma_b"][..], "`mu_a` and `sigma_a`; `mu_b` and `sigma_b`"),
        (&["mean", "cov", "sigma"], "holds several statistics"),
        (&["mu", "mean", "cov"], "holds several statistics"),
        (&["mu_a", "sigma_b"], "no array `mu`"),
        (&["emu", "esigma"], "no array `mu`"),
        (&["mu", "sigmas"], "no array `sigma` (it holds mu, sigmas)"),
    ] {
        let error = read(names).unwrap_err();
        assert!(error.contains(what), "{names:?}: {error}");
    }
}

#[test]
fn a_meta_of_other_programs_is_ignored() {
    let (mu, sigma) = (f64s(&[0.0, 1.0]), f64s(&[1.0, 0.0, 0.0, 1.0]));
    let ours = serde_json::to_vec(&stats(2).meta).unwrap();
    let with = |descr: &str, shape: &str, bytes: &[u8]| {
        read_raw(|npz| {
            raw(npz, "mu", "'<f8'", "(2,)", &mu);
            raw(npz, "sigma", "'<f8'", "(2, 2)", &sigma);
            raw(npz, "meta", descr, shape, bytes);
        })
    };
    assert_eq!(with("'|u1'", &format!("({},)", ours.len()), &ours).unwrap().meta, stats(2).meta);
    let long = vec![0; 2 << 20];
    for (descr, shape, bytes) in [
        ("'<U5'", "()", &[0; 20][..]),
        ("'|O'", "()", b"\x80\x04N."),
        ("'|S4'", "(1,)", b"fid!"),
        ("'<f8'", "(2,)", &[0; 16]),
        ("[('a', '<f4')]", "(1,)", &[0; 4]),
        ("'|u1'", "(2, 2)", b"{\"a\""),
        ("'|u1'", "(2,)", b"{}"),
        ("'|u1'", "(2097152,)", &long),
        ("'|u1'", "()", b"{"),
    ] {
        assert_eq!(with(descr, shape, bytes).unwrap().meta, None, "{descr} {shape}");
    }
}

#[test]
fn files_of_other_programs_are_recognized_by_their_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.pkl");
    let of = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        StatsKind::of(&path).unwrap()
    };
    let rejected = |bytes: &[u8]| match of(bytes) {
        StatsKind::Other(what) => what,
        kind => panic!("{kind:?}"),
    };
    let raw_mean = rejected(b"\x80\x04}(X\x0b\0\0\0capture_all\x89X\x08\0\0\0raw_mean");
    assert!(raw_mean.starts_with("StyleGAN's statistics, a pickle") && raw_mean.contains("raw_cov"));
    assert!(rejected(b"\x80\x04}X\x03\0\0\0fid}(mu sigma").contains("d[\"fid\"][\"mu\"]"));
    assert!(rejected(b"\x80\x02}(mu sigma").starts_with("statistics in a pickle"));
    assert!(rejected(b"\x80\x05N.").starts_with("a Python pickle"));
    let entry = |name: &str| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.finish().unwrap().into_inner()
    };
    assert!(rejected(&entry("archive/data.pkl")).starts_with("a file of torch.save"));
    assert_eq!(of(&entry("mu.npy")), StatsKind::Npz);
    let other: [&[u8]; 6] = [&entry("0.png"), b"", b"PK", b"PK\x03\x04", b"\x80\x01", b"\x89PNG"];
    assert!(other.iter().all(|bytes| of(bytes) == StatsKind::Unknown));
    assert_eq!(StatsKind::of(folder.path()).unwrap(), StatsKind::Unknown);
    assert!(StatsKind::of(&folder.path().join("none")).is_err());
}

#[test]
fn column_major_and_single_precision_are_read() {
    let sigma = Array2::from_shape_vec((2, 2).f(), vec![1f32, 0.5, 0.5, 2.0]).unwrap();
    let stats = read(|npz| {
        npz.add("mu", &array![1f32, 2.0]).unwrap();
        npz.add("sigma", &sigma).unwrap();
        npz.add("meta", &array![b'?']).unwrap();
    });
    let stats = stats.unwrap();
    assert_eq!(stats.gaussian.sigma, [1.0, 0.5, 0.5, 2.0]);
    assert_eq!(stats.meta, None, "a foreign `meta` is passed over");
}

#[test]
fn wrong_statistics_are_one_line() {
    let (mu, sigma) = (array![0.0, 1.0], array![[1.0, 0.0], [0.0, 1.0]]);
    fails("no array `mu` (it holds arr_0)", |npz| npz.add("arr_0", &sigma).unwrap());
    fails("no array `sigma` (it holds mu)", |npz| npz.add("mu", &mu).unwrap());
    let both = |mu: Array1<f64>, sigma: Array2<f64>| {
        move |npz: &mut NpzWriter<fs::File>| {
            npz.add("mu", &mu).unwrap();
            npz.add("sigma", &sigma).unwrap();
        }
    };
    fails("3 features but `sigma` is [2, 2]", both(array![0.0, 1.0, 2.0], sigma.clone()));
    fails("0 features", both(Array1::zeros(0), Array2::zeros((0, 0))));
    fails("`mu` has values that are not finite", both(array![0.0, f64::NAN], sigma.clone()));
    fails("`sigma` has values", both(mu.clone(), array![[1.0, 0.0], [0.0, f64::INFINITY]]));
    fails("not symmetric", both(mu.clone(), array![[1.0, 0.5], [0.0, 1.0]]));
    fails("negative variance", both(mu.clone(), array![[1.0, 0.0], [0.0, -1.0]]));
    fails("not two dimensions", |npz| {
        npz.add("mu", &mu).unwrap();
        npz.add("sigma", &mu).unwrap();
    });
    fails("not an array of f64, f32 or f16", |npz| {
        npz.add("mu", &array![1i64, 2]).unwrap();
        npz.add("sigma", &sigma).unwrap();
    });
    let meta = serde_json::to_vec(&stats(2).meta.map(|meta| StatsMeta { dims: 3, ..meta })).unwrap();
    fails("2 features but `meta` says 3", |npz| {
        npz.add("mu", &mu).unwrap();
        npz.add("sigma", &sigma).unwrap();
        npz.add("meta", &Array1::from(meta)).unwrap();
    });
}

/// A header that claims an array of terabytes must not be believed, nor one of a size that statistics have.
#[test]
fn a_claim_of_terabytes_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    for (shape, what) in [("(4000000, 4000000)", "too large"), ("(16000,)", "cut short")] {
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for name in ["mu.npy", "sigma.npy"] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
            zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
            zip.write_all(header.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let error = Stats::read(&path).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_is_no_npz_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    let error = || Stats::read(&path).unwrap_err().to_string();
    assert!(error().contains("s.npz"));
    fs::write(&path, b"PK not at all").unwrap();
    assert!(error().contains("not an .npz"));
    let whole = folder.path().join("w.npz");
    stats(8).write(&whole, SystemTime::now()).unwrap();
    let whole = fs::read(whole).unwrap();
    for cut in [10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(error().contains("s.npz") && !error().contains('\n'));
    }
    assert!(Stats::read(folder.path()).unwrap_err().to_string().contains("a folder"));
    assert!(stats(2).write(&folder.path().join("no/where.npz"), SystemTime::now()).is_err());
}

#[test]
fn all_parts_give_the_statistics_of_the_set() {
    let (n, d) = (103, 7);
    let [samples, _] = crate::metrics::features::tests::hashed_samples(n, 1, d);
    let of = |range: std::ops::Range<usize>, content: String| {
        let mut covariance = crate::metrics::frechet::RunningCovariance::new(d);
        covariance.push(&samples[range.start * d..range.end * d]);
        let meta = StatsMeta { n: range.len() as u64, content, dims: d, ..stats(d).meta.unwrap() };
        Stats { gaussian: covariance.gaussian().unwrap(), meta: Some(meta) }
    };
    let set = of(0..n, "listing 01".into());
    let parts: Vec<StatsFile> = (1..=5)
        .map(|index| {
            let part = Partition { index, of: 5 };
            let stats = of(part.range(n), part.content("listing 01"));
            StatsFile { path: format!("{index}.npz").into(), stats }
        })
        .rev()
        .collect();
    assert_eq!(parts.iter().map(|part| part.stats.meta.as_ref().unwrap().n).sum::<u64>(), n as u64);
    let merged = merge(&parts).unwrap();
    assert_eq!(merged.meta, set.meta, "the same images");
    let values = |s: &Stats| [s.gaussian.mu.clone(), s.gaussian.sigma.clone()].concat();
    for (a, b) in values(&merged).iter().zip(&values(&set)) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
    // Some of the parts are not the set.
    assert!(merge(&parts[1..]).unwrap().meta.unwrap().content.starts_with("merged "));
    let refused = |parts: &[StatsFile]| merge(parts).unwrap_err().to_string();
    let twice = [parts[0].clone(), parts[1].clone(), parts[0].clone()];
    assert_eq!(refused(&twice), "5.npz: is of the same images as 5.npz");
    let mut foreign = parts[..2].to_vec();
    foreign[1].stats.meta = None;
    assert!(refused(&foreign).starts_with("4.npz: does not say its number of images"));
    let mut other = parts[..2].to_vec();
    other[1].stats.meta.as_mut().unwrap().weights = "ff".into();
    assert_eq!(refused(&other), "4.npz: is of other features, weights or precision than 5.npz");
    assert_eq!(refused(&[]), "no statistics to merge");
}

#[test]
fn parts_are_named_and_cover_everything_once() {
    for n in [1, 5, 16, 1000] {
        let ranges: Vec<_> = (1..=16).map(|index| Partition { index, of: 16 }.range(n)).collect();
        assert!(ranges.iter().flat_map(Clone::clone).eq(0..n));
    }
    assert_eq!("3/16".parse::<Partition>().unwrap().to_string(), "3/16");
    for wrong in ["0/3", "4/3", "3", "a/b", "1/0", "-1/2", ""] {
        assert!(wrong.parse::<Partition>().is_err(), "{wrong}");
    }
}
