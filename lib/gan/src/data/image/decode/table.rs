//! The table of kinds: thousands of small images, sound and damaged, and what Pillow makes of each
//! (`tests/golden/image/kinds`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{SixteenBit, decode_as};
use crate::io::hash::hex;

fn kinds(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/image/kinds", name].iter().collect()
}

/// The files of kinds.tar.xz.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut tar = Vec::new();
    let packed = fs::File::open(kinds("kinds.tar.xz")).unwrap();
    lzma_rust2::XzReader::new(packed, false).read_to_end(&mut tar).unwrap();
    let text =
        |bytes: &[u8]| String::from_utf8(bytes.iter().copied().take_while(|&c| c != 0).collect()).unwrap();
    let (mut files, mut at) = (Vec::new(), 0);
    while tar[at] != 0 {
        let (name, size) = (text(&tar[at..at + 100]), text(&tar[at + 124..at + 136]));
        let size = usize::from_str_radix(size.trim(), 8).unwrap();
        files.push((name, tar[at + 512..][..size].to_vec()));
        at += 512 + size.next_multiple_of(512);
    }
    files
}

/// What Pillow reads and we do not: by what the names begin with, and what the reason begins with. Most of it
/// Pillow misreads.
const REFUSED: [(&str, &str); 23] = [
    // Pillow fills up with black.
    ("png-rows-missing-", "cut short"),
    ("png-palette-none", "broken: no palette in it"),
    ("png-palette-late", "broken: no palette in it"),
    // Pillow takes the checksum's place for the end.
    ("png-adler-apart-", "broken: Corrupt deflate stream. WrongChecksum"),
    ("png-animated-small-first", "broken: the first frame of an animation has another size"),
    ("png-animated-fdat-first", "broken: no image data in it"),
    // Pillow takes the bits of these for others.
    ("bmp-grey-1-4", "a BMP of 4 bits a pixel with a palette of 1 grays is not read"),
    ("bmp-grey-2-4", "a BMP of 4 bits a pixel with a palette of 2 grays is not read"),
    ("bmp-grey-1-8", "a BMP of 8 bits a pixel with a palette of 1 grays is not read"),
    ("bmp-grey-2-8", "a BMP of 8 bits a pixel with a palette of 2 grays is not read"),
    ("pnm-comment-in-number", "broken: a comment within a number"),
    ("tiff-lab-", "a TIFF in Lab is not read"),
    // Pillow swaps the bytes of these once too often.
    (
        "tiff-",
        "a TIFF with compressed big-endian numbers that are signed or of 32 bits, which Pillow misreads",
    ),
    ("tiff-", "a TIFF with compressed planes of this kind is not read"),
    ("tiff-", "a TIFF with uncompressed planes of this kind is not read"),
    // Pillow reads it as if every pixel had chroma of its own.
    ("tiff-shared-", "a TIFF with uncompressed, subsampled YCbCr is not read"),
    // At the edges, libtiff reads what is not there.
    ("tiff-shared-4x4-", "a TIFF with the YCbCr subsampling [4, 4] is not read"),
    ("tiff-odd-no-lengths-8", "broken: it does not say where its pixels are"),
    ("tiff-odd-larger-1", "broken: it does not say where its pixels are"),
    ("tiff-odd-planar-", "broken: the planar configuration"),
    // libtiff guesses at damaged data.
    ("tiff-fax-", "broken: its fax data, or cut short"),
    ("tiff-broken-black1-lzw-12", "broken: its LZW data"),
    ("tiffjpeg-", "a TIFF with JPEG-compressed CMYK, palettes or alpha is not read"),
];

/// What Pillow refuses though all of its pixels are there, and the file whose pixels they are.
fn twin(name: &str) -> Option<String> {
    if name == "pnm-p7.pnm" {
        return Some("pnm-crlf-grey.pnm".into());
    }
    // A BigTIFF that is big-endian.
    let big = name.starts_with("tiff-").then(|| name.strip_suffix("-True.tif")).flatten();
    match big.filter(|name| name.ends_with("-big") || name.ends_with("-big-raw")) {
        Some(name) => Some(format!("{name}-False.tif")),
        // The last byte is missing, which ends the data.
        None => name.starts_with("gif-cut-3-").then(|| name.replace("-3-", "-1-")),
    }
}

#[test]
fn every_kind_is_pillows_or_refused() {
    let list = fs::read_to_string(kinds("kinds.txt")).unwrap();
    let expected: BTreeMap<&str, &str> = list.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let files = files();
    assert!(files.len() > 6500 && files.len() == expected.len(), "{} files", files.len());
    let mut used = [0; REFUSED.len()];
    let (mut faults, mut read) = (Vec::new(), 0);
    for (name, bytes) in &files {
        let pillows = expected[name.as_str()];
        match decode_as(bytes, SixteenBit::ClipAsPillow) {
            Ok(image) => {
                read += 1;
                let digest = hex(&Sha256::digest(&image.rgb));
                let ours = format!("{}x{} {}", image.width, image.height, &digest[..16]);
                let twin = twin(name).and_then(|twin| expected.get(twin.as_str()));
                let same = if pillows == "refused" { twin == Some(&ours.as_str()) } else { ours == pillows };
                if !same {
                    faults.push(format!("{name}: {ours}, Pillow: {pillows}"));
                }
            }
            Err(why) if pillows == "refused" => {
                assert!(!why.is_empty() && !why.contains('\n'), "{name}: {why:?}")
            }
            Err(why) => {
                let known =
                    |&(start, reason): &(&str, &str)| name.starts_with(start) && why.starts_with(reason);
                match REFUSED.iter().position(known) {
                    Some(at) => used[at] += 1,
                    None => faults.push(format!("{name}: refused, {why}; Pillow: {pillows}")),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), files.len(), faults.join("\n"));
    assert!(used.iter().all(|&n| n > 0), "a reason that no file has: {used:?}");
    println!("{} files: {read} read, {} refused that Pillow reads", files.len(), used.iter().sum::<usize>());
    assert!(read > 4700);
}
