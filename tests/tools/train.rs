//! `train`, the built binary, end to end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::Sandbox;
use safetensors::SafeTensors;

/// A model and a run so small that the tests are quick; 40 images in batches of 16 are 3 steps an epoch.
pub const SMALL: &str = "--recipe demo --batch-size 16 --nz 6 --ngf 4 --ndf 3 --device cpu";

#[test]
fn a_run_prints_its_generator_and_links_the_newest() {
    let sandbox = Sandbox::with_faces();
    let first = sandbox.run(&format!("train faces-32.safetensors {SMALL} --epochs 2"));
    assert_eq!(first.line(), "runs/faces-32/G.safetensors");
    let lines: Vec<&str> = first.stderr.lines().collect();
    assert!(
        lines[0] == "train: demo on faces-32.safetensors (40 images), 2 epochs: 6 steps of 16",
        "before the first step: {lines:?}"
    );
    assert!(lines.last().unwrap().starts_with("train: done at step 6 (epoch 2) after "), "{lines:?}");
    assert_eq!(
        sandbox.names("runs/faces-32"),
        [
            "D.safetensors",
            "G.safetensors",
            "loss.svg",
            "metrics.jsonl",
            "progress.gif",
            "real.png",
            "recipe.toml",
            "report.html",
            "samples",
            "state.previous.safetensors",
            "state.safetensors"
        ]
    );
    assert_eq!(sandbox.names("runs/faces-32/samples"), ["epoch-0001.png", "epoch-0002.png"]);
    let link = || fs::read_link(sandbox.path("G.safetensors")).unwrap().display().to_string();
    assert_eq!(link(), "runs/faces-32/G.safetensors");

    let second = sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -q"));
    assert_eq!((second.line(), &*second.stderr), ("runs/faces-32-2/G.safetensors", ""));
    assert_eq!(
        sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -q")).line(),
        "runs/faces-32-3/G.safetensors"
    );
    assert_eq!(link(), "runs/faces-32-3/G.safetensors");
    assert_eq!(sandbox.names("."), ["G.safetensors", "faces-32.safetensors", "runs"]);
}

