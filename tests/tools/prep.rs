//! `prep`, the built binary, run as a person runs it.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use image::{ImageFormat, Rgb, RgbImage};
use safetensors::SafeTensors;
use tempfile::TempDir;

fn prep(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prep"))
        .current_dir(dir)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("prep was built")
}

/// Runs `prep`, which must succeed, and returns the one line of stdout and all of stderr.
fn done(dir: &Path, args: &[&str]) -> (String, String) {
    let output = prep(dir, args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    assert_eq!(out.matches('\n').count(), 1, "{args:?}: one line: {out:?}");
    (out.trim_end().to_string(), err)
}

/// Runs `prep`, which must fail with `code` and exactly one line, and returns that.
fn fails(dir: &Path, args: &[&str], code: i32) -> String {
    let output = prep(dir, args);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert_eq!(err.matches('\n').count(), 1, "{args:?}: one line: {err}");
    assert!(err.starts_with("prep: "), "{args:?}: {err}");
    err
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn shape(path: &Path) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    SafeTensors::deserialize(&bytes).unwrap().tensor("images").unwrap().shape().to_vec()
}

fn image(i: u32, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5 + i * 40) as u8, (y * 7) as u8, (x * y + i) as u8]))
}

/// A folder `pets` of 6 images of several formats and sizes.
fn pets() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pets");
    fs::create_dir_all(root.join("more")).unwrap();
    for (i, (name, w, h)) in [
        ("a.png", 40, 50),
        ("b.JPG", 60, 33),
        ("c.bmp", 20, 20),
        ("more/d.webp", 33, 90),
        ("more/e.tif", 23, 17),
        ("more/f.gif", 35, 36),
    ]
    .into_iter()
    .enumerate()
    {
        let path = root.join(name);
        if name.ends_with(".tif") {
            fs::copy("lib/gan/tests/golden/image/decode/lzw.tif", path).unwrap();
            continue;
        }
        let format = ImageFormat::from_path(&path).unwrap();
        image(i as u32, w, h).save_with_format(path, format).unwrap();
    }
    dir
}

#[test]
fn a_folder_becomes_a_shard_and_is_left_alone_the_second_time() {
    let dir = pets();
    let (path, err) = done(dir.path(), &["pets/"]);
    assert_eq!(path, "pets-64.safetensors");
    assert!(err.contains("6 images of 64×64×3"), "{err}");
    let shard = dir.path().join(&path);
    assert_eq!(shape(&shard), [6, 64, 64, 3]);
    let before = fs::read(&shard).unwrap();
    let (again, err) = done(dir.path(), &["pets/"]);
    assert!(again == path && err.contains("up to date"), "{err}");
    let (_, err) = done(dir.path(), &["pets/", "--force"]);
    assert!(!err.contains("up to date"), "{err}");
    assert!(fs::read(&shard).unwrap() == before, "the same bytes every time");
    // Another option under the same name: made again, without --force, for it is a shard.
    let (_, err) = done(dir.path(), &["pets/", "--filter", "lanczos"]);
    assert!(!err.contains("up to date") && fs::read(&shard).unwrap() != before, "{err}");
    // From inside, `.` has the folder's name.
    assert_eq!(done(&dir.path().join("pets"), &[".", "-q"]), ("pets-64.safetensors".into(), "".into()));
}

#[test]
fn threads_change_no_byte() {
    let dir = pets();
    for n in ["1", "2"] {
        let out = format!("pets{n}.safetensors");
        done(dir.path(), &["pets", "--threads", n, "-o", &out]);
        let out = format!("demo{n}.safetensors");
        done(dir.path(), &["--demo", "20", "--threads", n, "-o", &out]);
    }
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert!(read("pets1.safetensors") == read("pets2.safetensors"));
    assert!(read("demo1.safetensors") == read("demo2.safetensors"));
}

#[test]
fn a_cut_short_shard_is_made_again_and_another_file_is_not_touched() {
    let dir = pets();
    let shard = dir.path().join(done(dir.path(), &["pets"]).0);
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    done(dir.path(), &["pets"]);
    assert!(fs::read(&shard).unwrap() == whole);
    fs::write(&shard, "my diary").unwrap();
    let err = fails(dir.path(), &["pets"], 1);
    assert!(err.contains("pets-64.safetensors") && err.contains("--force"), "{err}");
    assert_eq!(fs::read_to_string(&shard).unwrap(), "my diary");
    done(dir.path(), &["pets", "--force"]);
    assert!(fs::read(&shard).unwrap() == whole);
}

