use std::fs;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::data::image::{Filter, Image, Transform, encode_png};
use crate::data::source::{Recursion, Source};
use crate::progress::{Progress, Silent};

/// Keeps the warnings.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn update(&self, _: u64, _: u64, _: &str) {}

    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

fn options(size: usize) -> ShardOptions {
    let fit = Transform { crop: None, size: Some(size), filter: Filter::Bilinear };
    ShardOptions { fit, gray: false, dtype: Dtype::U8, ..ShardOptions::default() }
}

/// A folder of `n` images of 8×8, each with a pattern of its own.
fn images(n: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    for i in 0..n {
        fs::write(dir.path().join(format!("in/{i:03}.png")), encode_png(8, 8, 3, &pattern(i), &[])).unwrap();
    }
    dir
}

fn pattern(i: usize) -> Vec<u8> {
    (0..192).map(|at| (i * 37 + at * (i + 3)) as u8).collect()
}

fn source(dir: &TempDir) -> Source {
    Source::open(&[dir.path().join("in")], Recursion::Recursive).unwrap()
}

fn made(dir: &TempDir, options: &ShardOptions) -> Shard {
    let path = dir.path().join("x.safetensors");
    make(&path, &source(dir), options, &Silent, &AtomicBool::new(false)).unwrap();
    Shard::open(&path).unwrap()
}

#[test]
fn images_come_back_as_bytes_and_as_floats() {
    let dir = images(5);
    let shard = made(&dir, &options(8));
    assert_eq!([shard.len(), shard.height(), shard.width(), shard.channels()], [5, 8, 8, 3]);
    let mut floats = vec![0.0; 2 * 192];
    shard.gather(&[4, 1], &mut floats);
    for (batch, i) in [4, 1].into_iter().enumerate() {
        let mut bytes = vec![0; 192];
        shard.pixels(i, &mut bytes);
        assert_eq!(bytes, pattern(i));
        let expected: Vec<f32> = bytes.iter().map(|&x| f32::from(x) / 127.5 - 1.0).collect();
        assert_eq!(floats[batch * 192..][..192], expected);
    }
    // Stored floats are the same values.
    let stored = made(&dir, &ShardOptions { dtype: Dtype::F32, ..options(8) });
    let mut same = vec![0.0; 2 * 192];
    stored.gather(&[4, 1], &mut same);
    assert_eq!(same, floats);
    let mut bytes = vec![0; 192];
    stored.pixels(3, &mut bytes);
    assert_eq!(bytes, pattern(3));
    let gray = made(&dir, &ShardOptions { gray: true, ..options(8) });
    assert_eq!(gray.channels(), 1);
    let mut bytes = vec![0; 64];
    gray.pixels(2, &mut bytes);
    assert_eq!(bytes, Image { width: 8, height: 8, rgb: pattern(2) }.to_gray());
}

#[test]
fn others_can_read_it_and_the_layout_is_as_promised() {
    use sha2::{Digest, Sha256};
    for dtype in [Dtype::U8, Dtype::F32] {
        let dir = images(3);
        let shard = made(&dir, &ShardOptions { dtype, ..options(8) });
        let bytes = fs::read(shard.path()).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.names(), ["images"]);
        let images = tensors.tensor("images").unwrap();
        assert_eq!(
            (format!("{:?}", images.dtype()), images.shape()),
            (format!("{dtype:?}"), &[3, 8, 8, 3][..])
        );
        assert_eq!(shard.meta().content_hash, crate::io::hash::hex(&Sha256::digest(images.data())));
        let data_start = bytes.len() - images.data().len();
        assert_eq!(data_start % 64, 0);
        let header = std::str::from_utf8(&bytes[8..data_start]).unwrap();
        let (name, bytes_each) = if dtype == Dtype::U8 { ("U8", 1) } else { ("F32", 4) };
        let wanted = format!(
            "{{\"__metadata__\":{{\"gantools\":{}}},\"images\":{{\"dtype\":\"{name}\",\"shape\":[3,8,8,3],\
             \"data_offsets\":[0,{}]}}}}",
            serde_json::Value::from(serde_json::to_value(shard.meta()).unwrap().to_string()),
            576 * bytes_each
        );
        assert_eq!(header.trim_end_matches(' '), wanted);
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()), header.len() as u64);
        let json: serde_json::Value = serde_json::from_str(header).unwrap();
        assert_eq!(json["__metadata__"].as_object().unwrap().len(), 1);
        let meta = json["__metadata__"]["gantools"].as_str().unwrap();
        let keys: Vec<String> =
            serde_json::from_str::<serde_json::Map<_, _>>(meta).unwrap().keys().cloned().collect();
        let positions: Vec<usize> = keys.iter().map(|k| meta.find(&format!("\"{k}\":")).unwrap()).collect();
        assert!(positions.is_sorted(), "sorted keys: {meta}");
    }
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let dir = images(40);
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fs::read(made(&dir, &options(16)).path()).unwrap())
    };
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(7));
}

