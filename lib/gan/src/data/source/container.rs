//! What a file is that holds no images that are read, by its first bytes, and what to do about it: one line
//! each.

use std::path::Path;

use ::zip::result::ZipError;

use super::span::Span;
use super::unpack::Packing;
use super::{PassedOver, npy, parquet, tar};
use crate::data::image::sniff;
use crate::{Error, Result};

/// How many first bytes are looked at.
pub(super) const HEAD: u64 = 1 << 14;

/// What begins with `bytes` at `at`.
struct Known {
    at: usize,
    bytes: &'static [u8],
    /// What it is, and what to do.
    says: &'static str,
}

const fn known(at: usize, bytes: &'static [u8], says: &'static str) -> Known {
    Known { at, bytes, says }
}

const VIDEO: &str = "a video: ffmpeg -i FILE frames/%06d.png makes images of it";
const SOUND: &str = "sound, not images";
const PROGRAM: &str = "a program, not images";

/// Kinds told by bytes at fixed places, the first that fits.
const KNOWN: &[Known] = &[
    known(
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself: run git lfs pull where it was cloned",
    ),
    known(0, b"7z\xBC\xAF\x27\x1C", "a 7z archive: unpack it (7z x FILE) and name the folder"),
    known(0, b"Rar!\x1A\x07", "a RAR archive: unpack it (unrar x FILE) and name the folder"),
    known(
        0,
        b"PK\x07\x08",
        "the first part of a split zip: join the parts (zip -s 0 FILE.zip --out whole.zip) and name that",
    ),
    known(0, b"MSCF", "a Windows cabinet: unpack it (cabextract FILE) and name the folder"),
    known(0, b"070701", "a cpio archive: unpack it (cpio -id < FILE) and name the folder"),
    known(0, b"!<arch>", "an ar archive or a Debian package: unpack it (ar x FILE) and name the folder"),
    known(0, b"hsqs", "a squashfs image: unpack it (unsquashfs FILE) and name the folder"),
    known(0, b"\x1F\x9D", "packed by compress: unpack it first (uncompress FILE)"),
    known(0, b"\x1F\xA0", "packed by compress: unpack it first (uncompress FILE)"),
    known(0, b"\x04\x22\x4D\x18", "packed by LZ4: unpack it first (unlz4 FILE)"),
    known(0, b"LZIP", "packed by lzip: unpack it first (lzip -d FILE)"),
    known(0, b"\x5D\0\0", "packed by LZMA: unpack it first (unlzma FILE)"),
    known(
        16,
        b"\xDE\xC0\xEF\xBE",
        "an LMDB database (LSUN's are): export its images into a folder (LSUN: python data.py export) and \
         name that",
    ),
    known(0, b"SQLite format 3\0", "an SQLite database: export its images into a folder and name that"),
    known(
        0,
        b"\x89HDF\r\n\x1A\n",
        "an HDF5 file: save its images as an array, np.save('images.npy', h5py.File(FILE)[KEY][:]), and \
         name that",
    ),
    known(
        0,
        b"MATLAB 7.3 MAT-file",
        "a MATLAB file (HDF5): save its images as an array, np.save('images.npy', h5py.File(FILE)[KEY][:]), \
         and name that",
    ),
    known(
        0,
        b"MATLAB 5.0 MAT-file",
        "a MATLAB file (SVHN's are): np.save('images.npy', scipy.io.loadmat(FILE)['X'].transpose(3, 0, 1, \
         2)), and name that",
    ),
    known(
        0,
        b"ARROW1",
        "an Arrow file: datasets.Dataset.from_file(FILE).to_parquet('images.parquet'), and name that",
    ),
    known(
        0,
        b"\xFF\xFF\xFF\xFF",
        "an Arrow stream (Hugging Face's cache): \
         datasets.Dataset.from_file(FILE).to_parquet('images.parquet'), and name that",
    ),
    known(0, b"PAR1", "a broken or encrypted parquet: fetch it again"),
    known(0, b"PARE", "an encrypted parquet: write it again without a key"),
    known(0, b"ORC", "an ORC table: save its images into a folder and name that"),
    known(0, b"Obj\x01", "an Avro file: save its images into a folder and name that"),
    known(0, b"\x1A\x45\xDF\xA3", VIDEO),
    known(0, b"FLV\x01", VIDEO),
    known(0, b"\0\0\x01\xBA", VIDEO),
    known(0, b"\0\0\x01\xB3", VIDEO),
    known(8, b"AVI LIST", VIDEO),
    known(8, b"WAVE", SOUND),
    known(0, b"ID3", SOUND),
    known(0, b"OggS", SOUND),
    known(0, b"fLaC", SOUND),
    known(4, b"ftyp", VIDEO),
    known(4, b"moov", VIDEO),
    known(4, b"mdat", VIDEO),
    known(344, b"n+1\0", "a NIfTI volume: save its slices as PNG, or as an array with np.save"),
    known(0, b"\x7FELF", PROGRAM),
    known(0, b"MZ", PROGRAM),
    known(0, b"GGUF", "a language model, not images"),
    known(0, b"d8:announce", "a torrent, not the download: fetch what it names"),
    known(0, b"Cr24", PROGRAM),
];

