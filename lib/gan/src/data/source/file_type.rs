//! What a file is: by its name or, where the name does not show it, by its first bytes. One rule for folders
//! and archives.

use std::collections::HashMap;
use std::path::Path;

use super::skipped::{OTHERS, SkippedFiles};
use super::split::LISTS;
use crate::data::image::sniff;

/// How parquet files begin.
pub(super) const PARQUET_MAGIC: &[u8] = b"PAR1";
/// Extensions of the formats that are read.
const READ: &str = "bmp dib gif jfif jpe jpeg jpg pam pbm pgm png pnm ppm tif tiff webp";
/// Extensions of images that are not read, after the names of their formats.
const NOT_READ: [(&str, &str); 9] = [
    ("JPEG XL", "jxl"),
    ("JPEG 2000", "jp2 j2k jpx jpf j2c"),
    ("Photoshop", "psd"),
    ("OpenEXR", "exr"),
    ("Radiance HDR", "hdr"),
    ("GIMP", "xcf"),
    ("DICOM", "dcm"),
    (RAW, "cr2 cr3 nef arw dng raf orf rw2"),
    ("video", "mp4 webm"),
];
const RAW: &str = "raw photographs";
/// Those that are the names of their formats, but for capitals.
const NOT_READ_AS_NAMED: &str = "avif dds heic heif ico pcx qoi svg tga";
/// Extensions of files that accompany images. They are not opened, since there may be one for every image.
const COMPANIONS: &str = "csv tsv txt json jsonl ndjson xml yaml yml md rst html htm pdf log py ipynb sh m \
                          mat pts cat caption tags npy pkl md5 sha256 url toml";
/// Extensions of archives and containers, which are inputs of their own.
const ARCHIVES: &str = "zip tar tgz gz bz2 xz zst 7z rar parquet npz h5 hdf5 tfrecord";
/// The number of first bytes that show a file's type.
pub(super) const HEAD: u64 = 512;
/// The number of files of an unknown extension that are opened. If none of them is an image, the others are
/// not opened.
const TRIED: u32 = 256;

