//! Files without weights that can be read: what they are, by their first bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How many bytes are examined.
const EXAMINED: u64 = 64 << 10;
/// The last bytes of a TensorFlow index: the magic number of its tables.
const TABLE: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();

const TENSORFLOW: &str = "of TensorFlow; PyTorch's weights are read";
const ARCHIVE: &str = "an archive: unpack it first";
const IMAGE: &str = "an image, not a generator";

/// First bytes, and what such a file is.
const MAGIC: [(&[u8], &str); 11] = [
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file that it stands for: `git lfs pull` fetches that",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow save weights; PyTorch's are read"),
    (b"\n\x0b\n\x07", TENSORFLOW),
    (b"\x93NUMPY", "a numpy array, not a generator's weights"),
    (b"\x1f\x8b", "packed by gzip: unpack it first (gunzip)"),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"\x89PNG", IMAGE),
    (b"\xff\xd8\xff", IMAGE),
    (b"GIF8", IMAGE),
    (b"GGUF", "a GGUF model; PyTorch's weights are read"),
];

/// What the file is and what to do about it. `None` for an unknown format.
pub fn describe(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let (mut start, mut end) = (Vec::new(), [0; 8]);
    (&mut file).take(EXAMINED).read_to_end(&mut start).ok()?;
    if file.seek(SeekFrom::End(-8)).is_ok() {
        file.read_exact(&mut end).ok()?;
    }
    format_of(&start, end).map(String::from)
}

fn format_of(start: &[u8], end: [u8; 8]) -> Option<&'static str> {
    let has = |what: &[u8]| start.windows(what.len()).any(|window| window == what);
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let text = text[..text.len().min(64)].to_ascii_lowercase();
    if [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|tag| text.starts_with(tag)) {
        return Some("a web page, not the file that was to be downloaded: fetch it again");
    }
    Some(match start {
        _ if end == TABLE => TENSORFLOW,
        _ if is_onnx(start) => {
            "an ONNX model; PyTorch's weights are read: torch.save(netG.state_dict(), \"G.pth\")"
        }
        [0x80, 1..=5, ..]
            if has(b"dnnlib") || has(b"torch_utils.persistence") || has(b"torch_utils\npers") =>
        {
            "a pickle of StyleGAN, which holds the network as Python code; DCGANs and MLPs are read"
        }
        [0x80, 1..=5, ..] => {
            "a pickle that torch.save did not write; in Python: \
             torch.save(pickle.load(open(F, \"rb\")), \"G.pth\")"
        }
        _ if start.get(257..262) == Some(b"ustar") => "a tar: unpack it first (tar xf)",
        _ => return None,
    })
}

/// Whether a file begins as a protocol buffer of ONNX: a small version, then the producer's name or the
/// graph.
fn is_onnx(start: &[u8]) -> bool {
    match *start {
        [0x08, 1..=32, 0x12, length, ref rest @ ..] => {
            let name = rest.get(..length.into());
            name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
        }
        [0x08, 1..=32, 0x3a, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let cases: [(&[u8], &str); 12] = [
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
            (b"\n <!DOCTYPE html><html>", "web page"),
            (b"\xef\xbb\xbf<HTML>", "web page"),
            (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
            (b"\x08\x08\x12\x07pytorch\x1a\x05", "ONNX"),
            (b"\x08\x03:\x80", "ONNX"),
            (b"\x80\x03cdnnlib.tflib.network\nNetwork\n", "StyleGAN"),
            (b"\x80\x04\x95\x00", "torch.save did not write"),
            (b"\x93NUMPY\x01", "numpy"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\x89PNG\r\n", "image"),
            (b"plain text", ""),
        ];
        for (bytes, wanted) in cases {
            let found = format_of(bytes, [0; 8]).unwrap_or_default();
            assert!(found.contains(wanted) && found.is_empty() == wanted.is_empty(), "{found}, not {wanted}");
        }
        assert!(format_of(b"\0\0\0", TABLE).unwrap().contains("TensorFlow"));
    }
}