/// Kinds told by the end of their names alone.
const NAMED: &[(&str, &str)] = &[
    (".crdownload", "a download that is not finished"),
    (".part", "a download that is not finished"),
    (".download", "a download that is not finished"),
    (".aria2", "a download that is not finished"),
    (".onnx", "an ONNX network, not images"),
    (".tflite", "a TensorFlow network, not images"),
    (".pb", "a TensorFlow network, not images"),
    (".h5", "not what its name says (HDF5): fetch it again"),
    (".mdb", "an LMDB database's lock or a part of it: export its images into a folder and name that"),
];

/// What a file of these first bytes is and what to do; `None` of what is not known.
pub(super) fn describe(head: &[u8], name: &str) -> Option<String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let lower = file.to_lowercase();
    if head.is_empty() {
        return Some("empty: fetch it again".into());
    }
    if is_part(&lower) {
        // A dot and three digits, whatever is lower case before them.
        let whole = &file[..file.len() - 4];
        return Some(match lower.contains(".7z.") {
            true => format!(
                "a part of a 7z archive: have all its parts in one folder, 7z x {whole}.001, and name what \
                 comes of it"
            ),
            false => format!(
                "a part of {whole}: have all its parts in one folder, cat {whole}.* > {whole}, and name that"
            ),
        });
    }
    if let Some(format) = sniff(head).filter(|format| !format.is_read()) {
        return Some(format!("{} is not read: convert it to PNG{}", format.name(), format.converter()));
    }
    let fits = |one: &&Known| head.get(one.at..).is_some_and(|rest| rest.starts_with(one.bytes));
    if let Some(one) = KNOWN.iter().find(fits) {
        return Some(one.says.replace("FILE", file));
    }
    let text = text(head);
    let by_name = NAMED.iter().find(|(end, _)| lower.ends_with(end)).map(|(_, says)| says.to_string());
    readable(head, file)
        .or_else(|| binary(head, file, &lower))
        .or_else(|| text.as_deref().and_then(page))
        .or(by_name)
        .or_else(|| text.as_deref().map(|text| table(text, file)))
}

/// Whether this is the name of a part of an archive, `img_celeba.7z.001`.
fn is_part(name: &str) -> bool {
    let Some((whole, number)) = name.rsplit_once('.') else { return false };
    let numbered = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    let archive = [".7z", ".zip", ".tar", ".gz", ".tgz", ".rar", ".xz", ".zst"];
    numbered && archive.iter().any(|end| whole.ends_with(end))
}

/// What would be read if it were named by itself.
fn readable(head: &[u8], file: &str) -> Option<String> {
    let what = match head {
        _ if tar::is_tar(head) => "a tar",
        [b'P', b'K', 3 | 5, 4 | 6, ..] if file.to_lowercase().ends_with(".npz") => "an .npz",
        [b'P', b'K', 3 | 5, 4 | 6, ..] => "a zip",
        _ if head.starts_with(npy::MAGIC) => "an array",
        _ if head.starts_with(parquet::MAGIC) => "a parquet",
        _ => return None,
    };
    Some(format!("{what}: name it by itself"))
}

