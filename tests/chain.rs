//! The four built binaries chained as a person chains them, in one folder, twice.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The smallest training that still goes through every layer.
const TINY: &str = "--steps 2 --batch 16 --ngf 8 --ndf 8 --nz 8 -q";

/// Runs a line of bash in `folder` with the built tools on the PATH, under `pipefail`, stdin empty.
fn bash(folder: &Path, line: &str) -> Output {
    let tools = Path::new(env!("CARGO_BIN_EXE_prep")).parent().unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("set -o pipefail; {line}")]).current_dir(folder).env("PATH", path);
    command.stdin(Stdio::null()).output().unwrap()
}

/// The same, of a line that must succeed: its stdout without the end of line.
#[track_caller]
fn ok(folder: &Path, line: &str) -> String {
    let out = bash(folder, line);
    assert!(out.status.success(), "{line}\n{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.ends_with('\n'), "{line}: {text:?}");
    text.trim_end_matches('\n').to_string()
}

/// The same, of a line that must fail: its exit status and its one line of stderr.
#[track_caller]
fn fails(folder: &Path, line: &str) -> (i32, String) {
    let out = bash(folder, line);
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(
        !out.status.success() && out.stdout.is_empty(),
        "{line}: {:?}",
        String::from_utf8_lossy(&out.stdout)
    );
    assert_eq!(text.lines().count(), 1, "{line}: not one line: {text}");
    (out.status.code().unwrap(), text.trim_end().to_string())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn score(text: &str) -> f64 {
    text.strip_prefix("FD-SqueezeNet ").unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn one_pipe_from_faces_to_a_score_twice() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let line = format!(
        "prep --demo 48 --size 32 -q | train {TINY} | sample -n 20 -q | fid --features squeezenet -q demo-32.safetensors"
    );
    let first = score(&ok(at, &line));
    assert!(first > 0.0 && first.is_finite());
    assert_eq!(names(at), ["G.safetensors", "demo-32.safetensors", "fakes", "runs"]);
    assert_eq!(fs::read_link(at.join("G.safetensors")).unwrap(), Path::new("runs/demo-32/G.safetensors"));
    // Once more in the same folder: the same seeds, hence the same number, in a run folder of its own.
    assert_eq!(score(&ok(at, &line)), first);
    assert_eq!(names(&at.join("runs")), ["demo-32", "demo-32-2"]);
    assert_eq!(fs::read_link(at.join("G.safetensors")).unwrap(), Path::new("runs/demo-32-2/G.safetensors"));
    assert_eq!(names(&at.join("fakes")).len(), 21, "twenty pictures and the marker");
}

#[test]
fn json_goes_through_the_pipe() {
    let folder = TempDir::new().unwrap();
    let line = format!(
        "prep --demo 48 --size 32 -q --json | train {TINY} --json | sample -n 20 -q --json \
         | fid --features squeezenet -q --json demo-32.safetensors"
    );
    let text = ok(folder.path(), &line);
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(object["fd_squeezenet"].as_f64().unwrap() > 0.0, "{text}");
    assert!(object.get("fid").is_none(), "an FD-SqueezeNet is not a FID: {text}");
}

#[test]
fn line_by_line_with_statistics_twice() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let mut scores = Vec::new();
    for _ in 0..2 {
        let shard = ok(at, "prep --demo 48 --size 32 -q");
        assert_eq!(shard, "demo-32.safetensors");
        let stats = ok(at, "fid -q --features squeezenet --save-stats demo-32.safetensors stats.npz");
        assert_eq!(stats, "stats.npz");
        ok(at, &format!("echo demo-32.safetensors | train {TINY}"));
        assert_eq!(ok(at, "sample G.safetensors -n 20 -q"), "fakes/");
        // The statistics say which features they are of.
        scores.push(score(&ok(at, "fid -q stats.npz fakes/")));
    }
    assert_eq!(scores[0], scores[1]);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let run = |threads: u32| {
        let folder = TempDir::new().unwrap();
        let at = folder.path();
        let t = format!("--threads {threads}");
        let line = format!(
            "prep --demo 48 --size 32 -q {t} | train {TINY} {t} | sample -n 20 -q {t} --batch {} \
             | fid --features squeezenet -q {t} demo-32.safetensors",
            7 * threads
        );
        let number = ok(at, &line);
        let run = at.join("runs/demo-32");
        let files = [
            at.join("demo-32.safetensors"),
            run.join("G.safetensors"),
            run.join("D.safetensors"),
            run.join("state.safetensors"),
            run.join("samples/epoch-0001.png"),
            at.join("fakes/000000.png"),
            at.join("fakes/000019.png"),
        ];
        (number, files.map(|f| fs::read(f).unwrap()))
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(one.0, two.0);
    assert!(one.1 == two.1, "some file differs");
}

#[test]
fn an_empty_pipe_is_one_line_and_exit_1() {
    let folder = TempDir::new().unwrap();
    for (line, tool) in [("true | train", "train"), ("true | sample", "sample"), ("true | fid a.npz", "fid")]
    {
        let (code, text) = fails(folder.path(), line);
        assert_eq!(code, 1, "{line}: {text}");
        assert!(text.starts_with(&format!("{tool}: stdin is empty")), "{text}");
    }
    // What failed first says so, and what follows adds one line, no more.
    let out = bash(folder.path(), "prep no-such-folder/ -q | train -q | sample -q | fid -q a.npz");
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("prep: no-such-folder/: "), "{text}");
    assert!(names(folder.path()).is_empty(), "nothing was left behind");
}

#[test]
fn a_closed_pipe_ends_a_tool_quietly() {
    let folder = TempDir::new().unwrap();
    for line in
        ["prep --help", "train --list-recipes", "sample --help", "fid --help", "prep --demo 3 -q --size 32"]
    {
        // The reader is gone before the tool writes.
        let out = bash(folder.path(), &format!("{{ sleep 0.2; {line}; }} | true"));
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{line}");
        assert_eq!(out.status.code(), Some(0), "{line}");
    }
    // stderr too may go: the work is done all the same.
    let line = format!("train demo-32.safetensors {} 2> >(true) | cat", TINY.replace(" -q", ""));
    assert_eq!(ok(folder.path(), &line), "runs/demo-32/G.safetensors");
}

#[test]
fn what_needs_no_operand_reads_no_stdin() {
    let folder = TempDir::new().unwrap();
    // A stdin that never ends would hang whoever read it.
    for line in ["train --list-recipes", "prep --demo 2 --size 32 -q", "train --dry-run"] {
        ok(folder.path(), &format!("timeout 20 {line} < <(sleep 100)"));
    }
}

#[test]
fn a_full_disk_leaves_nothing_under_a_final_name() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // A limit on the size of files stands in for the full disk: a write past it fails in the same place.
    let limited = |line: &str| fails(at, &format!("trap '' XFSZ; ulimit -f 64; {line}"));
    let (code, text) = limited("prep --demo 400 --size 32 -q");
    assert!(code == 1 && text.starts_with("prep: demo-32.safetensors: "), "{text}");
    assert!(names(at).is_empty(), "{:?}", names(at));
    ok(at, "prep --demo 48 --size 32 -q");
    let (code, text) = limited("train demo-32.safetensors --steps 1 --batch 16 -q");
    assert!(code == 1 && text.contains("runs/demo-32/"), "{text}");
    assert!(!at.join("runs/demo-32/G.safetensors").exists() && !at.join("G.safetensors").exists());
}
