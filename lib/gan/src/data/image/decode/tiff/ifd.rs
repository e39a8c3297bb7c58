//! The first directory of a TIFF or BigTIFF: its tags' numbers.

use super::super::bytes::{big, little, part};
use super::super::limits::cut_short;

/// Tags by their names in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Tag {
    ImageWidth = 256,
    ImageLength = 257,
    BitsPerSample = 258,
    Compression = 259,
    Photometric = 262,
    FillOrder = 266,
    StripOffsets = 273,
    Orientation = 274,
    SamplesPerPixel = 277,
    RowsPerStrip = 278,
    StripByteCounts = 279,
    PlanarConfiguration = 284,
    T4Options = 292,
    Predictor = 317,
    ColorMap = 320,
    TileWidth = 322,
    TileLength = 323,
    TileOffsets = 324,
    TileByteCounts = 325,
    ExtraSamples = 338,
    SampleFormat = 339,
    JpegTables = 347,
    YCbCrCoefficients = 529,
    YCbCrSubsampling = 530,
    ReferenceBlackWhite = 532,
    Xmp = 700,
    WindowsMediaPhoto = 0xbc01,
}

/// One entry: what its values are, and their bytes.
struct Entry<'a> {
    tag: u16,
    kind: u16,
    data: &'a [u8],
}

/// The first directory.
pub(in super::super) struct Directory<'a> {
    /// The file itself.
    pub(super) bytes: &'a [u8],
    /// Whether numbers are big-endian.
    pub(super) big_endian: bool,
    /// Whether the first four bytes are as they should be; Pillow reads some others, libtiff does not.
    pub(super) is_standard: bool,
    entries: Vec<Entry<'a>>,
}

/// Bytes of a value of a type; `None` for unknown types, whose tags are ignored.
fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

impl<'a> Directory<'a> {
    /// That of a file, not yet read.
    pub(in super::super) fn of(bytes: &'a [u8]) -> Directory<'a> {
        Directory { bytes, big_endian: bytes.starts_with(b"MM"), is_standard: false, entries: Vec::new() }
    }

    /// Reads the tags. Where an error ends them, those before it are there.
    pub(in super::super) fn read(&mut self) -> Result<(), String> {
        // The order of the two bytes of 42 or 43 is sometimes wrong; the letters decide.
        self.is_standard = matches!(self.number(2, 2)?, 42 | 43);
        let big_tiff = self.bytes[2..4].contains(&43);
        // `room` is the size of lengths and places.
        let (at, count_size, room) = if big_tiff { (8, 8, 8) } else { (4, 2, 4) };
        let first = self.number(at, room)?;
        for i in 0..self.number(first, count_size)? {
            let at = first + count_size + i * (4 + 2 * room);
            let (tag, kind) = (self.number(at, 2)? as u16, self.number(at + 2, 2)? as u16);
            let (n, value) = (self.number(at + 4, room)?, at + 4 + room);
            let Some(size) = size_of(kind) else { continue };
            let length = n.checked_mul(size).ok_or_else(cut_short)?;
            let start = if length <= room { value } else { self.number(value, room)? };
            // A tag whose values lie outside the file is as good as missing.
            if let Ok(data) = part(self.bytes, start, length) {
                self.entries.push(Entry { tag, kind, data });
            }
        }
        Ok(())
    }

    fn unsigned(&self, bytes: &[u8]) -> usize {
        if self.big_endian { big(bytes) } else { little(bytes) }
    }

    /// The unsigned number of `size` bytes at a place.
    fn number(&self, at: usize, size: usize) -> Result<usize, String> {
        part(self.bytes, at, size).map(|bytes| self.unsigned(bytes))
    }

    fn entry(&self, tag: Tag) -> Option<&Entry<'a>> {
        // Of a tag that is there twice, the last one counts.
        self.entries.iter().rev().find(|entry| entry.tag == tag as u16)
    }

    /// Whole numbers of a tag; `None` where it is missing or holds others.
    pub(super) fn numbers(&self, tag: Tag) -> Option<Vec<usize>> {
        let entry = self.entry(tag).filter(|entry| matches!(entry.kind, 3 | 4 | 13 | 16 | 18))?;
        Some(entry.data.chunks_exact(size_of(entry.kind)?).map(|bytes| self.unsigned(bytes)).collect())
    }

    /// The first number of a tag.
    pub(in super::super) fn one(&self, tag: Tag) -> Option<usize> {
        self.numbers(tag)?.first().copied()
    }

    /// Fractions of a tag.
    pub(super) fn fractions(&self, tag: Tag) -> Option<Vec<f32>> {
        let entry = self.entry(tag).filter(|entry| entry.kind == 5)?;
        let fraction = |bytes: &[u8]| match self.unsigned(&bytes[4..]) {
            0 => 0.0,
            below => (self.unsigned(&bytes[..4]) as f64 / below as f64) as f32,
        };
        Some(entry.data.chunks_exact(8).map(fraction).collect())
    }

    /// The bytes of a tag as they are.
    pub(super) fn raw(&self, tag: Tag) -> Option<&'a [u8]> {
        self.entry(tag).map(|entry| entry.data)
    }
}