#[test]
fn a_user_file_is_not_replaced_by_the_link() {
    let sandbox = Sandbox::with_faces();
    sandbox.write("G.safetensors", "mine");
    let done = sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -o here"));
    assert_eq!(done.line(), "here/G.safetensors");
    assert!(
        done.stderr.contains(
            "warning: ./G.safetensors is not a link and was kept; the new generator is here/G.safetensors"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(sandbox.read("G.safetensors"), b"mine");
}

#[test]
fn metrics_images_and_charts_are_complete() {
    let sandbox = Sandbox::with_faces();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --epochs 2 -o run -q")).line();
    let text = String::from_utf8(sandbox.read("run/metrics.jsonl")).unwrap();
    let keys = [
        "step",
        "epoch",
        "loss_d_real",
        "loss_d_fake",
        "loss_d",
        "loss_g",
        "value",
        "d_x",
        "d_g_z1",
        "d_g_z2",
        "images_per_second",
    ];
    for (i, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line.as_object().unwrap().len(), keys.len());
        assert!(keys.iter().all(|k| line[k].as_f64().unwrap().is_finite()), "{line}");
        assert_eq!(
            (line["step"].as_u64(), line["epoch"].as_u64()),
            (Some(i as u64 + 1), Some(i as u64 / 3 + 1))
        );
    }
    assert_eq!(text.lines().count(), 6);
    let size = |name: &str| image::image_dimensions(sandbox.path(name)).unwrap();
    // 8 × 8 images of 32, with 2 pixels around each; of the 40 real ones, 5 rows.
    assert_eq!(size("run/samples/epoch-0002.png"), (8 * 34 + 2, 8 * 34 + 2));
    assert_eq!(size("run/real.png"), (8 * 34 + 2, 5 * 34 + 2));
    assert_eq!(size("run/progress.gif"), (8 * 34 + 2, 8 * 34 + 2));
    let page = String::from_utf8(sandbox.read("run/report.html")).unwrap();
    assert_eq!(page.matches("[1, \"data:image/jpeg;base64,").count(), 1, "the images of epoch 1");
    assert_eq!(page.matches("<svg").count(), 3);
    // The same charts in a file of their own, one below the other.
    let charts = String::from_utf8(sandbox.read("run/loss.svg")).unwrap();
    assert!(charts.contains("viewBox='0 0 480 750' width='960' height='1500'"), "{}", &charts[..200]);
    for chart in page.split("<svg").skip(1).map(|chart| chart.split_once('>').unwrap().1) {
        assert!(charts.contains(chart.split("</svg>").next().unwrap()));
    }
    assert!(page.contains("<dd>6 of 6</dd>") && page.contains("batch_size = 16"), "steps and recipe");
    // One file that needs no network.
    assert!(!page.contains("http") && !page.contains("<link") && !page.contains("src=\"/"), "{}", page.len());
}

/// The output flags write what they ask for and nothing else, and do not change the training.
#[test]
fn images_generators_and_scores_are_kept_where_asked_for() {
    let sandbox = Sandbox::with_faces();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --epochs 4 -o plain -q")).line();
    let flags = "--snapshot-epochs 1,3 --sample-every 5 --score-every 2";
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --epochs 4 -o run -q {flags}")).line();
    assert!(
        sandbox.read("run/D.safetensors") != sandbox.read("plain/D.safetensors"),
        "the recipe is in the file"
    );
    let weights = |name: &str| {
        let bytes = sandbox.read(name);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, t)| (name, t.data().to_vec()));
        tensors.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert!(weights("run/state.safetensors") == weights("plain/state.safetensors"));
    let more: Vec<String> =
        sandbox.names("run").into_iter().filter(|name| !sandbox.names("plain").contains(name)).collect();
    assert_eq!(
        more,
        ["G_best.safetensors", "G_epoch-0001.safetensors", "G_epoch-0003.safetensors", "scores.jsonl"]
    );
    // 12 steps: after 5, 10 and the last.
    let steps: Vec<String> =
        sandbox.names("run/samples").into_iter().filter(|name| name.starts_with("step")).collect();
    assert_eq!(steps, ["step-000005.png", "step-000010.png", "step-000012.png"]);
    assert!(sandbox.read("run/samples/step-000012.png") == sandbox.read("run/samples/epoch-0004.png"));
    let scores: Vec<serde_json::Value> = String::from_utf8(sandbox.read("run/scores.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(scores.iter().map(|s| s["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    assert!(scores.iter().all(|s| s["fd_squeezenet"].as_f64().unwrap() > 0.0 && s["fakes"] == 40));
    assert_eq!(scores[0]["best"], true);
    // The best generator is that of the best epoch.
    let best = scores.iter().rfind(|s| s["best"] == true).unwrap()["epoch"].as_u64().unwrap();
    let info = sandbox.run("train --json --info run/G_best.safetensors").json();
    assert_eq!((info["epoch"].as_u64(), &info["kind"]), (Some(best), &"generator".into()));
    assert!(String::from_utf8(sandbox.read("run/report.html")).unwrap().contains("FD-SqueezeNet"));
    // A run that replaces another removes its files.
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -o run -q --force")).line();
    let left: Vec<String> =
        sandbox.names("plain").into_iter().filter(|name| name != "state.previous.safetensors").collect();
    assert_eq!(sandbox.names("run"), left, "one step has no state before it");
    assert_eq!(sandbox.names("run/samples"), ["epoch-0001.png"]);
}

/// The saturating loss is the game's value on fakes: at the same weights, D's loss on fakes with the other sign.
#[test]
fn the_minimax_loss_is_another_game() {
    let sandbox = Sandbox::with_faces();
    for loss in ["minimax", "non-saturating"] {
        sandbox
            .run(&format!("train faces-32.safetensors {SMALL} --steps 3 --loss {loss} -o {loss} -q"))
            .line();
    }
    let losses = |run: &str| -> Vec<f64> {
        let text = String::from_utf8(sandbox.read(format!("{run}/metrics.jsonl"))).unwrap();
        let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        lines.map(|m| m["loss_g"].as_f64().unwrap()).collect()
    };
    let (minimax, other) = (losses("minimax"), losses("non-saturating"));
    assert!(minimax.iter().all(|&l| l < 0.0) && other.iter().all(|&l| l > 0.0), "{minimax:?} {other:?}");
    // e^(log(1 − D)) + e^(−(−log D)) is 1 for a single image; for means over a batch it is at most 1 (Jensen).
    let sum = minimax[0].exp() + (-other[0]).exp();
    assert!(sum <= 1.0 + 1e-6 && sum > 0.9, "{sum}");
    assert!(sandbox.read("minimax/G.safetensors") != sandbox.read("non-saturating/G.safetensors"));
    let line = sandbox.run("train faces-32.safetensors --loss hinge");
    assert_eq!(line.code, Some(2), "{}", line.stderr);
}

/// The cats' recipe trains on images with color jitter and blur.
#[test]
fn the_cats_recipe_changes_images_as_it_draws_them() {
    let sandbox = Sandbox::with_faces();
    let small = "--batch-size 16 --nz 6 --ngf 4 --ndf 3 --steps 4 -q";
    for threads in [1, 2] {
        sandbox
            .run(&format!(
                "train faces-32.safetensors --recipe cats {small} --threads {threads} -o run{threads}"
            ))
            .line();
    }
    assert!(sandbox.read("run1/state.safetensors") == sandbox.read("run2/state.safetensors"));
    let recipe = String::from_utf8(sandbox.read("run1/recipe.toml")).unwrap();
    let (plain, augment) = recipe.split_once("[augment]").unwrap();
    assert!(augment.contains("blur = [5, 9]"), "{augment}");
    sandbox.write("plain.toml", plain);
    sandbox.run("train faces-32.safetensors --recipe plain.toml -o plain -q").line();
    let first = |run: &str| {
        let text = String::from_utf8(sandbox.read(format!("{run}/metrics.jsonl"))).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        (line["loss_d_real"].clone(), line["loss_d_fake"].clone())
    };
    let ((real, fake), (changed, same)) = (first("plain"), first("run1"));
    assert_eq!(fake, same, "the fakes are not changed");
    assert_ne!(real, changed);
}

#[test]
fn the_same_bytes_at_one_thread_and_at_two_and_another_seed_differs() {
    let sandbox = Sandbox::with_faces();
    for (out, flags) in [("one", "--threads 1"), ("two", "--threads 2"), ("other", "--seed 4")] {
        sandbox.run(&format!("train faces-32.safetensors {SMALL} --epochs 1 -o {out} -q {flags}")).line();
    }
    for name in ["G.safetensors", "D.safetensors", "state.safetensors", "samples/epoch-0001.png"] {
        let [one, two, other] = ["one", "two", "other"].map(|run| sandbox.read(format!("{run}/{name}")));
        assert!(one == two, "{name}");
        assert!(one != other, "{name}");
    }
}

/// A resumed run gives the same bytes as an uninterrupted one, wherever it was stopped, with any number of threads.
#[test]
fn a_resumed_run_is_the_same_run() {
    let sandbox = Sandbox::with_faces();
    let recipe =
        String::from_utf8(sandbox.run(&format!("train --dry-run {SMALL} --epochs 4")).stdout.into()).unwrap();
    // With random augmentation, which also resumes. 40 images in batches of 16: 12 steps.
    let augment = "\n[augment]\nflip = 0.5\nbrightness = 0.2\ncontrast = 0.1\nsaturation = 0.2\n\
                   blur = [3, 5]\nblur_sigma = [0.1, 1.2]\n";
    sandbox.write("my.toml", recipe + augment);
    sandbox.run("train faces-32.safetensors --recipe my.toml -o whole -q").line();
    let whole: Vec<String> = sandbox.names("whole");
    // As if killed: the state is that of a shorter run, within an epoch; metrics and images are of later steps.
    for (i, stops) in [&[7][..], &[1, 3, 4, 11]].iter().enumerate() {
        let run = format!("run{i}");
        sandbox
            .run(&format!("train faces-32.safetensors --recipe my.toml -o {run} -q --steps {}", stops[0]))
            .line();
        for stop in &stops[1..] {
            sandbox.run(&format!("train --resume={run} --steps {stop} -q --threads {}", 1 + stop % 2)).line();
        }
        let mut metrics = String::from_utf8(sandbox.read(format!("{run}/metrics.jsonl"))).unwrap();
        let later = metrics.lines().last().unwrap().replace("\"step\":", "\"step\":9");
        metrics += &format!("{later}\n{}", &later[..20]);
        let parts = [".state.safetensors", ".G.safetensors", "samples/.epoch-0004.png"]
            .map(|name| format!("{run}/{name}.a1B2c3.part"));
        parts.iter().for_each(|part| sandbox.write(part, "half of a file"));
        sandbox.write(&format!("{run}/metrics.jsonl"), metrics);
        let done = sandbox.run(&format!("train --resume={run} --epochs 4"));
        assert_eq!(done.line(), format!("{run}/G.safetensors"));
        let from = format!("12 steps of 16, from step {}", stops.last().unwrap() + 1);
        assert!(done.stderr.contains(&from), "{}", done.stderr);
        for name in whole.iter().filter(|name| name.ends_with("safetensors") && !name.contains("previous")) {
            assert!(
                sandbox.read(format!("whole/{name}")) == sandbox.read(format!("{run}/{name}")),
                "{run}/{name}"
            );
        }
        assert!(parts.iter().all(|part| !sandbox.path(part).exists()), "what a killed run left is gone");
        let steps = |run: &str| -> Vec<serde_json::Value> {
            let text = String::from_utf8(sandbox.read(format!("{run}/metrics.jsonl"))).unwrap();
            let mut lines: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            lines.iter_mut().for_each(|line| drop(line["images_per_second"].take()));
            lines
        };
        assert_eq!(steps(&run), steps("whole"), "no step twice and none left out");
        assert!(
            sandbox.read("whole/samples/epoch-0004.png")
                == sandbox.read(format!("{run}/samples/epoch-0004.png"))
        );
    }
    // A damaged last state is reported, and the one before is used.
    let mut state = sandbox.read("run0/state.safetensors");
    let end = state.len();
    state[end - 5] ^= 1;
    sandbox.write("run0/state.safetensors", state);
    let done = sandbox.run("train --resume=run0 --epochs 4");
    assert!(done.stderr.contains("run0/state.safetensors: is damaged"), "{}", done.stderr);
    assert!(sandbox.read("run0/state.safetensors") == sandbox.read("whole/state.safetensors"));
    // The newest is that of the link; its shard is here.
    let done = sandbox.run("train --resume --epochs 5");
    assert_eq!(done.line(), "run0/G.safetensors");

    sandbox.run("prep --demo 41 --size 32 -o other-32.safetensors -q").line();
    for (line, wanted) in [
        ("--resume=whole", "whole: the run is complete (step 12 of 12); raise epochs or steps to continue"),
        (
            "--resume=whole --epochs 5 --lr-d 1e-3",
            "whole: the recipe has `lr_d = 0.001` where it had `lr_d = 0.0004`",
        ),
        ("--resume=whole --epochs 5 --recipe demo", "whole: the recipe has "),
        (
            "other-32.safetensors --resume=whole --epochs 5",
            "other-32.safetensors has other images than the run; --force resumes anyway",
        ),
        ("--resume=none", "none/state.safetensors: No such file"),
    ] {
        let done = sandbox.run(&format!("train {line}"));
        assert!(done.failure(1).contains(wanted), "{line}: {}", done.stderr);
    }
    assert_eq!(sandbox.run("train --resume=whole -o there").code, Some(2));
    fs::rename(sandbox.path("faces-32.safetensors"), sandbox.path("gone.safetensors")).unwrap();
    let gone = sandbox.run("train --resume=whole --epochs 5");
    assert!(
        gone.failure(1).contains("faces-32.safetensors: not in this directory; name it"),
        "{}",
        gone.stderr
    );
    sandbox.run("train gone.safetensors --resume=whole --epochs 5 -q").line();
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let sandbox = Sandbox::with_faces();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 2 -o run -q")).line();
    let mut child =
        sandbox.command("train --resume=run --steps 1000000").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.contains("from step 3")));
    let start = Instant::now();
    let at_work = || sandbox.read("run/metrics.jsonl").iter().filter(|&&byte| byte == b'\n').count() > 2;
    while !at_work() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes no step");
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = sandbox.run("train --resume=run --steps 3000000 -q");
    assert!(refused.failure(1).starts_with("run: in use by another run"), "{}", refused.stderr);
    let refused = sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 2 -o run --force -q"));
    assert!(refused.failure(1).starts_with("run: in use by another run"), "{}", refused.stderr);
    assert!(sandbox.path("run/state.safetensors").exists() && at_work());
    // SAFETY: kill has no memory to be unsound with; the process is ours and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Keys and shapes are those of the PyTorch tutorial's networks at 32×32.
#[test]
fn weights_have_pytorchs_names_and_layouts() {
    let sandbox = Sandbox::with_faces();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 2 -o run -q")).line();
    let shapes = |name: &str| -> Vec<(String, Vec<usize>)> {
        let bytes = sandbox.read(name);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.shape().to_vec())).collect();
        all.sort();
        all
    };
    let norm = |i: usize, c: usize| {
        let one = |name: &str, shape: &[usize]| (format!("main.{i}.{name}"), shape.to_vec());
        vec![
            one("bias", &[c]),
            one("num_batches_tracked", &[]),
            one("running_mean", &[c]),
            one("running_var", &[c]),
            one("weight", &[c]),
        ]
    };
    let conv = |i: usize, a: usize, b: usize| vec![(format!("main.{i}.weight"), vec![a, b, 4, 4])];
    let sorted = |parts: Vec<Vec<(String, Vec<usize>)>>| {
        let mut all = parts.concat();
        all.sort();
        all
    };
    let g =
        [conv(0, 6, 16), norm(1, 16), conv(3, 16, 8), norm(4, 8), conv(6, 8, 4), norm(7, 4), conv(9, 4, 3)];
    assert_eq!(shapes("run/G.safetensors"), sorted(g.to_vec()));
    let d = [conv(0, 3, 3), conv(2, 6, 3), norm(3, 6), conv(5, 12, 6), norm(6, 12), conv(8, 1, 12)];
    assert_eq!(shapes("run/D.safetensors"), sorted(d.to_vec()));
    let bytes = sandbox.read("run/D.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let counted = file.tensor("main.3.num_batches_tracked").unwrap();
    assert_eq!(counted.data(), 6i64.to_le_bytes(), "three batches a step");
    let state = shapes("run/state.safetensors");
    for name in
        ["G.main.0.weight", "D.main.3.running_var", "adam_g.m.main.9.weight", "adam_d.v.main.0.weight"]
    {
        assert!(state.iter().any(|(n, _)| n == name), "{name}");
    }
}