#[test]
fn broken_images_are_skipped_or_with_strict_an_error() {
    let dir = pets();
    let jpeg = fs::read(dir.path().join("pets/b.JPG")).unwrap();
    fs::write(dir.path().join("pets/b.JPG"), &jpeg[..jpeg.len() / 2]).unwrap();
    fs::write(dir.path().join("pets/z.png"), "no image").unwrap();
    let (line, err) = done(dir.path(), &["pets", "--json"]);
    assert!(
        err.contains("skipped pets/b.JPG: cut short") && err.contains("skipped pets/z.png: not an image"),
        "{err}"
    );
    assert!(err.contains("2 skipped"), "{err}");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["count"], &json["rejected"]), (&5.into(), &2.into()));
    assert_eq!(json["path"], "pets-64.safetensors");
    assert_eq!(json["up_to_date"], false);
    let err = fails(dir.path(), &["pets", "--strict", "-q"], 1);
    assert!(err.contains("pets/b.JPG: cut short"), "{err}");
    let quiet = prep(dir.path(), &["pets", "-q", "--force"]);
    assert_eq!(text(&quiet.stderr), "");
    fs::remove_dir_all(dir.path().join("pets/more")).unwrap();
    fs::write(dir.path().join("pets/a.png"), "").unwrap();
    fs::write(dir.path().join("pets/c.bmp"), "BM").unwrap();
    let err = fails(dir.path(), &["pets", "-q", "-o", "none.safetensors"], 1);
    assert!(err.contains("none of 4 images"), "{err}");
    assert!(!dir.path().join("none.safetensors").exists());
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no temporary file is left: {names:?}");
}

#[test]
fn sizes_crops_types_and_ranges_do_what_they_say() {
    let dir = pets();
    let made = |args: &[&str]| {
        let mut all = vec!["pets", "-o", "x.safetensors", "--force"];
        all.extend(args);
        done(dir.path(), &all);
        fs::read(dir.path().join("x.safetensors")).unwrap()
    };
    let shape_of = |args: &[&str]| {
        made(args);
        shape(&dir.path().join("x.safetensors"))
    };
    assert_eq!(shape_of(&["--size", "16"]), [6, 16, 16, 3]);
    assert_eq!(shape_of(&["--gray"]), [6, 64, 64, 1]);
    assert_eq!(shape_of(&["--skip", "1", "--limit", "3"]), [3, 64, 64, 3]);
    assert!(made(&["--crop", "18"]) != made(&[]), "a crop is another image");
    let bytes = made(&["--size", "8"]);
    let floats = made(&["--size", "8", "--dtype", "f32"]);
    let (bytes, floats) =
        (SafeTensors::deserialize(&bytes).unwrap(), SafeTensors::deserialize(&floats).unwrap());
    assert_eq!(format!("{:?}", floats.tensor("images").unwrap().dtype()), "F32");
    let (bytes, floats) = (bytes.tensor("images").unwrap(), floats.tensor("images").unwrap());
    for (x, f) in bytes.data().iter().zip(floats.data().chunks_exact(4)) {
        assert_eq!(f32::from_le_bytes(f.try_into().unwrap()), f32::from(*x) / 127.5 - 1.0);
    }
    // A part of the images gives that part of the shard.
    let (whole, part) = (made(&["--size", "8"]), made(&["--size", "8", "--skip", "2", "--limit", "2"]));
    let (whole, part) = (SafeTensors::deserialize(&whole).unwrap(), SafeTensors::deserialize(&part).unwrap());
    assert_eq!(
        &whole.tensor("images").unwrap().data()[2 * 192..4 * 192],
        part.tensor("images").unwrap().data()
    );
    let err = fails(dir.path(), &["pets", "--skip", "6"], 1);
    assert!(err.contains("--skip 6"), "{err}");
}

#[test]
fn idx_keeps_its_size_and_is_gray() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("digits")).unwrap();
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28];
    idx.extend((0..3 * 28 * 28).map(|i| (i % 251) as u8));
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        fs::write(dir.path().join("digits").join(name), &idx).unwrap();
    }
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        fs::write(dir.path().join("digits").join(name), [0, 0, 8, 1, 0, 0, 0, 0]).unwrap();
    }
    let (path, _) = done(dir.path(), &["digits"]);
    assert_eq!(path, "digits-28.safetensors");
    assert_eq!(shape(&dir.path().join(&path)), [3, 28, 28, 1]);
    let bytes = fs::read(dir.path().join(&path)).unwrap();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("images").unwrap().data(), &idx[16..]);
    let (path, _) = done(dir.path(), &["digits", "--size", "32"]);
    assert_eq!(
        (path.as_str(), shape(&dir.path().join(&path))),
        ("digits-32.safetensors", vec![3, 32, 32, 1])
    );
    let err = fails(dir.path(), &["digits", "--filter", "box"], 2);
    assert!(err.contains("--size"), "{err}");
    idx.pop();
    fs::write(dir.path().join("digits/train-images-idx3-ubyte"), &idx).unwrap();
    let err = fails(dir.path(), &["digits"], 1);
    assert!(err.contains("train-images-idx3-ubyte: cut short"), "{err}");
}

