use std::fs;
use std::path::Path;

use crate::Result;
use crate::data::source::tests::{content, gzip, open, png, write, zip_of};
use crate::data::source::{Recursion, Source};

/// An IDX file of `count` images of one value.
fn idx(count: u32, value: u8) -> Vec<u8> {
    let header = [0x0803, count, 2, 3];
    let mut bytes: Vec<u8> = header.iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    bytes.resize(bytes.len() + count as usize * 6, value);
    bytes
}

fn labels(count: u32) -> Vec<u8> {
    [&[0, 0, 8, 1][..], &count.to_be_bytes(), &vec![0; count as usize]].concat()
}

fn open_idx(input: &Path, idx: Option<&str>) -> Result<Source> {
    Source::open_idx(&[input.to_path_buf()], Recursion::Recursive, idx)
}

/// The number of images, their value, and the file that they are from.
fn taken(input: &Path, idx: Option<&str>) -> (usize, u8, String) {
    let source = open_idx(input, idx).unwrap();
    let value = source.read(source.len() - 1).unwrap().decode().unwrap().rgb[0];
    (source.len(), value, source.chosen().join(" "))
}

fn refused(input: &Path, idx: Option<&str>) -> String {
    open_idx(input, idx).err().unwrap_or_else(|| panic!("{input:?} {idx:?} opened")).to_string()
}

const TRAIN: u8 = 100;
const TEST: u8 = 200;

/// Writes a training and a test set with labels, as publishers name them.
fn publish(folder: &Path, name: impl Fn(&str) -> String, train: u32) {
    let packed = |name: &str, bytes: Vec<u8>| match name.ends_with(".gz") {
        true => gzip(&bytes),
        false => bytes,
    };
    for (part, count, value) in [("train", train, TRAIN), ("test", 2, TEST)] {
        let name = name(part);
        write(folder.join(&name), &packed(&name, idx(count, value)));
        let name = name.replace("images", "labels").replace("idx3", "idx1");
        write(folder.join(&name), &packed(&name, labels(count)));
    }
}

#[test]
fn the_training_images_are_taken_whatever_the_publisher_calls_them() {
    let dir = tempfile::tempdir().unwrap();
    let t10k = |part: &str| part.replace("test", "t10k");
    let names: [&dyn Fn(&str) -> String; 8] = [
        &|part| format!("{}-images-idx3-ubyte", t10k(part)),
        &|part| format!("{}-images.idx3-ubyte", t10k(part)),
        &|part| format!("{}-images-idx3-ubyte.gz", t10k(part)),
        &|part| format!("emnist-letters-{part}-images-idx3-ubyte.gz"),
        &|part| format!("qmnist-{part}-images-idx3-ubyte.gz"),
        &|part| format!("A_{part}.images-idx3-ubyte"),
        &|part| format!("{part}/images-idx3-ubyte"),
        &|part| format!("MNIST/raw/{}-images-idx3-ubyte", t10k(part)),
    ];
    for (i, name) in names.iter().enumerate() {
        let root = dir.path().join(i.to_string());
        publish(&root, name, 8);
        assert_eq!(taken(&root, None), (8, TRAIN, name("train")));
        assert_eq!(taken(&root, Some("train")), (8, TRAIN, name("train")));
        assert_eq!(taken(&root, Some("test")), (2, TEST, name("test")));
        assert_eq!(taken(&root, Some(&name("test"))), (2, TEST, name("test")));
        assert!(open_idx(&root, None).unwrap().skipped().is_empty(), "labels are of no interest");
        assert!(refused(&root, Some("letter s")).starts_with(&format!(
            "idx: letter s: no such IDX file of images in {}; it holds ",
            root.display()
        )));
        assert!(
            refused(&root.join(name("train")), Some("test"))
                .starts_with("idx: it chooses among the IDX files of a folder or an archive; ")
        );
    }
    // Unpacked beside packed it is one set; a test set alone is what there is.
    let root = dir.path().join("both");
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        write(root.join(name), &idx(3, TEST));
        write(root.join(format!("{name}.gz")), &gzip(&idx(3, TEST)));
    }
    assert_eq!(taken(&root, None).2, "train-images-idx3-ubyte");
    for name in ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    assert_eq!(taken(&root, None).2, "t10k-images-idx3-ubyte");
    // A name that says nothing: its content does.
    let root = dir.path().join("digits");
    write(root.join("digits.bin"), &idx(4, 7));
    write(root.join("truth.bin"), &labels(4));
    assert_eq!(taken(&root, None), (4, 7, "digits.bin".into()));
}

