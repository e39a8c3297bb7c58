//! Says what a file is that holds no images that are read, and what to do about it: one line each.

use std::path::Path;

use ::zip::result::ZipError;

use super::compression::Compression;
use super::file_set::FileSet;
use super::file_slice::FileSlice;
use super::file_type::{PARQUET_MAGIC, base_name};
use super::skipped::SkippedFiles;
use super::tar::is_tar;
use crate::Error;
use crate::data::image::sniff;
use crate::io::npz::NPY_MAGIC;

/// The number of first bytes that are looked at.
const HEAD: u64 = 1 << 14;

const LFS: &str = "a Git LFS pointer, not the file itself: run git lfs pull where it was cloned";
const SPLIT_ZIP: &str =
    "the first part of a split zip: join the parts (zip -s 0 FILE.zip --out all.zip) and name that";
const LMDB: &str = "an LMDB database (LSUN's are): export its images (LSUN: python data.py export)";
const HDF5: &str = "an HDF5 file: np.save('images.npy', h5py.File(FILE)[KEY][:]), and name that";
const MATLAB: &str = "a MATLAB file (SVHN's are): np.save('images.npy', \
                      scipy.io.loadmat(FILE)['X'].transpose(3, 0, 1, 2)), and name that";
const ARROW: &str =
    "an Arrow file: datasets.Dataset.from_file(FILE).to_parquet('images.parquet'), and name that";
const VIDEO: &str = "a video: ffmpeg -i FILE frames/%06d.png makes images of it";
const SOUND: &str = "sound, not images";

/// What a file is that has one of these at this offset, and what to do. The first match counts.
const MAGICS: &[(usize, &[&[u8]], &str)] = &[
    (0, &[b"version https://git-lfs"], LFS),
    (0, &[b"7z\xBC\xAF\x27\x1C"], "a 7z archive: unpack it (7z x FILE) and name the folder"),
    (0, &[b"Rar!\x1A\x07"], "a RAR archive: unpack it (unrar x FILE) and name the folder"),
    (0, &[b"PK\x07\x08"], SPLIT_ZIP),
    (0, &[b"MSCF"], "a Windows cabinet: unpack it (cabextract FILE) and name the folder"),
    (0, &[b"070701"], "a cpio archive: unpack it (cpio -id < FILE) and name the folder"),
    (0, &[b"!<arch>"], "an ar archive or a Debian package: unpack it (ar x FILE) and name the folder"),
    (0, &[b"hsqs"], "a squashfs image: unpack it (unsquashfs FILE) and name the folder"),
    (0, &[b"\x1F\x9D", b"\x1F\xA0"], "packed by compress: unpack it first (uncompress FILE)"),
    (0, &[b"\x04\x22\x4D\x18"], "packed by LZ4: unpack it first (unlz4 FILE)"),
    (0, &[b"LZIP"], "packed by lzip: unpack it first (lzip -d FILE)"),
    (0, &[b"\x5D\0\0"], "packed by LZMA: unpack it first (unlzma FILE)"),
    (16, &[b"\xDE\xC0\xEF\xBE"], LMDB),
    (0, &[b"SQLite format 3\0"], "an SQLite database: export its images into a folder and name that"),
    (0, &[b"\x89HDF\r\n\x1A\n", b"MATLAB 7.3 MAT-file"], HDF5),
    (0, &[b"MATLAB 5.0 MAT-file"], MATLAB),
    (0, &[b"ARROW1", b"\xFF\xFF\xFF\xFF"], ARROW),
    (0, &[b"PAR1"], "a broken or encrypted parquet: fetch it again"),
    (0, &[b"PARE"], "an encrypted parquet: write it again without a key"),
    (0, &[b"ORC"], "an ORC table: save its images into a folder and name that"),
    (0, &[b"Obj\x01"], "an Avro file: save its images into a folder and name that"),
    (0, &[b"\x1A\x45\xDF\xA3", b"FLV\x01", b"\0\0\x01\xBA", b"\0\0\x01\xB3"], VIDEO),
    (8, &[b"AVI LIST"], VIDEO),
    (8, &[b"WAVE"], SOUND),
    (0, &[b"ID3", b"OggS", b"fLaC"], SOUND),
    (4, &[b"ftyp", b"moov", b"mdat"], VIDEO),
    (344, &[b"n+1\0"], "a NIfTI volume: save its slices as PNG, or as an array with np.save"),
    (0, &[b"\x7FELF", b"MZ", b"Cr24"], "a program, not images"),
    (0, &[b"GGUF"], "a language model, not images"),
    (0, &[b"d8:announce"], "a torrent, not the download: fetch what it names"),
];

