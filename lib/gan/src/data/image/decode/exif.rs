//! The orientation that a camera wrote down.

use super::tiff::{Directory, Tag};

/// Whether a block of EXIF (a TIFF without pixels, after "Exif" and two zeros or not) has an orientation
/// other than upright.
pub(super) fn is_rotated(block: &[u8]) -> bool {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let mut directory = Directory::of(block);
    // Of a block that is cut short, what is there counts.
    let _ = directory.read();
    let is_block = block.starts_with(b"II") || block.starts_with(b"MM");
    is_block && directory.one(Tag::Orientation).is_some_and(|turn| (2..=8).contains(&turn))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn block(big: bool, turn: u16) -> Vec<u8> {
        let (s, l) = match big {
            true => (u16::to_be_bytes as fn(u16) -> [u8; 2], u32::to_be_bytes as fn(u32) -> [u8; 4]),
            false => (u16::to_le_bytes as fn(u16) -> [u8; 2], u32::to_le_bytes as fn(u32) -> [u8; 4]),
        };
        let mut bytes = b"Exif\0\0".to_vec();
        bytes.extend(if big { b"MM" } else { b"II" });
        bytes.extend(s(42).into_iter().chain(l(8)).chain(s(2)));
        bytes.extend(s(0x10f).into_iter().chain(s(2)).chain(l(4)).chain(*b"abc\0"));
        bytes.extend(s(0x112).into_iter().chain(s(3)).chain(l(1)).chain(s(turn)).chain(s(0)).chain(l(0)));
        bytes
    }

    #[test]
    fn turns_are_found_in_both_byte_orders() {
        for big in [false, true] {
            assert!(is_rotated(&block(big, 6)) && is_rotated(&block(big, 3)[6..]));
            assert!(
                !is_rotated(&block(big, 1)) && !is_rotated(&block(big, 0)) && !is_rotated(&block(big, 9))
            );
            let whole = block(big, 8);
            (0..whole.len()).for_each(|end| {
                let _ = is_rotated(&whole[..end]);
            });
        }
    }
}
