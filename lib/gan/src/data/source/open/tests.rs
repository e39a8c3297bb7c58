use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::Result;
use crate::data::source::{Recursion, Source};
use crate::io::hash::hex;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/containers").join(name)
}

fn open(path: &Path) -> Result<Source> {
    Source::open(&[path.to_path_buf()], Recursion::Recursive)
}

fn error(path: &Path) -> String {
    let line = open(path).err().unwrap_or_else(|| panic!("{path:?} opened")).to_string();
    assert!(line.starts_with(&path.display().to_string()) && !line.contains('\n'), "{line}");
    line
}

/// Names within the input, and hashes of the pixels.
fn content(path: &Path) -> Vec<(String, String)> {
    let source = open(path).unwrap_or_else(|e| panic!("{e}"));
    let below = format!("{}/", path.display());
    let one = |i| {
        let image = source.read(i).unwrap().decode().unwrap();
        (source.name(i).replace(&below, ""), hex(&Sha256::digest(image.rgb)))
    };
    (0..source.len()).into_par_iter().map(one).collect()
}

/// What Python wrote is read, to the last pixel, in the order of names: see `make.py` beside the files.
#[test]
fn every_container_gives_its_images() {
    let want = fs::read(golden("want.json")).unwrap();
    let want: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&want).unwrap();
    assert!(want.len() > 40);
    for (file, images) in &want {
        let images: Vec<(String, String)> = serde_json::from_value(images.clone()).unwrap();
        assert_eq!(content(&golden(file)), images, "{file}");
    }
}

#[test]
fn gray_arrays_are_gray_and_all_keep_their_size() {
    for (file, gray) in
        [("gray.npy", true), ("one_channel.npy", true), ("u8.npy", false), ("samples.npz", false)]
    {
        let source = open(&golden(file)).unwrap();
        assert_eq!((source.native_size(), source.is_gray()), (Some((5, 6)), gray), "{file}");
    }
    let tar = open(&golden("gnu.tar")).unwrap();
    assert_eq!((tar.native_size(), tar.is_gray(), tar.title()), (None, false, "gnu"));
    assert_eq!(open(&golden("faces.tar.zst")).unwrap().title(), "faces");
}

#[test]
fn what_was_chosen_of_several_is_told() {
    for (file, taken, passed) in [
        ("keras.npz", "x_train", "1 file skipped: 1 in other splits"),
        ("medmnist.npz", "train_images", "2 files skipped: 2 in other splits"),
    ] {
        let source = open(&golden(file)).unwrap();
        assert_eq!(source.chosen(), [taken]);
        assert_eq!(source.skipped().line().as_deref(), Some(passed));
    }
    let tar = open(&golden("gnu.tar")).unwrap().skipped().line().unwrap();
    assert!(tar.contains("1 .txt") && tar.contains("1 leading out of it (links)"), "{tar}");
    for sparse in ["sparse-gnu.tar", "sparse-posix.tar"] {
        let passed = open(&golden(sparse)).unwrap().skipped().line().unwrap();
        assert!(passed.contains("1 sparse (not read)"), "{passed}");
    }
    let shard = open(&golden("webdataset-000.tar")).unwrap().skipped().line().unwrap();
    assert!(shard.contains("2 .cls") && shard.contains("2 .json"), "{shard}");
    let rows = open(&golden("snappy.parquet")).unwrap().skipped().line().unwrap();
    assert!(rows.contains("1 without an image (rows)"), "{rows}");
}

#[test]
fn what_is_not_read_says_why() {
    for (file, says) in [
        ("zstd.parquet", "pyarrow.parquet.write_table"),
        ("no_images.parquet", "no column of images (it has text)"),
    ] {
        assert!(error(&golden(file)).contains(says), "{}", error(&golden(file)));
    }
}

/// A folder of a batch's copies under these names.
fn folder(batch: &str, names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(golden(batch), path).unwrap();
    }
    dir
}

