use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::super::exif::tests::block;
use crate::data::image::{SixteenBit, decode, decode_noting};
use crate::io::hash::hex;

/// Small JPEGs of all kinds and what Pillow reads of each: see `make.py` beside them.
fn table() -> Vec<(String, String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    let mut all = Vec::new();
    let packed = std::fs::File::open(folder.join("table.gz")).unwrap();
    GzDecoder::new(packed).read_to_end(&mut all).unwrap();
    let list = std::fs::read_to_string(folder.join("table.txt")).unwrap();
    let mut rest = all.as_slice();
    let file = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let (file, after) = rest.split_at(fields[0].parse().unwrap());
        rest = after;
        (fields[2].to_string(), fields[1].to_string(), file.to_vec())
    };
    let files: Vec<_> = list.lines().map(file).collect();
    assert!(rest.is_empty());
    files
}

/// Files that Pillow reads and fills up: their data are not all there.
fn is_damaged(name: &str) -> bool {
    name.starts_with("damaged/") || name.starts_with("around/header-and-end/")
}

#[test]
fn every_kind_of_jpeg_is_read_as_pillow_reads_it() {
    let (mut equal, mut refused, mut wrong) = (0, 0, Vec::new());
    for (name, expected, file) in table() {
        match decode(&file) {
            Ok(image) if hex(&Sha256::digest(&image.rgb))[..32] == expected => equal += 1,
            Err(why) if expected == "refused" || is_damaged(&name) => {
                assert!(!why.contains('\n'), "{name}: {why}");
                refused += 1;
            }
            Ok(_) => wrong.push(format!("{name}: other pixels than Pillow's ({expected})")),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), equal + refused, &wrong[..wrong.len().min(40)]);
    assert!(equal > 4_600 && refused > 40, "{equal} equal, {refused} refused");
}

#[test]
fn what_is_not_whole_is_refused() {
    let whole: Vec<_> = table().into_iter().filter(|(name, ..)| name.ends_with("/33x31")).collect();
    let one = |kind: &str| &whole.iter().find(|(name, ..)| name.starts_with(kind)).unwrap().2;
    for kind in
        ["sequential/2x2/", "progressive/2x2/", "restart/2x2/", "scan-each/1x1/", "sequential/1x1-2x2-2x2/"]
    {
        let file = one(kind);
        assert!(decode(file).is_ok(), "{kind}");
        // Without its end; with one that comes too early: the last bits may be another's padding.
        for keep in 2..file.len() - 2 {
            assert!(decode(&file[..keep]).is_err(), "{kind} cut to {keep} bytes");
            // A progressive image without its last scans is an image still.
            if keep < file.len() - 6 && !kind.starts_with("progressive") {
                assert!(
                    decode(&[&file[..keep], &[0xFF, 0xD9]].concat()).is_err(),
                    "{kind} ends after {keep} bytes"
                );
            }
        }
    }
    // A header of 65,500 × 65,500 pixels, and one of as many as are allowed, with the data of a few.
    for (side, what) in [(65_500u16, "larger than"), (13_000, "data are missing")] {
        let mut file = one("sequential/2x2/").clone();
        let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        file[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
        file[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
        let why = decode(&file).unwrap_err();
        assert!(why.contains(what), "{why}");
    }
}

#[test]
fn an_orientation_is_found() {
    let whole = table().into_iter().find(|(name, ..)| name == "sequential/2x2/33x31").unwrap().2;
    let rotated = |file: &[u8]| decode_noting(file, SixteenBit::HighByte).unwrap().1.rotated;
    let exif = |turn: u16| {
        let block = block(true, turn);
        [&[0xFF, 0xFF, 0xE1, 0, block.len() as u8 + 2], &block[..]].concat()
    };
    let file = |segments: &[Vec<u8>]| [&whole[..2], &segments.concat(), &whole[2..]].concat();
    assert!(!rotated(&whole) && !rotated(&file(&[exif(1)])) && rotated(&file(&[exif(6)])));
    assert!(!rotated(&file(&[exif(1), exif(6)])), "the first one counts");
}
