//! Malicious images, names and archives, and huge numbers of images.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use crate::common::{Done, Sandbox, binary};

/// Writes demo faces as `names` into a folder, which is made.
fn faces(sandbox: &Sandbox, folder: &OsStr, names: &[&[u8]]) {
    let folder = sandbox.path(folder);
    fs::create_dir_all(&folder).unwrap();
    for (i, name) in names.iter().enumerate() {
        let face =
            image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * 6, y as u8 * 6, i as u8 * 40]));
        face.save_with_format(folder.join(OsStr::from_bytes(name)), image::ImageFormat::Png).unwrap();
    }
}

/// A command of a tool with words as they are.
fn tool(sandbox: &Sandbox, words: &[&OsStr]) -> Done {
    let mut command = Command::new(binary(words[0].to_str().unwrap()));
    command.args(&words[1..]).current_dir(sandbox.path("")).stdin(std::process::Stdio::null());
    command.output().expect("it starts").into()
}

#[test]
fn names_with_newlines_escapes_and_bytes_that_are_no_text() {
    let sandbox = Sandbox::new();
    let folder = OsStr::from_bytes(b"we\nird\xff");
    faces(&sandbox, folder, &[b"a\nb.png", b"\x1b[31mred.png", b"\xff\xfe.png", b" .png", b"-n.png"]);
    let broken = sandbox.path(folder).join(OsStr::from_bytes(b"bro\nken\x07.png"));
    fs::write(broken, "no image").unwrap();
    let done = tool(
        &sandbox,
        &["prep", "--size", "32"].map(OsStr::new).iter().copied().chain([folder]).collect::<Vec<_>>(),
    );
    assert_eq!(done.line(), "we_ird_-32.safetensors");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.stderr);
    assert!(lines[0].contains(r"bro\nken\u{7}.png: not an image"), "{}", done.stderr);
    assert!(lines[1].starts_with("prep: 5 images"), "{}", done.stderr);
    // It goes through the pipe, and a run of it has a name that does.
    let shard = PathBuf::from("we_ird_-32.safetensors");
    fs::rename(sandbox.path(&shard), sandbox.path(OsStr::from_bytes(b"x\ny\xff.safetensors"))).unwrap();
    let small = ["train", "--steps", "1", "--batch", "4", "--ngf", "2", "--ndf", "2", "-q"].map(OsStr::new);
    let shard = OsStr::from_bytes(b"x\ny\xff.safetensors");
    let done = tool(&sandbox, &[&small[..], &[shard]].concat());
    assert_eq!(done.line(), "runs/x_y_/G.safetensors");
    let done = tool(
        &sandbox,
        &["fid", "-q", "--features", "squeezenet"]
            .map(OsStr::new)
            .iter()
            .copied()
            .chain([shard, shard])
            .collect::<Vec<_>>(),
    );
    assert!(done.line().starts_with("FD-SqueezeNet 0.0"), "{}", done.line());

    let missing = OsStr::from_bytes(b"no\nsuch\x1b[2J");
    for words in [&["prep", "-q"][..], &["train", "-q"], &["sample", "-q"], &["fid", "-q", "x.npz"]] {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([missing]).collect();
        let done = tool(&sandbox, &words);
        assert!(!done.failure(1).contains('\x1b'), "{}", done.stderr);
    }
    for line in
        ["prep --demo 2 -o", "train x.safetensors -o", "sample G.safetensors -o", "fid --save-stats x"]
    {
        let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).chain([OsStr::new("a\nb.npz")]).collect();
        let done = tool(&sandbox, &words);
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{line}: {}", done.stderr);
        assert!(done.stderr.contains("must be UTF-8 without control characters"), "{}", done.stderr);
    }
    let long = sandbox.shell("head -c 3000000 /dev/zero | tr '\\0' x | train -q");
    assert!(long.failure(1).starts_with("xxx") && long.stderr.len() < 11_000, "{}", long.stderr.len());
}

