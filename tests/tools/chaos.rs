//! Faults while the tools work: kills at every call and at random moments, disks that fail, fill up or are
//! read-only, shards that are truncated while they are mapped. No incomplete file has a final name, and
//! resuming gives the result of an undisturbed run.
//!
//! `just test` runs a part, `just chaos` (GANTOOLS_CHAOS=1) all of it; docs/reliability.md has the figures.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::common::{Done, Sandbox};
use crate::faults::{self, Act};

/// Whether all tests are requested.
fn full() -> bool {
    std::env::var_os("GANTOOLS_CHAOS").is_some()
}

/// The work of a tool: its command line, and the one that resumes it after a kill.
struct Stage {
    name: &'static str,
    line: &'static str,
    /// Where there is a run's state.
    again: Option<&'static str>,
}

const STAGES: [Stage; 4] = [
    Stage { name: "prep", line: "prep --demo 12 --size 32 -o faces.safetensors -q --force", again: None },
    Stage {
        name: "train",
        line: "train faces.safetensors --recipe demo --epochs 3 --batch-size 8 --ngf 2 --ndf 2 --nz 5 \
               --snapshot-epochs 1,2 --score-every 2 -o run -q --force",
        again: Some("train faces.safetensors --resume=run -q"),
    },
    Stage {
        name: "sample",
        line: "sample run/G.safetensors -n 9 -o fakes --grid grid.png --save-latents z.safetensors -q",
        again: None,
    },
    Stage {
        name: "fid",
        line: "fid --save-stats faces.safetensors stats.npz --features squeezenet -q --force",
        again: None,
    },
];

/// The files of a folder by their paths, but for the page, whose times differ.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(sandbox: &Sandbox) -> Files {
    fn walk(root: &Path, below: &Path, files: &mut Files) {
        for entry in fs::read_dir(root.join(below)).unwrap().map(|entry| entry.unwrap()) {
            let path = below.join(entry.file_name());
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => walk(root, &path, files),
                _ if path.ends_with("report.html") => {}
                // A link to what is not there yet.
                kind if kind.is_symlink() => {
                    files.insert(
                        path,
                        fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
                    );
                }
                _ => {
                    files.insert(path.clone(), timeless(&path, fs::read(entry.path()).unwrap()));
                }
            }
        }
    }
    let mut all = Files::new();
    walk(&sandbox.path(""), Path::new(""), &mut all);
    all
}

/// Metrics without their speeds.
fn timeless(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    if !path.ends_with("metrics.jsonl") {
        return bytes;
    }
    let text = String::from_utf8(bytes).unwrap();
    let lines = text.split_inclusive('\n').map(|line| match line.split_once(",\"images_per_second\"") {
        Some((numbers, _)) if line.ends_with('\n') => format!("{numbers}\n"),
        _ => line.to_string(),
    });
    lines.collect::<String>().into_bytes()
}

/// Puts a folder into the state that `files` were of.
fn restore(sandbox: &Sandbox, files: &Files) {
    for entry in fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    for (path, bytes) in files {
        let to = sandbox.path(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        match path == Path::new("G.safetensors") {
            true => std::os::unix::fs::symlink(String::from_utf8(bytes.clone()).unwrap(), to).unwrap(),
            false => fs::write(to, bytes).unwrap(),
        }
    }
}

/// Whether a path is a temporary one of a tool.
fn is_hidden(path: &Path) -> bool {
    let hidden =
        |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".") && name != ".gantools.json";
    path.components().any(|part| hidden(part.as_os_str()))
}

/// Every file under a final name is the old one or the new one, or complete in a run directory, where files
/// are written epoch by epoch.
#[track_caller]
fn check_whole(what: &str, now: &Files, before: &Files, after: &Files) {
    for (path, bytes) in now.iter().filter(|(path, _)| !is_hidden(path)) {
        if before.get(path) == Some(bytes) || after.get(path) == Some(bytes) {
            continue;
        }
        let is_whole = match path.extension().and_then(|e| e.to_str()) {
            _ if !path.starts_with("run") => false,
            Some("safetensors") => safetensors::SafeTensors::deserialize(bytes).is_ok(),
            Some("png" | "gif") => image::load_from_memory(bytes).is_ok(),
            Some("svg") => bytes.starts_with(b"<svg ") && bytes.ends_with(b"</svg>\n"),
            // A line is written at once, but a kill may come before the last one's end.
            Some("jsonl") => {
                let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                after.get(path).is_some_and(|after| after.starts_with(&bytes[..end]))
            }
            _ => false,
        };
        assert!(is_whole, "{what}: {} is not whole ({} bytes)", path.display(), bytes.len());
    }
    // Nothing is gone, except what a new run removes first, and all files of a folder are of one call of
    // `sample`.
    for path in before.keys().filter(|path| !path.starts_with("run") && !path.starts_with("fakes")) {
        assert!(now.contains_key(path), "{what}: {} is gone", path.display());
    }
    let fakes = |files: &Files| -> Files {
        files
            .iter()
            .filter(|(path, _)| path.starts_with("fakes"))
            .map(|(p, b)| (p.clone(), b.clone()))
            .collect()
    };
    assert!([fakes(before), fakes(after)].contains(&fakes(now)), "{what}: fakes/ is of no one making");
}