/// Binary files whose first bytes need a second look.
fn binary(head: &[u8], file: &str, lower: &str) -> Option<String> {
    let holds = |what: &[u8]| head.windows(what.len()).any(|window| window == what);
    if head.len() > 9 && head[8] == b'{' && u64::from_le_bytes(super::span::first(head)) < 100 << 20 {
        return Some(match () {
            _ if holds(b"\"gantools\"") && holds(b"\"images\"") => "a shard already: give it to train".into(),
            _ if holds(b"\"adam_") => "a state of train's: train --resume reads it".into(),
            _ if holds(b"\"gantools\"") => "weights of train's: give a generator to sample".into(),
            _ => {
                "safetensors of another program: weights, or tensors to save as an array with np.save".into()
            }
        });
    }
    if let [0x80, 2..=5, ..] = head {
        return Some(match () {
            _ if holds(b"persistence") || holds(b"dnnlib") => {
                "a pickled network of NVIDIA's (StyleGAN, EDM), not images: make images of it with its own \
                 program"
                    .into()
            }
            // How torch.save began before it wrote zips.
            _ if holds(b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") => torch(file),
            _ => format!(
                "a Python pickle, which is not run: np.save its images as an array of uint8 (of \
            {file})"
            ),
        });
    }
    if let Some(packing) = Packing::of(head) {
        let (name, command) = packing.words();
        return Some(format!("a file packed by {name}: unpack it first ({command} {file})"));
    }
    // A record's length (8 bytes, the upper ones 0), its checksum, and a message whose first field is a
    // message.
    if lower.contains("tfrecord") || matches!(head, [_, _, _, 0, 0, 0, 0, 0, _, _, _, _, 0x0A, ..]) {
        return Some(
            "TFRecords (TensorFlow's): save their images into a folder, or as an array with np.save, and \
             name that"
                .into(),
        );
    }
    head.iter()
        .all(|&byte| byte == 0)
        .then(|| "nothing but zeros: a download that was never filled: fetch it again".into())
}

fn torch(file: &str) -> String {
    format!(
        "torch.save's file: of a network, or of tensors (MNIST's training.pt: name its raw/ folder, or \
         np.save('images.npy', torch.load('{file}')[0].numpy()))"
    )
}

/// A file's beginning as text, if it is that.
fn text(head: &[u8]) -> Option<String> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // Cut within a character.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
        Err(_) => return None,
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0C');
    (!valid.is_empty() && !valid.contains(control)).then(|| valid.to_string())
}

/// What servers say instead of a file.
fn page(text: &str) -> Option<String> {
    let lower = text.trim_start().to_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    if begins(&["<!doctype html", "<html", "<head", "<body", "<!--"]) || lower.contains("<html") {
        return Some(match lower.contains("google") && lower.contains("drive") {
            true => "a web page, Google Drive's warning or refusal, not the download: fetch it with a \
            browser, or with gdown"
                .into(),
            false => "a web page, not the download: open its address in a browser to see what the server \
            says"
                .into(),
        });
    }
    if begins(&["<?xml", "<error"]) {
        return Some(match lower.contains("<error") || lower.contains("<code>") {
            true => "a server's error (XML), not the download: look at it, and fetch the file again".into(),
            false => "XML, not images".into(),
        });
    }
    if begins(&["{", "["]) {
        let error =
            ["\"error\"", "\"message\"", "\"detail\"", "\"errors\""].iter().any(|word| lower.contains(word));
        return Some(match error && begins(&["{"]) {
            true => {
                "a server's message (JSON), not the download: look at it, and fetch the file again".into()
            }
            false => "JSON, not images".into(),
        });
    }
    begins(&["error", "404", "403", "access denied", "not found", "<h1>"])
        .then(|| "a server's error, not the download: look at it, and fetch the file again".into())
}

/// A table, or any other text.
fn table(text: &str, file: &str) -> String {
    // The second line: the first may be names, and the last may be cut.
    let line = text.lines().nth(1).or(text.lines().next()).unwrap_or("");
    let values: Vec<&str> = line.split([',', ';', '\t']).collect();
    let numbers = values.iter().filter(|value| value.trim().parse::<f64>().is_ok()).count();
    if values.len() < 2 {
        return "a text file, not a folder, a zip, an IDX file or an image".into();
    }
    let side = (values.len() - 1).isqrt();
    // The second line may be cut.
    let cut = text.lines().count() < 3 && text.len() + 8 > HEAD as usize;
    let shape = match side * side + 1 == values.len() && side >= 8 && !cut {
        true => Some(format!("-1, {side}, {side}")),
        false => (cut && values.len() > 200).then(|| "-1, H, W".to_string()),
    };
    match shape {
        // A label and the pixels.
        Some(shape) if numbers == values.len() || cut && numbers + 1 == values.len() => {
            let skip = usize::from(text.starts_with(char::is_alphabetic));
            format!(
                "images as a table (MNIST as CSV): a = np.loadtxt('{file}', delimiter=',', skiprows={skip}, \
                 dtype='uint8'); np.save('images.npy', a[:, 1:].reshape({shape})), and name images.npy"
            )
        }
        _ if file.to_lowercase().ends_with(".csv") || file.to_lowercase().ends_with(".tsv") => {
            "a table, not images: name the folder with the images that it lists".into()
        }
        _ => "a text file, not a folder, a zip, an IDX file or an image".into(),
    }
}

