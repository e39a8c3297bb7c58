//! Archives, arrays and batches, as published, through `prep` and `fid`.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use crate::common::Sandbox;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/gan/tests/golden/containers").join(name)
}

/// A folder with these of the files that Python wrote.
fn sandbox(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        fs::copy(golden(name), sandbox.path(name)).unwrap();
    }
    sandbox
}

/// The pixels of a shard, and its shape.
fn shard(sandbox: &Sandbox, name: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = sandbox.read(name);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let images = tensors.tensor("images").unwrap();
    (images.shape().to_vec(), images.data().to_vec())
}

#[test]
fn arrays_keep_their_size_and_are_the_same_in_every_form() {
    let forms =
        ["u8.npy", "samples.npz", "fortran.npy", "channels_first.npy", "unit_f32.npy", "signed_f64.npy"];
    let sandbox = sandbox(&[&forms[..], &["gray.npy", "keras.npz"]].concat());
    let numbers = fs::read(golden("u8.npy")).unwrap();
    for form in forms {
        sandbox.run(&format!("prep {form} -o {form}.safetensors")).line();
        let (shape, pixels) = shard(&sandbox, &format!("{form}.safetensors"));
        assert_eq!((shape, &pixels[..]), (vec![4, 6, 5, 3], &numbers[128..]), "{form}");
    }
    sandbox.run("prep gray.npy -o gray.safetensors").line();
    assert_eq!(shard(&sandbox, "gray.safetensors").0, [4, 6, 5, 1]);
    let done = sandbox.run("prep keras.npz --json");
    assert_eq!(done.json()["taken"], serde_json::json!(["x_train"]));
    assert!(done.stderr.contains("3 images of 6×5×3 of x_train"), "{}", done.stderr);
    let done = sandbox.run("prep u8.npy --size 8 -o small.safetensors");
    done.line();
    assert_eq!(shard(&sandbox, "small.safetensors").0, [4, 8, 8, 3]);
}

#[test]
fn a_tar_is_the_same_packed_in_any_way_and_so_are_zips() {
    let tars = ["gnu.tar", "faces.tgz", "faces.tar.bz2", "faces.tar.xz", "faces.tar.zst"];
    let zips = ["bzip2.zip", "lzma.zip", "zstd.zip", "xz.zip"];
    let sandbox = sandbox(&[&tars[..], &zips[..]].concat());
    for same in [&tars[..], &zips[..]] {
        let made: Vec<_> = same
            .iter()
            .map(|file| {
                sandbox.run(&format!("prep {file} --size 5 -q -o {file}.safetensors")).line();
                shard(&sandbox, &format!("{file}.safetensors"))
            })
            .collect();
        assert!(made.iter().all(|one| *one == made[0]));
    }
    // Several shards of a set are several inputs, and a shard is up to date as with any input.
    let done = sandbox.run("prep gnu.tar faces.tgz --size 5 -o both.safetensors");
    assert!(done.stderr.contains("10 images of 5×5×3"), "{}", done.stderr);
    assert!(sandbox.run("prep gnu.tar faces.tgz --size 5 -o both.safetensors").stderr.contains("up to date"));
}

#[test]
fn fid_reads_what_prep_reads_and_statistics_where_there_are_some() {
    let sandbox = sandbox(&[
        "samples.npz",
        "u8.npy",
        "keras.npz",
        "with_statistics.npz",
        "gnu.tar",
        "batch_protocol_2",
    ]);
    for (left, right) in
        [("samples.npz", "u8.npy"), ("gnu.tar", "gnu.tar"), ("batch_protocol_2", "batch_protocol_2")]
    {
        let line = sandbox.run(&format!("fid --features squeezenet {left} {right}")).line().to_string();
        assert_eq!(line, "FD-SqueezeNet 0.000000", "{left} {right}");
    }
    let done = sandbox.run("fid --features squeezenet samples.npz keras.npz --json");
    assert!(done.json()["value"].as_f64().is_none_or(|value| value > 0.0) && done.code == Some(0));
    let done = sandbox.run("fid with_statistics.npz with_statistics.npz");
    assert!(done.line().ends_with("0.000000") && done.stderr.contains("statistics"), "{}", done.stderr);
}

#[test]
fn what_is_not_read_is_one_line_with_what_to_do() {
    let sandbox = sandbox(&["zstd.parquet", "no_images.parquet"]);
    sandbox.write("img_celeba.7z.001", b"7z\xBC\xAF\x27\x1C");
    sandbox.write("page.zip", "<!DOCTYPE html><title>Google Drive - Virus scan warning</title>");
    sandbox.write("pointer.tar", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n");
    fs::create_dir(sandbox.path("parts")).unwrap();
    for i in 1..4 {
        fs::write(sandbox.path(format!("parts/img_celeba.7z.{i:03}")), b"7z\xBC\xAF\x27\x1C").unwrap();
    }
    for (file, says) in [
        ("zstd.parquet", "pyarrow.parquet.write_table"),
        ("no_images.parquet", "no column of images (it has text)"),
        ("img_celeba.7z.001", "7z x img_celeba.7z.001"),
        ("page.zip", "Google Drive's warning"),
        ("pointer.tar", "git lfs pull"),
        ("parts", "it holds img_celeba.7z.001 (and 2 more): a part of a 7z archive"),
    ] {
        for line in [format!("prep {file}"), format!("fid {file} {file} --features squeezenet")] {
            let done = sandbox.run(&line);
            assert_eq!(
                (done.code, done.stderr.matches('\n').count()),
                (Some(1), 1),
                "{line}: {}",
                done.stderr
            );
            assert!(done.stderr.contains(says) && done.stderr.contains(file), "{line}: {}", done.stderr);
        }
    }
}