/// What an undisturbed one leaves, and nothing else.
#[track_caller]
fn check_equal(what: &str, now: &Files, after: &Files) {
    for (path, bytes) in after {
        // The state before the last is another where a run was stopped in between.
        let same = now.get(path) == Some(bytes) || path.ends_with("state.previous.safetensors");
        assert!(same && now.contains_key(path), "{what}: {} is another", path.display());
    }
    let more: Vec<_> = now.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(more.is_empty(), "{what}: left over {more:?}");
}

/// Resumes a stage to its end: a run from its state, if it has one.
fn go_on(sandbox: &Sandbox, stage: &Stage) -> Done {
    let resumable =
        ["state", "state.previous"].iter().any(|s| sandbox.path(format!("run/{s}.safetensors")).exists());
    match stage.again.filter(|_| resumable) {
        Some(again) => {
            let done = sandbox.run(again);
            // It was killed after its last state; or before it took the place of the older one.
            match ["the run is complete", "has other images"].iter().any(|what| done.stderr.contains(what)) {
                true => sandbox.run(stage.line),
                false => done,
            }
        }
        None => sandbox.run(stage.line),
    }
}

/// The stages before and after, in a place where older results lie: those that a stage replaces. Runs `each`
/// on them.
fn with_stages(each: impl Fn(&Sandbox, &Stage, &Files, &Files)) {
    let sandbox = Sandbox::new();
    let older = [
        "prep --demo 9 --seed 4 --size 32 -o faces.safetensors -q",
        "train faces.safetensors --recipe demo --steps 1 --batch-size 4 --ngf 2 --ndf 2 --nz 5 -o run -q",
        "sample run/G.safetensors -n 7 -o fakes --grid grid.png --save-latents z.safetensors -q",
        "fid --save-stats faces.safetensors stats.npz --features squeezenet -q",
    ];
    older.iter().for_each(|line| assert!(!sandbox.run(line).line().is_empty()));
    for stage in &STAGES {
        let before = files(&sandbox);
        sandbox.run(stage.line).line();
        let after = files(&sandbox);
        each(&sandbox, stage, &before, &after);
        restore(&sandbox, &after);
    }
}

/// Killed before each of its calls that change the file system.
#[test]
fn killed_at_every_call() {
    with_stages(|sandbox, stage, before, after| {
        let (mut kills, step) = (0, if full() { 1 } else { 7 });
        for at in (0..).step_by(step) {
            restore(sandbox, before);
            let decide = |number, _: &str| if number == at { Act::Kill } else { Act::Go };
            let Some((output, calls)) = faults::run(sandbox.command(stage.line), decide) else { return };
            if output.status.success() {
                assert!(calls.len() <= at && kills > 0, "{}: not killed at {at}", stage.name);
                break;
            }
            kills += 1;
            let what = format!("{} killed before call {at}, {}", stage.name, calls[at]);
            check_whole(&what, &files(sandbox), before, after);
            go_on(sandbox, stage).line();
            check_equal(&what, &files(sandbox), after);
        }
        eprintln!("{}: killed at {kills} calls", stage.name);
    });
}

