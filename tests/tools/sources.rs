//! What `prep` and `fid` report about the files that they take and skip; files made from other images are not
//! replaced.

use std::fs;
use std::path::Path;

use crate::common::{Done, Sandbox};

/// Writes an image of `side`×`side` pixels that depends on `seed`, in the format of the extension.
fn image(sandbox: &Sandbox, name: &str, side: u32, seed: u32) {
    let path = sandbox.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x, y| image::Rgb([(x * seed) as u8, (y * 3 + seed) as u8, (x * y) as u8]);
    let format = image::ImageFormat::from_path(&path).unwrap_or(image::ImageFormat::Png);
    image::RgbImage::from_fn(side, side, pixel).save_with_format(path, format).unwrap();
}

/// The lines on stderr without the tool's name; the tool succeeded.
fn said(done: &Done) -> Vec<&str> {
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stderr.lines().map(|line| line.split_once(": ").expect("the tool's name").1).collect()
}

/// Whether files here keep extended attributes.
fn has_attributes(sandbox: &Sandbox) -> bool {
    sandbox.write("probe", "");
    xattr::set(sandbox.path("probe"), "user.probe", b"1").is_ok()
}

#[test]
fn prep_reports_skipped_files_and_the_shard_records_them() {
    let sandbox = Sandbox::new();
    for i in 0..4 {
        image(&sandbox, &format!("in/{i}.png"), 40, i);
    }
    let plain = sandbox.run("prep in -o plain.safetensors");
    assert_eq!(said(&plain), ["4 images of 64×64×3, 0 s"]);
    for i in 0..6 {
        sandbox.write(&format!("in/phone{i}.avif"), b"\0\0\0 ftypavif");
    }
    sandbox.write("in/notes.txt", "");
    let line = "7 files skipped: 6 .avif (AVIF is not read), 1 .txt";
    // Other files beside the images do not change the shard.
    let done = sandbox.run("prep in -o plain.safetensors --json");
    assert_eq!(said(&done), [line, "plain.safetensors is up to date (--force makes it again)"]);
    assert_eq!(done.json()["passed_over"][".txt"]["count"], 1);
    let done = sandbox.run("prep in -o all.safetensors");
    assert_eq!(said(&done), [line, "4 images of 64×64×3, 0 s"]);
    let info = sandbox.run("train --info all.safetensors");
    assert!(info.stdout.contains(&format!("inputs    {line}")), "{}", info.stdout);
    let json = sandbox.run("train --info all.safetensors --json").json();
    assert_eq!(json["passed_over"][".avif (AVIF is not read)"]["count"], 6);
    assert_eq!(json["passed_over"][".avif (AVIF is not read)"]["first"][5], "phone5.avif");
    // The pixels are equal, and the header of an ordinary folder's shard has no additional keys.
    let data = |name: &str| {
        let bytes = sandbox.read(name);
        safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("images").unwrap().data().to_vec()
    };
    assert!(data("plain.safetensors") == data("all.safetensors"));
    let header = String::from_utf8_lossy(&sandbox.read("plain.safetensors")[8..1000]).into_owned();
    for key in ["passed_over", "broken", "idx", "smaller"] {
        assert!(!header.contains(key), "{header}");
    }
}

