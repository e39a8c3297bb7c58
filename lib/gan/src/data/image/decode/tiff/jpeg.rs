//! Strips and tiles that are JPEGs, whose tables may be apart.

use super::super::bytes::big;
use super::super::jpeg;
use super::super::samples::{Decoded, Samples, SixteenBit};
use super::ifd::Tag;
use super::layout::ChunkLayout;
use super::pixel_format::{Photometric, PixelFormat};

pub(super) fn decode(format: &PixelFormat, layout: &ChunkLayout) -> Result<Decoded, String> {
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
    let tables = layout.directory.raw(Tag::JpegTables).unwrap_or_default();
    let (width, height, [w, h]) = (layout.width, layout.height, layout.chunk);
    let rgb = layout.assembled(3, 8, |i, _, y| {
        let image = jpeg::decode(&stream(tables, layout.packed(i)?, components, transform)?)?;
        if image.width != w || !(h.min(height - y)..=h).contains(&image.height) {
            return Err("broken: a strip or tile of another size than it should have".into());
        }
        Ok(image.into_rgb(SixteenBit::HighByte))
    })?;
    let inverted = format.color == Photometric::WhiteIsZero;
    let gray = |p: &[u8]| if inverted { !p[0] } else { p[0] };
    Ok(Decoded::new(
        width,
        height,
        match components {
            3 => Samples::Rgb(rgb),
            _ => Samples::Gray(rgb.chunks_exact(3).map(gray).collect()),
        },
    ))
}

/// A JPEG by itself: the tables, Adobe's marker in place of all that say what the colors are, the strip's
/// segments.
fn stream(tables: &[u8], strip: &[u8], components: u8, transform: u8) -> Result<Vec<u8>, String> {
    const BROKEN: &str = "broken: its JPEG data";
    let mut whole = [&b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"[..], &[transform]].concat();
    for (part, is_strip) in [(tables, false), (strip, true)] {
        if part.is_empty() && !is_strip {
            continue;
        }
        let mut at = if part.starts_with(&[0xff, 0xd8]) { 2 } else { return Err(BROKEN.into()) };
        loop {
            match part.get(at..at + 2) {
                Some([0xff, 0xff]) => at += 1,
                Some([0xff, 0xd9]) if !is_strip => break,
                Some([0xff, marker @ (0x01 | 0xc0..=0xfe)]) => {
                    let end = at + 2 + big(part.get(at + 2..at + 4).ok_or(BROKEN)?);
                    let segment = part.get(at..end).ok_or(BROKEN)?;
                    if matches!(marker, 0xc0..=0xc2) && segment.get(9) != Some(&components) {
                        let what = "other color channels than it says";
                        return Err(format!("a TIFF whose JPEG data have {what} is not read"));
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
                _ => return Err(BROKEN.into()),
            }
        }
    }
    Ok(whole)
}
