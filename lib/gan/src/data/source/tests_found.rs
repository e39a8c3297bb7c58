//! What is found in folders and archives, what is passed over, and where it is not clear what is meant.

use std::fs;
use std::path::Path;

use super::tests::{content, error, gzip, open, png, write, zip_of};
use super::*;

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

/// How many images, their value, and the file that they are of.
fn taken(input: &Path, idx: Option<&str>) -> (usize, u8, String) {
    let source = open_idx(input, idx).unwrap();
    let value = source.read(source.len() - 1).unwrap().decode().unwrap().rgb[0];
    (source.len(), value, source.taken().join(" "))
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
        assert!(open_idx(&root, None).unwrap().passed_over().is_empty(), "labels are not worth a word");
        assert!(refused(&root, Some("letter s")).contains("no such IDX file in it, but "));
        assert!(refused(&root.join(name("train")), Some("test")).contains("--idx test chooses among"));
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
    let first = "3 sets of IDX images in it: choose one with --idx NAME: emnist-balanced-train-images-idx3-ubyte.gz, \
                 emnist-byclass-train-images-idx3-ubyte.gz, emnist-letters-train-images-idx3-ubyte.gz";
    assert!(line.ends_with(first), "{line}");
    let letters = "emnist-letters-train-images-idx3-ubyte.gz";
    assert_eq!(taken(&root, Some("letters")), (5, TRAIN, letters.into()));
    assert_eq!(taken(&root, Some(letters)), (5, TRAIN, letters.into()));
    assert_eq!(taken(&root, Some("byclass-test")).1, TEST);
    assert!(refused(&root, Some("test")).contains("3 sets of IDX images"));
    let one_level = open(&[&root], Recursion::OneLevel).err().unwrap().to_string();
    assert!(one_level.contains("in it: name one: emnist-balanced"), "{one_level}");
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
    let says = "1 IDX file (train-images-idx3-ubyte) and 2 images of other formats in it: --idx train-images-idx3-ubyte \
                takes the former; for the latter name the files";
    assert!(line.ends_with(says), "{line}");
    assert_eq!(taken(&root, Some("train")), (3, TRAIN, "train-images-idx3-ubyte".into()));
    let source = open_idx(&root, Some("train")).unwrap();
    assert_eq!(source.passed_over().counts(), "2 beside the IDX file");
    // Where pytorch-fid's rule holds, the images are meant.
    let source = open(&[&root], Recursion::OneLevel).unwrap();
    assert_eq!(content(&source, &root), [("preview.png".to_string(), 5)]);
    assert!(source.passed_over().counts().contains("1 IDX"), "{}", source.passed_over().counts());
    assert!(refused(&dir.path().join("mixed/more"), Some("train")).contains("no IDX file of images in it"));
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
    assert!(refused(&path, None).contains("2 sets of IDX images in it"), "{}", refused(&path, None));
    let letters = "gzip/emnist-letters-train-images-idx3-ubyte.gz";
    assert_eq!(taken(&path, Some("letters")), (3, TRAIN, letters.into()));
    let before = open_idx(&path, Some("letters")).unwrap().fingerprint().unwrap();
    assert_ne!(before, open_idx(&path, Some("digits")).unwrap().fingerprint().unwrap());
    assert_eq!(open_idx(&path, Some("letters")).unwrap().native(), Some((3, 2)));
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

#[test]
fn what_is_passed_over_is_counted_by_reason() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pets");
    write(root.join("a.png"), &png(1));
    for i in 0..6 {
        write(root.join(format!("phone{i}.avif")), b"\0\0\0 ftypavif\0\0\0\0avifmif1");
    }
    write(root.join("more/photo.HEIC"), b"\0\0\0 ftypheic");
    write(root.join("0badcafe"), &png(2));
    write(root.join("misnamed.avif"), &png(3));
    write(root.join("notes.txt"), &png(9));
    write(root.join("LICENSE"), b"no image");
    write(root.join("old.zip"), b"PK");
    for name in ["Thumbs.db", ".DS_Store", "__MACOSX/._a.png", ".ipynb_checkpoints/a.png"] {
        write(root.join(name), &png(9));
    }
    let source = open(&[&root], Recursion::Recursive).unwrap();
    let expected = [("0badcafe", 2), ("a.png", 1), ("misnamed.avif", 3)];
    assert_eq!(content(&source, &root), expected.map(|(n, v)| (n.to_string(), v)));
    let line = "10 files passed over: 6 .avif (AVIF is not read), 1 .heic (HEIC is not read), 1 .txt, 1 .zip, 1 without an extension";
    assert_eq!(source.passed_over().line().unwrap(), line);
    assert_eq!(source.passed_over().to_json()[".txt"]["first"][0], "notes.txt");
    // One level, by pytorch-fid's list.
    write(root.join("B.JPG"), &png(4));
    write(root.join("c.gif"), &png(5));
    write(root.join("more/d.png"), &png(5));
    let source = open(&[&root], Recursion::OneLevel).unwrap();
    assert_eq!(content(&source, &root), [("a.png".to_string(), 1)]);
    let counts = source.passed_over().counts();
    for count in [
        "2 images of unknown extensions (pytorch-fid reads known ones)",
        "1 with capital extensions (pytorch-fid reads lower case)",
        "1 in subfolders (pytorch-fid reads one level)",
        "1 .gif (pytorch-fid does not read it)",
    ] {
        assert!(counts.contains(count), "{count}: {counts}");
    }
    // A file without an extension may be named itself.
    let source = open(&[&root.join("0badcafe")], Recursion::Recursive).unwrap();
    assert_eq!((source.len(), source.title()), (1, "pets"));
}

