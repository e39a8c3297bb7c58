//! PNG. Chunks are read as Pillow reads them, which tolerates some faults and not others. The result is a
//! plain PNG, which the crate `png` decompresses and unfilters. Its samples are converted as Pillow does: no
//! gamma, no color profile, no transparency.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use flate2::{Compression, write::ZlibEncoder};

use super::bytes::{big, part};
use super::exif;
use super::limits::{MAX_ALLOC, cut_short, line, pixels, too_large};
use super::samples::{Decoded, Samples, looked_up, spread, three, unpacked};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Adam7: first column and row of each pass, and the steps between.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
/// The lengths that chunks have at least, in bytes: shorter ones are damage.
const LEAST: [(&[u8; 4], usize); 7] =
    [(b"IHDR", 13), (b"gAMA", 4), (b"cHRM", 32), (b"sRGB", 1), (b"pHYs", 9), (b"acTL", 8), (b"fcTL", 26)];

/// What IHDR says.
#[derive(Clone, Copy)]
struct PngHeader {
    width: usize,
    height: usize,
    depth: usize,
    /// 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha.
    color: u8,
    interlaced: bool,
}

/// The parts of a PNG that make its pixels and notes.
struct Parts<'a> {
    header: PngHeader,
    palette: Option<&'a [u8]>,
    data: Vec<&'a [u8]>,
    significant: Option<u8>,
    rotated: bool,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let parts = walk(bytes)?;
    let PngHeader { width, height, .. } = parts.header;
    let packed = unfiltered(&parts)?;
    let mut image = Decoded::new(width, height, samples(&parts, packed)?);
    image.rotated = parts.rotated;
    image.significant = parts.significant.filter(|bits| (1..=16).contains(bits));
    Ok(image)
}

impl PngHeader {
    fn parse(data: &[u8]) -> Result<PngHeader, String> {
        let (depth, color) = (usize::from(data[8]), data[9]);
        let known = match color {
            0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
            3 => matches!(depth, 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(depth, 8 | 16),
            _ => false,
        };
        if !known || data[11] != 0 {
            return Err(format!("broken: color type {color} of {depth} bits, filter method {}", data[11]));
        }
        let (width, height) = (big(&data[..4]), big(&data[4..8]));
        Ok(PngHeader { width, height, depth, color, interlaced: data[12] != 0 })
    }

    fn bits(&self) -> usize {
        let samples = match self.color {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        samples * self.depth
    }

    /// Bytes of all rows once they are unpacked, each with its filter before it.
    fn filtered(&self) -> usize {
        let rows = |width: usize, height: usize| match width {
            0 => 0,
            _ => height * (1 + (width * self.bits()).div_ceil(8)),
        };
        if !self.interlaced {
            return rows(self.width, self.height);
        }
        let along = |side: usize, first: usize, step: usize| side.saturating_sub(first).div_ceil(step);
        let passes =
            PASSES.iter().map(|&[x, y, dx, dy]| rows(along(self.width, x, dx), along(self.height, y, dy)));
        passes.sum()
    }
}

/// Chunks from a place on, each with its name and data and whether its checksum is right (`None` where it is
/// cut off).
struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
    /// Whether all of the data are there.
    whole: bool,
    /// Whether the checksum is there and right.
    sound: bool,
}

impl Chunk<'_> {
    /// Its name in an error.
    fn label(&self) -> String {
        format!("its chunk {}", String::from_utf8_lossy(self.name))
    }
}

impl<'a> Chunks<'a> {
    /// The next chunk; an error where what follows is none.
    fn next(&mut self) -> Result<Chunk<'a>, String> {
        let head = part(self.bytes, self.at, 8)?;
        let (length, name) = (big(&head[..4]), head.last_chunk::<4>().expect("eight bytes"));
        if !name.iter().all(|&c| c.is_ascii_alphanumeric() || c == b'_') {
            return Err("broken: a chunk without a name".into());
        }
        let start = self.at + 8;
        let end = start.saturating_add(length);
        let data = &self.bytes[start..end.min(self.bytes.len())];
        self.at = end.saturating_add(4);
        // Only image data are large, and their checksum is not needed.
        let is_right = |sum: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(&self.bytes[start - 4..end]);
            big(sum) == crc.sum() as usize
        };
        let sound = part(self.bytes, end, 4).is_ok_and(|sum| name == b"IDAT" || is_right(sum));
        let whole = data.len() == length;
        Ok(Chunk { name, data, whole, sound })
    }
}