#[test]
fn several_sets_are_listed_and_one_is_chosen_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("gzip");
    for (set, count) in [("balanced", 3), ("byclass", 9), ("letters", 5)] {
        publish(&root, |part| format!("emnist-{set}-{part}-images-idx3-ubyte.gz"), count);
    }
    let line = refused(&root, None);
    let first = " holds 3 sets of IDX images: choose one of emnist-balanced-train-images-idx3-ubyte.gz, \
                 emnist-byclass-train-images-idx3-ubyte.gz, emnist-letters-train-images-idx3-ubyte.gz";
    assert!(line.ends_with(first), "{line}");
    let letters = "emnist-letters-train-images-idx3-ubyte.gz";
    assert_eq!(taken(&root, Some("letters")), (5, TRAIN, letters.into()));
    assert_eq!(taken(&root, Some(letters)), (5, TRAIN, letters.into()));
    assert_eq!(taken(&root, Some("byclass-test")).1, TEST);
    assert!(refused(&root, Some("test")).contains("3 sets of IDX images"));
    let one_level = open(&[&root], Recursion::OneLevel).err().unwrap().to_string();
    assert!(one_level.contains("in it: name one of emnist-balanced"), "{one_level}");
    // Two data sets of the same names and sizes are two; copies of one are one.
    let root = dir.path().join("root");
    for (set, value) in [("MNIST", 1), ("FashionMNIST", 2)] {
        write(root.join(set).join("raw/train-images-idx3-ubyte"), &idx(3, value));
        write(root.join(set).join("raw/t10k-images-idx3-ubyte"), &idx(3, 9));
    }
    assert!(refused(&root, None).contains("FashionMNIST/raw/train-images-idx3-ubyte, MNIST/raw/train"));
    assert_eq!(taken(&root, Some("fashion")).1, 2);
    assert_eq!(taken(&root.join("MNIST"), None), (3, 1, "raw/train-images-idx3-ubyte".into()));
    fs::remove_dir_all(root.join("FashionMNIST")).unwrap();
    write(root.join("MNIST/train-images.idx3-ubyte"), &idx(3, 1));
    write(root.join("MNIST/train-images-idx3-ubyte.gz"), &gzip(&idx(3, 1)));
    assert_eq!(taken(&root, None).0, 3);
}

#[test]
fn images_and_idx_in_one_place_are_not_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mixed");
    write(root.join("train-images-idx3-ubyte"), &idx(3, TRAIN));
    write(root.join("preview.png"), &png(5));
    write(root.join("more/preview.png"), &png(6));
    let line = refused(&root, None);
    let says = " holds 1 IDX file (train-images-idx3-ubyte) and 2 images of other formats: choose the former \
                by name, such as train-images-idx3-ubyte, or name the images as inputs";
    assert!(line.ends_with(says), "{line}");
    assert_eq!(taken(&root, Some("train")), (3, TRAIN, "train-images-idx3-ubyte".into()));
    let source = open_idx(&root, Some("train")).unwrap();
    assert_eq!(source.skipped().counts(), "2 beside the IDX file");
    // Where pytorch-fid's rule holds, the images are meant.
    let source = open(&[&root], Recursion::OneLevel).unwrap();
    assert_eq!(content(&source, &root), [("preview.png".to_string(), 5)]);
    assert!(source.skipped().counts().contains("1 IDX"), "{}", source.skipped().counts());
    assert!(
        refused(&dir.path().join("mixed/more"), Some("train"))
            .starts_with("idx: train: no such IDX file of images in ")
    );
}

#[test]
fn idx_files_in_zips_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mnist.zip");
    let (train, test) = (idx(3, TRAIN), idx(2, TEST));
    zip_of(
        &path,
        &[
            ("train-images.idx3-ubyte", &train),
            ("train-images-idx3-ubyte/train-images-idx3-ubyte", &train),
            ("t10k-images.idx3-ubyte", &test),
            ("train-labels.idx1-ubyte", &labels(3)),
        ],
    );
    let (count, value, name) = taken(&path, None);
    assert_eq!((count, value), (3, TRAIN), "{name}");
    assert_eq!(taken(&path, Some("test")), (2, TEST, "t10k-images.idx3-ubyte".into()));
    let path = dir.path().join("gzip.zip");
    let (train, test) = (gzip(&train), gzip(&test));
    zip_of(
        &path,
        &[
            ("gzip/emnist-letters-train-images-idx3-ubyte.gz", &train),
            ("gzip/emnist-letters-test-images-idx3-ubyte.gz", &test),
            ("gzip/emnist-digits-train-images-idx3-ubyte.gz", &gzip(&idx(9, 9))),
        ],
    );
    assert!(
        refused(&path, None).contains("holds 2 sets of IDX images: choose one of gzip/emnist-digits-"),
        "{}",
        refused(&path, None)
    );
    let letters = "gzip/emnist-letters-train-images-idx3-ubyte.gz";
    assert_eq!(taken(&path, Some("letters")), (3, TRAIN, letters.into()));
    let before = open_idx(&path, Some("letters")).unwrap().fingerprint().unwrap();
    assert_ne!(before, open_idx(&path, Some("digits")).unwrap().fingerprint().unwrap());
    assert_eq!(open_idx(&path, Some("letters")).unwrap().native_size(), Some((3, 2)));
    // A broken one says so.
    let path = dir.path().join("broken.zip");
    zip_of(&path, &[("train-images-idx3-ubyte.gz", &train[..train.len() - 12])]);
    assert!(
        refused(&path, None).contains("broken.zip/train-images-idx3-ubyte.gz: "),
        "{}",
        refused(&path, None)
    );
    zip_of(&path, &[("train-images-idx3-ubyte", &idx(3, 1)[..20])]);
    assert!(refused(&path, None).contains("cut short"), "{}", refused(&path, None));
}
