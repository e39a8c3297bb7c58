//! What a file is that holds no weights which are read: its first bytes tell.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes that are looked at.
const LOOK: u64 = 64 << 10;
/// How a TensorFlow index ends: the magic number of its tables.
const TABLE: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();

/// What the file is and what to do, or `None` where it is nothing that is known.
pub fn describe(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut start = Vec::new();
    (&mut file).take(LOOK).read_to_end(&mut start).ok()?;
    let mut end = [0; 8];
    if file.seek(SeekFrom::End(-8)).is_ok() {
        file.read_exact(&mut end).ok()?;
    }
    what(&start, end).map(String::from)
}

fn what(start: &[u8], end: [u8; 8]) -> Option<&'static str> {
    let begins = |with: &[u8]| start.starts_with(with);
    let has = |what: &[u8]| start.windows(what.len()).any(|window| window == what);
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let lower = text[..text.len().min(64)].to_ascii_lowercase();
    let tar = start.get(257..262) == Some(b"ustar");
    Some(match () {
        () if begins(b"version https://git-lfs") => {
            "a pointer of Git LFS, not the file that it stands for: `git lfs pull` fetches that"
        }
        () if lower.starts_with(b"<!doctype")
            || lower.starts_with(b"<html")
            || lower.starts_with(b"<?xml") =>
        {
            "a web page, not the file that was to be downloaded: fetch it again"
        }
        () if begins(b"\x89HDF\r\n\x1a\n") => {
            "an HDF5 file, as Keras and TensorFlow save weights; PyTorch's are read"
        }
        () if end == TABLE || begins(b"\n\x0b\n\x07") => "of TensorFlow; PyTorch's weights are read",
        () if is_onnx(start) => {
            "an ONNX model; PyTorch's weights are read: torch.save(netG.state_dict(), \"G.pth\")"
        }
        () if begins(b"\x80") && start.get(1).is_some_and(|&version| (1..=5).contains(&version)) => {
            match has(b"dnnlib") || has(b"torch_utils.persistence") || has(b"torch_utils\npersistence") {
                true => {
                    "a pickle of StyleGAN, which holds the network as Python code; DCGANs and MLPs are read"
                }
                false => {
                    "a pickle that torch.save did not write; in Python: torch.save(pickle.load(open(F, \"rb\")), \"G.pth\")"
                }
            }
        }
        () if begins(b"\x93NUMPY") => "a numpy array, not a generator's weights",
        () if begins(b"\x1f\x8b") => "packed by gzip: unpack it first (gunzip)",
        () if begins(b"7z\xbc\xaf\x27\x1c") || begins(b"Rar!") => "an archive: unpack it first",
        () if tar => "a tar: unpack it first (tar xf)",
        () if begins(b"\x89PNG") || begins(b"\xff\xd8\xff") || begins(b"GIF8") => "an image, not a generator",
        () if begins(b"GGUF") => "a GGUF model; PyTorch's weights are read",
        () => return None,
    })
}

/// ONNX is a protocol buffer whose first field is a small version, followed by the producer's name or the
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
            let found = what(bytes, [0; 8]).unwrap_or_default();
            assert!(found.contains(wanted) && found.is_empty() == wanted.is_empty(), "{found}, not {wanted}");
        }
        assert!(what(b"\0\0\0", TABLE).unwrap().contains("TensorFlow"));
    }
}