/// What is renamed is on the disk before, and its new name after: a power cut is no worse than a kill.
#[test]
fn what_takes_its_name_is_synced_before_and_after() {
    with_stages(|sandbox, stage, before, _| {
        restore(sandbox, before);
        let mut calls = Vec::new();
        let decide = |_, name: &str| {
            calls.push(name.to_string());
            Act::Go
        };
        let Some((output, _)) = faults::run(sandbox.command(stage.line), decide) else { return };
        assert!(output.status.success());
        // One thread writes the files that matter, so the calls are in its order.
        let renames: Vec<usize> = (0..calls.len()).filter(|&i| calls[i] == "rename").collect();
        assert!(!renames.is_empty());
        for at in renames {
            let before = calls[..at].iter().rev().find(|name| *name != "flock");
            // A second name for the last state: the sync of the folder comes with the new one, below.
            if calls[at - 1] == "link" {
                continue;
            }
            let before = before.is_some_and(|name| name.contains("sync") || name == "symlink");
            assert!(before, "{}, call {at}: {calls:?}", stage.name);
            let after = calls[at + 1..].iter().find(|name| *name != "flock");
            assert!(after.is_some_and(|name| name == "fsync"), "{}, call {at}: {calls:?}", stage.name);
        }
    });
}

/// Each of its calls fails once, and a full disk from each on: one line and exit 1, or all the same the right
/// result.
#[test]
fn every_call_fails_once() {
    with_stages(|sandbox, stage, before, after| {
        let (mut failed, mut borne, step) = (0, 0, if full() { 1 } else { 9 });
        for (error, for_good) in [(libc::EIO, false), (libc::ENOSPC, true)] {
            for at in (0..).step_by(step) {
                restore(sandbox, before);
                let decide = |number: usize, name: &str| match name {
                    "openat" | "write" | "pwrite64" | "mkdir" | "link" | "symlink" | "ftruncate"
                        if for_good && number >= at =>
                    {
                        Act::Fail(error)
                    }
                    _ if !for_good && number == at => Act::Fail(error),
                    _ => Act::Go,
                };
                let Some((output, calls)) = faults::run(sandbox.command(stage.line), decide) else { return };
                let reached = at < calls.len();
                let name = calls.get(at).copied().unwrap_or("none");
                let done = Done::from(output);
                let what = format!("{}: {error} at call {at}, {name}: {}", stage.name, done.stderr);
                let now = files(sandbox);
                check_whole(&what, &now, before, after);
                match done.code {
                    Some(0) => {
                        borne += 1;
                        // What was replaced and could not be removed is there still, until the next one
                        // removes it.
                        let mut seen = now;
                        seen.retain(|path, _| name != "unlink" || !is_hidden(path));
                        check_equal(&what, &seen, after);
                        if name == "unlink" {
                            sandbox.run(stage.line).line();
                            check_equal(&what, &files(sandbox), after);
                        }
                    }
                    _ => {
                        failed += 1;
                        let line = done.failure(1);
                        assert!(line.contains("os error") || line.contains("device"), "{what}");
                        assert!(line.contains(": "), "{what}");
                        // What it was making is gone, unless removing is what failed.
                        let left = now.keys().filter(|path| is_hidden(path)).count();
                        assert!(left == 0 || name == "unlink", "{what}");
                        go_on(sandbox, stage).line();
                        check_equal(&what, &files(sandbox), after);
                    }
                }
                if !reached {
                    break;
                }
            }
        }
        eprintln!("{}: {failed} failures reported, {borne} tolerated", stage.name);
    });
}

/// Each read of a file fails once: one line and exit 1, or all the same the right result.
#[test]
fn every_read_fails_once() {
    with_stages(|sandbox, stage, before, after| {
        let (mut failed, mut borne, step) = (0, 0, if full() { 1 } else { 3 });
        for at in (0..).step_by(step) {
            restore(sandbox, before);
            let decide = |number| if number == at { Act::Fail(libc::EIO) } else { Act::Go };
            let folder = sandbox.path("");
            let Some((output, calls)) = faults::run_reading(sandbox.command(stage.line), &folder, decide)
            else {
                return;
            };
            let done = Done::from(output);
            let what = format!("{}: read {at} of {}: {}", stage.name, calls.len(), done.stderr);
            check_whole(&what, &files(sandbox), before, after);
            match done.code {
                Some(0) => borne += 1,
                _ => {
                    failed += 1;
                    assert!(!done.failure(1).is_empty(), "{what}");
                    assert!(!files(sandbox).keys().any(|path| is_hidden(path)), "{what}");
                    go_on(sandbox, stage).line();
                }
            }
            check_equal(&what, &files(sandbox), after);
            if at >= calls.len() {
                break;
            }
        }
        eprintln!("{}: {failed} failed reads reported, {borne} tolerated", stage.name);
    });
}

