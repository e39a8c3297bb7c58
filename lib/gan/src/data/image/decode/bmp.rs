//! Windows bitmaps, as Pillow reads them: 1, 4 and 8 bits with a palette, 16, 24 and 32, run lengths, the
//! usual bit fields, either way up; files of OS/2; without the file header (.dib).

use super::limits::{cut_short, pixels};
use super::samples::{Decoded, Samples, looked_up, unpacked};

/// Bit fields that are read, and in which byte of a pixel red, green and blue are.
const FIELDS: [([u32; 4], [usize; 3]); 8] = [
    ([0xff0000, 0xff00, 0xff, 0], [2, 1, 0]),
    ([0xff000000, 0xff0000, 0xff00, 0], [3, 2, 1]),
    ([0xff000000, 0xff00, 0xff, 0], [3, 1, 0]),
    ([0xff000000, 0xff0000, 0xff00, 0xff], [3, 2, 1]),
    ([0xff, 0xff00, 0xff0000, 0xff000000], [0, 1, 2]),
    ([0xff0000, 0xff00, 0xff, 0xff000000], [2, 1, 0]),
    ([0xff000000, 0xff00, 0xff, 0xff0000], [3, 1, 0]),
    ([0, 0, 0, 0], [2, 1, 0]),
];

struct BmpHeader {
    width: usize,
    height: usize,
    top_down: bool,
    bits: usize,
    compression: u32,
    /// Entries of the palette.
    colors: usize,
    /// Bytes of an entry.
    entry: usize,
    masks: Option<[u32; 4]>,
    /// Where the palette is.
    palette: usize,
    /// Where the pixels are.
    data: usize,
}

fn short(bytes: &[u8], at: usize) -> Result<usize, String> {
    bytes.get(at..at + 2).map(|v| usize::from(u16::from_le_bytes([v[0], v[1]]))).ok_or_else(cut_short)
}

fn long(bytes: &[u8], at: usize) -> Result<u32, String> {
    bytes.get(at..at + 4).map(|v| u32::from_le_bytes([v[0], v[1], v[2], v[3]])).ok_or_else(cut_short)
}

