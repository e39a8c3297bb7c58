//! Strips and tiles that are JPEGs, whose tables may be apart.

use super::super::jpeg;
use super::super::samples::{Decoded, Samples, SixteenBit};
use super::ifd::{Directory, Tag};
use super::layout::{ChunkLayout, copy_chunk};
use super::pixel_format::{Photometric, PixelFormat};

pub(super) fn decode(
    directory: &Directory,
    format: &PixelFormat,
    layout: &ChunkLayout,
) -> Result<Decoded, String> {
    let refused = |what: &str| {
        Err(format!("a TIFF with JPEG-compressed {what} is not read: save it with another compression"))
    };
    if format.bits != 8 || layout.planes != 1 {
        return refused("planes, or samples of other than 8 bits");
    }
    // What the color channels are is TIFF's to say; in a JPEG alone, Adobe's marker says it.
    let (components, transform) = match format.color {
        Photometric::WhiteIsZero | Photometric::BlackIsZero if format.samples == 1 => (1, 0),
        Photometric::Rgb if format.samples == 3 => (3, 0),
        Photometric::YCbCr => (3, 1),
        _ => return refused("CMYK, palettes or alpha"),
    };
    let tables = directory.raw(Tag::JpegTables).unwrap_or_default();
    let (width, height) = (layout.width, layout.height);
    let mut rgb = vec![0; 3 * width * height];
    for (i, x, y) in layout.places() {
        let stream = stream(tables, layout.packed(directory, i)?, components, transform)?;
        let image = jpeg::decode(&stream)?;
        let (w, rows) = (layout.chunk[0], layout.chunk[1].min(height - y));
        if image.width != w || image.height < rows || image.height > layout.chunk[1] {
            return Err("broken: a strip or tile of another size than it should have".into());
        }
        let chunk = image.into_rgb(SixteenBit::HighByte);
        copy_chunk(&chunk, w, [x, y], &mut rgb, [width, height]);
    }
    if components == 3 {
        return Ok(Decoded::new(width, height, Samples::Rgb(rgb)));
    }
    let inverted = format.color == Photometric::WhiteIsZero;
    let gray = rgb.chunks_exact(3).map(|p| if inverted { !p[0] } else { p[0] });
    Ok(Decoded::new(width, height, Samples::Gray(gray.collect())))
}

/// A JPEG by itself: the tables, Adobe's marker in place of all that say what the colors are, the strip's
/// segments.
fn stream(tables: &[u8], strip: &[u8], components: u8, transform: u8) -> Result<Vec<u8>, String> {
    let broken = || "broken: its JPEG data".to_string();
    let mut whole = vec![0xff, 0xd8, 0xff, 0xee, 0, 14];
    whole.extend(b"Adobe");
    whole.extend([0, 100, 0, 0, 0, 0, transform]);
    for (part, is_strip) in [(tables, false), (strip, true)] {
        if part.is_empty() && !is_strip {
            continue;
        }
        let mut at = if part.starts_with(&[0xff, 0xd8]) { 2 } else { return Err(broken()) };
        loop {
            match part.get(at..at + 2) {
                Some([0xff, 0xff]) => at += 1,
                Some([0xff, 0xd9]) if !is_strip => break,
                Some([0xff, marker @ (0x01 | 0xc0..=0xfe)]) => {
                    let length = part.get(at + 2..at + 4).ok_or_else(broken)?;
                    let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let segment = part.get(at..end).ok_or_else(broken)?;
                    if matches!(marker, 0xc0..=0xc2) && segment.get(9) != Some(&components) {
                        return Err(
                            "a TIFF whose JPEG data have other color channels than it says is not read"
                                .into(),
                        );
                    }
                    if *marker == 0xda {
                        whole.extend(&part[at..]);
                        break;
                    }
                    // Applications' segments would say other things of the colors.
                    if !matches!(marker, 0xe0..=0xef) {
                        whole.extend(segment);
                    }
                    at = end;
                }
                // Tables without an end.
                None if !is_strip && at >= part.len() => break,
                _ => return Err(broken()),
            }
        }
    }
    Ok(whole)
}