/// The line about a file that is none of what is read.
pub(super) fn not_read(span: &Span) -> Error {
    let unknown = || "not a folder, a zip, a tar, an array, an IDX file or an image".to_string();
    match span.head(HEAD) {
        Ok(head) => {
            let name = span.name.to_string_lossy().into_owned();
            let said = describe(&head, &name);
            // What a packed file holds says more than that it is packed.
            let inner =
                Packing::of(&head).map(|packing| packing.head(span, HEAD)).filter(|inner| !inner.is_empty());
            let inner = inner
                .and_then(|inner| describe(&inner, name.rsplit_once('.').map_or(&name, |(stem, _)| stem)));
            match (said, inner) {
                (Some(said), Some(inner)) => span.wrong(format!("{said}; what is in it is {inner}")),
                (said, _) => span.wrong(said.unwrap_or_else(unknown)),
            }
        }
        Err(e) => e,
    }
}

/// Whether a file is an archive or an array that is read when it is named.
pub(super) fn is_readable(span: &Span) -> bool {
    let Ok(head) = span.head(HEAD) else { return false };
    let packed = || Packing::of(&head).is_some_and(|packing| tar::is_tar(&packing.head(span, 512)));
    readable(&head, "").is_some() || packed()
}

/// The line about a folder or an archive without images: what it holds instead, by the first file that says
/// so.
pub(super) fn nothing_in(
    path: &Path,
    names: &[&str],
    archive: bool,
    passed: &PassedOver,
    head: impl Fn(usize) -> Result<Vec<u8>>,
) -> Error {
    const MOST: usize = 64;
    for (i, name) in names.iter().enumerate().take(MOST) {
        let Ok(head) = head(i) else { continue };
        let Some(mut said) = describe(&head, name) else { continue };
        // Images that are not read are counted as passed over.
        if sniff(&head).is_some() || PLAIN.iter().any(|plain| said.starts_with(plain)) {
            continue;
        }
        if archive && (readable(&head, name).is_some() || Packing::of(&head).is_some()) {
            said = "unpack the outer archive first, then name that".to_string();
        }
        return Error::file(path, format!("no images in it, but it holds {}: {said}", counted(names, i)));
    }
    let passed = passed.line().map_or(String::new(), |line| format!("; {line}"));
    Error::file(path, format!("no images in it (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM, or IDX){passed}"))
}

/// What lies beside images as a rule, so that it says nothing about where they are.
const PLAIN: &[&str] = &["a text file", "a table", "JSON", "XML, not", "empty", "a program"];

/// A name and how many more there are.
fn counted(names: &[&str], i: usize) -> String {
    match names.len() - 1 {
        0 => names[i].to_string(),
        more => format!("{} (and {more} more)", names[i]),
    }
}

/// The line about a zip whose directory cannot be read.
pub(super) fn zip_error(span: &Span, e: &ZipError) -> Error {
    let (name, tail) = (span.name.to_string_lossy(), span.tail(66_000).unwrap_or_default());
    if is_part(&name.to_lowercase()) {
        return span.wrong(describe(b"PK", &name).expect("a part is told by its name"));
    }
    // The end of the directory, with the number of this disk: 0 in a zip of one piece.
    let end = tail.windows(6).rposition(|window| window.starts_with(b"PK\x05\x06"));
    if end.is_some_and(|at| tail[at + 4..at + 6] != [0, 0] && tail[at + 4..at + 6] != [0xFF, 0xFF]) {
        let file = span.name.file_name().unwrap_or_default().to_string_lossy();
        return span.wrong(format!(
            "the last part of a split zip: join the parts (zip -s 0 {file} --out whole.zip) and name that"
        ));
    }
    match e {
        ZipError::Io(e) => span.wrong(format!("a broken or incomplete zip ({e}): fetch it again")),
        other => span.wrong(format!("a broken or incomplete zip ({other}): fetch it again")),
    }
}

#[cfg(test)]
mod tests;