#[test]
fn more_images_than_a_window_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (count, side) = (2500u32, 2u32);
    let mut idx = vec![0, 0, 8, 3];
    idx.extend([count, side, side].iter().flat_map(|n| n.to_be_bytes()));
    idx.extend((0..count).flat_map(|i| [i as u8, (i >> 8) as u8, 7, 9]));
    fs::write(dir.path().join("in"), idx).unwrap();
    let fit = Transform { crop: None, size: None, filter: Filter::Bilinear };
    let shard = made(&dir, &ShardOptions { fit, gray: true, ..options(8) });
    assert_eq!([shard.len(), shard.height(), shard.width(), shard.channels()], [2500, 2, 2, 1]);
    for i in [0, 1023, 1024, 1025, 2047, 2048, 2499] {
        let mut bytes = [0; 4];
        shard.pixels(i, &mut bytes);
        assert_eq!(bytes, [i as u8, (i >> 8) as u8, 7, 9]);
    }
    assert_eq!((shard.meta().size, &shard.meta().filter), (None, &None));
}

#[test]
fn broken_images_are_skipped_named_and_counted() {
    let dir = images(4);
    fs::write(dir.path().join("in/001.png"), b"\x89PNG\r\n\x1a\n then nothing").unwrap();
    fs::write(dir.path().join("in/007.jpg"), b"").unwrap();
    let (path, heard) = (dir.path().join("x.safetensors"), Heard::default());
    let stop = AtomicBool::new(false);
    let made = make(&path, &source(&dir), &options(8), &heard, &stop).unwrap();
    assert_eq!((made.meta.count, made.meta.rejected), (3, 2));
    let warnings = heard.0.into_inner().unwrap();
    assert!(
        warnings[0].contains("in/001.png: ") && warnings[1].contains("in/007.jpg: empty"),
        "{warnings:?}"
    );
    let mut bytes = vec![0; 192];
    Shard::open(&path).unwrap().pixels(1, &mut bytes);
    assert_eq!(bytes, pattern(2), "the next takes its place");
    let strict = ShardOptions { strict: true, ..options(8) };
    assert!(!is_up_to_date(&path, &source(&dir), &strict).unwrap());
    let error = make(&path, &source(&dir), &strict, &Silent, &stop).unwrap_err().to_string();
    assert!(error.contains("in/001.png"), "{error}");
    assert_eq!(Shard::open(&path).unwrap().len(), 3, "what was there stays");
    for i in [0, 2, 3] {
        fs::write(dir.path().join(format!("in/{i:03}.png")), b"no").unwrap();
    }
    let error = make(&path, &source(&dir), &options(8), &Silent, &stop).unwrap_err().to_string();
    assert!(error.contains("none of 5 images"), "{error}");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(make(&path, &source(&dir), &options(8), &Silent, &stop), Err(Error::Stopped)));
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["in", "x.safetensors"], "no temporary file is left");
}