fn is_in(list: &str, extension: &str) -> bool {
    list.split(' ').any(|one| one == extension)
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileType {
    Image,
    /// Images in an IDX file, by its name or its first bytes.
    Idx,
    Archive,
    /// Something else. It was counted as skipped, unless it is of no interest.
    Other,
}

/// Classifies files and counts those that are skipped. A fixed order of the files gives fixed counts.
#[derive(Default)]
pub(super) struct Classifier {
    pub skipped: SkippedFiles,
    /// For each unknown extension the number of files that were opened, and whether one was an image.
    opened: HashMap<String, (u32, bool)>,
}

impl Classifier {
    /// The type of the file `name`. `head` gives its first bytes, none where it cannot be read; it is called
    /// only where the name does not show the type.
    pub fn classify(&mut self, name: &str, head: impl FnOnce() -> Vec<u8>) -> FileType {
        if is_image_name(name) {
            return FileType::Image;
        }
        if is_uninteresting(name) {
            return FileType::Other;
        }
        match idx_name(name) {
            Some(true) => return FileType::Idx,
            Some(false) => return FileType::Other,
            None if is_archive_name(name) => return FileType::Archive,
            None => {}
        }
        let extension = extension(name);
        let mut format = None;
        if !is_in(COMPANIONS, &extension) {
            let opened = self.opened.entry(extension.clone()).or_default();
            if extension.is_empty() || opened.0 < TRIED || opened.1 {
                opened.0 += 1;
                match head().as_slice() {
                    [0, 0, 8, 3, ..] => return FileType::Idx,
                    [0, 0, 8, 1, ..] => return FileType::Other,
                    head => format = sniff(head),
                }
                opened.1 |= format.is_some();
            }
        }
        if format.is_some_and(|format| format.is_read()) {
            return FileType::Image;
        }
        let dotted = dotted(name);
        let upper = extension.to_ascii_uppercase();
        let known = || match NOT_READ.iter().find(|(_, known)| is_in(known, &extension)) {
            Some((format, _)) => Some(*format),
            None => is_in(NOT_READ_AS_NAMED, &extension).then_some(&*upper),
        };
        let reason = match format.map(|format| format.name()).or_else(known) {
            Some(RAW) => format!("{dotted} ({RAW} are not read)"),
            Some(format) => format!("{dotted} ({format} is not read)"),
            None if extension.len() > 8 => OTHERS.to_string(),
            None => dotted,
        };
        self.skipped.add(&reason, name);
        FileType::Other
    }
}

/// The extension in lower case; empty where there is none.
fn extension(name: &str) -> String {
    Path::new(name).extension().map_or_else(String::new, |e| e.to_string_lossy().to_ascii_lowercase())
}

/// The last part of a path.
pub(super) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The extension as a reason to skip a file: `.txt`.
pub(super) fn dotted(name: &str) -> String {
    match extension(name).as_str() {
        "" => "without an extension".to_string(),
        extension => format!(".{extension}"),
    }
}

/// Whether the extension is that of an image.
pub(super) fn is_image_name(name: &str) -> bool {
    is_in(READ, &extension(name))
}

/// Whether the extension is that of an archive, or of a part of one as 7-Zip and split write them:
/// `faces.7z.001`.
fn is_archive_name(name: &str) -> bool {
    let extension = extension(name);
    let part = extension.len() == 3 && extension.bytes().all(|b| b.is_ascii_digit());
    is_in(ARCHIVES, &extension) || part && is_archive_name(&name[..name.len() - 4])
}

/// Whether a file or folder of this name is ignored: hidden, or macOS' metadata in a zip.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

/// What systems and these tools leave in folders, and CelebA's list of its splits.
fn is_uninteresting(name: &str) -> bool {
    let file = base_name(name).to_ascii_lowercase();
    let left = matches!(&*file, "thumbs.db" | "ehthumbs.db" | "desktop.ini" | "icon\r");
    left || LISTS.contains(&&*file) || file.ends_with(".safetensors")
}

/// Whether the name of an IDX file says that it holds images (`idx3`) or something else, usually labels;
/// `None` for other names.
fn idx_name(name: &str) -> Option<bool> {
    let file = base_name(name).to_ascii_lowercase();
    match file.split("idx").skip(1).find_map(|rest| rest.bytes().next())? {
        b'3' => Some(true),
        b'1'..=b'9' => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(classifier: &mut Classifier, name: &str, head: &[u8]) -> FileType {
        classifier.classify(name, || head.to_vec())
    }

    #[test]
    fn names_tell_and_where_they_do_not_the_first_bytes_do() {
        let unread = || -> Vec<u8> { panic!("looked into") };
        let mut classifier = Classifier::default();
        for name in ["a.png", "b/C.JPG", "d.webp", "x.jfif"] {
            assert_eq!(classifier.classify(name, unread), FileType::Image, "{name}");
        }
        for name in
            ["Thumbs.db", "a/desktop.ini", "train-labels-idx1-ubyte.gz", "qmnist-train-labels-idx2-int"]
        {
            assert_eq!(classifier.classify(name, unread), FileType::Other, "{name}");
        }
        for name in ["train-images.idx3-ubyte", "emnist-letters-train-images-idx3-ubyte.gz"] {
            assert_eq!(classifier.classify(name, unread), FileType::Idx, "{name}");
        }
        for name in ["a.zip", "b.tar.gz", "c.7z.001", "d.NPZ"] {
            assert_eq!(classifier.classify(name, unread), FileType::Archive, "{name}");
        }
        assert!(classifier.skipped.is_empty());
        assert_eq!(classifier.classify("notes.txt", unread), FileType::Other);
        let png = b"\x89PNG\r\n\x1A\n";
        assert_eq!(classify(&mut classifier, "0a1b2c", png), FileType::Image);
        assert_eq!(classify(&mut classifier, "photo.avif", png), FileType::Image, "the content decides");
        assert_eq!(classify(&mut classifier, "photo.bin", b"\0\0\x08\x03\0\0\0\x01"), FileType::Idx);
        assert_eq!(classify(&mut classifier, "x.avif", b"\0\0\0 ftypavif"), FileType::Other);
        assert_eq!(classify(&mut classifier, "y.bin", b"\0\0\0 ftypavif"), FileType::Other);
        assert_eq!(classify(&mut classifier, "z.heic", b"\0\0\0 ftypmif1"), FileType::Other);
        assert_eq!(classify(&mut classifier, "README", b"BMs and text"), FileType::Other);
        assert_eq!(classify(&mut classifier, "a.cr2", b""), FileType::Other);
        let counts = "1 .avif (AVIF is not read), 1 .bin (AVIF is not read), 1 .cr2 (raw photographs are not \
                      read), 1 .heic (HEIC is not read), 1 .txt, 1 without an extension";
        assert_eq!(classifier.skipped.counts(), counts);
    }

    #[test]
    fn not_every_file_of_an_unknown_extension_is_looked_into() {
        let (mut classifier, mut looks) = (Classifier::default(), 0);
        for i in 0..1000 {
            let head = || {
                looks += 1;
                b"nothing".to_vec()
            };
            assert_eq!(classifier.classify(&format!("{i}.xyz"), head), FileType::Other);
        }
        assert_eq!((looks, classifier.skipped.total()), (TRIED, 1000));
        // Where one is an image, all are looked into; without an extension always.
        let mut classifier = Classifier::default();
        let images = (0..1000).filter(|i| {
            classify(&mut classifier, &format!("{i}.dat"), if i % 3 == 0 { b"GIF89a" } else { b"no" })
                == FileType::Image
        });
        assert_eq!(images.count(), 334);
        let images = (0..1000).filter(|i| {
            classify(&mut classifier, &i.to_string(), if *i > 900 { b"GIF89a" } else { b"no" })
                == FileType::Image
        });
        assert_eq!(images.count(), 99);
    }
}
