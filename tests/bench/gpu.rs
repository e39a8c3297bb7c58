//! `just test-gpu`: the tools on a GPU, compared with PyTorch if it is installed. Writes one JSON file.

use std::fs;
use std::process::Command;

use gan::train::Metrics;
use serde_json::{Value, json};

use crate::measure::Spread;
use crate::peer::{self, Peer};
use crate::peers::arguments;
use crate::process;
use crate::workspace::Workspace;

/// The file of results, in the folder of the repository.
const OUT: &str = "gpu.json";
/// Steps of a training, and how many of the first are not counted: they load kernels and fill memory pools.
const STEPS: [usize; 2] = [300, 64];
/// Images in a step.
const BATCH: f64 = 128.0;

/// Images per second.
type Measure = fn(&Workspace) -> Result<f64, String>;

/// The rows: name, gantools, PyTorch.
const ROWS: [(&str, Measure, Measure); 5] = [
    ("train, celeba 64×64, batch 128, f32", |workspace| train(workspace, "f32"), |_| torch_steps("f32")),
    ("train, celeba 64×64, batch 128, bf16", |workspace| train(workspace, "bf16"), |_| torch_steps("bf16")),
    (
        "sample, PNGs, whole process, f32",
        |workspace| sample(workspace, "f32"),
        |workspace| torch_samples(workspace, "f32"),
    ),
    (
        "sample, PNGs, whole process, bf16",
        |workspace| sample(workspace, "bf16"),
        |workspace| torch_samples(workspace, "bf16"),
    ),
    ("fid against stats.npz, whole process, f32", fid, torch_fid),
];

/// Measures the selected rows, prints them and writes them to [`OUT`].
pub fn run(workspace: &Workspace, wanted: impl Fn(&str) -> bool) {
    let rows: Vec<Value> = ROWS
        .iter()
        .filter(|(work, ..)| wanted(work))
        .map(|(work, ours, theirs)| {
            let (ours, theirs) = (ours(workspace), theirs(workspace));
            let ratio = ours.as_ref().ok().zip(theirs.as_ref().ok()).map(|(ours, theirs)| ours / theirs);
            let value = |result: Result<f64, String>| result.map_or_else(Value::from, Value::from);
            let (ours, theirs) = (value(ours), value(theirs));
            let row = json!({ "work": work, "images_per_second": ours, "torch": theirs, "ratio": ratio });
            println!("{row}");
            row
        })
        .collect();
    let smi = Command::new("nvidia-smi")
        .args(["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
        .output()
        .map_or_else(|e| e.to_string(), |out| String::from_utf8_lossy(&out.stdout).trim().to_string());
    let all = json!({
        "gantools": env!("CARGO_PKG_VERSION"),
        "gpu": smi,
        "threads": rayon::current_num_threads(),
        "images": workspace.fakes,
        "rows": rows,
    });
    fs::write(OUT, format!("{all:#}\n")).expect("disk space for the results");
    println!("{OUT}");
}

/// The median speed of the steps, loading included.
fn train(workspace: &Workspace, precision: &str) -> Result<f64, String> {
    let run = format!("gpu-{precision}");
    let flags =
        format!("--recipe celeba --steps {} --precision {precision} --device cuda -q -o {run}", STEPS[0]);
    let mut command = process::tool(workspace, &format!("train {flags}"));
    command.arg(workspace.shard());
    process::attempt(command)?;
    let text = fs::read_to_string(workspace.path(&format!("{run}/metrics.jsonl"))).expect("a run's metrics");
    let speed =
        |line: &str| serde_json::from_str::<Metrics>(line).expect("a line of metrics").images_per_second;
    Ok(Spread::of(text.lines().skip(STEPS[1]).map(speed).collect()).median)
}

fn torch_steps(precision: &str) -> Result<f64, String> {
    let mut peer = Peer::start(&arguments(&format!("dcgan --mode {precision} --device cuda"), &[]))?;
    let seconds = (0..STEPS[0]).map(|_| peer.repeat()).collect::<Result<Vec<f64>, String>>()?;
    Ok(BATCH / Spread::of(seconds[STEPS[1]..].to_vec()).median)
}

fn sample(workspace: &Workspace, precision: &str) -> Result<f64, String> {
    let flags = format!("-n {} --precision {precision} --device cuda -q -o gpu-fakes", workspace.fakes);
    let mut command = process::tool(workspace, &format!("sample {flags}"));
    command.arg(workspace.generator());
    Ok(workspace.fakes as f64 / process::attempt(command)?)
}

fn torch_samples(workspace: &Workspace, precision: &str) -> Result<f64, String> {
    let words = format!("sample --mode {precision} --device cuda --count {}", workspace.fakes);
    let done = peer::run_once(&arguments(&words, &[workspace.generator(), &workspace.path("theirs")]))?;
    Ok(workspace.fakes as f64 / done.seconds)
}

fn fid(workspace: &Workspace) -> Result<f64, String> {
    let ([stats, _], samples) = (workspace.stats(), workspace.samples());
    let mut command = process::tool(workspace, "fid --device cuda --batch-size 50 -q");
    command.args([&stats, samples]).env("FID_WEIGHTS", workspace.weights());
    Ok(workspace.fakes as f64 / process::attempt(command)?)
}

fn torch_fid(workspace: &Workspace) -> Result<f64, String> {
    let paths = [workspace.weights(), &workspace.stats()[0], workspace.samples()];
    Ok(workspace.fakes as f64 / peer::run_once(&arguments("fid --device cuda", &paths))?.seconds)
}
