//! The orientation that a camera wrote down.

/// Whether a block of EXIF (a TIFF without pixels, after "Exif" and two zeros or not) has an orientation
/// other than upright.
pub(super) fn is_rotated(block: &[u8]) -> bool {
    orientation(block.strip_prefix(b"Exif\0\0").unwrap_or(block)).is_some_and(|turn| (2..=8).contains(&turn))
}

fn orientation(tiff: &[u8]) -> Option<u16> {
    let big = match tiff.get(..2)? {
        b"II" => false,
        b"MM" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let pair = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |at: usize| {
        let four = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let first = long(4)? as usize;
    let entries = usize::from(short(first)?);
    // 3 is the type of a 16-bit number.
    let entry = (0..entries)
        .map(|i| first + 2 + 12 * i)
        .find(|&at| short(at) == Some(0x112) && short(at + 2) == Some(3))?;
    short(entry + 8)
}

/// The same for a JPEG: of its APP1 segment before the first scan.
pub(super) fn jpeg_is_rotated(jpeg: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = jpeg.get(at..at + 4) {
        if marker == 0xFF {
            at += 1; // a fill byte
            continue;
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        match marker {
            0xDA => return false,
            0xE1 if jpeg.get(at + 4..at + 10) == Some(b"Exif\0\0") => {
                return jpeg.get(at + 4..end).is_some_and(is_rotated);
            }
            _ => at = end,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(big: bool, turn: u16) -> Vec<u8> {
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
        let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xE1, 0, 0];
        let exif = block(true, 6);
        jpeg[11] = exif.len() as u8 + 2;
        jpeg.extend(exif);
        assert!(jpeg_is_rotated(&jpeg));
        (0..jpeg.len()).for_each(|end| {
            let _ = jpeg_is_rotated(&jpeg[..end]);
        });
    }
}