#[test]
fn batches_are_found_and_the_training_ones_are_taken() {
    let names = [
        "cifar/test_batch",
        "cifar/data_batch_10",
        "cifar/data_batch_2",
        "cifar/batches.meta",
        "cifar/readme.html",
    ];
    let dir = folder("batch_python_2", &names);
    let root = dir.path().join("cifar");
    let source = open(&root).unwrap();
    assert_eq!(source.len(), 6);
    assert!(source.name(0).ends_with("cifar/data_batch_2/000000"), "{}", source.name(0));
    assert!(source.name(5).ends_with("cifar/data_batch_10/000002"), "{}", source.name(5));
    assert_eq!(source.chosen(), ["data_batch_2 to data_batch_10"]);
    assert!(source.skipped().line().unwrap().contains("1 in the test split"));
    assert_eq!(open(&root.join("test_batch")).unwrap().len(), 3, "by itself it is what is meant");
    let hundred = folder("batch_protocol_2", &["cifar-100-python/train", "cifar-100-python/test"]);
    for root in [hundred.path().to_path_buf(), hundred.path().join("cifar-100-python")] {
        let source = open(&root).unwrap();
        assert_eq!((source.len(), source.chosen()), (3, vec!["train"]));
    }
    // The archive as it is published, and a zip of it.
    let mut tar = ::tar::Builder::new(flate2::write::GzEncoder::new(vec![], flate2::Compression::fast()));
    tar.append_dir_all("cifar-10-batches-py", &root).unwrap();
    let packed = dir.path().join("cifar-10-python.tar.gz");
    fs::write(&packed, tar.into_inner().unwrap().finish().unwrap()).unwrap();
    assert_eq!(open(&packed).unwrap().len(), 6);
    assert_eq!(open(&packed).unwrap().title(), "cifar-10-python");
    let zipped = dir.path().join("cifar.zip");
    zip_of(&zipped, &[("x/data_batch_1", &fs::read(golden("batch_protocol_4")).unwrap())]);
    assert_eq!(content(&zipped), content(&golden("batch_protocol_4")));
    // A damaged one is named.
    fs::write(root.join("data_batch_2"), b"\x80\x02}q\x01").unwrap();
    let line = open(&root).err().unwrap().to_string();
    assert!(line.contains("data_batch_2: a pickle that is cut short"), "{line}");
    fs::write(root.join("data_batch_2"), b"\x80\x02cos\nsystem\nU\x02lsR.").unwrap();
    let line = open(&root).err().unwrap().to_string();
    assert!(line.contains("(os.system)") && line.contains("nothing in it was run"), "{line}");
}

fn zip_of(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ::zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        zip.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn binary_batches_are_planes_and_those_of_stl_columns() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    // The first pixels of the first row, plane by plane.
    let first =
        |path: &Path, i: usize| open(path).unwrap().read(i).unwrap().decode().unwrap().rgb[..6].to_vec();
    let planes = |i: u8, row: usize| (0..3 * row * row).map(move |k| (k % 251) as u8 ^ i);
    let of = |i: u8, k: usize| (k % 251) as u8 ^ i;
    let ten = |i: u8| std::iter::once(9).chain(planes(i, 32)).collect::<Vec<u8>>();
    write("ten/data_batch_1.bin", [ten(0), ten(1)].concat());
    write("ten/data_batch_2.bin", ten(2));
    write("ten/test_batch.bin", ten(3));
    let root = dir.path().join("ten");
    assert_eq!(open(&root).unwrap().len(), 3);
    for i in 0..3u8 {
        let pixels = [(0, i), (1, i)].map(|(x, i)| [of(i, x), of(i, 1024 + x), of(i, 2048 + x)]).concat();
        assert_eq!(first(&root, usize::from(i)), pixels);
    }
    let hundred = [vec![1, 2], planes(5, 32).collect()].concat();
    let path = write("cifar-100-binary/train.bin", hundred.clone());
    assert_eq!(first(&path, 0)[..3], [of(5, 0), of(5, 1024), of(5, 2048)]);
    assert_eq!(first(&dir.path().join("cifar-100-binary"), 0)[..3], [of(5, 0), of(5, 1024), of(5, 2048)]);
    let stl = write("stl10_binary/unlabeled_X.bin", planes(6, 96).collect());
    // Its second pixel lies a column on.
    let (n, h) = (96 * 96, 96);
    let pixels = [of(6, 0), of(6, n), of(6, 2 * n), of(6, h), of(6, n + h), of(6, 2 * n + h)];
    assert_eq!(first(&stl, 0), pixels);
    assert_eq!(first(stl.parent().unwrap(), 0), pixels);
    let cut = write("short/data_batch_1.bin", ten(0)[..3000].to_vec());
    assert!(error(&cut).contains("3000 bytes are not images of 3073"), "{}", error(&cut));
}

