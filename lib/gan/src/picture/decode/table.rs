//! The table of kinds: thousands of small images, sound and damaged, and what Pillow makes of each (`tests/golden/picture/kinds`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{SixteenBit, decode_as};
use crate::source::hex;

fn kinds(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/picture/kinds", name].iter().collect()
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

#[test]
fn every_kind_is_pillows_or_refused() {
    let list = fs::read_to_string(kinds("kinds.txt")).unwrap();
    let expected: BTreeMap<&str, &str> = list.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let files = files();
    assert!(files.len() > 4000 && files.len() == expected.len(), "{} files", files.len());
    let mut faults = Vec::new();
    for (name, bytes) in &files {
        let ours = match decode_as(bytes, SixteenBit::ClipAsPillow) {
            Ok(picture) => {
                let digest = hex(&Sha256::digest(&picture.rgb));
                Ok(format!("{}x{} {}", picture.width, picture.height, &digest[..16]))
            }
            Err(why) => Err(why),
        };
        let pillows = expected[name.as_str()];
        match ours {
            Ok(ours) if ours != pillows => faults.push(format!("{name}: {ours}, Pillow {pillows}")),
            Err(why) if pillows != "refused" => {
                faults.push(format!("{name}: refused ({why}), Pillow {pillows}"))
            }
            _ => {}
        }
    }
    fs::write("/tmp/faults.txt", faults.join("\n")).unwrap();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), files.len(), faults.join("\n"));
}
