use std::fs;
use std::io::Write;

use super::*;
use crate::data::source::{Recursion, Source};

/// The line about a file of these bytes.
fn line(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let line = match Source::open(std::slice::from_ref(&path), Recursion::Recursive) {
        Ok(_) => panic!("{name} opened"),
        Err(e) => e.to_string(),
    };
    assert!(line.starts_with(&path.display().to_string()) && !line.contains('\n'), "{line}");
    line
}

#[test]
fn every_row_of_the_table_is_told() {
    for (at, magics, what) in MAGICS {
        for magic in *magics {
            let mut head = vec![b' '; *at];
            head.extend(*magic);
            head.extend([b' '; 64]);
            let said = describe(&head, "faces.xyz").unwrap();
            assert_eq!(said, what.replace("FILE", "faces.xyz"), "{magic:?}");
            let told = [": ", "not images", "not what", "parts"].iter().any(|part| said.contains(part));
            assert!(told && !said.contains("FILE") && !said.contains('\n'), "{said}");
        }
    }
    for (ends, says) in ENDINGS {
        for end in *ends {
            assert_eq!(describe(b"\x01\x02\x03\x04", &format!("x{end}")).unwrap(), *says);
        }
    }
}

#[test]
fn each_kind_of_file_has_its_line() {
    let csv: String = (0..3).map(|_| "5,".to_string() + &vec!["0"; 784].join(",") + "\n").collect();
    let named =
        format!("label,{}\n{csv}", (0..784).map(|i| format!("pixel{i}")).collect::<Vec<_>>().join(","));
    let mut record = 90u64.to_le_bytes().to_vec();
    record.extend(b"\x01\x02\x03\x04\x0A\x50\x0A");
    let torch = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(b"\x89HDF\r\n\x1A\n").unwrap();
    let gzip = gzip.finish().unwrap();
    let safetensors = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let cases: &[(&str, &[u8], &str)] = &[
        (
            "img_celeba.7z.001",
            b"7z\xBC\xAF\x27\x1C",
            "a part of a 7z archive: have all parts in one folder, 7z x img_celeba.7z.001",
        ),
        ("img_celeba.7z.014", b"\x12\x34\x56", "7z x img_celeba.7z.001, and name what it unpacks"),
        ("a.tar.gz.002", b"\x12\x34\x56", "cat a.tar.gz.* > a.tar.gz"),
        ("İİ.ZIP.002", b"\x12\x34\x56", "cat İİ.ZIP.* > İİ.ZIP"),
        ("a.7z", b"7z\xBC\xAF\x27\x1C", "7z x a.7z"),
        ("a.z01", b"PK\x07\x08PK\x03\x04", "the first part of a split zip"),
        ("empty.bin", b"", "empty: fetch it again"),
        ("zeros.bin", &[0; 5000], "nothing but zeros"),
        (
            "x.zip",
            b"<!DOCTYPE html><title>Google Drive - Virus scan warning</title>",
            "Google Drive's warning",
        ),
        ("x.zip", b"\n  <html><head><title>404</title>", "a web page, not the download"),
        (
            "x.zip",
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "a server's error (XML)",
        ),
        ("x.zip", b"{\"error\": \"not found\"}", "a server's message (JSON)"),
        ("x.zip", b"Access denied", "a server's error"),
        ("x.json", b"[1, 2, 3]", "JSON, not images"),
        ("x.xml", b"<?xml version=\"1.0\"?><annotation>", "XML, not images"),
        ("x.svg", b"<?xml version=\"1.0\"?><svg>", "SVG is not read: convert"),
        ("x.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
        ("data.mdb", &[&[0; 16][..], b"\xDE\xC0\xEF\xBE"].concat(), "an LMDB database"),
        ("x.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "SVHN's"),
        ("x.tfrecord", &record, "TFRecords"),
        ("x-00000-of-00001", &record, "TFRecords"),
        (
            "x.pkl",
            b"\x80\x03ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
            "a pickle of Python objects",
        ),
        ("training.pt", torch, "a file of torch.save"),
        (
            "x.csv",
            csv.as_bytes(),
            "skiprows=0, dtype='uint8'); np.save('images.npy', a[:, 1:].reshape(-1, 28, 28))",
        ),
        ("x.csv", named.as_bytes(), "skiprows=1"),
        ("labels.csv", b"image_id,partition\n000001.jpg,0\n", "a table, not images"),
        ("x.txt", b"neither this nor that", "a text file, not a folder, a zip"),
        ("x.mp4", b"\0\0\0\x20ftypisom", "a video: ffmpeg -i x.mp4"),
        ("x.webm", b"\x1A\x45\xDF\xA3", "a video"),
        ("x.pdf", b"%PDF-1.7", "PDF is not read: convert it to PNG (pdftoppm"),
        ("x.avif", b"\0\0\0\x20ftypavif", "AVIF is not read: convert"),
        ("x.heic", b"\0\0\0\x20ftypheic", "HEIC is not read: convert"),
        ("x.h5", b"\x89HDF\r\n\x1A\n", "h5py.File(x.h5)"),
        ("x.h5.gz", &gzip, "gunzip x.h5.gz); what is in it is an HDF5 file"),
        ("x.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX network"),
        ("x.arrow", b"ARROW1\0\0", "to_parquet"),
        ("x.arrow", b"\xFF\xFF\xFF\xFF\x10\x02\0\0", "to_parquet"),
        ("x.parquet", b"PAR1", "a broken or incomplete parquet"),
        (
            "a.safetensors",
            &safetensors("{\"__metadata__\":{\"gantools\":\"{}\"},\"images\":{}}"),
            "a shard already: give it to train",
        ),
        (
            "G.safetensors",
            &safetensors("{\"__metadata__\":{\"gantools\":\"{}\"},\"main.0.weight\":{}}"),
            "give a generator to sample",
        ),
        ("w.safetensors", &safetensors("{\"w\":{}}                      "), "safetensors of another program"),
        ("x.bin", b"\x01\x02\x03\x04\x05", "not a folder, a zip, a tar, an array, an IDX file or an image"),
    ];
    for (name, bytes, says) in cases {
        let line = line(name, bytes);
        assert!(line.contains(says), "{name}: {says}: {line}");
    }
}

#[test]
fn a_folder_or_a_zip_of_such_files_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("celeba");
    fs::create_dir_all(root.join("Img")).unwrap();
    fs::write(root.join("README.txt"), "text").unwrap();
    for i in 1..=14 {
        fs::write(root.join(format!("Img/img_celeba.7z.{i:03}")), b"7z\xBC\xAF\x27\x1C").unwrap();
    }
    let line = Source::open(std::slice::from_ref(&root), Recursion::Recursive).err().unwrap().to_string();
    assert!(line.contains("no images in it, but it holds Img/img_celeba.7z.001 (and 14 more)"), "{line}");
    assert!(line.contains("7z x img_celeba.7z.001"), "{line}");
    fs::remove_dir_all(root.join("Img")).unwrap();
    let line = Source::open(std::slice::from_ref(&root), Recursion::Recursive).err().unwrap().to_string();
    assert!(line.contains("no images in it (JPEG") && line.contains("1 .txt"), "{line}");
    let zip = dir.path().join("x.zip");
    let mut writer = ::zip::ZipWriter::new(fs::File::create(&zip).unwrap());
    writer.start_file("archive/data.mdb", ::zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(&[&[0; 16][..], b"\xDE\xC0\xEF\xBE", &[0; 64]].concat()).unwrap();
    writer.finish().unwrap();
    let line = Source::open(&[zip], Recursion::Recursive).err().unwrap().to_string();
    assert!(line.contains("it holds archive/data.mdb: an LMDB database"), "{line}");
}