#[test]
fn flags_override_the_recipe_and_the_resolved_one_is_saved() {
    let sandbox = Sandbox::with_faces();
    let flags = "--epochs 1 --lr-g 1e-3 --lr-d 0.0005 --beta1 0.4 --beta2 0.99 --seed 3";
    let dry = sandbox.run(&format!("train --dry-run {SMALL} {flags}"));
    assert_eq!((dry.code, &*dry.stderr), (Some(0), ""));
    for line in [
        "batch_size = 16",
        "epochs = 1",
        "lr_g = 0.001",
        "lr_d = 0.0005",
        "beta1 = 0.4",
        "beta2 = 0.99",
        "nz = 6",
    ] {
        assert!(dry.stdout.lines().any(|l| l == line), "{line} in {}", dry.stdout);
    }
    sandbox.run(&format!("train faces-32.safetensors {SMALL} {flags} -o run -q")).line();
    assert_eq!(String::from_utf8(sandbox.read("run/recipe.toml")).unwrap(), dry.stdout);
    // The saved recipe makes the same run again.
    sandbox.run("train faces-32.safetensors --recipe run/recipe.toml -o again -q").line();
    assert!(sandbox.read("run/G.safetensors") == sandbox.read("again/G.safetensors"));
    // With a shard, the time is estimated, too; nothing is written.
    let dry = sandbox.run(&format!("train faces-32.safetensors --dry-run {SMALL} --steps 7"));
    assert!(
        dry.stderr.contains(" 7 steps of 16, about ") && dry.stdout.contains("steps = 7"),
        "{}",
        dry.stderr
    );
    assert_eq!(sandbox.names("."), ["G.safetensors", "again", "faces-32.safetensors", "run"]);
}

