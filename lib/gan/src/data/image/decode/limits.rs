//! The limits of what is decoded, and errors that decoders share.

/// The largest width and height that is read, in pixels: the limit of JPEG.
const MAX_SIDE: usize = 65_535;
/// The most memory that one decoded image may take, in bytes.
pub(super) const MAX_ALLOC: usize = 512 << 20;

/// The number of pixels of an image, where its samples (`bits` per pixel) and its RGB fit the limits.
pub(super) fn pixels(width: usize, height: usize, bits: usize) -> Result<usize, String> {
    if width == 0 || height == 0 {
        return Err(format!("{width}×{height} pixels"));
    }
    let most = width.checked_mul(height).and_then(|n| n.checked_mul(bits.max(24))).map(|bits| bits / 8);
    match most {
        Some(bytes) if bytes <= MAX_ALLOC && width.max(height) <= MAX_SIDE => Ok(width * height),
        _ => Err(too_large()),
    }
}

pub(super) fn too_large() -> String {
    format!("larger than {MAX_SIDE} pixels a side or {} MiB", MAX_ALLOC >> 20)
}

pub(super) fn cut_short() -> String {
    "cut short".to_string()
}

/// A decoder's error as one line.
pub(super) fn line(complaint: impl std::fmt::Display) -> String {
    complaint.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_and_memory_are_bounded() {
        assert_eq!(pixels(3, 2, 8), Ok(6));
        assert_eq!(pixels(0, 2, 8), Err("0×2 pixels".into()));
        for (width, height, bits) in
            [(65_536, 1, 8), (20_000, 20_000, 8), (10_000, 10_000, 64), (usize::MAX, 9, 8)]
        {
            assert!(pixels(width, height, bits).is_err(), "{width}×{height}, {bits}");
        }
    }
}
