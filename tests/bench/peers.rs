//! Comparison with Python programs, in turn (A B A B …): the speed of a shared machine drifts, ratios do not.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use gan::precision::Precision::{Bf16, F32};

use crate::compute::{self, CATS, TUTORIAL};
use crate::measure::{Load, Spread};
use crate::peer::{self, Peer};
use crate::process;
use crate::table::{Table, number};
use crate::workspace::Workspace;

const TABLE: Table = Table(&[
    ("work", 39),
    ("against", 58),
    ("ours", 14),
    ("theirs", 14),
    ("times as fast", 22),
    ("bar", 4),
    ("reached", 24),
]);

/// A piece of work that both programs do.
struct Comparison {
    work: &'static str,
    unit: Unit,
    ours: fn(&Workspace) -> Load<'_>,
    /// The other program and its settings.
    against: &'static str,
    /// The arguments of the script.
    theirs: fn(&Workspace) -> Vec<String>,
    /// Whether each repetition starts a new process, as with our tools; otherwise it is loaded and warmed up.
    new_process: bool,
    pairs: usize,
    /// The ratio to reach.
    bar: Option<f64>,
}

#[derive(Clone, Copy)]
enum Unit {
    ImagesPerSecond,
    Milliseconds,
    Seconds,
}

/// Splits `words` at spaces and appends `paths`.
pub fn arguments(words: &str, paths: &[&Path]) -> Vec<String> {
    let paths = paths.iter().map(|path| path.display().to_string());
    words.split(' ').map(String::from).chain(paths).collect()
}

#[rustfmt::skip]
fn comparisons() -> Vec<Comparison> {
    use Unit::*;
    let resident = |work, unit, pairs, bar, ours, against, theirs|
        Comparison { work, unit, ours, against, theirs, new_process: false, pairs, bar };
    let process = |work, unit, pairs, bar, ours, against, theirs|
        Comparison { work, unit, ours, against, theirs, new_process: true, pairs, bar };
    vec![
        resident("DCGAN step 64×64, batch 128, f32", ImagesPerSecond, 5, None,
            |_| compute::dcgan_step(&TUTORIAL, 128, F32), "torch", |_| arguments("dcgan --mode f32", &[])),
        resident("DCGAN step 64×64, batch 128, f32", ImagesPerSecond, 5, Some(1.6),
            |_| compute::dcgan_step(&TUTORIAL, 128, F32), "torch, channels_last",
            |_| arguments("dcgan --mode f32 --channels-last", &[])),
        resident("DCGAN step 64×64, batch 128, bf16", ImagesPerSecond, 5, None,
            |_| compute::dcgan_step(&TUTORIAL, 128, Bf16), "torch, channels_last",
            |_| arguments("dcgan --mode bf16 --channels-last", &[])),
        resident("DCGAN step 64×64, batch 128, bf16", ImagesPerSecond, 5, Some(1.8),
            |_| compute::dcgan_step(&TUTORIAL, 128, Bf16), "torch.compile",
            |_| arguments("dcgan --mode bf16 --compile", &[])),
        resident("DCGAN step, cats recipe, batch 32, f32", ImagesPerSecond, 7, Some(1.7),
            |_| compute::dcgan_step(&CATS, 32, F32), "torch, channels_last",
            |_| arguments("dcgan --cats --mode f32 --channels-last", &[])),
        resident("DCGAN step, cats recipe, batch 32, bf16", ImagesPerSecond, 7, Some(1.7),
            |_| compute::dcgan_step(&CATS, 32, Bf16), "torch, channels_last",
            |_| arguments("dcgan --cats --mode bf16 --channels-last", &[])),
        resident("MLP GAN step, batch 100, f32", Milliseconds, 5, None,
            |_| compute::mlp_steps(), "torch", |_| arguments("mlp", &[])),
        process("sample 3,000 PNGs, f32", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, F32), "torch, channels_last, whole process",
            |workspace| sample(workspace, "f32")),
        resident("sample 3,000 PNGs, f32", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, F32), "torch, channels_last, loaded before",
            |workspace| sample(workspace, "f32")),
        process("sample 3,000 PNGs, bf16", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, Bf16), "torch, channels_last, whole process",
            |workspace| sample(workspace, "bf16")),
        resident("sample 3,000 PNGs, bf16", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, Bf16), "torch, channels_last, loaded before",
            |workspace| sample(workspace, "bf16")),
        resident("prep of JPEGs", ImagesPerSecond, 3, None,
            process::prep, "torchvision's DataLoader, loaded before",
            |workspace| prep(workspace, "torchvision")),
        resident("prep of JPEGs", ImagesPerSecond, 3, None,
            process::prep, "OpenCV, INTER_AREA, loaded before", |workspace| prep(workspace, "opencv")),
        resident("Inception features, batch 50, f32", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, F32), "torch, channels_last, pytorch-fid's network",
            |workspace| inception(workspace, "torch --mode f32")),
        resident("Inception features, batch 50, f32", ImagesPerSecond, 3, Some(1.05),
            |workspace| compute::inception(workspace, F32), "onnxruntime, the same network",
            |workspace| inception(workspace, "onnxruntime --mode f32")),
        resident("Inception features, batch 50, f32", ImagesPerSecond, 3, Some(1.05),
            |workspace| compute::inception(workspace, F32), "OpenVINO, the same network",
            |workspace| inception(workspace, "openvino --mode f32")),
        resident("Inception features, batch 50, bf16", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, Bf16), "torch, channels_last, pytorch-fid's network",
            |workspace| inception(workspace, "torch --mode bf16")),
        resident("Inception features, batch 50, bf16", ImagesPerSecond, 3, Some(1.1),
            |workspace| compute::inception(workspace, Bf16), "OpenVINO, the same network",
            |workspace| inception(workspace, "openvino --mode bf16")),
        resident("SqueezeNet features, batch 50, f32", ImagesPerSecond, 5, Some(1.1),
            |_| compute::squeezenet(), "onnxruntime, the same network",
            |workspace| squeezenet(workspace, "onnxruntime --mode f32")),
        resident("SqueezeNet features, batch 50, f32", ImagesPerSecond, 5, None,
            |_| compute::squeezenet(), "OpenVINO, the same network",
            |workspace| squeezenet(workspace, "openvino --mode f32")),
        resident("Fréchet distance, 2048 dims", Seconds, 5, None,
            compute::frechet, "numpy, Cholesky and eigvalsh", |workspace| frechet(workspace, "cholesky")),
        resident("Fréchet distance, 2048 dims", Seconds, 1, None,
            compute::frechet, "scipy, sqrtm, as pytorch-fid has it", |workspace| frechet(workspace, "sqrtm")),
        process("fid against stats.npz, f32", Seconds, 1, Some(3.0),
            |workspace| process::fid(workspace, F32), "pytorch-fid, whole process", fid),
        process("fid against stats.npz, bf16", Seconds, 1, Some(6.0),
            |workspace| process::fid(workspace, Bf16), "pytorch-fid, whole process", fid),
    ]
}