/// Killed at random moments, one tool after the other, until all four have done their work; then from the
/// start again.
#[test]
fn killed_at_random_moments() {
    let sandbox = Sandbox::new();
    let mut whole = vec![Files::new()];
    let mut took = Vec::new();
    for stage in &STAGES {
        let start = Instant::now();
        sandbox.run(stage.line).line();
        took.push(start.elapsed());
        whole.push(files(&sandbox));
    }
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let (mut kills, mut rounds, wanted) = ([0; 4], 0, if full() { 1000 } else { 40 });
    while kills.iter().sum::<u32>() < wanted {
        restore(&sandbox, &Files::new());
        for (i, stage) in STAGES.iter().enumerate() {
            // Three kills at most: a tool that begins anew each time would never end.
            for _ in 0..3 {
                let resumable = stage.again.filter(|_| sandbox.path("run/state.safetensors").exists());
                let mut child = sandbox.command(resumable.unwrap_or(stage.line)).spawn().unwrap();
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                std::thread::sleep(took[i].mul_f64(random as f64 / u64::MAX as f64));
                if child.try_wait().unwrap().is_some_and(|status| status.success()) {
                    break;
                }
                child.kill().unwrap();
                let killed = child.wait().unwrap().code().is_none();
                kills[i] += u32::from(killed);
                let what = format!("{} killed in round {rounds}", stage.name);
                check_whole(&what, &files(&sandbox), &whole[i], &whole[i + 1]);
            }
            go_on(&sandbox, stage).line();
            check_equal(&format!("{} in round {rounds}", stage.name), &files(&sandbox), &whole[i + 1]);
        }
        rounds += 1;
    }
    eprintln!("kills {:?} of prep, train, sample and fid in {rounds} rounds, bytes lost: 0", kills);
}

/// SIGTERM ends a run with its state saved; with SIGINT as well it exits at once, as it was last saved. Both
/// resume.
#[test]
fn a_second_signal_leaves_at_once() {
    let sandbox = Sandbox::with_faces();
    let line = "train faces-32.safetensors --recipe demo --batch-size 8 --ngf 2 --ndf 2 --nz 5 -q";
    for (run, signals, code) in
        [("one", &[libc::SIGTERM][..], 0), ("two", &[libc::SIGINT, libc::SIGTERM], 130)]
    {
        let mut child = sandbox.command(&format!("{line} --steps 100000 -o {run}")).spawn().unwrap();
        let state = format!("{run}/state.safetensors");
        wait_for(|| sandbox.path(&state).exists());
        // Stopped, it takes both signals at once.
        signal(&child, &[&[libc::SIGSTOP], signals, &[libc::SIGCONT]].concat());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{run}");
        let goal = sandbox.run(&format!("train --info {state} --json")).json()["step"].as_u64().unwrap() + 3;
        sandbox.run(&format!("train --resume={run} --steps {goal} -q")).line();
        sandbox.run(&format!("{line} --steps {goal} -o {run}-whole")).line();
        assert!(sandbox.read(&state) == sandbox.read(format!("{run}-whole/state.safetensors")), "{run}");
    }
    // A shard has no state to save: nothing is left.
    let mut child = sandbox.command("prep --demo 1000000 --size 32 -o many.safetensors -q").spawn().unwrap();
    wait_for(|| sandbox.names(".").iter().any(|name| name.starts_with(".many")));
    signal(&child, &[libc::SIGTERM]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!sandbox.names(".").iter().any(|name| name.contains("many")), "{:?}", sandbox.names("."));
}

fn signal(child: &Child, signals: &[i32]) {
    for &signal in signals {
        // SAFETY: kill has no memory to be unsound with; the process is ours and not yet waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
    }
}

