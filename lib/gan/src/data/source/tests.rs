use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::Result;
use crate::data::image::encode_png;

/// A PNG of one color, `value`.
pub(super) fn png(value: u8) -> Vec<u8> {
    encode_png(4, 3, 3, &[value; 36], &[])
}

pub(super) fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(super) fn zip_of(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ::zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (i, &(name, bytes)) in entries.iter().enumerate() {
        let method =
            if i % 2 == 0 { ::zip::CompressionMethod::Deflated } else { ::zip::CompressionMethod::Stored };
        let options = ::zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn idx(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    bytes.extend([count, height, width].iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend((0..count * height * width).map(|i| i as u8));
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

/// Names and first values of all images.
pub(super) fn content(source: &Source, below: &Path) -> Vec<(String, u8)> {
    let below = format!("{}/", below.display());
    let one = |i| (source.name(i).replace(&below, ""), source.read(i).unwrap().decode().unwrap().rgb[0]);
    (0..source.len()).map(one).collect()
}

pub(super) fn open(inputs: &[&Path], recursion: Recursion) -> Result<Source> {
    Source::open(&inputs.iter().map(|p| p.to_path_buf()).collect::<Vec<PathBuf>>(), recursion)
}

pub(super) fn error(input: &Path) -> String {
    open(&[input], Recursion::Recursive).err().unwrap_or_else(|| panic!("{input:?} opened")).to_string()
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pets");
    write(root.join("b.png"), &png(2));
    write(root.join("A.PNG"), &png(1));
    write(root.join("deep/er/c.png"), &png(3));
    write(root.join("deep.png"), &png(4));
    write(root.join("notes.txt"), b"not an image");
    write(root.join(".hidden.png"), &png(9));
    write(root.join(".git/x.png"), &png(9));
    write(root.join("__MACOSX/x.png"), &png(9));
    dir
}

#[test]
fn a_folder_is_walked_in_the_order_of_names() {
    let dir = folder();
    let root = dir.path().join("pets");
    let all = open(&[&root], Recursion::Recursive).unwrap();
    let expected = [("A.PNG", 1), ("b.png", 2), ("deep.png", 4), ("deep/er/c.png", 3)];
    assert_eq!(content(&all, &root), expected.map(|(n, v)| (n.to_string(), v)));
    assert_eq!((all.title(), all.description(), all.native_size()), ("pets", "pets", None));
    let one_level = open(&[&root], Recursion::OneLevel).unwrap();
    assert_eq!(content(&one_level, &root), [("b.png".to_string(), 2), ("deep.png".to_string(), 4)]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    let dir = folder();
    let root = dir.path().join("pets");
    std::os::unix::fs::symlink(&root, root.join("deep/round")).unwrap();
    let other = dir.path().join("other");
    write(other.join("d.png"), &png(5));
    std::os::unix::fs::symlink(&other, root.join("linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("z.png")).unwrap();
    let source = open(&[&root], Recursion::Recursive).unwrap();
    let names: Vec<String> = (0..source.len()).map(|i| source.name(i)).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names[4].ends_with("linked/d.png") && names[5].ends_with("z.png"), "{names:?}");
    assert!(source.read(5).err().unwrap().to_string().contains("z.png"));
}

#[test]
fn a_zip_is_read_in_place_and_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("faces.v1.zip");
    let (two, one, three) = (png(2), png(1), png(3));
    let entries: [(&str, &[u8]); 6] = [
        ("faces/2.png", &two),
        ("faces/1.PNG", &one),
        ("faces/readme.txt", b"text"),
        ("__MACOSX/faces/._1.png", b"junk"),
        ("faces/.DS_Store.png", b"junk"),
        ("faces/sub/3.png", &three),
    ];
    zip_of(&path, &entries);
    let source = open(&[&path], Recursion::OneLevel).unwrap();
    let expected = [("faces/1.PNG", 1), ("faces/2.png", 2), ("faces/sub/3.png", 3)];
    assert_eq!(content(&source, &path), expected.map(|(n, v)| (n.to_string(), v)));
    assert_eq!((source.title(), source.description()), ("faces.v1", "faces.v1.zip"));
    // A flipped byte within an entry is that entry's error, by its checksum.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(one.len()).position(|w| w == one).expect("stored as it is") + one.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let source = open(&[&path], Recursion::Recursive).unwrap();
    assert!(source.read(0).err().unwrap().to_string().contains("faces/1.PNG"));
    assert!(source.read(1).is_ok());
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(&path).contains("broken or incomplete zip"), "{}", error(&path));
}

#[test]
fn a_zip_is_read_by_many_threads_at_once() {
    use rayon::prelude::*;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.zip");
    let images: Vec<(String, Vec<u8>)> = (0..200u8).map(|i| (format!("{i:03}.png"), png(i))).collect();
    zip_of(&path, &images.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect::<Vec<_>>());
    let source = open(&[&path], Recursion::Recursive).unwrap();
    let values: Vec<u8> =
        (0..200).into_par_iter().map(|i| source.read(i).unwrap().decode().unwrap().rgb[0]).collect();
    assert_eq!(values, (0..200).collect::<Vec<u8>>());
}

#[test]
fn idx_gives_its_native_images_gzipped_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("digits");
    write(root.join("t10k-images-idx3-ubyte.gz"), &gzip(&idx(2, 5, 7)));
    write(root.join("t10k-labels-idx1-ubyte.gz"), &gzip(&[0, 0, 8, 1, 0, 0, 0, 0]));
    write(root.join("train-images-idx3-ubyte.gz"), &gzip(&idx(3, 5, 7)));
    write(root.join("train-labels-idx1-ubyte.gz"), &gzip(&[0, 0, 8, 1, 0, 0, 0, 0]));
    write(root.join("plain"), &idx(3, 5, 7));
    for input in [root.clone(), root.join("train-images-idx3-ubyte.gz"), root.join("plain")] {
        let source = open(&[&input], Recursion::Recursive).unwrap();
        assert_eq!((source.len(), source.native_size()), (3, Some((7, 5))), "{input:?}");
        let image = source.read(2).unwrap().decode().unwrap();
        assert_eq!((image.width, image.height), (7, 5));
        assert_eq!(image.to_gray(), (70..105).collect::<Vec<u8>>());
    }
    assert_eq!(open(&[&root], Recursion::Recursive).unwrap().title(), "digits");
    assert_eq!(
        open(&[&root.join("t10k-images-idx3-ubyte.gz")], Recursion::Recursive).unwrap().title(),
        "t10k-images-idx3-ubyte"
    );
}

#[test]
fn broken_idx_files_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images-idx3-ubyte");
    let whole = idx(3, 5, 7);
    let says = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        assert!(error(&path).contains(what), "{what}: {}", error(&path));
    };
    says(&whole[..whole.len() - 1], "cut short");
    says(&[&whole[..], &[0]].concat(), "trailing bytes");
    says(&[0, 0, 8, 1, 0, 0, 0, 1, 7], "1 dimensions");
    says(&idx(0, 5, 7), "no images");
    says(&idx(3, 0, 7), "0 pixels");
    says(b"neither this nor that", "not a folder, a zip, an IDX file or an image");
    let gz = dir.path().join("images-idx3-ubyte.gz");
    fs::write(&gz, &gzip(&whole)[..40]).unwrap();
    assert!(error(&gz).contains("broken or incomplete gzip"), "{}", error(&gz));
    fs::write(&gz, gzip(&whole[..100])).unwrap();
    assert!(error(&gz).contains("cut short"), "{}", error(&gz));
}

#[test]
fn missing_and_empty_inputs_are_named() {
    let dir = folder();
    let missing = dir.path().join("nope");
    assert!(error(&missing).starts_with(&format!("{}: ", missing.display())), "{}", error(&missing));
    assert!(error(&dir.path().join("pets/notes.txt")).contains("not a folder, a zip"));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(error(&empty).contains("no images in it"));
    assert!(Source::open(&[], Recursion::Recursive).is_err());
}

#[test]
fn several_inputs_follow_each_other() {
    let dir = folder();
    let root = dir.path().join("pets");
    let mut source =
        open(&[&root.join("deep"), &root.join("b.png"), &root.join("A.PNG")], Recursion::Recursive).unwrap();
    let values = |source: &Source| content(source, &root).iter().map(|c| c.1).collect::<Vec<u8>>();
    assert_eq!(values(&source), [3, 2, 1]);
    assert_eq!((source.title(), source.description()), ("deep", "deep, b.png, A.PNG"));
    source.slice(1, 1);
    assert_eq!(values(&source), [2]);
    source.slice(5, 1);
    assert!(source.is_empty());
}

#[test]
fn the_split_is_found_beside_and_above() {
    for list in ["celeba/list_eval_partition.txt", "list_eval_partition.txt", "Eval/list_eval_partition.txt"]
    {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("celeba");
        for (i, name) in ["000001.jpg", "000002.png", "sub/000003.png", "000004.png"].iter().enumerate() {
            write(root.join(name), &png(i as u8 + 1));
        }
        write(dir.path().join(list), b"000001.jpg 0\n000002.jpg 1\n000003.jpg 1\n000009.jpg 2\n");
        let kept = |split| {
            let mut source = open(&[&root], Recursion::Recursive).unwrap();
            source.keep_split(split).map(|()| (0..source.len()).map(|i| source.name(i)).collect::<Vec<_>>())
        };
        assert_eq!(kept(Split::Train).unwrap().len(), 1);
        let valid = kept(Split::Valid).unwrap();
        assert!(valid[0].ends_with("000002.png") && valid[1].ends_with("sub/000003.png"), "{valid:?}");
        assert!(kept(Split::Test).unwrap_err().to_string().contains("test split"));
        fs::write(dir.path().join(list), "000001.jpg 0\n000002.jpg 7\n").unwrap();
        assert!(kept(Split::Train).unwrap_err().to_string().contains("line 2"));
        fs::remove_file(dir.path().join(list)).unwrap();
        assert!(kept(Split::Train).unwrap_err().to_string().contains("list_eval_partition.txt"));
    }
}

#[test]
fn the_fingerprint_tells_versions_apart() {
    let dir = folder();
    let root = dir.path().join("pets");
    let print = |root: &Path| open(&[root], Recursion::Recursive).unwrap().fingerprint().unwrap();
    let before = print(&root);
    assert_eq!(before, print(&root));
    // A copy elsewhere has the same digest.
    let copy = dir.path().join("copy");
    for name in ["b.png", "A.PNG", "deep/er/c.png", "deep.png"] {
        write(copy.join(name), &fs::read(root.join(name)).unwrap());
    }
    assert_eq!(print(&copy).digest, before.digest);
    // The same size at another time.
    std::thread::sleep(std::time::Duration::from_millis(30));
    fs::write(root.join("b.png"), png(77)).unwrap();
    let after = print(&root);
    assert!(after.changed > before.changed);
    fs::remove_file(root.join("b.png")).unwrap();
    assert_ne!(print(&root).digest, before.digest);
    // The checksums of a zip show a change of content.
    let zip = dir.path().join("x.zip");
    zip_of(&zip, &[("a.png", &png(1))]);
    let before = print(&zip);
    zip_of(&zip, &[("a.png", &png(2))]);
    assert_ne!(print(&zip).digest, before.digest);
    assert_eq!(before.changed, None);
    let demo = |n, seed| Source::demo(n, seed).fingerprint().unwrap().digest;
    assert_eq!(demo(5, 1), demo(5, 1));
    assert!(demo(5, 1) != demo(6, 1) && demo(5, 1) != demo(5, 2));
}

#[test]
fn drawn_faces_depend_on_seed_and_number_alone() {
    let face = |count, seed, i| Source::demo(count, seed).read(i).unwrap().decode().unwrap();
    let one = face(10, 0, 3);
    assert_eq!((one.width, one.height), (178, 218));
    assert_eq!(one, face(4, 0, 3));
    assert_ne!(one, face(10, 1, 3));
    assert_ne!(one, face(10, 0, 4));
}

#[test]
fn drawn_faces_vary_and_look_like_something() {
    let source = Source::demo(64, 0);
    let (mut sum, mut sum2) = (vec![0.0; 178 * 218 * 3], vec![0.0; 178 * 218 * 3]);
    for i in 0..source.len() {
        let face = source.read(i).unwrap().decode().unwrap();
        for (at, &v) in face.rgb.iter().enumerate() {
            sum[at] += f64::from(v) / 64.0;
            sum2[at] += f64::from(v).powi(2) / 64.0;
        }
    }
    let deviation = |x: usize, y: usize| {
        let at = (y * 178 + x) * 3;
        (sum2[at] - sum[at].powi(2)).sqrt()
    };
    for (x, y) in [(10, 20), (89, 85), (89, 60), (89, 210), (60, 140)] {
        assert!(deviation(x, y) > 15.0, "({x}, {y}) varies by {}", deviation(x, y));
    }
    // The mean face has dark pupils where CelebA's are, cheeks brighter than they, and both sides much alike.
    let luma = |x: usize, y: usize| sum[(y * 178 + x) * 3..][..3].iter().sum::<f64>() / 3.0;
    for x in [69, 109] {
        assert!(luma(x, 112) < 0.7 * luma(x, 135), "eye {} cheek {}", luma(x, 112), luma(x, 135));
    }
    assert!((luma(69, 112) - luma(109, 112)).abs() < 25.0);
}

#[test]
fn skipped_files_are_counted_by_reason() {
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
    let line = "10 files skipped: 6 .avif (AVIF is not read), 1 .heic (HEIC is not read), 1 .txt, 1 .zip, 1 \
                without an extension";
    assert_eq!(source.skipped().line().unwrap(), line);
    assert_eq!(source.skipped().to_json()[".txt"]["first"][0], "notes.txt");
    // One level, by pytorch-fid's list.
    write(root.join("B.JPG"), &png(4));
    write(root.join("c.gif"), &png(5));
    write(root.join("more/d.png"), &png(5));
    let source = open(&[&root], Recursion::OneLevel).unwrap();
    assert_eq!(content(&source, &root), [("a.png".to_string(), 1)]);
    let counts = source.skipped().counts();
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
    let line = "its 3 images lie in 2 subfolders (cats, dogs); pytorch-fid reads one level: name one, or a \
                zip of all";
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
    assert!(error(&root).ends_with("; 1 file skipped: 1 .heic (HEIC is not read)"), "{}", error(&root));
    let zip = dir.path().join("phone.zip");
    zip_of(&zip, &[("1.heic", b"\0\0\0 ftypheic")]);
    assert!(error(&zip).ends_with("; 1 file skipped: 1 .heic (HEIC is not read)"), "{}", error(&zip));
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
    assert_eq!(source.skipped().counts(), "1 .avif (AVIF is not read), 1 .txt, 1 .zip");
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
            assert_eq!(source.skipped().counts(), format!("1 not in {name}"));
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
fn input_paths_conflict_with_others_that_still_exist() {
    let dir = tempfile::tempdir().unwrap();
    let (cats, dogs) = (dir.path().join("cats/train"), dir.path().join("dogs/train"));
    write(cats.join("0.png"), &png(1));
    write(dogs.join("0.png"), &png(1));
    let origin = |input: &Path| open(&[input], Recursion::Recursive).unwrap().input_paths();
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
    assert!(Source::demo(3, 0).input_paths().other(&made).is_some());
    Source::demo(3, 0).input_paths().record(&made);
    assert_eq!(Source::demo(4, 1).input_paths().other(&made), None);
    assert_eq!(origin(&dogs).other(&made), Some("demo faces".into()));
    // Moved images are not others.
    origin(&cats).record(&made);
    let moved = dir.path().join("moved");
    fs::rename(&cats, &moved).unwrap();
    assert_eq!(origin(&moved).other(&made), None);
}