/// A `.npy` of this shape whose data are zeros, at most `most` bytes of them.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn arrays_that_may_mean_something_else_are_refused_with_their_shape() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for (descr, shape, says) in [
        ("|u1", "(64, 64, 3)", "(64, 64, 3) may be gray images or the channels of one image"),
        ("|u1", "(3, 64, 64)", "(3, 64, 64) may be gray images"),
        ("|u1", "(9, 3, 5, 3)", "(9, 3, 5, 3) may be channels first or last"),
        ("|u1", "(9, 8, 8, 4)", "4 channels: array[..., :3]"),
        ("|u1", "(9, 784)", "(9, 784) is flat"),
        ("|u1", "(9,)", "(9,) is not of images"),
        ("|u1", "(2, 3, 4, 5, 3)", "is not of images"),
        ("|u1", "(0, 8, 8, 3)", "no images in it"),
        ("|u1", "(4, 0, 8, 3)", "without pixels"),
        ("|u1", "(4, 70000, 8, 3)", "more than 65535"),
        ("|u1", "(4, 60000, 60000, 3)", "512 MiB"),
        ("|u1", "(99999999999999999, 60, 60, 3)", "cut short"),
        ("|b1", "(2, 8, 8)", "true and false"),
        ("|O", "()", "a pickled Python object"),
        ("<c8", "(2, 8, 8)", "numbers of type <c8"),
        ("<M8[s]", "(2, 8, 8)", "numbers of type <M8[s]"),
        ("|S3", "(2, 8, 8)", "numbers of type |S3"),
        ("Ę2", "(2, 8, 8)", "numbers of type Ę2"),
        ("", "(2, 8, 8)", "numbers of type "),
        ("|u1", "(2, 8, 8, 3)", "cut short: 2 images of 192 bytes, but 383"),
    ] {
        fs::write(&path, npy(descr, shape, &[0; 383])).unwrap();
        let line = error(&path);
        assert!(line.contains(says), "{says}: {line}");
    }
    fs::write(&path, b"\x93NUMPY\x01\0\xFF\xFF{").unwrap();
    assert!(error(&path).contains("a broken .npy array"));
}

#[test]
fn values_that_are_no_clear_colors_are_refused_with_their_range() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let floats = |values: [f32; 4]| npy("<f4", "(1, 2, 2)", &values.map(f32::to_le_bytes).concat());
    for (values, says) in [
        ([-2.1, 0.0, 1.0, 2.6], "values from -2.1000 to 2.6000"),
        ([0.0, 0.5, 1.0, 1.3], "values from 0.0000 to 1.3000"),
        ([0.0, 200.0, 255.0, 256.0], "values from 0.0000 to 256.0000"),
        ([0.0, f32::NAN, 1.0, 1.0], "not finite"),
        ([0.0, f32::INFINITY, 1.0, 1.0], "not finite"),
    ] {
        fs::write(&path, floats(values)).unwrap();
        assert!(error(&path).contains(says), "{says}: {}", error(&path));
    }
    for (values, gray) in [
        ([0.0, 0.5, 0.25, 1.0004], [0, 128, 64, 255]),
        ([-1.0, 0.0, 0.5, 1.0], [0, 128, 191, 255]),
        ([0.0, 1.0, 99.6, 255.0], [0, 1, 100, 255]),
    ] {
        fs::write(&path, floats(values)).unwrap();
        let image = open(&path).unwrap().read(0).unwrap().decode().unwrap();
        assert_eq!(image.to_gray(), gray);
    }
    let wholes = |values: [i16; 4]| npy("<i2", "(1, 2, 2)", &values.map(i16::to_le_bytes).concat());
    for (values, says) in
        [([0, 1, 1, 0], "integers from 0 to 1"), ([-1, 0, 9, 9], "from -1 to 9"), ([0, 0, 0, 300], "to 300")]
    {
        fs::write(&path, wholes(values)).unwrap();
        assert!(error(&path).contains(says), "{says}: {}", error(&path));
    }
}

