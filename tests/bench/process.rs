//! The built tools as processes.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gan::data::shard::Shard;
use gan::precision::Precision;
use gan::train::Metrics;

use crate::compute::timed;
use crate::measure::{Figure, Load, Spread};
use crate::workspace::Workspace;

/// The most images of `--data` that `prep` reads.
pub const LIMIT: usize = 6000;

/// Images that `sample` makes.
pub const SAMPLES: usize = 3000;

/// The command for a tool, with arguments split at spaces, run in the workspace on the threads of this
/// process.
pub fn tool(workspace: &Workspace, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(match words.next() {
        Some("prep") => env!("CARGO_BIN_EXE_prep"),
        Some("train") => env!("CARGO_BIN_EXE_train"),
        Some("sample") => env!("CARGO_BIN_EXE_sample"),
        _ => env!("CARGO_BIN_EXE_fid"),
    });
    command.args(words).args(["--threads", &rayon::current_num_threads().to_string()]);
    command.current_dir(workspace.folder()).stdin(Stdio::null());
    command
}

/// Runs a command and returns the seconds, or its error message.
pub fn attempt(mut command: Command) -> Result<f64, String> {
    let mut output = None;
    let seconds = timed(|| output = Some(command.output().expect("the tool starts")));
    let output = output.expect("it ran");
    match output.status.success() {
        true => Ok(seconds),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
    }
}

/// Runs a command that must succeed.
fn run(command: Command) -> f64 {
    attempt(command).unwrap_or_else(|line| panic!("{line}"))
}

/// Makes a new shard `name`; returns the seconds and its path.
pub fn make_shard(workspace: &Workspace, name: &str) -> (f64, PathBuf) {
    let path = workspace.path(name);
    // An existing shard would not be made again.
    let _ = fs::remove_file(&path);
    let mut command = tool(workspace, &format!("prep --limit {LIMIT} -q -o {name}"));
    command.arg(workspace.jpegs());
    (run(command), path)
}

/// Makes the folder `name` of `count` images; returns the seconds and its path.
pub fn make_samples(workspace: &Workspace, name: &str, count: usize, precision: &str) -> (f64, PathBuf) {
    let mut command = tool(workspace, &format!("sample -n {count} --precision {precision} -q -o {name}"));
    command.arg(workspace.generator());
    (run(command), workspace.path(name))
}

/// JPEGs to a shard.
pub fn prep(workspace: &Workspace) -> Load<'_> {
    let count = Shard::open(&make_shard(workspace, "prep.safetensors").1).expect("a shard").len();
    let work = || make_shard(workspace, "prep.safetensors").0;
    Load { work: Box::new(work), count: count as f64, flops: None, precision: Precision::F32 }
}

/// A generator to PNGs.
pub fn sample(workspace: &Workspace, precision: Precision) -> Load<'_> {
    let work = move || make_samples(workspace, "fakes", SAMPLES, &precision.to_string()).0;
    Load { work: Box::new(work), count: SAMPLES as f64, flops: None, precision }
}

/// FID of a folder against statistics.
pub fn fid(workspace: &Workspace, precision: Precision) -> Load<'_> {
    let ([stats, _], samples, weights) = (workspace.stats(), workspace.samples(), workspace.weights());
    let work = move || {
        let mut command = tool(workspace, &format!("fid --precision {precision} -q"));
        command.args([&stats, samples]).env("FID_WEIGHTS", weights);
        run(command)
    };
    Load { work: Box::new(work), count: workspace.fakes as f64, flops: None, precision }
}

/// Starts a training of the recipe `celeba` in a new run folder.
fn train(workspace: &Workspace, steps: usize, folder: &str) -> Child {
    let _ = fs::remove_dir_all(workspace.path(folder));
    let mut command = tool(workspace, &format!("train --recipe celeba --steps {steps} -o {folder}"));
    command.arg(workspace.shard()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("train starts")
}

/// The peak private memory of a training, in MB (10⁶ bytes).
pub fn training_memory(workspace: &Workspace) -> Result<Figure, String> {
    workspace.shard();
    let mut child = train(workspace, 8, "memory");
    let status = format!("/proc/{}/status", child.id());
    let mut most = None;
    while child.try_wait().expect("a child process").is_none() {
        most = most.max(private_kilobytes(&status));
        sleep(Duration::from_millis(10));
    }
    assert!(child.wait().expect("a child process").success(), "train failed");
    let kilobytes = most.ok_or("no /proc here")?;
    Ok(Figure::new(kilobytes as f64 * 1024.0 / 1e6, "MB"))
}

/// RssAnon of a process: memory without a file behind it.
fn private_kilobytes(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The time from the start of `train` to its first step: until the first line of metrics.jsonl, minus the
/// duration of that step.
pub fn training_start(workspace: &Workspace, repetitions: usize) -> Figure {
    workspace.shard();
    let once = |_| {
        let metrics = workspace.path("start/metrics.jsonl");
        let start = Instant::now();
        let mut child = train(workspace, 1, "start");
        let (line, seen) = loop {
            let text = fs::read_to_string(&metrics).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                break (line.to_string(), start.elapsed().as_secs_f64());
            }
            assert!(child.try_wait().expect("a child process").is_none_or(|s| s.success()), "train failed");
            sleep(Duration::from_millis(1));
        };
        assert!(child.wait().expect("a child process").success(), "train failed");
        let metrics: Metrics = serde_json::from_str(&line).expect("a line of metrics");
        seen - 128.0 / metrics.images_per_second
    };
    Figure::new(Spread::of((0..repetitions).map(once).collect()).median, "s")
}
