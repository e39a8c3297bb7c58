use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::ThreadPoolBuilder;

use super::*;
use crate::checkpoint::Generator;
use crate::model::{DcganConfig, ModelConfig};
use crate::progress::Silent;

const CPU: Device = Device::Cpu;

fn generator() -> Generator {
    let config = DcganConfig {
        size: 32,
        channels: 3,
        nz: 7,
        ngf: 4,
        ndf: 4,
        leaky_slope: 0.2,
        init_std: 0.02,
        norm_init_std: 0.02,
    };
    let model = ModelConfig::Dcgan(config);
    Generator { network: model.generator(2, &CPU).unwrap(), model, meta: None, hash: "beef".into() }
}

fn job<'a>(generator: &'a Generator, count: usize, out: &'a Path) -> Job<'a> {
    Job { generator, device: &CPU, seed: 5, count, batch: 128, out, grid: None, force: false }
}

fn run(job: &Job) -> Result<()> {
    sample(job, &AtomicBool::new(false), &Silent)
}

/// Every file of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|e| entry(e.unwrap())).collect()
}

#[test]
fn a_latent_is_a_function_of_seed_and_index() {
    let rows = |seed, first, count| -> Vec<Vec<f32>> {
        latents(seed, Stream::Sample, first, count, 7, &CPU).unwrap().to_vec2().unwrap()
    };
    let all = rows(1, 0, 9);
    assert_eq!(rows(1, 4, 3), all[4..7]);
    assert_ne!(rows(2, 0, 9), all);
    assert_ne!(all[0], all[1]);
}

#[test]
fn a_picture_does_not_depend_on_count_batch_or_threads() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    run(&job(&generator, 70, &out)).unwrap();
    let all = files(&out);
    assert_eq!(all.len(), 71, "the pictures and the marker");
    assert_ne!(all["000000.png"], all["000001.png"]);
    for (count, batch, threads) in [(70, 1, 1), (70, 33, 2), (3, 64, 2), (41, 1000, 1)] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&Job { batch, ..job(&generator, count, &out) })).unwrap();
        let some = files(&out);
        assert_eq!(some.len(), count + 1, "of one run alone");
        for name in some.keys().filter(|n| n.ends_with("png")) {
            assert_eq!(some[name], all[name], "{name} of {count} in batches of {batch} on {threads}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_sample_did_not_make_is_kept() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    let refused = || {
        let before = files(&out);
        let line = run(&job(&generator, 2, &out)).unwrap_err().to_string();
        assert_eq!(files(&out), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        line
    };
    fs::create_dir(&out).unwrap();
    run(&job(&generator, 3, &out)).expect("an empty folder is nobody's");

    fs::write(out.join("000003.png"), b"mine").unwrap();
    assert!(refused().contains("holds 000003.png, which `sample` did not put there"));
    fs::remove_file(out.join("000003.png")).unwrap();
    fs::write(out.join("notes.txt"), b"mine").unwrap();
    assert!(refused().contains("holds notes.txt"));
    fs::remove_file(out.join(".gantools.json")).unwrap();
    assert!(refused().contains("holds what `sample` did not make"));

    run(&Job { force: true, ..job(&generator, 2, &out) }).unwrap();
    assert_eq!(files(&out).len(), 3);
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, b"a file").unwrap();
    let line = run(&Job { force: true, ..job(&generator, 2, &out) }).unwrap_err().to_string();
    assert!(line.contains("is a file"), "{line}");
    let here = std::env::current_dir().unwrap();
    let line = run(&Job { force: true, ..job(&generator, 2, &here) }).unwrap_err().to_string();
    assert!(line.contains("the folder that you are in"), "{line}");
}

#[test]
fn a_stop_or_an_error_leaves_what_was_there() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    run(&job(&generator, 3, &out)).unwrap();
    let before = files(&out);
    let stopped = sample(&job(&generator, 9, &out), &AtomicBool::new(true), &Silent);
    assert!(matches!(stopped, Err(Error::Stopped)));
    let grid = folder.path().join("none/grid.png");
    let line = run(&Job { grid: Some(&grid), ..job(&generator, 9, &out) }).unwrap_err().to_string();
    assert!(line.starts_with(&grid.display().to_string()), "{line}");
    let inside = out.join("grid.png");
    let line = run(&Job { grid: Some(&inside), ..job(&generator, 9, &out) }).unwrap_err().to_string();
    assert!(line.contains("--grid may not be inside"), "{line}");
    assert_eq!(files(&out), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_link_to_a_folder_stays_a_link() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    run(&job(&generator, 3, &real)).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    run(&job(&generator, 2, &link)).unwrap();
    assert!(link.is_symlink());
    assert_eq!(files(&real).len(), 3);
}

#[test]
fn renames_exchange_folders_where_nothing_better_can() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    for path in [&a, &b] {
        fs::create_dir(path).unwrap();
        fs::write(path.join(path.file_name().unwrap()), b"").unwrap();
    }
    folder::exchange_by_renames(&a, &b).unwrap();
    assert!(a.join("b").exists() && b.join("a").exists());
    fs::remove_dir_all(&a).unwrap();
    assert!(folder::exchange_by_renames(&a, &b).is_err());
    assert!(b.join("a").exists(), "undone");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}