#[test]
fn every_wrong_byte_has_its_own_line() {
    let dir = images(2);
    let whole = fs::read(made(&dir, &options(8)).path()).unwrap();
    let path = dir.path().join("y.safetensors");
    let says = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let error = Shard::open(&path).err().unwrap_or_else(|| panic!("{what}: opened")).to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains(what), "{what}: {error}");
        assert!(!error.contains('\n'), "{error}");
    };
    // Replaces within the header, keeping its length by the padding.
    let edited = |from: &str, to: &str| {
        let text = String::from_utf8(whole[8..whole.len() - 384].to_vec()).unwrap();
        let (padded, text) = (text.len(), text.trim_end().replace(from, to));
        assert!(text.len() <= padded);
        [&whole[..8], format!("{text:<padded$}").as_bytes(), &whole[whole.len() - 384..]].concat()
    };
    let length = whole.len();
    says(b"", "is empty");
    says(&whole[..7], "is not a safetensors file; `prep` makes shards");
    says(&whole[..100], "is cut short in its header, at 100 bytes");
    says(&whole[..length - 1], &format!("is cut short: {} of {length} bytes", length - 1));
    says(&[&whole[..], b"x"].concat(), "has 1 trailing bytes");
    says(&[b'a'; 4096], "is not a safetensors file; `prep` makes shards");
    says(&edited("\"__m", "#__m"), "its safetensors header is damaged");
    says(&edited("\"gantools\"", "\"other\""), "is not a shard: its metadata are not of gantools");
    says(&edited("\"images\"", "\"weights\""), "is not a shard: it has no tensor `images`");
    says(&edited("\"U8\"", "\"I8\""), "is not a shard: `images` is of type I8");
    says(&edited("[2,8,8,3]", "[2,8,24]"), "is not a shard: `images` has shape");
    says(&edited("[2,8,8,3]", "[4,8,6,2]"), "is not a shard: `images` has shape");
    says(&edited("[2,8,8,3]", "[0,8,8,3]"), "header is damaged (invalid shape");
    says(&edited("[2,8,8,3]", "[3,8,8,3]"), "header is damaged (invalid shape");
    says(&edited("[0,384]", "[1,385]"), "header is damaged (invalid offset for tensor `images`");
    says(&edited("\\\"count\\\":2", "\\\"count\\\":3"), "is not a shard: metadata of 3 images for 2");
    says(&edited("\\\"count\\\":2,", ""), "is not a shard: damaged metadata (missing field");
    let huge = "[9223372036854775807,8,8,3]";
    says(&edited("[2,8,8,3]", huge), "header is damaged (overflow");
    let error = Shard::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("a folder"), "{error}");
    let missing = Shard::open(&dir.path().join("nope")).err().unwrap().to_string();
    assert!(missing.contains("nope"), "{missing}");
}

#[test]
fn up_to_date_means_the_same_inputs_options_and_bytes() {
    let dir = images(3);
    let path = made(&dir, &options(8)).path().to_path_buf();
    let now = |options: &ShardOptions| is_up_to_date(&path, &source(&dir), options).unwrap();
    assert!(now(&options(8)));
    assert!(!now(&options(16)));
    assert!(!now(&ShardOptions { gray: true, ..options(8) }));
    assert!(!now(&ShardOptions { dtype: Dtype::F32, ..options(8) }));
    let fit = Transform { crop: Some(6), ..options(8).fit };
    assert!(!now(&ShardOptions { fit, ..options(8) }));
    let fit = Transform { filter: Filter::Box, ..options(8).fit };
    assert!(!now(&ShardOptions { fit, ..options(8) }));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    assert!(!now(&options(8)), "cut short");
    made(&dir, &options(8));
    assert!(now(&options(8)));
    // The same name and size, other content.
    std::thread::sleep(Duration::from_millis(30));
    let (a, b) = (dir.path().join("in/000.png"), dir.path().join("in/001.png"));
    let bytes = fs::read(&a).unwrap();
    fs::write(&a, &bytes).unwrap();
    assert!(!now(&options(8)), "written again since");
    made(&dir, &options(8));
    assert!(now(&options(8)));
    fs::remove_file(&b).unwrap();
    assert!(!now(&options(8)), "one is gone");
}

#[test]
fn only_shards_are_replaced() {
    let dir = images(2);
    let path = made(&dir, &options(8)).path().to_path_buf();
    check_replaceable(&path, &source(&dir), false).unwrap();
    check_replaceable(&dir.path().join("new"), &source(&dir), false).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    check_replaceable(&path, &source(&dir), false).expect("a shard cut short is still ours");
    fs::write(&path, b"precious").unwrap();
    assert!(
        check_replaceable(&path, &source(&dir), false)
            .unwrap_err()
            .to_string()
            .ends_with("already exists and is not a shard")
    );
    check_replaceable(&path, &source(&dir), true).unwrap();
    assert!(
        check_replaceable(dir.path(), &source(&dir), false).unwrap_err().to_string().contains("is a folder")
    );
}

#[cfg(unix)]
#[test]
fn the_shard_has_a_new_files_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let dir = images(1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let plain = dir.path().join("plain");
    fs::write(&plain, b"").unwrap();
    assert_eq!(mode(made(&dir, &options(8)).path()), mode(&plain));
}
