use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use candle_core::Device;
use rayon::ThreadPoolBuilder;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::checkpoint::foreign::LayoutHints;
use crate::data::image::Transform;
use crate::data::shard::{self, Dtype, Shard, ShardOptions};
use crate::data::source::Source;
use crate::progress::{Progress, Silent};
use crate::recipe::{Length, Recipe, Schedule};
use crate::train::Metrics;
use crate::{Error, Result};

/// A folder with a shard of `count` demo faces of 32×32 in it.
fn images(count: usize, dtype: Dtype) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces-32.safetensors");
    let fit = Transform { crop: None, size: Some(32), filter: Default::default() };
    let options = ShardOptions { fit, gray: false, dtype, strict: true, ..ShardOptions::default() };
    shard::make(&path, &Source::demo(count, 0), &options, &Silent, &AtomicBool::new(false)).unwrap();
    (folder, path)
}

fn recipe(batch: usize, length: Length) -> Recipe {
    let length = match length {
        Length::Epochs(n) => ("epochs", json!(n)),
        Length::Steps(n) => ("steps", json!(n)),
    };
    let sizes = [("nz", json!(5)), ("ngf", json!(2)), ("ndf", json!(2))];
    let small = [vec![("batch_size", json!(batch)), length], sizes.to_vec()].concat();
    Recipe::load("demo").unwrap().with(&small).unwrap()
}

/// Trains into `out`, which is made.
fn train(
    recipe: &Recipe,
    shard: &Path,
    out: &Path,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let shard = Shard::open(shard)?;
    let dir = RunDir::create(Some(out), shard.path(), false)?;
    Run::new(recipe, &shard, &Device::Cpu)?.train(&dir, stop, progress)
}

fn metrics(run: &Path) -> Vec<Metrics> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_writes_the_same_files_at_any_number_of_threads() {
    let (folder, shard) = images(33, Dtype::U8);
    // 33 = 2·16 + 1: the last batch of each epoch is a single image.
    let recipe = recipe(16, Length::Epochs(2));
    let runs = [1, 2].map(|threads| {
        let out = folder.path().join(threads.to_string());
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let done = pool.install(|| train(&recipe, &shard, &out, &AtomicBool::new(false), &Silent)).unwrap();
        assert_eq!((done.step, done.epoch, done.stopped), (6, 2, false));
        assert_eq!(done.generator, out.join("G.safetensors"));
        out
    });
    for name in ["G", "D", "state"].map(|n| format!("{n}.safetensors")).iter().map(String::as_str).chain([
        "samples/epoch-0001.png",
        "samples/epoch-0002.png",
        "real.png",
        "recipe.toml",
        "loss.svg",
        "progress.gif",
    ]) {
        let [one, two] = runs.each_ref().map(|run| fs::read(run.join(name)).unwrap());
        assert!(one == two && !one.is_empty(), "{name}");
    }
    let lines = metrics(&runs[0]);
    assert_eq!(
        lines.iter().map(|m| (m.step, m.epoch)).collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]
    );
    for m in &lines {
        assert_eq!(m.loss_d, m.loss_d_real + m.loss_d_fake);
        assert_eq!(m.value, -m.loss_d);
        assert!([m.d_x, m.d_g_z1, m.d_g_z2].iter().all(|p| (0.0..=1.0).contains(p)));
        assert!(m.loss_g > 0.0 && m.images_per_second > 0.0);
    }
    let saved = fs::read_to_string(runs[0].join("recipe.toml")).unwrap();
    assert_eq!(saved, recipe.to_toml());
    let epochs = [1, 2].map(|e| fs::read(runs[0].join(RunDir::epoch_image(e))).unwrap());
    assert_ne!(epochs[0], epochs[1], "the generator moved");
}

#[test]
fn an_estimate_leaves_the_run_where_it_was() {
    let (folder, shard) = images(20, Dtype::U8);
    let (recipe, shard) = (recipe(8, Length::Steps(4)), Shard::open(&shard).unwrap());
    let trained = [true, false].map(|estimated| {
        let run = Run::new(&recipe, &shard, &Device::Cpu).unwrap();
        if estimated {
            let estimate = run.estimate().unwrap();
            assert_eq!(estimate.steps, 4);
            // Batches of 8, 8, 4 and 8: 28 images.
            let seconds = 28.0 / estimate.images_per_second;
            assert!((estimate.duration.as_secs_f64() - seconds).abs() < 1e-6 * seconds.max(1.0));
        }
        let out = folder.path().join(estimated.to_string());
        let dir = RunDir::create(Some(&out), shard.path(), false).unwrap();
        let done = run.train(&dir, &AtomicBool::new(false), &Silent).unwrap();
        assert_eq!((done.step, done.epoch), (4, 2));
        fs::read(done.generator).unwrap()
    });
    assert!(trained[0] == trained[1]);
}

/// Sets its flag after `steps` steps.
struct StopAfter<'a> {
    steps: u64,
    stop: &'a AtomicBool,
    seen: AtomicU64,
}