#[test]
fn a_folder_without_images_says_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("classes");
    let below = |walk| open(&[&root], walk).err().unwrap().to_string();
    for name in ["cats/1.png", "cats/2.png", "dogs/1.png"] {
        write(root.join(name), &png(1));
    }
    let line = "its 3 images lie in 2 subfolders (cats, dogs); pytorch-fid reads one level: name one, or a zip of all";
    assert!(below(Recursion::OneLevel).ends_with(line), "{}", below(Recursion::OneLevel));
    let root = dir.path().join("official");
    write(root.join("Eval/list_eval_partition.txt"), b"000001.jpg 0\n");
    zip_of(&root.join("img.zip"), &[("000001.jpg", &png(1))]);
    assert!(error(&root).ends_with("it holds img.zip: name that"), "{}", error(&root));
    write(root.join("more/b.tar.gz"), b"");
    assert!(
        error(&root).ends_with("it holds 2 archives: name one of them, such as img.zip"),
        "{}",
        error(&root)
    );
    let root = dir.path().join("phone");
    write(root.join("1.heic"), b"\0\0\0 ftypheic");
    assert!(error(&root).ends_with("; 1 file passed over: 1 .heic (HEIC is not read)"), "{}", error(&root));
    let zip = dir.path().join("phone.zip");
    zip_of(&zip, &[("1.heic", b"\0\0\0 ftypheic")]);
    assert!(error(&zip).ends_with("; 1 file passed over: 1 .heic (HEIC is not read)"), "{}", error(&zip));
}

#[test]
fn zips_are_sorted_as_folders_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.zip");
    let (one, two, junk) = (png(1), png(2), png(9));
    zip_of(
        &path,
        &[
            ("pics/0badcafe", &one),
            ("pics\\b.png", &two),
            ("__MACOSX\\pics\\._b.png", &junk),
            ("pics\\.hidden\\c.png", &junk),
            ("Thumbs.db", &junk),
            ("pics/a.avif", b"\0\0\0 ftypavif"),
            ("pics/a.txt", &junk),
            ("inner.zip", b"PK"),
        ],
    );
    let source = open(&[&path], Recursion::Recursive).unwrap();
    let values: Vec<u8> = content(&source, &path).iter().map(|image| image.1).collect();
    assert_eq!(values, [1, 2]);
    assert_eq!(source.passed_over().counts(), "1 .avif (AVIF is not read), 1 .txt, 1 .zip");
}