#[test]
fn loops_pipes_and_links_to_nowhere() {
    let sandbox = Sandbox::new();
    faces(&sandbox, OsStr::new("in/deep"), &[b"a.png", b"b.png"]);
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, sandbox.path(name)).unwrap();
    link("..", "in/deep/up");
    link("round", "in/round");
    link("there", "in/here");
    link("here", "in/there");
    link("nowhere", "in/nowhere.png");
    assert_eq!(sandbox.shell("mkfifo in/pipe.png pipe").code, Some(0));
    let done = sandbox.shell("timeout 60 prep in --size 32 -o a.safetensors");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("2 images of 32×32×3, 1 skipped"), "{}", done.stderr);
    assert!(done.stderr.contains("in/nowhere.png: No such file"), "{}", done.stderr);
    for line in [
        "prep pipe -q",
        "prep /dev/null -q",
        "train /dev/null -q",
        "train /dev/zero -q",
        "sample /dev/zero -q",
    ] {
        let done = sandbox.shell(&format!("timeout 60 {line}"));
        assert!(done.failure(1).contains(line.split(' ').nth(1).unwrap()), "{line}: {}", done.stderr);
    }
}

/// A zip of entries, each a name and its content.
fn zip(sandbox: &Sandbox, name: &str, entries: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(File::create(sandbox.path(name)).unwrap());
    for (name, content) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn zips_that_climb_out_or_burst() {
    let sandbox = Sandbox::new();
    faces(&sandbox, OsStr::new("in"), &[b"a.png"]);
    let png = sandbox.read("in/a.png");
    // Nothing is unpacked to a disk. What climbs is passed over like what is hidden; the others are names.
    let names = ["../../up.png", "/tmp/gantools-absolute.png", "a/../../b.png", "c\\..\\d.png", "x\ny.png"];
    zip(&sandbox, "climb.zip", &names.map(|name| (name, &png[..])));
    let before = sandbox.names(".");
    assert_eq!(sandbox.run("prep climb.zip --size 32 -q").line(), "climb-32.safetensors");
    assert_eq!(sandbox.names(".").len(), before.len() + 1);
    assert!(!PathBuf::from("/tmp/gantools-absolute.png").exists());
    let info = sandbox.run("train --info climb-32.safetensors --json").json();
    assert_eq!(info["count"], 2);
    // 300 MB of nothing in 300 kB, and an image.
    let nothing = vec![0; 300 << 20];
    zip(&sandbox, "bomb.zip", &[("1.png", &nothing), ("2.png", &png), ("3.jpg", &nothing)]);
    drop(nothing);
    assert!(sandbox.read("bomb.zip").len() < 1 << 20);
    let done = sandbox.shell("ulimit -v 6000000; prep bomb.zip --size 32");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(done.stderr.matches("larger than 256 MiB when decompressed").count(), 2, "{}", done.stderr);
}

/// Headers of 60,000×60,000 pixels, with little behind them.
#[test]
fn images_that_say_they_are_huge() {
    let sandbox = Sandbox::new();
    faces(&sandbox, OsStr::new("in"), &[b"whole.png"]);
    let side = 60_000u32;
    let png = {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_chunk(png::chunk::IDAT, b"x\x9c\x63\x00").unwrap();
        bytes
    };
    let (low, high) = (side.to_le_bytes(), (side as u16).to_be_bytes());
    let jpeg = [
        b"\xff\xd8\xff\xc0\x00\x11\x08".as_slice(),
        &high,
        &high,
        b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00\xff\xd9",
    ]
    .concat();
    let bmp = [
        b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00".as_slice(),
        &low,
        &low,
        b"\x01\x00\x18\x00\x00\x00\x00\x00",
        &[0; 20],
    ]
    .concat();
    let gif = [
        b"GIF89a".as_slice(),
        &low[..2],
        &low[..2],
        b"\x80\x00\x00\x00\x00\x00\xff\xff\xff,\0\0\0\0",
        &low[..2],
        &low[..2],
        b"\x00\x02\x02D\x01\x00;",
    ]
    .concat();
    let entry =
        |tag: u16, value: u32| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
    let tags =
        [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, 9)];
    let tiff =
        [b"II\x2a\x00\x08\x00\x00\x00\x09\x00".to_vec(), tags.map(|(t, v)| entry(t, v)).concat(), vec![0; 4]]
            .concat();
    let files: [(&str, &[u8]); 7] = [
        ("1.png", &png),
        ("2.jpg", &jpeg),
        ("3.bmp", &bmp),
        ("4.gif", &gif),
        ("5.tif", &tiff),
        ("6.ppm", b"P6 60000 60000 255\nabc"),
        ("7.pbm", b"P4 60000 60000\nabc"),
    ];
    files.iter().for_each(|(name, bytes)| sandbox.write(&format!("in/{name}"), bytes));
    let done = sandbox.shell("ulimit -v 4000000; timeout 60 prep in --size 32");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for (name, _) in files {
        assert_eq!(
            done.stderr.lines().filter(|line| line.contains(&format!("skipped in/{name}: "))).count(),
            1,
            "{}",
            done.stderr
        );
    }
    assert!(done.stderr.contains("1 image of 32×32×3, 7 skipped"), "{}", done.stderr);
}