#[test]
fn old_spellings_of_flags_still_work() {
    let sandbox = Sandbox::with_faces();
    let old = format!("--out run --keep-at 1 --fid-every 1 {}", SMALL.replace("--batch-size", "--batch"));
    let new = format!("--output run --snapshot-epochs 1 --score-every 1 {SMALL}");
    let dry = [old, new].map(|flags| sandbox.run(&format!("train --dry-run --epochs 2 {flags}")).stdout);
    assert!(dry[0] == dry[1] && dry[0].contains("= [1]"), "{dry:?}");
    let help = sandbox.run("train --help").stdout;
    let shown = |flag: &str| help.split_whitespace().any(|word| word == flag);
    for (old, new) in [("out", "output"), ("batch", "batch-size"), ("keep-at", "snapshot-epochs")] {
        assert!(shown(&format!("--{new}")) && !shown(&format!("--{old}")), "{help}");
    }
    assert!(shown("--score-every") && !shown("--fid-every"), "{help}");
}

#[test]
fn modes_that_need_no_shard_never_touch_stdin() {
    let sandbox = Sandbox::with_faces();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -o run -q")).line();
    for mode in [
        "--list-recipes",
        "--dry-run",
        "--info run/G.safetensors",
        "--info run/state.safetensors",
        "--info faces-32.safetensors",
        "--help",
    ] {
        // A pipe that never ends: a reader would wait forever.
        let mut child = sandbox.command(&format!("train {mode}")).stdin(Stdio::piped()).spawn().unwrap();
        let keep = child.stdin.take();
        let start = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > Duration::from_secs(60) => {
                    child.kill().unwrap();
                    panic!("train {mode} waits for stdin");
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success(), "{mode}");
        drop(keep);
    }
    let list = sandbox.run("train --list-recipes").stdout;
    assert!(
        ["celeba ", "cats ", "mnist ", "fashion ", "mnist-fixed ", "demo "]
            .iter()
            .all(|name| list.contains(name)),
        "{list}"
    );
    let json = sandbox.run("train --list-recipes --json -q").json();
    assert_eq!(json["recipes"][0]["optimizer"]["lr_g"], 2e-4);
    let info = |file: &str| sandbox.run(&format!("train --json --info {file}")).json()["kind"].clone();
    assert_eq!(info("run/G.safetensors"), "generator");
    assert_eq!(info("run/D.safetensors"), "discriminator");
    assert_eq!(info("run/state.safetensors"), "state");
    assert_eq!(info("faces-32.safetensors"), "shard");
}