/// What a file is whose name ends so, where its content does not show it.
const ENDINGS: &[(&[&str], &str)] = &[
    (&[".crdownload", ".part", ".download", ".aria2"], "a download that is not finished"),
    (&[".onnx"], "an ONNX network, not images"),
    (&[".tflite", ".pb"], "a TensorFlow network, not images"),
    (&[".h5"], "not what its name says (HDF5): fetch it again"),
    (&[".mdb"], "an LMDB database's lock or a part of it: export its images into a folder and name that"),
];

/// What usually accompanies images: it does not show where they are.
const PLAIN: &[&str] = &["a text file", "a table", "JSON", "XML, not", "empty", "a program"];
const TEXT: &str = "a text file, not a folder, a zip, an IDX file or an image";

/// What a file of these first bytes is, and what to do; `None` where that is unknown.
fn describe(head: &[u8], name: &str) -> Option<String> {
    let file = base_name(name);
    let lower = file.to_lowercase();
    if head.is_empty() {
        return Some("empty: fetch it again".into());
    }
    if is_part(&lower) {
        // A dot and three digits, whatever precedes them.
        let all = &file[..file.len() - 4];
        return Some(match lower.contains(".7z.") {
            true => format!(
                "a part of a 7z archive: have all parts in one folder, 7z x {all}.001, and name what it \
                 unpacks"
            ),
            false => {
                format!("a part of {all}: have all parts in one folder, cat {all}.* > {all}, and name that")
            }
        });
    }
    if let Some(format) = sniff(head).filter(|format| !format.is_read()) {
        return Some(format!("{} is not read: convert it to PNG{}", format.name(), format.converter()));
    }
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let magic = MAGICS.iter().find(|(at, magics, _)| magics.iter().any(|magic| has(*at, magic)));
    if let Some((.., what)) = magic {
        return Some(what.replace("FILE", file));
    }
    let text = text(head);
    let text = text.as_deref();
    let ending = ENDINGS.iter().find(|(ends, _)| ends.iter().any(|end| lower.ends_with(end)));
    readable(head, file)
        .or_else(|| binary(head, file, &lower))
        .or_else(|| text.and_then(page))
        .or_else(|| ending.map(|(_, what)| what.to_string()))
        .or_else(|| text.map(|text| table(text, file)))
}

/// Whether this is the name of a part of an archive, `img_celeba.7z.001`.
fn is_part(name: &str) -> bool {
    let Some((all, number)) = name.rsplit_once('.') else { return false };
    let archives = [".7z", ".zip", ".tar", ".gz", ".tgz", ".rar", ".xz", ".zst"];
    let is_number = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    is_number && archives.iter().any(|end| all.ends_with(end))
}

/// What is read when it is an input of its own.
fn readable(head: &[u8], file: &str) -> Option<String> {
    let what = match head {
        _ if is_tar(head) => "a tar",
        [b'P', b'K', 3 | 5, 4 | 6, ..] if file.to_lowercase().ends_with(".npz") => "an .npz",
        [b'P', b'K', 3 | 5, 4 | 6, ..] => "a zip",
        _ if head.starts_with(NPY_MAGIC) => "an array",
        _ if head.starts_with(PARQUET_MAGIC) => "a parquet",
        _ => return None,
    };
    Some(format!("{what}: name it by itself"))
}

