//! Windows bitmaps, as Pillow reads them: 1, 4 and 8 bits with a palette, 16, 24 and 32, run lengths, the
//! usual bit fields, either way up; files of OS/2; without the file header (.dib).

use super::bytes::{little, part};
use super::limits::{cut_short, pixels};
use super::samples::{Decoded, Samples, colored_by, looked_up, three, unpacked};

/// Bit fields that are read, and in which byte of a pixel red, green and blue are.
const FIELDS: [([usize; 4], [usize; 3]); 8] = [
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
    compression: usize,
    /// Entries of the palette.
    colors: usize,
    /// Bytes of an entry.
    entry: usize,
    /// Of compression 3: the bits of red, green, blue and alpha in a pixel.
    masks: [usize; 4],
    /// Where the palette is.
    palette: usize,
    /// Where the pixels are.
    data: usize,
}

impl BmpHeader {
    fn parse(bytes: &[u8]) -> Result<BmpHeader, String> {
        let number = |at: usize, size: usize| part(bytes, at, size).map(little);
        let (start, offset) = if bytes.starts_with(b"BM") { (14, number(10, 4)?) } else { (0, 0) };
        let size = number(start, 4)?;
        let header = part(bytes, start, size)?;
        let field = |at: usize, size: usize| little(&header[at..at + size]);
        let (width, height, bits, compression, colors) = match size {
            12 => (field(4, 2), field(6, 2), field(10, 2), 0, 0),
            40 | 52 | 56 | 64 | 108 | 124 => {
                (field(4, 4), field(8, 4), field(14, 2), field(16, 4), field(32, 4))
            }
            other => return Err(format!("a BMP with a header of {other} bytes is not read")),
        };
        let top_down = size > 12 && header[11] == 0xff;
        let height = if top_down { (height as u32).wrapping_neg() as usize } else { height };
        let (mut palette, mut masks) = (start + size, [0; 4]);
        if compression == 3 {
            // Within longer headers, and after one of 40 bytes.
            let at = start + 40;
            for (i, mask) in masks.iter_mut().enumerate().take(if size >= 56 { 4 } else { 3 }) {
                *mask = number(at + 4 * i, 4)?;
            }
            palette = palette.max(at + 12);
        }
        if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(format!("a BMP of {bits} bits a pixel is not read"));
        }
        let colors = if colors == 0 { 1 << bits.min(17) } else { colors };
        let entry = if size == 12 { 3 } else { 4 };
        let length = if bits <= 8 { entry * colors } else { 0 };
        let data = match offset {
            // Some writers forget the palette.
            _ if offset == 14 + size && start == 14 => offset + length,
            0 => palette + length,
            _ => offset,
        };
        Ok(BmpHeader { width, height, top_down, bits, compression, colors, entry, masks, palette, data })
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let header = BmpHeader::parse(bytes)?;
    let BmpHeader { width, height, bits, .. } = header;
    pixels(width, height, bits)?;
    let samples = match (header.compression, bits) {
        (0, 1 | 4 | 8) => indexed(&header, bytes, &unpacked(&rows(&header, bytes)?, width, height, bits))?,
        (1, 8) | (2, 4) => indexed(&header, bytes, &run_lengths(&header, bytes)?)?,
        (0, 16) => words(&rows(&header, bytes)?, 5),
        (0, 24 | 32) => three(&rows(&header, bytes)?, bits / 8, [2, 1, 0]),
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
    let data = part(bytes, header.data, end)?;
    Ok(upright(header, data.chunks(stride).map(|line| &line[..row]).collect()))
}

/// Rows in the order of the file, from top to bottom.
fn upright(header: &BmpHeader, mut rows: Vec<&[u8]>) -> Vec<u8> {
    if !header.top_down {
        rows.reverse();
    }
    rows.concat()
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
    let pair = |at: usize| bytes.get(at..)?.first_chunk();
    while data.len() < whole {
        let Some(&[count, value]) = pair(at) else { break };
        at += 2;
        match (count, value) {
            (0, 0) => {
                data.resize(data.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Some(&[right, up]) = pair(at) else { break };
                at += 2;
                let skipped = usize::from(right) + usize::from(up) * width;
                data.resize(whole.min(data.len() + skipped), 0);
                x = data.len() % width;
            }
            (0, count) => {
                let wanted = usize::from(count).min(whole - data.len());
                let length = if half_bytes { wanted.div_ceil(2) } else { wanted };
                let there = &bytes[at.min(bytes.len())..bytes.len().min(at + length)];
                match half_bytes {
                    true => data.extend(there.iter().flat_map(|&pair| [pair >> 4, pair & 15]).take(wanted)),
                    false => data.extend(there),
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
    Ok(upright(header, data.chunks_exact(width).collect()))
}

/// Pixels of 16 bits: 5 of red, 5 or 6 of green, 5 of blue.
fn words(rows: &[u8], green: u32) -> Samples {
    colored_by(rows, 2, |pair| {
        let word = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let part = |shift: u32, most: u32| ((word >> shift & most) * 255 / most) as u8;
        [part(5 + green, 31), part(5, (1 << green) - 1), part(0, 31)]
    })
}

fn fields(header: &BmpHeader, rows: &[u8]) -> Result<Samples, String> {
    let known = |masks| FIELDS.iter().find(|(known, _)| *known == masks).map(|&(_, places)| places);
    Ok(match (header.bits, header.masks) {
        (16, [0xf800, 0x7e0, 0x1f, _]) => words(rows, 6),
        (16, [0x7c00, 0x3e0, 0x1f, _]) => words(rows, 5),
        (24, [0xff0000, 0xff00, 0xff, _]) => three(rows, 3, [2, 1, 0]),
        (bits, masks) => match known(masks).filter(|_| bits == 32) {
            Some(places) => three(rows, 4, places),
            None => return Err(format!("a BMP with the bit fields {masks:x?} is not read")),
        },
    })
}
