//! Encoded bytes to RGB: the pixels of Pillow's `Image.open(file).convert("RGB")` to the byte, or one line
//! that says why not.

mod bmp;
mod exif;
mod gif;
mod jpeg;
mod png;
mod pnm;
mod samples;
mod sniff;
#[cfg(test)]
mod table;
mod tiff;
mod webp;

use self::samples::{Decoded, Samples};
pub use self::sniff::{Format, sniff};
use super::{Image, Notes};
use crate::data::guard;

/// The longest side that is read, in pixels: the most that JPEG can express.
const MAX_SIDE: usize = 65_535;
/// The most memory that one decoded image may take, in bytes.
const MAX_ALLOC: usize = 512 << 20;

/// What becomes of an image whose only channel is 16 bits deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SixteenBit {
    /// The high byte: the image as it looks.
    HighByte,
    /// Everything above 255 becomes 255, as Pillow's `convert("RGB")` has it: for numbers that must agree
    /// with tools built on Pillow.
    ClipAsPillow,
    /// The values use so many bits, 9 to 16: the highest eight of these. Larger values become 255.
    Bits(u8),
}

/// Decodes a JPEG, PNG, BMP, WebP, TIFF, GIF or PNM, told by its content, to RGB as Pillow does. Gray is
/// replicated, alpha is dropped, 16 bits give their high byte, palettes and CMYK are converted, of an
/// animation it is the first image. The orientation of a TIFF is applied, that of EXIF is not, as in Pillow
/// and torchvision.
///
/// # Errors
/// One line that says what is wrong: not an image, broken, cut short, of a kind that is not read, or larger
/// than 65,535 pixels a side or 512 MiB.
pub fn decode(bytes: &[u8]) -> Result<Image, String> {
    decode_as(bytes, SixteenBit::HighByte)
}

/// [`decode`], with a choice for 16-bit gray.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_as(bytes: &[u8], sixteen: SixteenBit) -> Result<Image, String> {
    decode_noting(bytes, sixteen).map(|(image, _)| image)
}

/// [`decode_as`], with what else there is to say of the image.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_noting(bytes: &[u8], sixteen: SixteenBit) -> Result<(Image, Notes), String> {
    let image = guarded(|| decode_kind(bytes))?;
    let (width, height) = (image.width, image.height);
    let notes = image.notes();
    Ok((Image { width, height, rgb: image.into_rgb(sixteen) }, notes))
}

fn decode_kind(bytes: &[u8]) -> Result<Decoded, String> {
    if bytes.is_empty() {
        return Err("empty".to_string());
    }
    match sniff(bytes) {
        None => Err("not an image (JPEG, PNG, BMP, WebP, TIFF, GIF or PNM)".to_string()),
        Some(Format::Jpeg) => jpeg::decode(bytes),
        Some(Format::Png) => png::decode(bytes),
        Some(Format::Gif) => gif::decode(bytes),
        Some(Format::Bmp) => bmp::decode(bytes),
        Some(Format::WebP) => webp::decode(bytes),
        Some(Format::Tiff | Format::BigTiff) => tiff::decode(bytes),
        Some(Format::Pnm) => pnm::decode(bytes),
        Some(other) => Err(format!("{} is not read: convert it to PNG{}", other.name(), other.converter())),
    }
}

/// A decoder's panic as an error: one image is broken, not the tool.
fn guarded(decoder: impl FnOnce() -> Result<Decoded, String>) -> Result<Decoded, String> {
    guard::guarded(decoder).unwrap_or_else(|| Err("broken: its decoder failed".to_string()))
}

/// The number of pixels of an image of these sides, where its samples, `bits` a pixel, and its RGB have room.
fn pixels(width: usize, height: usize, bits: usize) -> Result<usize, String> {
    if width == 0 || height == 0 {
        return Err(format!("{width}×{height} pixels"));
    }
    let most = width.checked_mul(height).and_then(|n| n.checked_mul(bits.max(24))).map(|bits| bits / 8);
    match most {
        Some(bytes) if bytes <= MAX_ALLOC && width.max(height) <= MAX_SIDE => Ok(width * height),
        _ => Err(too_large()),
    }
}

fn too_large() -> String {
    format!("larger than {MAX_SIDE} pixels a side or {} MiB", MAX_ALLOC >> 20)
}

fn cut_short() -> String {
    "cut short".to_string()
}

/// A decoder's complaint as one line.
fn line(complaint: impl std::fmt::Display) -> String {
    complaint.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoders_panic_is_a_broken_image() {
        assert_eq!(guarded(|| panic!("index out of bounds")).err().unwrap(), "broken: its decoder failed");
        assert!(guarded(|| Err("cut short".into())).is_err_and(|why| why == "cut short"));
    }

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
