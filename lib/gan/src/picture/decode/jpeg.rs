//! JPEG.

use std::io::Cursor;

use ::image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{Image, MAX_ALLOC, MAX_SIDE, Samples, cut_short, exif, line, pixels, too_large};

pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    // The JPEG decoder paints what is missing grey and says nothing.
    if !has_end_of_image(bytes) {
        return Err(cut_short());
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    limits.max_alloc = Some(MAX_ALLOC as u64);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| reason(&e))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    pixels(width, height, 24)?;
    let samples = match DynamicImage::from_decoder(decoder).map_err(|e| reason(&e))? {
        DynamicImage::ImageLuma8(grey) => Samples::Grey(grey.into_raw()),
        other => Samples::Rgb(other.into_rgb8().into_raw()),
    };
    Ok(Image { rotated: exif::jpeg_is_rotated(bytes), ..Image::new(width, height, samples) })
}

/// Whether an end-of-image marker follows the first scan of a JPEG. (A thumbnail in the EXIF segment has one,
/// too, but lies before the scan.)
fn has_end_of_image(jpeg: &[u8]) -> bool {
    let mut at = 2; // after the start-of-image marker
    while let Some(&[0xFF, marker, high, low]) = jpeg.get(at..at + 4) {
        if marker == 0xFF {
            at += 1; // a fill byte
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if marker == 0xDA {
            break;
        }
    }
    // Within a scan 0xFF is followed by 0 or a restart marker, so this pair is what it looks like. Few files
    // go on after it.
    jpeg.get(at..).is_some_and(|scan| scan.windows(2).rev().any(|pair| pair == [0xFF, 0xD9]))
}

fn reason(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => too_large(),
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_short(),
        other => line(other),
    }
}
