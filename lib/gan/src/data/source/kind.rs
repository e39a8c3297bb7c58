//! What a file is, by its name and, where that does not tell, by its first bytes: the one rule for folders
//! and archives.

use std::collections::HashMap;
use std::path::Path;

use super::passed_over::{OTHERS, PassedOver};
use super::split::LISTS;
use crate::data::image::sniff;

/// Extensions of the formats that are read.
const READ: [&str; 16] = [
    "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm", "tif",
    "tiff", "webp",
];
/// Extensions of images that are not read, with their formats' names.
const NOT_READ: [(&str, &str); 30] = [
    ("avif", "AVIF"),
    ("heic", "HEIC"),
    ("heif", "HEIF"),
    ("jxl", "JPEG XL"),
    ("jp2", "JPEG 2000"),
    ("j2k", "JPEG 2000"),
    ("jpx", "JPEG 2000"),
    ("jpf", "JPEG 2000"),
    ("j2c", "JPEG 2000"),
    ("svg", "SVG"),
    ("psd", "Photoshop"),
    ("exr", "OpenEXR"),
    ("hdr", "Radiance HDR"),
    ("tga", "TGA"),
    ("ico", "ICO"),
    ("dds", "DDS"),
    ("pcx", "PCX"),
    ("qoi", "QOI"),
    ("xcf", "GIMP"),
    ("dcm", "DICOM"),
    ("cr2", "raw photographs"),
    ("cr3", "raw photographs"),
    ("nef", "raw photographs"),
    ("arw", "raw photographs"),
    ("dng", "raw photographs"),
    ("raf", "raw photographs"),
    ("orf", "raw photographs"),
    ("rw2", "raw photographs"),
    ("mp4", "video"),
    ("webm", "video"),
];
/// Extensions of files that lie beside images and are none: not looked into, since there may be one for every
/// image.
const BESIDE: [&str; 30] = [
    "csv", "tsv", "txt", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "md", "rst", "html", "htm", "pdf",
    "log", "py", "ipynb", "sh", "m", "mat", "pts", "cat", "caption", "tags", "npy", "pkl", "md5", "sha256",
    "url", "toml",
];
/// Extensions of archives, which are named themselves and not found in a folder.
const ARCHIVES: [&str; 14] =
    ["zip", "tar", "tgz", "gz", "bz2", "xz", "zst", "7z", "rar", "parquet", "npz", "h5", "hdf5", "tfrecord"];
/// As many first bytes of a file as are looked at.
pub(super) const HEAD: usize = 512;
/// So many files of an unknown extension are looked into; if none of them is an image, the others are none
/// either.
const TRIED: u32 = 256;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    /// Images in an IDX file, as far as its name or its first bytes tell.
    Idx,
    Archive,
    /// Something else: counted, or not worth a word.
    Other,
}

/// Tells what files are and counts those that are passed over. Files should come in a fixed order, so that
/// the same ones give the same counts and names.
#[derive(Default)]
pub(super) struct Sorter {
    pub(super) passed_over: PassedOver,
    /// Of unknown extensions: how many files were looked into, and whether one was an image.
    looked: HashMap<String, (u32, bool)>,
}

impl Sorter {
    /// What the file `name` is; `head` gives its first bytes (none where it cannot be read) and is called
    /// only where the name does not tell.
    pub(super) fn kind(&mut self, name: &str, head: impl FnOnce() -> Vec<u8>) -> Kind {
        let extension = extension(name);
        if is_image_name(name) {
            return Kind::Image;
        }
        if is_worthless(name) {
            return Kind::Other;
        }
        match idx_name(name) {
            Some(true) => return Kind::Idx,
            Some(false) => return Kind::Other,
            None => {}
        }
        if is_archive_name(name) {
            return Kind::Archive;
        }
        let known = NOT_READ.iter().find(|(known, _)| *known == extension).map(|(_, format)| *format);
        let mut found = None;
        if !BESIDE.contains(&&*extension) {
            let looked = self.looked.entry(extension.clone()).or_default();
            if extension.is_empty() || looked.0 < TRIED || looked.1 {
                let head = head();
                looked.0 += 1;
                match head.as_slice() {
                    [0, 0, 8, 3, ..] => return Kind::Idx,
                    [0, 0, 8, 1, ..] => return Kind::Other,
                    head => found = sniff(head),
                }
                looked.1 |= found.is_some();
            }
        }
        if found.is_some_and(|format| format.is_read()) {
            return Kind::Image;
        }
        let dotted = dotted(name);
        let reason = match found.map(|format| format.name()).or(known) {
            Some("raw photographs") => format!("{dotted} (raw photographs are not read)"),
            Some(format) => format!("{dotted} ({format} is not read)"),
            None if extension.len() > 8 => OTHERS.to_string(),
            None => dotted,
        };
        self.passed_over.add(&reason, name);
        Kind::Other
    }
}

/// The extension in lower case; empty where there is none.
fn extension(name: &str) -> String {
    Path::new(name).extension().map_or_else(String::new, |e| e.to_string_lossy().to_ascii_lowercase())
}