#[test]
fn lists_of_any_make_say_the_split() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("celeba/Img/img_align_celeba");
    for i in 1..=5u8 {
        write(root.join(format!("00000{i}.jpg")), &png(i));
    }
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let lines = "000001.jpg 0\n000002.jpg 1\n000003.jpg 0\n000004.jpg 2\n";
    let lists: [Vec<u8>; 9] = [
        lines.into(),
        [b"\xEF\xBB\xBF", lines.as_bytes()].concat(),
        lines.replace('\n', "\r\n").into(),
        [b"\xFF\xFE".to_vec(), utf16(lines)].concat(),
        lines.replace(' ', "\t").into(),
        format!("image_id,partition\n{}", lines.replace(' ', ",")).into(),
        format!(
            "\u{feff}\"image_id\";\"partition\"\r\n{}",
            lines.replace(' ', "\";\"").replace("00000", "\"00000").replace('\n', "\"\r\n")
        )
        .into(),
        lines.replace(" 0", " train").replace(" 1", " valid").replace(" 2", " test").into(),
        lines.replace("00000", "img_align_celeba/00000").into(),
    ];
    for (i, list) in lists.iter().enumerate() {
        for at in ["Img/list_eval_partition.txt", "Eval/list_eval_partition.csv", "list_eval_partition.csv"] {
            let at = dir.path().join("celeba").join(at);
            write(&at, list);
            let mut source = open(&[&root], Recursion::Recursive).unwrap();
            source.keep_split(Split::Train).unwrap_or_else(|e| panic!("{i} {at:?}: {e}"));
            let values: Vec<u8> = content(&source, &root).iter().map(|image| image.1).collect();
            assert_eq!(values, [1, 3], "list {i} at {at:?}");
            let name = at.file_name().unwrap().to_str().unwrap();
            assert_eq!(source.passed_over().counts(), format!("1 not in {name}"));
            fs::remove_file(&at).unwrap();
        }
    }
    let at = root.join("list_eval_partition.txt");
    for (text, line) in [
        ("000001.jpg 0\n000002.jpg 7\n", "line 2"),
        ("000001.jpg 7\n", "line 1"),
        ("000001.jpg\n", "line 1"),
        ("image_id,partition\nimage_id,partition\n", "line 2"),
    ] {
        write(&at, text.as_bytes());
        let error =
            open(&[&root], Recursion::Recursive).unwrap().keep_split(Split::Train).unwrap_err().to_string();
        assert!(error.contains(line), "{text}: {error}");
    }
    // Beside a zip, and in it.
    write(&at, lines.as_bytes());
    let zip = root.join("faces.zip");
    let (one, three) = (png(1), png(3));
    let mut entries: Vec<(&str, &[u8])> = vec![("x/000001.jpg", &one), ("x/000004.jpg", &three)];
    zip_of(&zip, &entries);
    let kept = |split| {
        let mut source = open(&[&zip], Recursion::Recursive).unwrap();
        source.keep_split(split).map(|()| content(&source, &zip)[0].1).map_err(|e| e.to_string())
    };
    assert_eq!((kept(Split::Train), kept(Split::Test)), (Ok(1), Ok(3)));
    entries.push(("x/list_eval_partition.csv", b"image_id,partition\n000001.jpg,2\n000004.jpg,0\n"));
    zip_of(&zip, &entries);
    assert_eq!((kept(Split::Train), kept(Split::Test)), (Ok(3), Ok(1)));
    assert!(kept(Split::Valid).unwrap_err().contains("the valid split of list_eval_partition.csv"));
}

#[test]
fn an_origin_is_told_from_another_that_is_still_there() {
    let dir = tempfile::tempdir().unwrap();
    let (cats, dogs) = (dir.path().join("cats/train"), dir.path().join("dogs/train"));
    write(cats.join("0.png"), &png(1));
    write(dogs.join("0.png"), &png(1));
    let origin = |input: &Path| open(&[input], Recursion::Recursive).unwrap().origin();
    assert_eq!(origin(&cats), origin(&cats.join("0.png")), "one by one they are of their folder");
    assert_ne!(origin(&cats), origin(&dogs));
    let made = dir.path().join("made");
    fs::write(&made, b"").unwrap();
    assert_eq!(origin(&dogs).other(&made), None, "nothing is known");
    origin(&cats).record(&made);
    if xattr::get(&made, "user.gantools.inputs").unwrap_or(None).is_none() {
        return; // The file system has no such attributes.
    }
    assert_eq!(origin(&cats).other(&made), None);
    let full = fs::canonicalize(&cats).unwrap().to_str().unwrap().to_string();
    assert_eq!(origin(&dogs).other(&made), Some(full));
    assert!(Source::demo(3, 0).origin().other(&made).is_some());
    Source::demo(3, 0).origin().record(&made);
    assert_eq!(Source::demo(4, 1).origin().other(&made), None);
    assert_eq!(origin(&dogs).other(&made), Some("demo faces".into()));
    // Moved images are not others.
    origin(&cats).record(&made);
    let moved = dir.path().join("moved");
    fs::rename(&cats, &moved).unwrap();
    assert_eq!(origin(&moved).other(&made), None);
}
