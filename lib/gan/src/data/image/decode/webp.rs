//! WebP: a still, or the first image of an animation.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::exif;
use super::limits::{MAX_ALLOC, cut_short, line, pixels, too_large};
use super::samples::{Decoded, Samples, three};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(reason)?;
    decoder.set_memory_limit(MAX_ALLOC);
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    pixels(width, height, 8 * channels)?;
    let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(too_large)?];
    match decoder.is_animated() {
        true => decoder.read_frame(&mut samples).map(|_| ()),
        false => decoder.read_image(&mut samples),
    }
    .map_err(reason)?;
    let rotated = decoder.exif_metadata().ok().flatten().is_some_and(|block| exif::is_rotated(&block));
    let samples = if channels == 4 { three(&samples, 4, [0, 1, 2]) } else { Samples::Rgb(samples) };
    Ok(Decoded { rotated, ..Decoded::new(width, height, samples) })
}

fn reason(error: DecodingError) -> String {
    match &error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_short(),
        DecodingError::MemoryLimitExceeded => too_large(),
        other => format!("broken: {}", line(other)),
    }
}