/// The extension as a reason for passing over: `.txt`.
pub(super) fn dotted(name: &str) -> String {
    match extension(name).as_str() {
        "" => "without an extension".to_string(),
        extension => format!(".{extension}"),
    }
}

/// Whether a file is an image by its extension.
pub(super) fn is_image_name(name: &str) -> bool {
    READ.contains(&&*extension(name))
}

/// Whether a file is an archive, or a container of many images, by its extension.
fn is_archive_name(name: &str) -> bool {
    // A part of one, as 7-Zip and split write them: faces.7z.001.
    let extension = extension(name);
    let part = extension.len() == 3 && extension.bytes().all(|b| b.is_ascii_digit());
    ARCHIVES.contains(&&*extension) || part && is_archive_name(&name[..name.len() - 4])
}

/// Whether a file or folder of this name is passed over without a word: hidden, or macOS' shadow of a zip's
/// content.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

/// What systems and these tools leave in folders, and CelebA's list of its splits.
fn is_worthless(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let left = matches!(&*file, "thumbs.db" | "ehthumbs.db" | "desktop.ini" | "icon\r");
    left || LISTS.contains(&&*file) || file.ends_with(".safetensors")
}

/// Whether the name of an IDX file says that it holds images (`idx3`) or something else, labels as a rule;
/// `None` where it does not say IDX.
fn idx_name(name: &str) -> Option<bool> {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let dimensions = file.split("idx").skip(1).find_map(|rest| rest.bytes().next())?;
    match dimensions {
        b'3' => Some(true),
        b'1'..=b'9' => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sorter: &mut Sorter, name: &str, head: &[u8]) -> Kind {
        sorter.kind(name, || head.to_vec())
    }

    #[test]
    fn names_tell_and_where_they_do_not_the_first_bytes_do() {
        let unread = || -> Vec<u8> { panic!("looked into") };
        let mut sorter = Sorter::default();
        for name in ["a.png", "b/C.JPG", "d.webp", "x.jfif"] {
            assert_eq!(sorter.kind(name, unread), Kind::Image, "{name}");
        }
        for name in
            ["Thumbs.db", "a/desktop.ini", "train-labels-idx1-ubyte.gz", "qmnist-train-labels-idx2-int"]
        {
            assert_eq!(sorter.kind(name, unread), Kind::Other, "{name}");
        }
        for name in ["train-images.idx3-ubyte", "emnist-letters-train-images-idx3-ubyte.gz"] {
            assert_eq!(sorter.kind(name, unread), Kind::Idx, "{name}");
        }
        for name in ["a.zip", "b.tar.gz", "c.7z.001", "d.NPZ"] {
            assert_eq!(sorter.kind(name, unread), Kind::Archive, "{name}");
        }
        assert!(sorter.passed_over.is_empty());
        assert_eq!(sorter.kind("notes.txt", unread), Kind::Other);
        let png = b"\x89PNG\r\n\x1A\n";
        assert_eq!(kind(&mut sorter, "0a1b2c", png), Kind::Image);
        assert_eq!(kind(&mut sorter, "photo.avif", png), Kind::Image, "the content decides");
        assert_eq!(kind(&mut sorter, "photo.bin", b"\0\0\x08\x03\0\0\0\x01"), Kind::Idx);
        assert_eq!(kind(&mut sorter, "x.avif", b"\0\0\0 ftypavif"), Kind::Other);
        assert_eq!(kind(&mut sorter, "y.bin", b"\0\0\0 ftypavif"), Kind::Other);
        assert_eq!(kind(&mut sorter, "z.heic", b"\0\0\0 ftypmif1"), Kind::Other);
        assert_eq!(kind(&mut sorter, "README", b"BMs and text"), Kind::Other);
        assert_eq!(kind(&mut sorter, "a.cr2", b""), Kind::Other);
        let counts = "1 .avif (AVIF is not read), 1 .bin (AVIF is not read), 1 .cr2 (raw photographs are not read), \
                      1 .heic (HEIC is not read), 1 .txt, 1 without an extension";
        assert_eq!(sorter.passed_over.counts(), counts);
    }

    #[test]
    fn not_every_file_of_an_unknown_extension_is_looked_into() {
        let (mut sorter, mut looks) = (Sorter::default(), 0);
        for i in 0..1000 {
            let head = || {
                looks += 1;
                b"nothing".to_vec()
            };
            assert_eq!(sorter.kind(&format!("{i}.xyz"), head), Kind::Other);
        }
        assert_eq!((looks, sorter.passed_over.total()), (TRIED, 1000));
        // Where one is an image, all are looked into; without an extension always.
        let mut sorter = Sorter::default();
        let images = (0..1000).filter(|i| {
            kind(&mut sorter, &format!("{i}.dat"), if i % 3 == 0 { b"GIF89a" } else { b"no" }) == Kind::Image
        });
        assert_eq!(images.count(), 334);
        let images = (0..1000).filter(|i| {
            kind(&mut sorter, &i.to_string(), if *i > 900 { b"GIF89a" } else { b"no" }) == Kind::Image
        });
        assert_eq!(images.count(), 99);
    }
}
