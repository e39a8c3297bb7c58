//! Encoded bytes to RGB: exactly the pixels of Pillow's `Image.open(file).convert("RGB")`, or one line that
//! says why not.

mod bmp;
mod bytes;
mod exif;
mod gif;
mod jpeg;
mod limits;
mod png;
mod pnm;
mod samples;
mod sniff;
#[cfg(test)]
mod table;
mod tiff;
mod webp;

use self::samples::Decoded;
pub use self::samples::SixteenBit;
pub use self::sniff::{Format, sniff};
use super::notes::Notes;
use super::rgb::Image;
use crate::data::guard;

/// Decodes a JPEG, PNG, BMP, WebP, TIFF, GIF or PNM, recognized by its content, to RGB as Pillow does. Gray
/// is replicated, alpha is dropped, 16 bits give their high byte, palettes and CMYK are converted, of an
/// animation it is the first image. The orientation of a TIFF is applied, that of EXIF is not, as in Pillow
/// and torchvision.
///
/// # Errors
/// One line that says what is wrong: not an image, broken, cut short, not supported, or larger than 65,535
/// pixels in width or height or 512 MiB.
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

/// [`decode_as`], with notes about the image.
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

/// Turns a decoder's panic into an error.
fn guarded(decoder: impl FnOnce() -> Result<Decoded, String>) -> Result<Decoded, String> {
    guard::guarded(decoder).unwrap_or_else(|| Err("broken: its decoder failed".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoders_panic_is_a_broken_image() {
        assert_eq!(guarded(|| panic!("index out of bounds")).err().unwrap(), "broken: its decoder failed");
        assert!(guarded(|| Err("cut short".into())).is_err_and(|why| why == "cut short"));
    }
}