#[test]
fn several_arrays_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npz");
    let images = npy("|u1", "(2, 4, 4)", &[7; 32]);
    zip_of(&path, &[("a.npy", &images), ("b.npy", &images), ("n.npy", &npy("<i8", "(1,)", &[0; 8]))]);
    assert!(error(&path).contains("several arrays of images in it (a (2, 4, 4), b (2, 4, 4), n (1,))"));
    zip_of(&path, &[("mean.npy", &npy("<f8", "(1,)", &[0; 8]))]);
    assert!(error(&path).contains("no array of images in it; it holds mean (1,)"), "{}", error(&path));
    zip_of(&path, &[("faces.npy", &npy("|u1", "(4, 8)", &[0; 32]))]);
    assert!(error(&path).contains("array `faces`: its shape (4, 8) is flat"), "{}", error(&path));
    // A zip of images in which an array lies is a zip of images.
    let image = fs::read(golden("../image/decode/gray.png")).unwrap();
    zip_of(&path, &[("a.npy", &images), ("b.png", &image)]);
    assert_eq!(open(&path).unwrap().len(), 1);
    // A stored array is read where it lies, but its checksum is looked at before.
    zip_of(&path, &[("a.npy", &images)]);
    assert_eq!(open(&path).unwrap().len(), 2);
    let stored = fs::read(golden("samples.npz")).unwrap();
    let at = stored.windows(6).position(|w| w == b"NUMPY\x01").unwrap() + 200;
    let mut damaged = stored.clone();
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(error(&path).contains("Invalid checksum"), "{}", error(&path));
    // In a folder, an only array is what is meant.
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::copy(golden("u8.npy"), folder.join("faces.npy")).unwrap();
    assert_eq!((open(&folder).unwrap().len(), open(&folder).unwrap().chosen()), (4, vec!["faces.npy"]));
    fs::copy(golden("u8.npy"), folder.join("more.npy")).unwrap();
    assert!(
        error(&folder).contains("2 arrays: name one of them (faces.npy, more.npy)"),
        "{}",
        error(&folder)
    );
}

#[test]
fn parquet_files_in_a_folder_are_one_set_and_the_training_ones() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001", "validation-00000"] {
        fs::copy(golden("snappy.parquet"), data.join(format!("{name}.parquet"))).unwrap();
    }
    fs::write(dir.path().join("README.md"), "# Faces").unwrap();
    let source = open(dir.path()).unwrap();
    assert_eq!(source.len(), 8);
    assert_eq!(source.chosen(), ["train-00000-of-00002.parquet to train-00001-of-00002.parquet"]);
    assert!(source.skipped().line().unwrap().contains("2 in other splits"));
}