/// Waits for the end, and returns the largest private memory of a process, in MiB: without the files it maps.
fn peak(mut child: Child) -> (Done, u64) {
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) >> 10);
        std::thread::sleep(Duration::from_millis(10));
    }
    (child.wait_with_output().unwrap().into(), most)
}

/// A folder of a million images, and a shard of 10 GB: `just chaos` alone, for they take minutes.
#[test]
fn a_million_images_and_a_shard_of_ten_gigabytes() {
    if std::env::var_os("GANTOOLS_CHAOS").is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    faces(&sandbox, OsStr::new("one"), &[b"0.png"]);
    let bytes = sandbox.read("one/0.png");
    for i in 0..1_000_000 {
        // A file has 65,000 names at most.
        let (file, name) = (format!("one/{}.png", i / 50_000), format!("many/{:03}/{i:07}.png", i / 5000));
        if i % 50_000 == 0 {
            sandbox.write(&file, &bytes);
        }
        if i % 5000 == 0 {
            fs::create_dir_all(sandbox.path(format!("many/{:03}", i / 5000))).unwrap();
        }
        fs::hard_link(sandbox.path(file), sandbox.path(name)).unwrap();
    }
    let (done, most) = peak(sandbox.command("prep many --size 8 -q").spawn().unwrap());
    assert_eq!(done.line(), "many-8.safetensors");
    eprintln!("a million images: {most} MiB");
    assert!(most < 1024, "{most} MiB");
    assert_eq!(sandbox.run("train --info many-8.safetensors --json").json()["count"], 1_000_000);

    sandbox.run("prep --demo 1 -o one.safetensors -q").line();
    let small = sandbox.read("one.safetensors");
    let start = 8 + u64::from_le_bytes(small[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&small[8..start]).unwrap();
    let count = 10_000_000_000 / (64 * 64 * 3) as u64;
    let mut meta: serde_json::Value =
        serde_json::from_str(header["__metadata__"]["gantools"].as_str().unwrap()).unwrap();
    meta["count"] = count.into();
    header["__metadata__"]["gantools"] = meta.to_string().into();
    header["images"]["shape"][0] = count.into();
    header["images"]["data_offsets"][1] = (count * 64 * 64 * 3).into();
    let text = header.to_string();
    let mut file = File::create(sandbox.path("big.safetensors")).unwrap();
    let padded = (8 + text.len()).next_multiple_of(64) - 8;
    file.write_all(&(padded as u64).to_le_bytes()).unwrap();
    write!(file, "{text:padded$}").unwrap();
    let data = file.stream_position().unwrap();
    file.seek(SeekFrom::Start(data + 64 * 64 * 3)).unwrap();
    file.write_all(&small[start..]).unwrap();
    file.set_len(data + count * 64 * 64 * 3).unwrap();
    drop(file);
    let train = "train big.safetensors --recipe demo --steps 3 -o run -q";
    let sample = "sample run/G.safetensors -n 2 --nearest big.safetensors -q";
    for (line, made) in [(train, "run/G.safetensors"), (sample, "nearest.png")] {
        let (done, most) = peak(sandbox.command(line).spawn().unwrap());
        assert_eq!(done.line(), made);
        eprintln!("10 GB: {most} MiB of its own for {line}");
        assert!(most < 1024, "{most} MiB");
    }
}