impl Progress for StopAfter<'_> {
    fn update(&self, done: u64, total: u64, note: &str) {
        assert_eq!(total, 50);
        assert!(note.contains("loss D") && note.contains("img/s"), "{note}");
        self.seen.store(done, Ordering::Relaxed);
        if done == self.steps {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn warn(&self, line: &str) {
        panic!("{line}");
    }
}

#[test]
fn a_stop_finishes_its_step_and_saves() {
    let (folder, shard) = images(40, Dtype::U8);
    let (out, stop) = (folder.path().join("run"), AtomicBool::new(false));
    let monitor = StopAfter { steps: 7, stop: &stop, seen: AtomicU64::new(0) };
    let done = train(&recipe(8, Length::Epochs(10)), &shard, &out, &stop, &monitor).unwrap();
    assert_eq!((done.step, done.epoch, done.stopped), (7, 2, true));
    assert_eq!(monitor.seen.load(Ordering::Relaxed), 7);
    assert_eq!(metrics(&out).len(), 7);
    let saved = crate::checkpoint::generator(&done.generator, &LayoutHints::default(), &Device::Cpu).unwrap();
    assert_eq!(saved.meta.unwrap().step, 7);
    assert!(out.join(RunDir::epoch_image(2)).exists());

    let none = train(&recipe(8, Length::Epochs(10)), &shard, &folder.path().join("none"), &stop, &Silent);
    assert!(matches!(none, Err(Error::Stopped)));
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_saved() {
    let (folder, shard) = images(8, Dtype::F32);
    let mut bytes = fs::read(&shard).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&shard, bytes).unwrap();
    let out = folder.path().join("run");
    let stop = AtomicBool::new(false);
    let line = train(&recipe(8, Length::Epochs(1)), &shard, &out, &stop, &Silent).unwrap_err().to_string();
    let expected = "step 1: the loss is not finite; nothing was saved; lower lr_g and lr_d";
    assert_eq!(line, format!("{}: {expected}", out.display()));
    assert!(!out.join("G.safetensors").exists());
}

/// The loss of a step is that of the weights before it.
#[test]
fn a_weight_that_is_not_finite_is_not_saved() {
    let (folder, shard) = images(16, Dtype::U8);
    let mut recipe = recipe(8, Length::Epochs(3));
    let out = folder.path().join("run");
    train(
        &Recipe {
            schedule: Schedule { epochs: Some(1), steps: None, ..recipe.schedule.clone() },
            ..recipe.clone()
        },
        &shard,
        &out,
        &AtomicBool::new(false),
        &Silent,
    )
    .unwrap();
    let saved = fs::read(out.join("state.safetensors")).unwrap();
    let (state, _) = crate::checkpoint::state(&out).unwrap();
    recipe.optimizer.lr_g = 1e300;
    let shard = Shard::open(&shard).unwrap();
    let run = Run::new(&recipe, &shard, &Device::Cpu).unwrap().resumed(&state).unwrap();
    let run = run.save_every(Duration::ZERO);
    let line =
        run.train(&RunDir::open(&out).unwrap(), &AtomicBool::new(false), &Silent).unwrap_err().to_string();
    let expected = "step 3: a weight is not finite; state.safetensors holds step 2; lower lr_g and lr_d";
    assert_eq!(line, format!("{}: {expected}", out.display()));
    assert!(fs::read(out.join("state.safetensors")).unwrap() == saved);
}

#[test]
fn a_run_saves_within_an_epoch_as_often_as_asked() {
    let (folder, shard) = images(40, Dtype::U8);
    let (recipe, shard) = (recipe(8, Length::Steps(4)), Shard::open(&shard).unwrap());
    let previous = |every| {
        let out = folder.path().join(format!("{every:?}"));
        let dir = RunDir::create(Some(&out), shard.path(), false).unwrap();
        let run = Run::new(&recipe, &shard, &Device::Cpu).unwrap().save_every(every);
        run.train(&dir, &AtomicBool::new(false), &Silent).unwrap();
        fs::remove_file(out.join("state.safetensors")).unwrap();
        crate::checkpoint::state(&out).map(|(state, _)| state.meta.step)
    };
    assert_eq!(previous(Duration::ZERO).unwrap(), 3, "after each step");
    assert!(previous(SAVE_EVERY).is_err(), "at its end alone");
}

#[test]
fn a_folder_that_is_not_empty_is_kept_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let (run, shard) = (folder.path(), Path::new("faces-64.safetensors"));
    RunDir::create(Some(run), shard, false).expect("an empty folder");
    let old = ["G.safetensors", "G_epoch-0007.safetensors", "loss.png", "loss.svg", "samples/epoch-0007.png"];
    for name in old.iter().chain(&["notes.txt", "samples/mine.png"]) {
        fs::write(run.join(name), b"old").unwrap();
    }
    let line = RunDir::create(Some(run), shard, false).unwrap_err().to_string();
    assert_eq!(line, format!("{}: already exists and is not empty", run.display()));
    let dir = RunDir::create(Some(run), shard, true).unwrap();
    let left = |name: &str| run.join(name).exists();
    assert!(left("notes.txt") && left("samples/mine.png"), "files of no run are kept");
    assert!(!old.iter().any(|name| left(name)));
    let line = RunDir::create(Some(run), shard, true).unwrap_err().to_string();
    assert_eq!(line, format!("{}: in use by another run", run.display()));
    drop(dir);
    RunDir::open(run).unwrap();
}