fn walk(bytes: &[u8]) -> Result<Parts<'_>, String> {
    let mut chunks = Chunks { bytes, at: SIGNATURE.len() };
    let (mut header, mut palette, mut significant, mut rotated) = (None, None, None, false);
    let mut data = Vec::new();
    // Before the image data: what is broken there is taken for a broken file.
    loop {
        let chunk = chunks.next()?;
        if chunk.name == b"IDAT" {
            data.push(chunk.data);
            break;
        }
        if !chunk.whole {
            return Err(cut_short());
        }
        check_length(&chunk, header.as_ref())?;
        match (chunk.name, &header) {
            (b"IEND", _) | (b"fdAT", _) => return Err("broken: no image data in it".into()),
            (b"IHDR", _) => header = Some(PngHeader::parse(chunk.data)?),
            (b"PLTE", Some(PngHeader { color: 3, .. })) => palette = Some(chunk.data),
            (b"sBIT", Some(PngHeader { color: 0, depth: 16, .. })) => {
                significant = chunk.data.first().copied()
            }
            (b"eXIf", _) => rotated = exif::is_rotated(chunk.data),
            (b"fcTL", Some(header)) => check_frame(chunk.data, header)?,
            _ => {}
        }
        if !chunk.sound {
            return Err(format!("broken: the checksum of {} is wrong", chunk.label()));
        }
    }
    let header = header.ok_or("broken: no header in it")?;
    pixels(header.width, header.height, header.bits())?;
    // The image data end with the first other chunk, or where the file does.
    let mut rest = std::iter::from_fn(|| chunks.next().ok()).peekable();
    while let Some(chunk) = rest.next_if(|chunk| chunk.name == b"IDAT") {
        data.push(chunk.data);
    }
    // What follows does not matter to the pixels, but a chunk that is cut off is damage.
    for chunk in rest.take_while(|chunk| !matches!(chunk.name, b"IEND" | b"fcTL")) {
        if !chunk.whole {
            return Err(format!("cut short in {}", chunk.label()));
        }
        check_length(&chunk, Some(&header))?;
        rotated |= chunk.name == b"eXIf" && exif::is_rotated(chunk.data);
    }
    Ok(Parts { header, palette, data, significant, rotated })
}

fn check_length(chunk: &Chunk, header: Option<&PngHeader>) -> Result<(), String> {
    let least = match (chunk.name, header.map(|header| header.color)) {
        (b"tRNS", Some(0)) => 2,
        (b"tRNS", Some(2)) => 6,
        (name, _) => LEAST.iter().find(|(known, _)| *known == name).map_or(0, |&(_, least)| least),
    };
    if chunk.data.len() < least {
        return Err(format!("broken: {} is too short", chunk.label()));
    }
    // The method follows a name that ends with a zero.
    let mut after_name = chunk.data.iter().skip_while(|&&c| c != 0).skip(1);
    if matches!(chunk.name, b"iCCP" | b"zTXt") && after_name.next().is_some_and(|&method| method != 0) {
        return Err(format!("broken: unknown compression in {}", chunk.label()));
    }
    Ok(())
}

/// Of an animation the image is the first frame where this one comes before the image data; it has to be all
/// of it then.
fn check_frame(data: &[u8], header: &PngHeader) -> Result<(), String> {
    let frame = [0, 4, 8, 12, 16].map(|at| big(&data[at..at + 4]));
    let whole = frame == [0, header.width, header.height, 0, 0];
    whole.then_some(()).ok_or_else(|| "broken: the first frame of an animation has another size".to_string())
}