#[test]
fn the_shard_comes_through_the_pipe_as_a_path_or_as_json() {
    let sandbox = Sandbox::with_faces();
    let json = sandbox
        .run_with(
            &format!("train {SMALL} --steps 2 --json -q"),
            "{\"path\": \"faces-32.safetensors\", \"n\": 1}\n",
        )
        .json();
    assert_eq!(json["path"], "runs/faces-32/G.safetensors");
    assert_eq!((&json["step"], &json["epoch"], &json["stopped"]), (&2.into(), &1.into(), &false.into()));
    assert_eq!(json["run"], "runs/faces-32");
    let plain = sandbox.run_with(&format!("train {SMALL} --steps 2 -q"), "faces-32.safetensors\n");
    assert_eq!(plain.line(), "runs/faces-32-2/G.safetensors");
    let chain = sandbox.shell(&format!("prep --demo 20 --size 32 -q | train {SMALL} --steps 1 -q"));
    assert!(chain.line().ends_with("/G.safetensors"));
    let closed = sandbox.shell(&format!(
        "train faces-32.safetensors {SMALL} --steps 1 -q | true; echo \"${{PIPESTATUS[0]}}\""
    ));
    assert_eq!((closed.line(), &*closed.stderr), ("0", ""));
    let help = sandbox.shell("train --help | head -1");
    assert_eq!((help.line().is_empty(), &*help.stderr), (false, ""));
}