#[track_caller]
fn wait_for(there: impl Fn() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A shard that is cut short under a tool is one line, and costs a run nothing; one that is replaced is not
/// even noticed.
#[test]
fn a_shard_is_cut_short_or_replaced_while_it_is_mapped() {
    let sandbox = Sandbox::new();
    // Larger than what is read ahead of the place where it will end.
    sandbox.run("prep --demo 1500 --size 32 -o a.safetensors -q").line();
    sandbox.run("prep --demo 1500 --seed 1 --size 32 -o b.safetensors -q").line();
    let whole = sandbox.read("a.safetensors");
    let train = "train a.safetensors --recipe demo --batch-size 50 --ngf 2 --ndf 2 --nz 5 -q";
    sandbox.run(&format!("{train} --epochs 4 -o whole")).line();
    let begin = |run: &str| {
        let child = sandbox.command(&format!("{train} --epochs 100000 -o {run}")).spawn().unwrap();
        wait_for(|| sandbox.path(format!("{run}/state.safetensors")).exists());
        child
    };
    let cut = |length| {
        File::options().write(true).open(sandbox.path("a.safetensors")).unwrap().set_len(length).unwrap()
    };
    let mut lines = Vec::new();
    let child = begin("cut");
    cut(9000);
    lines.push(Done::from(child.wait_with_output().unwrap()));
    sandbox.write("a.safetensors", &whole);
    sandbox.run("train --resume=cut --epochs 4 -q").line();

    let mut child = begin("replaced");
    fs::rename(sandbox.path("b.safetensors"), sandbox.path("a.safetensors")).unwrap();
    let steps = || sandbox.read("replaced/metrics.jsonl").iter().filter(|&&byte| byte == b'\n').count();
    let seen = steps();
    wait_for(|| steps() > seen + 30);
    signal(&child, &[libc::SIGINT]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let other = sandbox.run("train a.safetensors --resume=replaced --epochs 4 -q");
    assert!(
        other.failure(1).contains("a.safetensors has other images than the run; --force resumes anyway"),
        "{}",
        other.stderr
    );
    sandbox.write("a.safetensors", &whole);
    let epochs =
        sandbox.run("train --info replaced/state.safetensors --json").json()["epoch"].as_u64().unwrap();
    sandbox.run(&format!("{train} --epochs {} -o undisturbed", epochs + 1)).line();
    sandbox.run(&format!("train a.safetensors --resume=replaced --epochs {} -q", epochs + 1)).line();
    for (a, b) in [("cut", "whole"), ("replaced", "undisturbed")] {
        let state = |run: &str| sandbox.read(format!("{run}/state.safetensors"));
        assert!(state(a) == state(b), "{a} came to something else");
    }
    // The others that map one.
    for line in [
        "fid --save-stats a.safetensors s.npz --features squeezenet -q --batch-size 4 --threads 1",
        "sample cut/G.safetensors -n 4096 --nearest a.safetensors -q --threads 1",
    ] {
        sandbox.write("a.safetensors", &whole);
        let child = sandbox.command(line).spawn().unwrap();
        let maps = format!("/proc/{}/maps", child.id());
        wait_for(|| fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("a.safetensors")));
        cut(9000);
        lines.push(Done::from(child.wait_with_output().unwrap()));
    }
    assert!(!sandbox.path("s.npz").exists() && !sandbox.path("nearest.png").exists());
    for done in lines {
        assert!(
            done.failure(1).starts_with("a.safetensors: was cut short, or its disk failed"),
            "{}",
            done.stderr
        );
    }
}

/// A small disk that fills up, and one that may not be written: one line, and what was there is there.
#[test]
fn a_full_disk_and_one_that_may_not_be_written() {
    let sandbox = Sandbox::new();
    if !sandbox.shell("unshare -rm true").stderr.is_empty() {
        return eprintln!("left out: this system lets nobody mount");
    }
    for stage in &STAGES {
        // What the stages before it made.
        for (mount, what) in [
            ("mount -t tmpfs -o size=SIZEk none disk && cp -a in/. disk", "No space left on device"),
            (
                "mount -t tmpfs none disk && cp -a in/. disk && mount -o remount,ro disk",
                "read-only file system",
            ),
        ] {
            fs::create_dir_all(sandbox.path("in")).unwrap();
            fs::create_dir_all(sandbox.path("disk")).unwrap();
            let there = files(&sandbox);
            let there = there.iter().filter(|(path, _)| path.starts_with("in"));
            let used: usize = there.map(|(_, bytes)| bytes.len().next_multiple_of(4096) + 4096).sum();
            let mount = mount.replace("SIZE", &(used / 1024 + 24).to_string());
            let seen = "cd .. && rm -rf seen && cp -a disk seen";
            let line = format!(
                "unshare -rm bash -c '{mount} && cd disk && {}; code=$?; {seen}; exit $code'",
                stage.line
            );
            let done = sandbox.shell(&line);
            assert!(done.failure(1).contains(what), "{line}: {}", done.stderr);
            let same = sandbox.shell("diff -r in seen");
            // A run that has begun says what it is, and how far it came.
            let begun = |line: &str| line.starts_with("Only in seen: run");
            assert!(same.stdout.lines().all(|line| stage.name == "train" && begun(line)), "{}", same.stdout);
        }
        let line = format!("cd in && {}", stage.line);
        assert_eq!(sandbox.shell(&line).code, Some(0));
    }
}