#[test]
fn broken_images_are_named_up_to_ten_then_counted() {
    let sandbox = Sandbox::new();
    image(&sandbox, "in/good.png", 40, 3);
    let whole = sandbox.read("in/good.png");
    for i in 0..14 {
        sandbox.write(&format!("in/cut{i:02}.png"), &whole[..whole.len() / 2]);
    }
    for i in 0..3 {
        sandbox.write(&format!("in/none{i}.jpg"), "no image");
    }
    let done = sandbox.run("prep in --json");
    let lines = said(&done);
    assert_eq!(lines.len(), 12, "{lines:#?}");
    assert!(
        (0..10).all(|i| lines[i].starts_with(&format!("warning: skipped in/cut{i:02}.png: "))),
        "{lines:#?}"
    );
    let all = "warning: 17 broken images were skipped, the first 10 by name: 14 ";
    assert!(lines[10].starts_with(all) && lines[10].contains(", 3 not an image"), "{lines:#?}");
    let json = done.json();
    assert_eq!((&json["rejected"], &json["count"]), (&17.into(), &1.into()));
    assert_eq!(
        json["broken"]["not an image"]["first"],
        serde_json::json!(["none0.jpg", "none1.jpg", "none2.jpg"])
    );
    let info = sandbox.run("train --info in-64.safetensors");
    assert!(
        info.stdout.contains("rejected  17 (14 ") && info.stdout.contains("3 not an image)"),
        "{}",
        info.stdout
    );
    // The pixels are where the header says, though it has grown.
    let bytes = sandbox.read("in-64.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    sandbox.run("prep in/good.png -o good.safetensors").line();
    let good = sandbox.read("good.safetensors");
    let good = safetensors::SafeTensors::deserialize(&good).unwrap();
    assert!(tensors.tensor("images").unwrap().data() == good.tensor("images").unwrap().data());
    assert_eq!((bytes.len() - 64 * 64 * 3) % 64, 0);
    assert_eq!(sandbox.run("prep in -q --threads 1 -o again.safetensors").line(), "again.safetensors");
    assert!(sandbox.read("again.safetensors") == bytes);
}

#[test]
fn images_smaller_than_the_crop_are_counted() {
    let sandbox = Sandbox::new();
    for (i, side) in [30, 18, 17, 9].into_iter().enumerate() {
        image(&sandbox, &format!("in/{i}.png"), side, 5);
    }
    let done = sandbox.run("prep in --crop 18 --json");
    let line =
        "warning: 2 of 4 images are smaller than the crop of 18: their largest centered square was used";
    assert_eq!(said(&done), [line, "4 images of 64×64×3, 0 s"]);
    assert_eq!(done.json()["smaller_than_crop"], 2);
    assert!(
        sandbox.run("train --info in-64.safetensors").stdout.contains("smaller   2 images than the crop")
    );
    assert!(sandbox.run("prep in --crop 9 --json --force").json()["smaller_than_crop"].is_null());
}

#[test]
fn a_shard_of_other_images_is_not_replaced() {
    let sandbox = Sandbox::new();
    // The names and sizes are the same: only the folders differ.
    for i in 0..3 {
        image(&sandbox, &format!("cats/train/{i}.bmp"), 20, i);
        image(&sandbox, &format!("dogs/train/{i}.bmp"), 20, i + 50);
    }
    if !has_attributes(&sandbox) {
        return; // Nothing records the inputs.
    }
    let cats = fs::canonicalize(sandbox.path("cats/train")).unwrap();
    let of_others = |name: &str| {
        let what = if name.ends_with(".npz") { "is of" } else { "was made from" };
        format!(
            "{name}: already exists and {what} other images ({}); choose another output, or --force to replace it",
            cats.display()
        )
    };
    sandbox.run("prep cats/train").line();
    let before = sandbox.read("train-64.safetensors");
    for line in [
        "prep dogs/train",
        "prep cats/train dogs/train -o train-64.safetensors",
        "prep --demo 3 -o train-64.safetensors",
    ] {
        assert_eq!(sandbox.run(line).failure(1), of_others("train-64.safetensors"), "{line}");
    }
    assert!(sandbox.read("train-64.safetensors") == before);
    // The same folder under another name, other options, other content.
    fs::create_dir(sandbox.path("below")).unwrap();
    assert!(said(&sandbox.run("prep below/../cats/train"))[0].contains("is up to date"));
    let replaced = |n: usize| format!("train-64.safetensors: replaced the shard of {n} images of train");
    let done = sandbox.run("prep cats/train --limit 2");
    assert_eq!(said(&done)[1], replaced(3));
    image(&sandbox, "cats/train/new.png", 20, 7);
    assert_eq!(said(&sandbox.run("prep cats/train"))[1], replaced(2));
    let done = sandbox.run("prep dogs/train --force");
    assert_eq!(said(&done)[1], replaced(4));
    assert!(said(&sandbox.run("prep dogs/train"))[0].contains("is up to date"));
    // If the other images are gone, they may have been moved.
    fs::rename(sandbox.path("dogs"), sandbox.path("wolves")).unwrap();
    assert!(said(&sandbox.run("prep wolves/train"))[0].contains("is up to date"));

    let save = "fid --features squeezenet -q --save-stats";
    sandbox.run(&format!("{save} cats/train s.npz")).line();
    let before = sandbox.read("s.npz");
    assert_eq!(sandbox.run(&format!("{save} wolves/train s.npz")).failure(1), of_others("s.npz"));
    assert!(sandbox.read("s.npz") == before);
    sandbox.run(&format!("{save} wolves/train s.npz --force")).line();
    sandbox.run(&format!("{save} wolves/train s.npz")).line();
}

#[test]
fn fid_reports_what_pytorch_fid_would_skip() {
    let sandbox = Sandbox::new();
    for i in 0..4 {
        image(&sandbox, &format!("a/{i}.png"), 40, i);
    }
    for (i, name) in ["b.png", "c.png", "D.JPG", "E.PNG", "f.gif", "more/g.png"].into_iter().enumerate() {
        image(&sandbox, &format!("b/{name}"), 40, i as u32);
    }
    sandbox.write("b/list.csv", "");
    let done = sandbox.run("fid a b --features squeezenet --json");
    let line = "b: 5 files skipped: 2 with capital extensions (pytorch-fid reads lower case), 1 .csv, \
                1 .gif (pytorch-fid does not read it), 1 in subfolders (pytorch-fid reads one level)";
    assert_eq!(said(&done)[0], line, "{}", done.stderr);
    assert!(done.stderr.contains("b         2 images"), "{}", done.stderr);
    let json = done.json();
    assert_eq!(json["passed_over"][0], serde_json::json!({}));
    assert_eq!(json["passed_over"][1][".csv"]["first"], serde_json::json!(["list.csv"]));
    let saved = sandbox.run("fid --save-stats b b.npz --features squeezenet");
    assert_eq!(said(&saved)[0], line);
    for folder in ["cats", "dogs"] {
        image(&sandbox, &format!("classes/{folder}/0.png"), 40, 1);
    }
    let line = "classes: its 2 images lie in 2 subfolders (cats, dogs); pytorch-fid reads one level: name \
                one, or a zip of all";
    assert_eq!(sandbox.run("fid a classes --features squeezenet").failure(1), line);
}

/// An IDX file of `count` images of 28×28 pixels of one value.
fn idx(count: u32, value: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = [0x0803, count, 28, 28].iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    bytes.resize(16 + count as usize * 784, value);
    bytes
}

#[test]
fn prep_says_which_idx_file_it_took_and_idx_chooses() {
    let sandbox = Sandbox::new();
    let write = |path: &Path, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(&sandbox.path("emnist/emnist-letters-train-images-idx3-ubyte"), &idx(8, 100));
    write(&sandbox.path("emnist/emnist-letters-test-images-idx3-ubyte"), &idx(2, 200));
    let done = sandbox.run("prep emnist --json");
    assert_eq!(said(&done), ["8 images of 28×28×1 of emnist-letters-train-images-idx3-ubyte, 0 s"]);
    assert_eq!(done.json()["taken"], serde_json::json!(["emnist-letters-train-images-idx3-ubyte"]));
    assert_eq!(sandbox.read("emnist-28.safetensors").last(), Some(&100));
    let done = sandbox.run("prep emnist --idx test");
    let lines = [
        "2 images of 28×28×1 of emnist-letters-test-images-idx3-ubyte, 0 s",
        "emnist-28.safetensors: replaced the shard of 8 images of emnist",
    ];
    assert_eq!(said(&done), lines);
    assert_eq!(sandbox.read("emnist-28.safetensors").last(), Some(&200));
    let info = sandbox.run("train --info emnist-28.safetensors").stdout;
    assert!(info.contains("idx       emnist-letters-test-images-idx3-ubyte"), "{info}");
    // Another set of the same shape is another shard.
    write(&sandbox.path("emnist/emnist-digits-test-images-idx3-ubyte"), &idx(2, 77));
    assert!(
        sandbox
            .run("prep emnist --idx test")
            .failure(1)
            .starts_with("--idx: emnist holds 2 sets of IDX images: choose one of emnist-")
    );
    sandbox.run("prep emnist --idx digits").line();
    assert_eq!(sandbox.read("emnist-28.safetensors").last(), Some(&77));
    assert_eq!(sandbox.run("prep --demo 3 --idx test").code, Some(2));
    assert!(
        sandbox
            .run("prep emnist --idx fashion")
            .failure(1)
            .starts_with("--idx: fashion: no such IDX file of images in emnist; it holds ")
    );
}