#[test]
fn errors_are_one_line_that_names_the_file_or_flag() {
    let sandbox = Sandbox::with_faces();
    let shard = sandbox.read("faces-32.safetensors");
    sandbox.write("cut.safetensors", &shard[..shard.len() - 7]);
    sandbox.write("foreign.safetensors", "PK\x03\x04 not at all a shard");
    sandbox.run("prep --demo 3 --size 48 -o odd-48.safetensors -q").line();
    sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 1 -o run -q")).line();
    let recipe = String::from_utf8(sandbox.read("run/recipe.toml")).unwrap();
    sandbox.write("typo.toml", recipe.replace("lr_g", "lr_gg"));
    let run =
        |flags: &str| sandbox.run(&format!("train {flags} {SMALL} --steps 1").replace(" --recipe demo", ""));
    for (flags, wanted) in [
        ("none.safetensors", "none.safetensors: No such file"),
        ("cut.safetensors", "cut.safetensors: is cut short"),
        ("foreign.safetensors", "foreign.safetensors: is not a safetensors file; `prep` makes shards"),
        ("run", "run: a folder, not a shard"),
        ("run/G.safetensors", "run/G.safetensors: is not a shard: it has no tensor `images`"),
        ("odd-48.safetensors", "odd-48.safetensors: image size 48: DCGAN takes 32, 64 or 128"),
        (
            "faces-32.safetensors -o run",
            "run: already exists and is not empty; choose another output, or --force to replace it",
        ),
        ("faces-32.safetensors -o typo.toml", "typo.toml: is a file; name a folder"),
        ("faces-32.safetensors -o typo.toml/run", "typo.toml/run: typo.toml is not a folder"),
        ("no/such.safetensors", "no/such.safetensors: No such file or folder: there is no folder no"),
        (
            "faces-32.safetensors --recipe dmo",
            "--recipe dmo: there is none of that name; did you mean `demo`?",
        ),
        ("faces-32.safetensors --recipe none.toml", "none.toml: No such file"),
        (
            "faces-32.safetensors --recipe typo.toml",
            "unknown key `lr_gg` in [optimizer]; did you mean `lr_g`?",
        ),
        ("faces-32.safetensors --lr-g 7", "--lr-g: 7 is not above 0 and at most 1"),
        (
            "faces-32.safetensors --snapshot-epochs 3,2",
            "--snapshot-epochs: 2 after 3: name each epoch once, rising",
        ),
        ("--info cut.safetensors", "cut.safetensors: is cut short"),
        (
            "--info run/recipe.toml",
            "run/recipe.toml: is neither a safetensors file nor what torch.save writes",
        ),
        ("", "stdin is empty"),
    ] {
        let line = run(flags);
        let line = line.failure(1);
        assert!(line.contains(wanted), "{flags}: {line}");
    }
    if !cfg!(feature = "cuda") {
        let line = sandbox.run("train faces-32.safetensors --device cuda:0");
        assert!(line.failure(1).starts_with("--device: cuda:0: this build has no CUDA"));
    }
    for usage in ["--epochs 1 --steps 1", "--no-such-flag", "a b"] {
        let done = sandbox.run(&format!("train {usage}"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{usage}");
        assert!(!done.stderr.is_empty());
    }
    assert!(!sandbox.path("runs").exists(), "an error leaves no run folder");
    let forced = sandbox.run(&format!("train faces-32.safetensors {SMALL} --steps 2 -o run -q --force"));
    assert_eq!(forced.line(), "run/G.safetensors");
}

/// The other architecture, on images as MNIST has them: from IDX files to samples.
#[test]
fn the_mnist_recipe_goes_from_idx_files_to_samples() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("digits")).unwrap();
    let mut idx = vec![0, 0, 8, 3, 0, 0, 1, 4, 0, 0, 0, 28, 0, 0, 0, 28];
    // 260 images of a bar somewhere else each: 2 batches of 100 and one of 60.
    let bar = |i: usize| (0..784).map(move |p| if p % 28 / 4 == i % 7 { 255 } else { (i % 5) as u8 });
    idx.extend((0..260).flat_map(bar));
    sandbox.write("digits/train-images-idx3-ubyte", &idx);
    let shard = sandbox.run("prep digits -o digits.safetensors -q");
    assert_eq!(shard.line(), "digits.safetensors");
    for (out, threads) in [("run", 2), ("again", 1)] {
        let flags = format!("--recipe mnist --steps 40 --threads {threads} -o {out} -q");
        sandbox.run(&format!("train digits.safetensors {flags}")).line();
    }
    assert!(sandbox.read("run/state.safetensors") == sandbox.read("again/state.safetensors"));
    // Enough latents to draw in parallel, but there is no second thread.
    let alone = "train digits.safetensors --recipe mnist --batch-size 260 --steps 3 --threads 1 -o alone -q";
    assert_eq!(sandbox.shell(&format!("timeout -s KILL 120 {alone}")).line(), "alone/G.safetensors");
    let losses: Vec<[f64; 2]> = String::from_utf8(sandbox.read("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|m| ["d_x", "d_g_z1"].map(|key| m[key].as_f64().unwrap()))
        .collect();
    assert_eq!(losses.len(), 40);
    assert!(losses[0].iter().all(|p| (p - 0.5).abs() < 0.1), "a fresh D knows nothing: {:?}", losses[0]);
    assert!(losses[10][0] - losses[10][1] > 0.2, "it learns to tell them apart: {:?}", losses[10]);

    let bytes = sandbox.read("run/G.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<_> = file.tensors().into_iter().map(|(n, t)| (n, t.shape().to_vec())).collect();
    shapes.sort();
    let expected = [
        ("0.bias", vec![256]),
        ("0.weight", vec![256, 64]),
        ("2.bias", vec![256]),
        ("2.weight", vec![256, 256]),
        ("4.bias", vec![784]),
        ("4.weight", vec![784, 256]),
    ];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_string(), shape)));
    let info = sandbox.run("train --info run/G.safetensors").stdout;
    assert!(info.contains("MLP 28×28×1, nz 64, hidden G [256, 256], D [256, 256]"), "{info}");

    // The weights alone, as another program would save them, make the same images: G's activations are ReLU.
    let tensors: Vec<_> = file.tensors();
    let bare = safetensors::serialize(tensors, None).unwrap();
    sandbox.write("bare.safetensors", &bare);
    for (generator, out) in [("run/G.safetensors", "fakes"), ("bare.safetensors", "bare")] {
        sandbox.run(&format!("sample {generator} -n 5 -o {out} -q")).line();
    }
    let pixels = |name: &str| image::open(sandbox.path(name)).unwrap();
    let image = pixels("fakes/000004.png");
    assert_eq!((image.width(), image.height(), image.color()), (28, 28, image::ColorType::L8));
    assert_eq!(image, pixels("bare/000004.png"));
    assert_ne!(image, pixels("fakes/000003.png"));

    let refused = sandbox.run("train digits.safetensors --recipe mnist --ngf 32");
    assert!(
        refused
            .failure(1)
            .starts_with("--ngf: the architecture mlp has no such setting; it has nz, hidden_g"),
        "{}",
        refused.stderr
    );
    let refused = sandbox.run("train digits.safetensors --recipe demo");
    assert!(refused.failure(1).contains("image size 28: DCGAN takes 32, 64 or 128"), "{}", refused.stderr);
}

/// Without a shard and with a terminal for stdin, `train` prints an error and does not wait.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_not_read() {
    let done = Sandbox::new().run_on_terminal("train");
    assert!(done.failure(2).starts_with("name a shard: train SHARD"), "{}", done.stderr);
}

#[test]
fn ctrl_c_finishes_the_step_saves_and_says_so() {
    let sandbox = Sandbox::with_faces();
    let mut child =
        sandbox.command(&format!("train faces-32.safetensors {SMALL} --epochs 1000000")).spawn().unwrap();
    // Soon it prints the time left.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.contains("epoch ") && line.ends_with(" left")), "it ended before that");
    // SAFETY: kill has no memory to be unsound with; the process is ours and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let err: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(out, "runs/faces-32/G.safetensors\n");
    let steps = fs::read_to_string(sandbox.path("runs/faces-32/metrics.jsonl")).unwrap().lines().count();
    assert!(
        err.last().unwrap().starts_with(&format!("train: stopped and saved at step {steps} ")),
        "{err:?}"
    );
    let info = sandbox.run("train --json --info G.safetensors").json();
    assert_eq!(info["step"], steps);
}