/// Binary files that need more than their first bytes.
fn binary(head: &[u8], file: &str, lower: &str) -> Option<String> {
    let holds = |what: &[u8]| head.windows(what.len()).any(|window| window == what);
    if let Some(compression) = Compression::of(head) {
        let (name, command) = compression.name_and_command();
        return Some(format!("a file packed by {name}: unpack it first ({command} {file})"));
    }
    let is_safetensors =
        |(len, _): (&[u8; 8], _)| u64::from_le_bytes(*len) < 100 << 20 && head.get(8) == Some(&b'{');
    let what = match head {
        _ if head.split_first_chunk().is_some_and(is_safetensors) => match () {
            _ if holds(b"\"gantools\"") && holds(b"\"images\"") => "a shard already: give it to train",
            _ if holds(b"\"adam_") => "a state of train: train --resume reads it",
            _ if holds(b"\"gantools\"") => "weights of train: give a generator to sample",
            _ => "safetensors of another program: weights, or tensors to save as an array with np.save",
        },
        [0x80, 2..=5, ..] if holds(b"persistence") || holds(b"dnnlib") => {
            "a pickled network of NVIDIA's (StyleGAN, EDM), not images: make images with its own program"
        }
        // How torch.save began before it wrote zips.
        [0x80, 2..=5, ..] if holds(b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") => {
            return Some(format!(
                "a file of torch.save: a network, or tensors (MNIST's training.pt: name its raw/ folder, or \
                 np.save('images.npy', torch.load('{file}')[0].numpy()))"
            ));
        }
        [0x80, 2..=5, ..] => "a Python pickle, which is not run: np.save its images as an array of uint8",
        // A record's length (8 bytes, the upper ones 0), its checksum, and a message whose first field is a
        // message.
        _ if lower.contains("tfrecord") || matches!(head, [_, _, _, 0, 0, 0, 0, 0, _, _, _, _, 0x0A, ..]) => {
            "TFRecords (TensorFlow's): save their images into a folder or with np.save, and name that"
        }
        _ if head.iter().all(|&byte| byte == 0) => {
            "nothing but zeros: a download that was never filled: fetch it again"
        }
        _ => return None,
    };
    Some(what.into())
}

/// The beginning of a file as text, if it is text.
fn text(head: &[u8]) -> Option<String> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character is cut.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
        Err(_) => return None,
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0C');
    (!valid.is_empty() && !valid.contains(is_control)).then(|| valid.to_string())
}

/// What servers send in place of a file.
fn page(text: &str) -> Option<String> {
    let lower = text.trim_start().to_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let holds = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let answer =
        |what: &str| format!("a server's {what}, not the download: look at it, and fetch the file again");
    let is_html = begins(&["<!doctype html", "<html", "<head", "<body", "<!--"]) || holds(&["<html"]);
    Some(match () {
        _ if is_html && holds(&["google"]) && holds(&["drive"]) => {
            "a web page, Google Drive's warning or refusal, not the download: fetch it with a browser or \
             with gdown"
                .into()
        }
        _ if is_html => {
            "a web page, not the download: open its address in a browser to see what the server says".into()
        }
        _ if begins(&["<?xml", "<error"]) && holds(&["<error", "<code>"]) => answer("error (XML)"),
        _ if begins(&["<?xml"]) => "XML, not images".into(),
        _ if begins(&["{"]) && holds(&["\"error\"", "\"message\"", "\"detail\"", "\"errors\""]) => {
            answer("message (JSON)")
        }
        _ if begins(&["{", "["]) => "JSON, not images".into(),
        _ if begins(&["error", "404", "403", "access denied", "not found", "<h1>"]) => answer("error"),
        _ => return None,
    })
}

