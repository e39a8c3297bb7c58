//! Ours against Python's programs, in turn (A B A B …), since a shared machine's speed drifts: what counts is the ratio.

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

/// One piece of work, done by both.
struct Contest {
    work: &'static str,
    unit: Unit,
    ours: fn(&Workspace) -> Load<'_>,
    /// The program, and how it goes about the work.
    against: &'static str,
    /// The script's arguments.
    theirs: fn(&Workspace) -> Vec<String>,
    /// Whether their process is new each time, as that of our tools is; else it has loaded and warmed up.
    whole: bool,
    pairs: usize,
    /// Times as fast as this.
    bar: Option<f64>,
}

#[derive(Clone, Copy)]
enum Unit {
    ImagesPerSecond,
    Milliseconds,
    Seconds,
}

/// Arguments: words, and then paths.
pub fn arguments(words: &str, paths: &[&Path]) -> Vec<String> {
    let paths = paths.iter().map(|path| path.display().to_string());
    words.split(' ').map(String::from).chain(paths).collect()
}

#[rustfmt::skip]
fn contests() -> Vec<Contest> {
    use Unit::*;
    let resident = |work, unit, pairs, bar, ours, against, theirs| Contest { work, unit, ours, against, theirs, whole: false, pairs, bar };
    let whole = |work, unit, pairs, bar, ours, against, theirs| Contest { work, unit, ours, against, theirs, whole: true, pairs, bar };
    vec![
        resident("DCGAN step 64×64, batch 128, f32", ImagesPerSecond, 5, None,
            |_| compute::dcgan_step(&TUTORIAL, 128, F32), "torch", |_| arguments("dcgan --mode f32", &[])),
        resident("DCGAN step 64×64, batch 128, f32", ImagesPerSecond, 5, None,
            |_| compute::dcgan_step(&TUTORIAL, 128, F32), "torch, channels_last", |_| arguments("dcgan --mode f32 --channels-last", &[])),
        resident("DCGAN step 64×64, batch 128, bf16", ImagesPerSecond, 5, None,
            |_| compute::dcgan_step(&TUTORIAL, 128, Bf16), "torch, channels_last", |_| arguments("dcgan --mode bf16 --channels-last", &[])),
        resident("DCGAN step 64×64, batch 128, bf16", ImagesPerSecond, 5, Some(2.0),
            |_| compute::dcgan_step(&TUTORIAL, 128, Bf16), "torch.compile", |_| arguments("dcgan --mode bf16 --compile", &[])),
        resident("DCGAN step, cats recipe, batch 32, f32", ImagesPerSecond, 7, Some(1.7),
            |_| compute::dcgan_step(&CATS, 32, F32), "torch, channels_last", |_| arguments("dcgan --cats --mode f32 --channels-last", &[])),
        resident("DCGAN step, cats recipe, batch 32, bf16", ImagesPerSecond, 7, Some(1.7),
            |_| compute::dcgan_step(&CATS, 32, Bf16), "torch, channels_last", |_| arguments("dcgan --cats --mode bf16 --channels-last", &[])),
        resident("MLP GAN step, batch 100, f32", Milliseconds, 5, None,
            |_| compute::mlp_steps(), "torch", |_| arguments("mlp", &[])),
        whole("sample 3,000 PNGs, f32", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, F32), "torch, channels_last, whole process", |workspace| sample(workspace, "f32")),
        resident("sample 3,000 PNGs, f32", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, F32), "torch, channels_last, loaded before", |workspace| sample(workspace, "f32")),
        whole("sample 3,000 PNGs, bf16", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, Bf16), "torch, channels_last, whole process", |workspace| sample(workspace, "bf16")),
        resident("sample 3,000 PNGs, bf16", ImagesPerSecond, 3, None,
            |workspace| process::sample(workspace, Bf16), "torch, channels_last, loaded before", |workspace| sample(workspace, "bf16")),
        resident("prep of JPEGs", ImagesPerSecond, 3, None,
            process::prep, "torchvision's DataLoader, loaded before", |workspace| prep(workspace, "torchvision")),
        resident("prep of JPEGs", ImagesPerSecond, 3, None,
            process::prep, "OpenCV, INTER_AREA, loaded before", |workspace| prep(workspace, "opencv")),
        resident("Inception features, batch 50, f32", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, F32), "torch, channels_last, pytorch-fid's network", |workspace| inception(workspace, "torch --mode f32")),
        resident("Inception features, batch 50, f32", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, F32), "onnxruntime, the same network", |workspace| inception(workspace, "onnxruntime --mode f32")),
        resident("Inception features, batch 50, bf16", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, Bf16), "torch, channels_last, pytorch-fid's network", |workspace| inception(workspace, "torch --mode bf16")),
        resident("Inception features, batch 50, bf16", ImagesPerSecond, 3, None,
            |workspace| compute::inception(workspace, Bf16), "OpenVINO, the same network", |workspace| inception(workspace, "openvino --mode bf16")),
        resident("Fréchet distance, 2048 dims", Seconds, 5, None,
            compute::frechet, "numpy, Cholesky and eigvalsh", |workspace| frechet(workspace, "cholesky")),
        resident("Fréchet distance, 2048 dims", Seconds, 1, None,
            compute::frechet, "scipy, sqrtm, as pytorch-fid has it", |workspace| frechet(workspace, "sqrtm")),
        whole("fid against stats.npz, f32", Seconds, 1, Some(2.5),
            |workspace| process::fid(workspace, F32), "pytorch-fid, whole process", fid),
        whole("fid against stats.npz, bf16", Seconds, 1, Some(6.0),
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

fn frechet(workspace: &Workspace, method: &str) -> Vec<String> {
    let [a, b] = workspace.stats();
    arguments(&format!("frechet --method {method}"), &[&a, &b])
}

fn fid(workspace: &Workspace) -> Vec<String> {
    arguments("fid", &[workspace.weights(), &workspace.stats()[0], workspace.samples()])
}

/// The seconds of both in each pair, and the version of what they use.
fn measure(contest: &Contest, workspace: &Workspace) -> Result<(f64, Vec<[f64; 2]>, String), String> {
    let theirs = (contest.theirs)(workspace);
    let mut peer = if contest.whole { None } else { Some(Peer::start(&theirs)?) };
    let mut version = peer.as_ref().map(|p| p.version.clone()).unwrap_or_default();
    let mut ours = (contest.ours)(workspace);
    if !contest.whole {
        (ours.work)();
    }
    let mut pairs = Vec::new();
    for _ in 0..contest.pairs {
        // Threads that spin for a while after their work have gone to sleep by then.
        let rest = || sleep(Duration::from_millis(300));
        rest();
        let our_seconds = (ours.work)();
        rest();
        let their_seconds = match &mut peer {
            Some(peer) => peer.repeat()?,
            None => {
                let done = peer::whole(&theirs)?;
                version = done.version;
                done.seconds
            }
        };
        pairs.push([our_seconds, their_seconds]);
    }
    Ok((ours.count, pairs, version))
}

/// Holds the contests that are wanted and prints each when it is done.
pub fn run(workspace: &Workspace, wanted: impl Fn(&str) -> bool) {
    TABLE.head();
    for contest in contests().iter().filter(|c| wanted(&format!("{} {}", c.work, c.against))) {
        let bar = contest.bar.map_or("–".into(), |bar| bar.to_string());
        let cells = match measure(contest, workspace) {
            Ok((count, pairs, version)) => result(contest, count, &pairs, &version, bar),
            Err(reason) => {
                let none = || "–".to_string();
                [
                    contest.work.into(),
                    contest.against.into(),
                    none(),
                    none(),
                    none(),
                    bar,
                    format!("– {reason}"),
                ]
            }
        };
        TABLE.row(&cells);
    }
}

fn result(contest: &Contest, count: f64, pairs: &[[f64; 2]], version: &str, bar: String) -> [String; 7] {
    let figure = |seconds: f64| match contest.unit {
        Unit::ImagesPerSecond => format!("{} images/s", number(count / seconds)),
        Unit::Milliseconds => format!("{} ms", number(seconds / count * 1e3)),
        Unit::Seconds => format!("{} s", number(seconds)),
    };
    let [ours, theirs] = [0, 1].map(|side| Spread::of(pairs.iter().map(|pair| pair[side]).collect()).median);
    let ratios = Spread::of(pairs.iter().map(|[ours, theirs]| theirs / ours).collect());
    let times = theirs / ours;
    let reached = contest.bar.map_or("–", |bar| if times >= bar { "yes" } else { "no" });
    [
        contest.work.into(),
        format!("{} ({version})", contest.against),
        figure(ours),
        figure(theirs),
        format!("{times:.2} ({:.2} to {:.2})", ratios.least, ratios.most),
        bar,
        reached.into(),
    ]
}
