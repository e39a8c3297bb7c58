//! Fewer images than a metric or a batch needs.

use std::fs;

use crate::common::Sandbox;
use crate::train::SMALL;

/// An error before any image is read: these are not images.
#[test]
fn fewer_images_than_a_metric_needs_are_refused_before_the_work() {
    let sandbox = Sandbox::new();
    for (name, n) in [("none", 0), ("one", 1), ("five", 5), ("six", 6), ("many", 1000)] {
        fs::create_dir(sandbox.path(name)).unwrap();
        (0..n).for_each(|i| sandbox.write(&format!("{name}/{i:04}.png"), "no image"));
    }
    let line = |line: &str| {
        let done = sandbox.run(&format!("fid --features squeezenet {line}"));
        done.failure(1).to_string()
    };
    for (args, wanted) in [
        ("none many", "none: no images in it"),
        ("many one", "one: 1 image; fid needs at least 2 images in each input"),
        ("one many --metrics kid", "one: 1 image; kid needs at least 1000 images in each input"),
        ("--save-stats one s.npz", "one: 1 image; fid needs at least 2 images"),
        ("--save-stats five s.npz --part 1/5", "five: 1 image; fid needs at least 2 images"),
        ("many five --metrics prdc", "five: 5 images; prdc needs at least 6 images in each input"),
        ("five many --metrics fid,prdc", "five: 5 images; prdc needs at least 6 images in each input"),
        (
            "many six --metrics kid",
            "--kid-subset-size: kid needs at least 1000 images in each input, but six has 6; use 2 to 6, \
             or more",
        ),
        (
            "six five --metrics kid --kid-subset-size 6",
            "--kid-subset-size: kid needs at least 6 images in each input, but five has 5; use 2 to 5",
        ),
        (
            "five six --metrics kid --dry-run",
            "--kid-subset-size: kid needs at least 1000 images in each input, but five has 5",
        ),
    ] {
        assert!(line(args).starts_with(wanted), "{args}: {}", line(args));
    }
    // With enough images, they are read.
    for args in
        ["six six --metrics prdc", "many many --metrics kid", "five six --metrics kid --kid-subset-size 5"]
    {
        assert!(line(args).contains("0000.png: not an image"), "{args}: {}", line(args));
    }
    for usage in
        ["--kid-subset-size 6", "--metrics kid --kid-subset-size 1", "--metrics prdc --kid-subset-size 6"]
    {
        let done = sandbox.run(&format!("fid six six {usage}"));
        assert!(done.failure(2).starts_with("--kid-subset-size"), "{}", done.stderr);
    }
}

/// A batch has no more images than there are: what is said is what is done.
#[test]
fn fewer_images_than_a_batch_are_told_of() {
    let sandbox = Sandbox::new();
    for (n, images, warned) in [
        (1, "1 image", "batch size 16, but only 1 image: each step has 1"),
        (9, "9 images", "batch size 16, but only 9 images: each step has 9"),
    ] {
        sandbox.run(&format!("prep --demo {n} --size 32 -o few.safetensors --force -q")).line();
        let done = sandbox.run(&format!("train few.safetensors {SMALL} --steps 2 -o run{n}"));
        assert_eq!(done.line(), format!("run{n}/G.safetensors"));
        let lines: Vec<&str> = done.stderr.lines().collect();
        assert_eq!(lines[0], format!("train: demo on few.safetensors ({images}), 2 steps of {n}"));
        assert_eq!(lines[1], format!("train: warning: {warned}"));
        let dry = sandbox.run(&format!("train few.safetensors {SMALL} --steps 2 --dry-run"));
        assert!(dry.stderr.contains(&format!("2 steps of {n}, about")) && dry.stderr.contains(warned));
    }
    // As many as a batch has are enough.
    sandbox.run("prep --demo 16 --size 32 -o few.safetensors --force -q").line();
    let done = sandbox.run(&format!("train few.safetensors {SMALL} --steps 1 -o run16"));
    assert!(
        done.stderr.contains("(16 images), 1 step of 16") && !done.stderr.contains("warning"),
        "{}",
        done.stderr
    );
    // A score is a distance, which one image has not.
    sandbox.run("prep --demo 1 --size 32 -o few.safetensors --force -q").line();
    let refused = sandbox.run(&format!("train few.safetensors {SMALL} --steps 1 --score-every 1 -o scored"));
    let wanted = "--score-every: a score needs at least two images; few.safetensors has one";
    assert_eq!(refused.failure(1), wanted);
    assert!(!sandbox.path("scored").exists());
}