/// A table, or any other text.
fn table(text: &str, file: &str) -> String {
    // The first line may have names, and the last one may be cut.
    let line = text.lines().nth(1).or(text.lines().next()).unwrap_or("");
    let values: Vec<&str> = line.split([',', ';', '\t']).collect();
    let numbers = values.iter().filter(|value| value.trim().parse::<f64>().is_ok()).count();
    let size = (values.len() - 1).isqrt();
    let is_cut = text.lines().count() < 3 && text.len() + 8 > HEAD as usize;
    let shape = match size * size + 1 == values.len() && size >= 8 && !is_cut {
        true => Some(format!("-1, {size}, {size}")),
        false => (is_cut && values.len() > 200).then(|| "-1, H, W".to_string()),
    };
    let lower = file.to_lowercase();
    match shape {
        // A label and the pixels.
        Some(shape) if numbers == values.len() || is_cut && numbers + 1 == values.len() => {
            let skip = usize::from(text.starts_with(char::is_alphabetic));
            format!(
                "images as a table (MNIST as CSV): a = np.loadtxt('{file}', delimiter=',', skiprows={skip}, \
                 dtype='uint8'); np.save('images.npy', a[:, 1:].reshape({shape})), and name images.npy"
            )
        }
        _ if values.len() > 1 && (lower.ends_with(".csv") || lower.ends_with(".tsv")) => {
            "a table, not images: name the folder with the images that it lists".into()
        }
        _ => TEXT.into(),
    }
}

/// The error about a file that is nothing that is read.
pub(super) fn file(file: &FileSlice) -> Error {
    let head = match file.head(HEAD) {
        Ok(head) => head,
        Err(e) => return e,
    };
    let name = file.name.to_string_lossy();
    let unknown = || "not a folder, a zip, a tar, an array, an IDX file or an image".to_string();
    let what = describe(&head, &name).unwrap_or_else(unknown);
    // The content of a compressed file says more than its compression.
    let content = Compression::of(&head).map(|compression| compression.head(file, HEAD));
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    match content.filter(|content| !content.is_empty()).and_then(|content| describe(&content, stem)) {
        Some(content) => file.error(format!("{what}; what is in it is {content}")),
        None => file.error(what),
    }
}

/// Whether a file is an archive or an array that is read when it is named.
pub(super) fn is_readable(file: &FileSlice) -> bool {
    let Ok(head) = file.head(HEAD) else { return false };
    let is_packed_tar = |compression: Compression| is_tar(&compression.head(file, 512));
    readable(&head, "").is_some() || Compression::of(&head).is_some_and(is_packed_tar)
}

/// The error about a folder or an archive without images. It names the first file that shows where they are.
pub(super) fn container(path: &Path, names: &[&str], files: &dyn FileSet, skipped: &SkippedFiles) -> Error {
    const MOST: usize = 64;
    for (i, name) in names.iter().enumerate().take(MOST) {
        let Ok(head) = files.head(i, HEAD) else { continue };
        let Some(mut what) = describe(&head, name) else { continue };
        // Images that are not read are counted as skipped.
        if sniff(&head).is_some() || PLAIN.iter().any(|plain| what.starts_with(plain)) {
            continue;
        }
        if files.is_archive() && (readable(&head, name).is_some() || Compression::of(&head).is_some()) {
            what = "unpack the outer archive first, then name that".to_string();
        }
        let more = if names.len() > 1 { format!(" (and {} more)", names.len() - 1) } else { String::new() };
        return Error::file(path, format!("no images in it, but it holds {name}{more}: {what}"));
    }
    let skipped = skipped.line().map_or(String::new(), |line| format!("; {line}"));
    Error::file(path, format!("no images in it (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM, or IDX){skipped}"))
}

/// The error about a zip whose directory cannot be read.
pub(super) fn zip_error(file: &FileSlice, e: &ZipError) -> Error {
    let (name, tail) = (file.name.to_string_lossy(), file.tail(66_000).unwrap_or_default());
    if is_part(&name.to_lowercase()) {
        return file.error(describe(b"PK", &name).expect("the name shows a part"));
    }
    // The end of the directory, with the number of this disk: 0 in a zip of one piece.
    let end = tail.windows(6).rev().find(|window| window.starts_with(b"PK\x05\x06"));
    if end.is_some_and(|end| end[4..] != [0, 0] && end[4..] != [0xFF, 0xFF]) {
        let name = base_name(&name);
        return file.error(format!(
            "the last part of a split zip: join the parts (zip -s 0 {name} --out all.zip) and name that"
        ));
    }
    match e {
        ZipError::Io(e) => file.error(format!("a broken or incomplete zip ({e}): fetch it again")),
        other => file.error(format!("a broken or incomplete zip ({other}): fetch it again")),
    }
}

#[cfg(test)]
mod tests;
