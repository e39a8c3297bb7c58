//! WebP: a still, or the first image of an animation.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::exif;
use super::limits::{MAX_ALLOC, cut_short, line, pixels, too_large};
use super::samples::{Decoded, Samples};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(reason)?;
    decoder.set_memory_limit(MAX_ALLOC);
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    pixels(width, height, 8 * channels)?;
    let mut samples = vec![0; decoder.output_buffer_size().ok_or_else(too_large)?];
    if decoder.is_animated() {
        decoder.read_frame(&mut samples).map_err(reason)?;
    } else {
        decoder.read_image(&mut samples).map_err(reason)?;
    }
    let rotated = decoder.exif_metadata().ok().flatten().is_some_and(|block| exif::is_rotated(&block));
    if channels == 4 {
        samples = samples.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    }
    Ok(Decoded { rotated, ..Decoded::new(width, height, Samples::Rgb(samples)) })
}

fn reason(error: DecodingError) -> String {
    match &error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_short(),
        DecodingError::MemoryLimitExceeded => too_large(),
        other => format!("broken: {}", line(other)),
    }
}