#[test]
fn entries_that_cannot_be_unpacked_are_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.zip");
    let whole = fs::read(golden("bzip2.zip")).unwrap();
    let patched = |local: usize, central: usize, value: u16| {
        let mut bytes = whole.clone();
        for (signature, at) in [(b"PK\x03\x04", local), (b"PK\x01\x02", central)] {
            let places: Vec<usize> =
                (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == signature).collect();
            places.iter().for_each(|&i| bytes[i + at..i + at + 2].copy_from_slice(&value.to_le_bytes()));
        }
        fs::write(&path, bytes).unwrap();
    };
    patched(8, 10, 98);
    let line = error(&path);
    assert!(
        line.contains("all of its 3 images are packed with PPMd, which is not read: unpack the zip"),
        "{line}"
    );
    patched(6, 8, 1);
    assert!(error(&path).contains("all of its 3 images are encrypted: unpack the zip"), "{}", error(&path));
    // Where others can be read, these are broken ones.
    let mut some = whole.clone();
    let places: Vec<usize> = (0..some.len() - 4).filter(|&i| &some[i..i + 4] == b"PK\x01\x02").collect();
    some[places[1] + 8] = 1;
    fs::write(&path, some).unwrap();
    let source = open(&path).unwrap();
    assert_eq!((source.len(), source.read(0).is_ok()), (3, true));
    let line = source.read(1).err().unwrap().to_string();
    assert!(line.ends_with("a/1.png: encrypted: unpack the zip and name the folder"), "{line}");
    patched(8, 10, 99);
    assert!(error(&path).contains("all of its 3 images are packed with"), "{}", error(&path));
}

#[test]
fn archives_in_archives_and_split_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outer.zip");
    let inner = fs::read(golden("bzip2.zip")).unwrap();
    zip_of(&path, &[("a/readme.txt", b"text"), ("a/inner.zip", &inner)]);
    let line = error(&path);
    assert!(line.contains("it holds a/inner.zip (and 1 more): unpack the outer archive first"), "{line}");
    zip_of(&path, &[("faces.tgz", &fs::read(golden("faces.tgz")).unwrap())]);
    assert!(error(&path).contains("it holds faces.tgz: unpack the outer archive first"), "{}", error(&path));
    // The number of this disk in the end of a zip's directory.
    let mut split = inner.clone();
    let end = split.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    split[end + 4] = 2;
    fs::write(&path, &split).unwrap();
    assert!(error(&path).contains("the last part of a split zip: join the parts"), "{}", error(&path));
    let part = dir.path().join("faces.zip.001");
    fs::write(&part, &inner[..100]).unwrap();
    assert!(
        error(&part).contains("a part of faces.zip: have all parts in one folder, cat"),
        "{}",
        error(&part)
    );
    fs::write(&path, &inner[..200]).unwrap();
    assert!(error(&path).contains("a broken or incomplete zip"), "{}", error(&path));
}

#[test]
fn a_damaged_tar_is_told_from_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("faces.tar");
    let whole = fs::read(golden("ustar.tar")).unwrap();
    let second = 512 * 4;
    for cut in [700, 600 + 512, second + 100] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(error(&path).contains("fetch it again"), "{cut}: {}", error(&path));
    }
    for (file, packing) in [
        ("faces.tgz", "gzip"),
        ("faces.tar.xz", "xz"),
        ("faces.tar.bz2", "bzip2"),
        ("faces.tar.zst", "Zstandard"),
    ] {
        let packed = fs::read(golden(file)).unwrap();
        let path = dir.path().join(file);
        fs::write(&path, &packed[..packed.len() - 9]).unwrap();
        let line = error(&path);
        assert!(line.contains(packing) && line.contains("fetch it again"), "{line}");
    }
}

#[test]
fn the_fingerprint_tells_versions_of_a_tar_and_of_an_array_apart() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["u8.npy", "gnu.tar", "faces.tgz", "snappy.parquet"] {
        let path = dir.path().join(file);
        let print = || open(&path).unwrap().fingerprint().unwrap();
        fs::copy(golden(file), &path).unwrap();
        let before = print();
        assert_eq!(before, print());
        std::thread::sleep(std::time::Duration::from_millis(30));
        fs::copy(golden(file), &path).unwrap();
        assert!(print().changed > before.changed, "{file}");
    }
}
