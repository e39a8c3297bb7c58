//! Encoded bytes to RGB, as Pillow's `convert("RGB")` gives it.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::Picture;

/// The longest side that is read, in pixels: the most that JPEG can express.
const MAX_SIDE: u32 = 65_535;
/// The most memory that one decoded picture may take, in bytes.
const MAX_ALLOC: u64 = 512 << 20;

/// What becomes of a picture whose only channel is 16 bits deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SixteenBit {
    /// The high byte: the picture as it looks.
    HighByte,
    /// Everything above 255 becomes 255, as Pillow's `convert("RGB")` has it: for numbers that must agree with tools
    /// built on Pillow.
    ClipAsPillow,
}

/// Decodes a JPEG, PNG, BMP, WebP, TIFF, GIF or PNM, told by its content, to RGB. Grey is replicated, alpha is dropped,
/// 16 bits give their high byte, palettes and CMYK are converted, of an animation it is the first picture, and EXIF
/// orientation is ignored (as torchvision's datasets do).
///
/// # Errors
/// One line that says what is wrong: not a picture, broken, cut short, or larger than 65,535 pixels a side or 512 MiB.
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    decode_as(bytes, SixteenBit::HighByte)
}

/// [`decode`], with a choice for 16-bit grey.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_as(bytes: &[u8], sixteen: SixteenBit) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("empty".to_string());
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    match reader.format() {
        None => return Err("not a picture (JPEG, PNG, BMP, WebP, TIFF, GIF or PNM)".to_string()),
        Some(ImageFormat::Jpeg) => return super::jpeg::decode(bytes, MAX_ALLOC),
        Some(_) => {}
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let image = reader.decode().map_err(|e| reason(&e))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err(format!("{width}×{height} pixels"));
    }
    // Grey has a third of the bytes that it becomes.
    if 3 * (width as u64) * (height as u64) > MAX_ALLOC {
        return Err(too_large());
    }
    Ok(Picture { width, height, rgb: to_rgb(image, sixteen) })
}

/// Whether an encoded picture is of one channel, 16 bits deep: what Pillow, and with [`SixteenBit::ClipAsPillow`] this, clips.
/// Reads its header alone.
pub fn is_sixteen_bit_grey(bytes: &[u8]) -> bool {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let decoder = reader.ok().and_then(|reader| reader.into_decoder().ok());
    decoder.is_some_and(|decoder| decoder.color_type() == ColorType::L16)
}

fn to_rgb(image: DynamicImage, sixteen: SixteenBit) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageRgba8(image) => image.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        DynamicImage::ImageLuma8(image) => image.iter().flat_map(|&v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageLuma16(image) => {
            let byte = |v: u16| match sixteen {
                SixteenBit::HighByte => high(v),
                SixteenBit::ClipAsPillow => v.min(255) as u8,
            };
            image.iter().flat_map(|&v| [byte(v); 3]).collect()
        }
        // Of the other 16-bit kinds Pillow, too, keeps the high byte.
        DynamicImage::ImageLumaA16(image) => image.chunks_exact(2).flat_map(|p| [high(p[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.chunks_exact(4).flat_map(|p| [high(p[0]), high(p[1]), high(p[2])]).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

pub(super) fn too_large() -> String {
    format!("larger than {MAX_SIDE} pixels a side or {} MiB", MAX_ALLOC >> 20)
}

/// The decoder's complaint as one line.
fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => too_large(),
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => "cut short".to_string(),
        other => other.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