#[test]
fn a_zip_is_the_same_as_its_folder() {
    let dir = pets();
    let zip = dir.path().join("pets.zip");
    write_zip(
        &zip,
        &dir.path().join("pets"),
        &["more/e.tif", "a.png", "more/d.webp", "c.bmp", "more/f.gif", "b.JPG"],
    );
    let (from_zip, _) = done(dir.path(), &["pets.zip", "-o", "z.safetensors"]);
    let (from_folder, _) = done(dir.path(), &["pets", "-o", "f.safetensors"]);
    let data = |name: &str| {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        SafeTensors::deserialize(&bytes).unwrap().tensor("images").unwrap().data().to_vec()
    };
    assert!(data(&from_zip) == data(&from_folder));
    assert_eq!(done(dir.path(), &["pets.zip", "-q"]).0, "pets-64.safetensors");
    let bytes = fs::read(&zip).unwrap();
    fs::write(&zip, &bytes[..bytes.len() - 30]).unwrap();
    let err = fails(dir.path(), &["pets.zip"], 1);
    assert!(err.contains("pets.zip: a broken or incomplete zip"), "{err}");
}

/// A zip of stored (not compressed) files, by hand: the format's three records.
fn write_zip(path: &Path, root: &Path, names: &[&str]) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let data = fs::read(root.join(name)).unwrap();
        let (at, size) = (file.len() as u32, data.len() as u32);
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32(&data).to_le_bytes());
        common.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&data);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size, count) = (file.len() as u32, directory.len() as u32, names.len() as u16);
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    file.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
    file.extend([0, 0]);
    fs::write(path, file).unwrap();
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

#[test]
fn demo_faces_come_from_their_seed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, err) = done(dir.path(), &["--demo", "8"]);
    assert_eq!(path, "demo-64.safetensors");
    assert!(err.contains("8 images"), "{err}");
    assert_eq!(shape(&dir.path().join(&path)), [8, 64, 64, 3]);
    assert!(done(dir.path(), &["--demo", "8"]).1.contains("up to date"));
    let read = || fs::read(dir.path().join(&path)).unwrap();
    let first = read();
    assert!(!done(dir.path(), &["--demo", "8", "--seed", "1"]).1.contains("up to date"));
    assert!(read() != first);
}

#[test]
fn the_split_follows_celebas_list() {
    let dir = pets();
    let err = fails(dir.path(), &["pets", "--split", "train"], 1);
    assert!(err.contains("list_eval_partition.txt"), "{err}");
    fs::write(dir.path().join("list_eval_partition.txt"), "a.jpg 0\nb.jpg 1\nc.jpg 0\nd.jpg 2\n").unwrap();
    let (path, _) = done(dir.path(), &["pets", "--split", "train"]);
    assert_eq!(shape(&dir.path().join(&path)), [2, 64, 64, 3]);
    let (path, err) = done(dir.path(), &["pets", "--split", "valid"]);
    assert!(!err.contains("up to date"), "{err}");
    assert_eq!(shape(&dir.path().join(&path)), [1, 64, 64, 3]);
}