fn sample(workspace: &Workspace, mode: &str) -> Vec<String> {
    let words = format!("sample --mode {mode} --count {}", process::SAMPLES);
    arguments(&words, &[workspace.generator(), &workspace.path("theirs")])
}

fn prep(workspace: &Workspace, engine: &str) -> Vec<String> {
    arguments(&format!("prep --engine {engine} --limit {}", process::LIMIT), &[workspace.jpegs()])
}

fn inception(workspace: &Workspace, engine: &str) -> Vec<String> {
    let words = format!("inception --batch {} --engine {engine}", compute::FEATURES_BATCH);
    arguments(&words, &[workspace.weights(), workspace.folder()])
}

fn squeezenet(workspace: &Workspace, engine: &str) -> Vec<String> {
    let words = format!("squeezenet --batch {} --engine {engine}", compute::FEATURES_BATCH);
    let weights =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lib/gan/assets/squeezenet-v1.1-f16.safetensors"));
    arguments(&words, &[weights, workspace.folder()])
}

fn frechet(workspace: &Workspace, method: &str) -> Vec<String> {
    let [a, b] = workspace.stats();
    arguments(&format!("frechet --method {method}"), &[&a, &b])
}

fn fid(workspace: &Workspace) -> Vec<String> {
    arguments("fid", &[workspace.weights(), &workspace.stats()[0], workspace.samples()])
}

/// Our count per repetition, the seconds of both in each pair, and the version of the other program.
fn measure(row: &Comparison, workspace: &Workspace) -> Result<(f64, Vec<[f64; 2]>, String), String> {
    let theirs = (row.theirs)(workspace);
    let mut peer = if row.new_process { None } else { Some(Peer::start(&theirs)?) };
    let mut version = peer.as_ref().map(|p| p.version.clone()).unwrap_or_default();
    let mut ours = (row.ours)(workspace);
    if !row.new_process {
        (ours.work)();
    }
    let mut pairs = Vec::new();
    for _ in 0..row.pairs {
        // Until the threads of the other program stop spinning.
        let rest = || sleep(Duration::from_millis(300));
        rest();
        let our_seconds = (ours.work)();
        rest();
        let their_seconds = match &mut peer {
            Some(peer) => peer.repeat()?,
            None => {
                let done = peer::run_once(&theirs)?;
                version = done.version;
                done.seconds
            }
        };
        pairs.push([our_seconds, their_seconds]);
    }
    Ok((ours.count, pairs, version))
}

/// Measures the selected rows and prints each result.
pub fn run(workspace: &Workspace, wanted: impl Fn(&str) -> bool) {
    TABLE.head();
    for row in comparisons().iter().filter(|c| wanted(&format!("{} {}", c.work, c.against))) {
        let bar = row.bar.map_or("–".into(), |bar| bar.to_string());
        let cells = match measure(row, workspace) {
            Ok((count, pairs, version)) => result(row, count, &pairs, &version, bar),
            Err(reason) => {
                let [ours, theirs, times] = std::array::from_fn(|_| "–".to_string());
                [row.work.into(), row.against.into(), ours, theirs, times, bar, format!("– {reason}")]
            }
        };
        TABLE.row(&cells);
    }
}

fn result(row: &Comparison, count: f64, pairs: &[[f64; 2]], version: &str, bar: String) -> [String; 7] {
    let figure = |seconds: f64| match row.unit {
        Unit::ImagesPerSecond => format!("{} images/s", number(count / seconds)),
        Unit::Milliseconds => format!("{} ms", number(seconds / count * 1e3)),
        Unit::Seconds => format!("{} s", number(seconds)),
    };
    let [ours, theirs] = [0, 1].map(|i| Spread::of(pairs.iter().map(|pair| pair[i]).collect()).median);
    let ratios = Spread::of(pairs.iter().map(|[ours, theirs]| theirs / ours).collect());
    let times = theirs / ours;
    let reached = row.bar.map_or("–", |bar| if times >= bar { "yes" } else { "no" });
    [
        row.work.into(),
        format!("{} ({version})", row.against),
        figure(ours),
        figure(theirs),
        format!("{times:.2} ({:.2} to {:.2})", ratios.least, ratios.most),
        bar,
        reached.into(),
    ]
}