impl BmpHeader {
    fn parse(bytes: &[u8]) -> Result<BmpHeader, String> {
        let (start, offset) = match bytes.starts_with(b"BM") {
            true => (14, long(bytes, 10)? as usize),
            false => (0, 0),
        };
        let size = long(bytes, start)? as usize;
        let header = bytes.get(start..start.saturating_add(size)).ok_or_else(cut_short)?;
        let mut after = start + size;
        let mut made = match size {
            12 => BmpHeader {
                width: short(header, 4)?,
                height: short(header, 6)?,
                top_down: false,
                bits: short(header, 10)?,
                compression: 0,
                colors: 0,
                entry: 3,
                masks: None,
                palette: 0,
                data: 0,
            },
            40 | 52 | 56 | 64 | 108 | 124 => {
                let height = long(header, 8)?;
                let top_down = header[11] == 0xff;
                BmpHeader {
                    width: long(header, 4)? as usize,
                    height: if top_down { height.wrapping_neg() } else { height } as usize,
                    top_down,
                    bits: short(header, 14)?,
                    compression: long(header, 16)?,
                    colors: long(header, 32)? as usize,
                    entry: 4,
                    masks: None,
                    palette: 0,
                    data: 0,
                }
            }
            other => return Err(format!("a BMP with a header of {other} bytes is not read")),
        };
        if made.compression == 3 {
            // Within longer headers, and after one of 40 bytes.
            let mut masks = [0; 4];
            let inside = size >= 52;
            for (i, mask) in masks.iter_mut().enumerate() {
                if i < 3 || size >= 56 {
                    *mask = if inside { long(header, 40 + 4 * i)? } else { long(bytes, after + 4 * i)? };
                }
            }
            after += if inside { 0 } else { 12 };
            made.masks = Some(masks);
        }
        if !matches!(made.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(format!("a BMP of {} bits a pixel is not read", made.bits));
        }
        if made.colors == 0 {
            made.colors = 1 << made.bits.min(17);
        }
        let palette = if made.bits <= 8 { made.entry * made.colors } else { 0 };
        made.palette = after;
        made.data = match offset {
            // Some writers forget the palette.
            _ if offset == 14 + size && start == 14 => offset + palette,
            0 => after + palette,
            _ => offset,
        };
        Ok(made)
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let header = BmpHeader::parse(bytes)?;
    let BmpHeader { width, height, bits, .. } = header;
    pixels(width, height, bits)?;
    let samples = match (header.compression, bits) {
        (0, 1 | 4 | 8) => indexed(&header, bytes, &unpacked(&rows(&header, bytes)?, width, height, bits))?,
        (1, 8) | (2, 4) => indexed(&header, bytes, &run_lengths(&header, bytes)?)?,
        (0, 16) => Samples::Rgb(words(&rows(&header, bytes)?, false)),
        (0, 24 | 32) => Samples::Rgb(in_bytes(&rows(&header, bytes)?, bits / 8, [2, 1, 0])),
        (3, 16 | 24 | 32) => fields(&header, &rows(&header, bytes)?)?,
        (compression, bits) => {
            return Err(format!("a BMP of {bits} bits a pixel with compression {compression} is not read"));
        }
    };
    Ok(Decoded::new(width, height, samples))
}

/// The rows from top to bottom, without what fills them up to four bytes.
fn rows(header: &BmpHeader, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let row = (header.width * header.bits).div_ceil(8);
    let stride = row.next_multiple_of(4);
    let end = stride * (header.height - 1) + row;
    let data = bytes.get(header.data..).and_then(|rest| rest.get(..end)).ok_or_else(cut_short)?;
    let mut rows = Vec::with_capacity(row * header.height);
    for y in 0..header.height {
        let y = if header.top_down { y } else { header.height - 1 - y };
        rows.extend(&data[y * stride..][..row]);
    }
    Ok(rows)
}

/// Colors by their numbers. Where all of them are their own number's gray, Pillow takes the numbers
/// themselves.
fn indexed(header: &BmpHeader, bytes: &[u8], indices: &[u8]) -> Result<Samples, String> {
    let (colors, entry) = (header.colors, header.entry);
    if colors > 65_536 {
        return Err(format!("broken: a palette of {colors} colors"));
    }
    let end = bytes.len().min(header.palette + entry * colors);
    let palette: Vec<[u8; 3]> =
        bytes[header.palette.min(end)..end].chunks_exact(entry).map(|c| [c[2], c[1], c[0]]).collect();
    let gray_of = |i: usize| if colors == 2 { 255 * i } else { i } as u8;
    let gray =
        palette.len() == colors && palette.iter().enumerate().all(|(i, &color)| color == [gray_of(i); 3]);
    if !gray {
        if palette.len() > 256 {
            return Err(format!("broken: a palette of {colors} colors"));
        }
        return Ok(Samples::Rgb(looked_up(indices, &palette)));
    }
    // Pillow then takes the rows for ones of 1 or of 8 bits, whatever they are.
    match (header.bits, header.compression) {
        (1, 0) if colors <= 2 => Ok(Samples::Gray(indices.iter().map(|&i| 255 * i).collect())),
        (8, _) | (_, 1 | 2) if colors > 2 => Ok(Samples::Gray(indices.to_vec())),
        (bits, _) => {
            Err(format!("a BMP of {bits} bits a pixel with a palette of {colors} grays is not read"))
        }
    }
}

/// Runs of pixels. What a file leaves out is color 0.
fn run_lengths(header: &BmpHeader, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (width, half_bytes) = (header.width, header.compression == 2);
    let whole = width * header.height;
    let mut data: Vec<u8> = Vec::new();
    let (mut at, mut x) = (header.data, 0);
    let byte = |at: usize| bytes.get(at).copied();
    while data.len() < whole {
        let (Some(count), Some(value)) = (byte(at), byte(at + 1)) else { break };
        at += 2;
        match (count, value) {
            (0, 0) => {
                data.resize(data.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let (Some(right), Some(up)) = (byte(at), byte(at + 1)) else { break };
                at += 2;
                let skipped = usize::from(right) + usize::from(up) * width;
                data.resize(whole.min(data.len() + skipped), 0);
                x = data.len() % width;
            }
            (0, count) => {
                let wanted = usize::from(count).min(whole - data.len());
                let length = if half_bytes { wanted.div_ceil(2) } else { wanted };
                let there = &bytes[at.min(bytes.len())..bytes.len().min(at + length)];
                for (i, &pair) in there.iter().enumerate() {
                    match half_bytes {
                        true => {
                            data.push(pair >> 4);
                            if 2 * i + 1 < wanted {
                                data.push(pair & 15);
                            }
                        }
                        false => data.push(pair),
                    }
                }
                if there.len() < length || data.len() == whole {
                    break;
                }
                x += usize::from(count);
                at += length;
                at += at % 2; // words of 16 bits, counted from the start of the file
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                let pair = if half_bytes { [value >> 4, value & 15] } else { [value; 2] };
                data.extend((0..count).map(|i| pair[i % 2]));
                x += count;
            }
        }
    }
    if data.len() < whole {
        return Err(cut_short());
    }
    data.truncate(whole);
    Ok(match header.top_down {
        true => data,
        false => data.chunks_exact(width).rev().flatten().copied().collect(),
    })
}

/// Pixels of 16 bits: 5, 5 and 5 of them, or 5, 6 and 5.
fn words(rows: &[u8], six: bool) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rows.len() / 2 * 3);
    for pair in rows.chunks_exact(2) {
        let word = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let part = |shift: u32, most: u32| ((word >> shift & most) * 255 / most) as u8;
        rgb.extend(match six {
            true => [part(11, 31), part(5, 63), part(0, 31)],
            false => [part(10, 31), part(5, 31), part(0, 31)],
        });
    }
    rgb
}

fn in_bytes(rows: &[u8], bytes: usize, [r, g, b]: [usize; 3]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rows.len() / bytes * 3);
    rows.chunks_exact(bytes).for_each(|pixel| rgb.extend([pixel[r], pixel[g], pixel[b]]));
    rgb
}

fn fields(header: &BmpHeader, rows: &[u8]) -> Result<Samples, String> {
    let masks = header.masks.expect("compression 3 has masks");
    let known = match (header.bits, masks) {
        (16, [0xf800, 0x7e0, 0x1f, _]) => Some(words(rows, true)),
        (16, [0x7c00, 0x3e0, 0x1f, _]) => Some(words(rows, false)),
        (24, [0xff0000, 0xff00, 0xff, _]) => Some(in_bytes(rows, 3, [2, 1, 0])),
        (32, masks) => {
            FIELDS.iter().find(|(known, _)| *known == masks).map(|&(_, places)| in_bytes(rows, 4, places))
        }
        _ => None,
    };
    known.map(Samples::Rgb).ok_or_else(|| format!("a BMP with the bit fields {masks:x?} is not read"))
}