#[test]
fn wrong_usage_is_one_line_and_exit_2() {
    let dir = pets();
    let cases: [(&[&str], &str); 5] = [
        (&[], "--demo N"),
        (&["pets", "--demo", "4"], "--demo"),
        (&["--demo", "4", "--split", "train"], "--split"),
        (&["pets", "--seed", "3"], "--seed"),
        (&["--json"], "name images, folders or other inputs, or --demo N"),
    ];
    for (args, what) in cases {
        let err = fails(dir.path(), args, 2);
        assert!(err.contains(what), "{args:?}: {err}");
    }
    for args in [&["pets", "--size", "0"][..], &["pets", "--filter", "cubist"], &["pets", "--color"]] {
        assert_eq!(prep(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
    let err = fails(dir.path(), &["nowhere"], 1);
    assert!(err.contains("nowhere: "), "{err}");
    let err = fails(dir.path(), &["pets", "-o", "nowhere/x.safetensors"], 1);
    assert!(err.contains("nowhere: no such folder: make it first (mkdir -p nowhere)"), "{err}");
    let err = fails(dir.path(), &["pets", "-o", "pets"], 1);
    assert!(err.contains("is a folder"), "{err}");
}

#[test]
fn help_names_every_flag() {
    let output = prep(Path::new("."), &["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    let flags = "--output --size --crop --filter --skip --limit --dtype --gray --split --idx --demo --seed \
                 --strict --force --threads --json --quiet";
    for flag in flags.split_whitespace() {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let dir = pets();
    for args in [&["pets", "-q"][..], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_prep"))
            .current_dir(dir.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}");
        assert_eq!(err, "", "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_prep"))
        .current_dir(dir.path())
        .args(["--demo", "1000000", "--threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The temporary file shows that it is at work.
    while fs::read_dir(dir.path()).unwrap().next().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "prep: stopped\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn images_may_be_named_one_by_one() {
    let dir = pets();
    let (path, _) = done(dir.path(), &["pets/c.bmp", "pets/a.png"]);
    assert_eq!((path.as_str(), shape(&dir.path().join(&path))), ("pets-64.safetensors", vec![2, 64, 64, 3]));
    let mut file = fs::File::create(dir.path().join("notes.txt")).unwrap();
    file.write_all(b"not an image").unwrap();
    let err = fails(dir.path(), &["notes.txt"], 1);
    assert!(err.contains("not a folder, a zip, an IDX file or an image"), "{err}");
}

/// 12 bits in 16, as in a CT: reported once, and kept correctly with `--depth`.
#[test]
fn gray_of_few_bits_is_told_of_and_kept_by_depth() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ct")).unwrap();
    let value = |x: u32, y: u32| (x + y) as u16 * 65;
    let deep = image::ImageBuffer::from_fn(32, 32, |x, y| image::Luma([value(x, y)]));
    for name in ["ct/0.png", "ct/1.png"] {
        deep.save(dir.path().join(name)).unwrap();
    }
    image(1, 32, 32).save(dir.path().join("ct/2.png")).unwrap();
    let pixels = || {
        let shard = fs::read(dir.path().join("ct-32.safetensors")).unwrap();
        SafeTensors::deserialize(&shard).unwrap().tensor("images").unwrap().data()[..32 * 32].to_vec()
    };
    let (_, err) = done(dir.path(), &["ct", "--size", "32", "--gray"]);
    assert_eq!(err.matches("a depth of 12").count(), 1, "{err}");
    assert!(err.contains("(2 images) needs more than 12 bits"), "{err}");
    assert_eq!(pixels().iter().max(), Some(&15));
    let whole = fs::read(dir.path().join("ct-32.safetensors")).unwrap();
    assert!(!String::from_utf8_lossy(&whole).contains("depth"), "only where it was given");
    // Other bits make another shard.
    let (line, err) = done(dir.path(), &["ct", "--size", "32", "--gray", "--depth", "12", "--json"]);
    assert!(!err.contains("bits"), "{err}");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["depth"], &json["up_to_date"]), (&12.into(), &false.into()));
    let expected: Vec<u8> = (0..32 * 32).map(|i| (value(i % 32, i / 32) >> 4).min(255) as u8).collect();
    assert_eq!(pixels(), expected);
    let (line, _) = done(dir.path(), &["ct", "--size", "32", "--gray", "--depth", "12", "--json"]);
    assert!(line.contains("\"up_to_date\":true"), "{line}");
    let (_, err) = done(dir.path(), &["ct", "--size", "32", "--gray"]);
    assert!(!err.contains("is up to date"), "{err}");
    let (_, err) = done(dir.path(), &["ct/2.png", "--depth", "12", "-o", "rgb.safetensors"]);
    assert!(err.contains("changes nothing"), "{err}");
    assert_eq!(prep(dir.path(), &["ct", "--depth", "7"]).status.code(), Some(2));
    fails(dir.path(), &["--demo", "9", "--depth", "12"], 2);
}

/// The orientation of a TIFF is applied, that of EXIF is counted.
#[test]
fn orientations_are_as_in_pillow() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    let exif = |turn: u8| {
        let tiff =
            [b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[turn][..], &[0; 6]].concat();
        [&[0xff, 0xe1, 0, tiff.len() as u8 + 2][..], &tiff].concat()
    };
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image(1, 40, 30).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    for (name, turn) in [("a.jpg", 6), ("b.jpg", 3), ("c.jpg", 1)] {
        let jpeg = jpeg.get_ref();
        fs::write(dir.path().join("in").join(name), [&jpeg[..2], &exif(turn), &jpeg[2..]].concat()).unwrap();
    }
    let (_, err) = done(dir.path(), &["in"]);
    assert!(err.contains("2 images carry an EXIF rotation, which is ignored"), "{err}");
    let (_, err) = done(dir.path(), &["in/c.jpg", "-o", "c.safetensors"]);
    assert!(!err.contains("rotation"), "{err}");
}
