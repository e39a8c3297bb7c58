//! Files and flags of an earlier version still work.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use crate::common::Sandbox;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/gan/tests/golden/former")
}

/// A sandbox with the files of [`golden`] in it.
fn former() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("run")).unwrap();
    for name in ["run/state.safetensors", "dcgan.safetensors", "faces-8.safetensors", "tiny.toml"] {
        fs::copy(golden().join(name), sandbox.path(name)).unwrap();
    }
    sandbox
}

/// The values of all f32 tensors of a file, by name.
fn values(bytes: &[u8]) -> Vec<(String, Vec<f32>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let floats = file.tensors().into_iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F32);
    let read = |data: &[u8]| data.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    let mut all: Vec<_> = floats.map(|(name, view)| (name, read(view.data()))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_run_of_an_earlier_version_is_resumed() {
    let sandbox = former();
    sandbox.run("train faces-8.safetensors --resume=run --epochs 2 -q").line();
    for name in ["run/G.safetensors", "run/D.safetensors"] {
        let (ours, theirs) = (values(&sandbox.read(name)), values(&fs::read(golden().join(name)).unwrap()));
        assert_eq!(ours.len(), theirs.len());
        for ((name, ours), (former, theirs)) in ours.iter().zip(&theirs) {
            assert_eq!((name, ours.len()), (former, theirs.len()));
            // Another processor rounds otherwise.
            let near = ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(near, "{name}: {ours:?} {theirs:?}");
        }
    }
    let info = sandbox.run("train --info run/state.safetensors --json").json();
    assert_eq!((&info["recipe"]["schedule"]["batch_size"], &info["step"]), (&4.into(), &6.into()));
}

#[test]
fn generators_and_recipes_of_an_earlier_version_are_read() {
    let sandbox = former();
    let info = sandbox.run("train --info dcgan.safetensors --json").json();
    assert_eq!((&info["kind"], &info["shard"]["images"]), (&"generator".into(), &4.into()));
    assert_eq!(sandbox.run("sample dcgan.safetensors -n 2 -o out -q").line(), "out");
    let image = |bytes: Vec<u8>| image::load_from_memory(&bytes).unwrap().into_rgb8().into_raw();
    let theirs = image(fs::read(golden().join("dcgan-1.png")).unwrap());
    let ours = image(sandbox.read("out/000001.png"));
    assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a.abs_diff(*b) <= 1));
    let recipe = sandbox.run("train --dry-run --recipe tiny.toml");
    assert!(recipe.code == Some(0) && recipe.stdout.contains("batch_size = 4"), "{}", recipe.stderr);
}

#[test]
fn former_spellings_of_flags_are_taken() {
    let sandbox = Sandbox::with_faces();
    let former = "train faces-32.safetensors --recipe demo --nz 3 --ngf 1 --ndf 1 --batch 20 --epochs 2 --keep-at 1 \
                  --fid-every 2 --out run -q";
    assert_eq!(sandbox.run(former).line(), "run/G.safetensors");
    assert!(
        sandbox.path("run/G_epoch-0001.safetensors").exists() && sandbox.path("run/scores.jsonl").exists()
    );
    assert_eq!(sandbox.run("sample run/G.safetensors -n 3 --batch 64 --out pngs -q").line(), "pngs");
    for tool in ["train", "sample"] {
        let help = sandbox.run(&format!("{tool} --help")).stdout;
        assert!(!help.contains("--out ") && !help.contains("--fid-every"), "{help}");
        assert!(help.contains("--output <") && help.contains("--batch-size <"), "{help}");
    }
}
