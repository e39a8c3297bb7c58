//! The four built binaries chained as a person chains them, in one folder, twice.

use std::fs;
use std::path::Path;

use crate::common::Sandbox;

/// The smallest training that still goes through every layer.
const TINY: &str = "--steps 2 --batch 16 --ngf 8 --ndf 8 --nz 8 -q";

/// The stdout of a line that must succeed, without the end of line.
#[track_caller]
fn ok(sandbox: &Sandbox, line: &str) -> String {
    let done = sandbox.shell(line);
    assert_eq!(done.code, Some(0), "{line}\n{}", done.stderr);
    done.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("{line}: no line")).to_string()
}

fn score(text: &str) -> f64 {
    text.strip_prefix("FD-SqueezeNet ").unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn one_pipe_from_faces_to_a_score_twice() {
    let sandbox = Sandbox::new();
    let line = format!(
        "prep --demo 48 --size 32 -q | train {TINY} | sample -n 20 -q \
         | fid --features squeezenet -q demo-32.safetensors"
    );
    let first = score(&ok(&sandbox, &line));
    assert!(first > 0.0 && first.is_finite());
    assert_eq!(sandbox.names("."), ["G.safetensors", "demo-32.safetensors", "fakes", "runs"]);
    assert_eq!(
        fs::read_link(sandbox.path("G.safetensors")).unwrap(),
        Path::new("runs/demo-32/G.safetensors")
    );
    // Once more in the same folder: the same seeds, hence the same number, in a run folder of its own.
    assert_eq!(score(&ok(&sandbox, &line)), first);
    assert_eq!(sandbox.names("runs"), ["demo-32", "demo-32-2"]);
    assert_eq!(
        fs::read_link(sandbox.path("G.safetensors")).unwrap(),
        Path::new("runs/demo-32-2/G.safetensors")
    );
    assert_eq!(sandbox.names("fakes").len(), 21, "twenty images and the marker");
}

#[test]
fn json_goes_through_the_pipe() {
    let sandbox = Sandbox::new();
    let line = format!(
        "prep --demo 48 --size 32 -q --json | train {TINY} --json | sample -n 20 -q --json \
         | fid --features squeezenet -q --json demo-32.safetensors"
    );
    let text = ok(&sandbox, &line);
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(object["fd_squeezenet"].as_f64().unwrap() > 0.0, "{text}");
    assert!(object.get("fid").is_none(), "an FD-SqueezeNet is not a FID: {text}");
}

#[test]
fn line_by_line_with_statistics_twice() {
    let sandbox = Sandbox::new();
    let mut scores = Vec::new();
    for _ in 0..2 {
        let shard = ok(&sandbox, "prep --demo 48 --size 32 -q");
        assert_eq!(shard, "demo-32.safetensors");
        let stats = ok(&sandbox, "fid -q --features squeezenet --save-stats demo-32.safetensors stats.npz");
        assert_eq!(stats, "stats.npz");
        ok(&sandbox, &format!("echo demo-32.safetensors | train {TINY}"));
        assert_eq!(ok(&sandbox, "sample G.safetensors -n 20 -q"), "fakes/");
        // The statistics say which features they are of.
        scores.push(score(&ok(&sandbox, "fid -q stats.npz fakes/")));
    }
    assert_eq!(scores[0], scores[1]);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let run = |threads: u32| {
        let sandbox = Sandbox::new();
        let t = format!("--threads {threads}");
        let line = format!(
            "prep --demo 48 --size 32 -q {t} | train {TINY} {t} | sample -n 20 -q {t} --batch-size {} \
             | fid --features squeezenet -q {t} demo-32.safetensors",
            7 * threads
        );
        let number = ok(&sandbox, &line);
        let files = [
            "demo-32.safetensors",
            "runs/demo-32/G.safetensors",
            "runs/demo-32/D.safetensors",
            "runs/demo-32/state.safetensors",
            "runs/demo-32/samples/epoch-0001.png",
            "fakes/000000.png",
            "fakes/000019.png",
        ];
        (number, files.map(|f| sandbox.read(f)))
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(one.0, two.0);
    assert!(one.1 == two.1, "some file differs");
}

#[test]
fn an_empty_pipe_is_one_line_and_exit_1() {
    let sandbox = Sandbox::new();
    for line in ["true | train", "true | sample", "true | fid a.npz -q"] {
        let done = sandbox.shell(line);
        assert!(done.failure(1).starts_with("stdin is empty"), "{}", done.stderr);
    }
    // What failed first says so, and what follows adds one line, no more.
    let done = sandbox.shell("prep no-such-folder/ -q | train -q | sample -q | fid -q a.npz");
    assert_eq!(done.code, Some(1));
    assert_eq!(done.stderr.lines().count(), 4, "{}", done.stderr);
    assert!(done.stderr.contains("prep: no-such-folder/: "), "{}", done.stderr);
    assert!(sandbox.names(".").is_empty(), "nothing was left behind");
}

#[test]
fn a_side_that_the_pipe_is_still_to_make_is_waited_for() {
    let sandbox = Sandbox::new();
    let done = sandbox
        .shell("{ sleep 0.3; prep --demo 8 --size 32 -q; } | fid --features squeezenet demo-32.safetensors");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.starts_with("fid: demo-32.safetensors: does not exist yet"), "{}", done.stderr);
    assert_eq!(score(done.stdout.trim_end()), 0.0, "a shard against itself");
    // What is there and wrong is said at once, not when the pipe is done.
    sandbox.write("wrong.npz", "no zip");
    let start = std::time::Instant::now();
    let done = sandbox.shell("fid -q wrong.npz < <(exec sleep 30 >/dev/null 2>&1)");
    assert!(done.failure(1).starts_with("wrong.npz: "), "{}", done.stderr);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_closed_pipe_ends_a_tool_quietly() {
    let sandbox = Sandbox::new();
    for line in
        ["prep --help", "train --list-recipes", "sample --help", "fid --help", "prep --demo 3 -q --size 32"]
    {
        // The reader is gone before the tool writes.
        let done = sandbox.shell(&format!("{{ sleep 0.2; {line}; }} | true"));
        assert_eq!((done.code, &*done.stderr), (Some(0), ""), "{line}");
    }
    // stderr too may go: the work is done all the same.
    let line = format!("train demo-32.safetensors {} 2> >(true) | cat", TINY.replace(" -q", ""));
    assert_eq!(ok(&sandbox, &line), "runs/demo-32/G.safetensors");
}

#[test]
fn what_needs_no_operand_reads_no_stdin() {
    let sandbox = Sandbox::new();
    // A stdin that never ends would hang a tool that reads it.
    for line in ["train --list-recipes", "prep --demo 2 --size 32 -q", "train --dry-run"] {
        ok(&sandbox, &format!("timeout 20 {line} < <(exec sleep 30 >/dev/null 2>&1)"));
    }
}

#[test]
fn a_full_disk_leaves_nothing_under_a_final_name() {
    let sandbox = Sandbox::new();
    // A limit on the size of files stands in for the full disk: a write past it fails in the same place.
    let limited = |line: &str| sandbox.shell(&format!("trap '' XFSZ; ulimit -f 64; {line}"));
    let done = limited("prep --demo 400 --size 32 -q");
    assert!(done.failure(1).starts_with("demo-32.safetensors: "), "{}", done.stderr);
    assert!(sandbox.names(".").is_empty(), "{:?}", sandbox.names("."));
    ok(&sandbox, "prep --demo 48 --size 32 -q");
    let done = limited("train demo-32.safetensors --steps 1 --batch 16 -q");
    assert!(done.failure(1).contains("runs/demo-32/"), "{}", done.stderr);
    assert!(!sandbox.path("runs/demo-32/G.safetensors").exists() && !sandbox.path("G.safetensors").exists());
}

/// The complete chain on a GPU: the same images and scores as on the CPU except for rounding.
#[cfg(feature = "cuda")]
#[test]
fn the_chain_on_the_gpu_comes_to_what_the_cpu_does() {
    let sandbox = Sandbox::new();
    ok(&sandbox, "prep --demo 48 --size 32 -q");
    let scores = ["cpu", "cuda"].map(|device| {
        ok(&sandbox, &format!("train demo-32.safetensors {TINY} --device {device} -o {device}"));
        ok(&sandbox, &format!("sample {device}/G.safetensors -n 20 -q --device {device} -o {device}-fakes"));
        let fid = "fid --features squeezenet -q demo-32.safetensors";
        score(&ok(&sandbox, &format!("{fid} {device}-fakes --device {device}")))
    });
    assert!((scores[0] / scores[1] - 1.0).abs() < 1e-3, "{scores:?}");
    for i in 0..20 {
        let pixels = ["cpu", "cuda"].map(|device| {
            let file = sandbox.path(format!("{device}-fakes/{i:06}.png"));
            image::open(file).unwrap().into_rgb8().into_raw()
        });
        let most = pixels[0].iter().zip(&pixels[1]).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(1), "image {i}: {most:?}");
    }
    let losses = ["cpu", "cuda"].map(|device| {
        let text = String::from_utf8(sandbox.read(format!("{device}/metrics.jsonl"))).unwrap();
        let of =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss_d"].as_f64().unwrap();
        text.lines().map(of).collect::<Vec<f64>>()
    });
    assert_eq!(losses[1].len(), 2);
    assert!(losses[0].iter().zip(&losses[1]).all(|(a, b)| (a - b).abs() < 1e-4), "{losses:?}");
}