/// The rows without their filters: samples as they are packed in the file, big-endian.
fn unfiltered(parts: &Parts) -> Result<Vec<u8>, String> {
    unpacked_by_crate(&parts.header, &parts.data).or_else(|why| {
        // All rows may be there though their stream has no end, which is enough for Pillow.
        let rows = inflated(&parts.data, parts.header.filtered(), why)?;
        let mut whole = ZlibEncoder::new(Vec::new(), Compression::none());
        let packed = std::io::Write::write_all(&mut whole, &rows).and_then(|()| whole.finish());
        unpacked_by_crate(&parts.header, &[&packed.map_err(line)?])
    })
}

/// The first `needed` bytes of a zlib stream; `why` is the error where it is broken, not merely short.
fn inflated(data: &[&[u8]], needed: usize, why: String) -> Result<Vec<u8>, String> {
    let mut rows = Vec::new();
    let joined = data.concat();
    let end = ZlibDecoder::new(&joined[..]).take(needed as u64 + 1).read_to_end(&mut rows);
    if end.is_err_and(|e| e.kind() != std::io::ErrorKind::UnexpectedEof) {
        return Err(why);
    }
    if rows.len() < needed {
        return Err(cut_short());
    }
    rows.truncate(needed);
    Ok(rows)
}

fn unpacked_by_crate(header: &PngHeader, data: &[&[u8]]) -> Result<Vec<u8>, String> {
    let side = |pixels: usize| (pixels as u32).to_be_bytes();
    // An index is unpacked as gray is.
    let color = if header.color == 3 { 0 } else { header.color };
    let rest = [header.depth as u8, color, 0, 0, header.interlaced.into()];
    let ihdr = [&side(header.width)[..], &side(header.height), &rest].concat();
    let mut plain = Vec::with_capacity(data.iter().map(|part| part.len()).sum::<usize>() + 64);
    plain.extend(SIGNATURE);
    for (name, parts) in [(b"IHDR", &[&ihdr[..]][..]), (b"IDAT", data), (b"IEND", &[])] {
        plain.extend(side(parts.iter().map(|part| part.len()).sum()));
        plain.extend(name);
        parts.iter().for_each(|part| plain.extend(*part));
        plain.extend([0; 4]); // the checksum, which is not checked
    }
    let mut options = ::png::DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(false);
    let mut decoder = ::png::Decoder::new_with_options(Cursor::new(&plain[..]), options);
    decoder.set_limits(::png::Limits { bytes: MAX_ALLOC });
    decoder.set_transformations(::png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(line)?;
    let mut rows = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    reader.next_frame(&mut rows).map_err(reason)?;
    reader.finish().map_err(reason)?;
    Ok(rows)
}

fn reason(error: ::png::DecodingError) -> String {
    match &error {
        ::png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_short(),
        other => format!("broken: {}", line(other)),
    }
}

fn samples(parts: &Parts, packed: Vec<u8>) -> Result<Samples, String> {
    let PngHeader { width, height, depth, color, .. } = parts.header;
    let bytes = depth / 8;
    Ok(match (color, depth) {
        (0, 16) => Samples::Gray16(packed.as_chunks().0.iter().map(|&v| u16::from_be_bytes(v)).collect()),
        (0, 8) => Samples::Gray(packed),
        (0, _) => Samples::Gray(spread(unpacked(&packed, width, height, depth), depth)),
        (2, 8) => Samples::Rgb(packed),
        // Of 16 bits the high byte, alpha away.
        (2, _) => Samples::Rgb(packed.chunks_exact(2).map(|v| v[0]).collect()),
        (4, _) => Samples::Gray(packed.chunks_exact(2 * bytes).map(|p| p[0]).collect()),
        (6, _) => three(&packed, 4 * bytes, [0, bytes, 2 * bytes]),
        _ => {
            let palette = parts.palette.ok_or("broken: no palette in it")?;
            if palette.len() > 768 {
                return Err("broken: a palette of more than 256 colors".into());
            }
            Samples::Rgb(looked_up(&unpacked(&packed, width, height, depth), palette.as_chunks().0))
        }
    })
}
