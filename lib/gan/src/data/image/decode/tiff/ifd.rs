//! The first directory of a TIFF or BigTIFF: its tags' numbers.

use super::super::limits::cut_short;

/// Tags by their names in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
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
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
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
    pub(super) fn read(bytes: &'a [u8]) -> Result<Directory<'a>, String> {
        // The order of the two bytes of 42 or 43 is sometimes wrong; the letters decide.
        let (big_endian, big_tiff) =
            (bytes.starts_with(b"MM"), bytes.get(2..4).is_some_and(|v| v.contains(&43)));
        let mut directory = Directory { bytes, big_endian, is_standard: false, entries: Vec::new() };
        directory.is_standard = matches!(directory.number(2, 2)?, 42 | 43);
        let (first, count_size, entry_size) = match big_tiff {
            true => (directory.number(8, 8)?, 8, 20),
            false => (directory.number(4, 4)?, 2, 12),
        };
        let first = usize::try_from(first).map_err(|_| cut_short())?;
        let count = directory.number(first, count_size)? as usize;
        for i in 0..count {
            let at = i.checked_mul(entry_size).and_then(|n| n.checked_add(first + count_size));
            let at = at.ok_or_else(cut_short)?;
            let (tag, kind) = (directory.number(at, 2)? as u16, directory.number(at + 2, 2)? as u16);
            let room = (entry_size - 4) / 2;
            let (n, value) = (directory.number(at + 4, room)?, at + 4 + room);
            let Some(size) = size_of(kind) else { continue };
            let length = usize::try_from(n).ok().and_then(|n| n.checked_mul(size)).ok_or_else(cut_short)?;
            let start = if length <= room { value as u64 } else { directory.number(value, room)? };
            let start = usize::try_from(start).map_err(|_| cut_short())?;
            // A tag whose values lie outside the file is as good as missing.
            let Some(data) = bytes.get(start..).and_then(|rest| rest.get(..length)) else { continue };
            directory.entries.push(Entry { tag, kind, data });
        }
        Ok(directory)
    }

    /// The file itself.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The unsigned number of `size` bytes at a place.
    fn number(&self, at: usize, size: usize) -> Result<u64, String> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.get(..size)).ok_or_else(cut_short)?;
        Ok(unsigned(bytes, self.big_endian))
    }

    fn entry(&self, tag: Tag) -> Option<&Entry<'a>> {
        // Of a tag that is there twice, the last one counts.
        self.entries.iter().rev().find(|entry| entry.tag == tag as u16)
    }

    /// Whole numbers of a tag; `None` where it is missing or holds others.
    pub(super) fn numbers(&self, tag: Tag) -> Option<Vec<u64>> {
        let entry = self.entry(tag).filter(|entry| matches!(entry.kind, 3 | 4 | 13 | 16 | 18))?;
        let size = size_of(entry.kind).expect("a known type");
        Some(entry.data.chunks_exact(size).map(|bytes| unsigned(bytes, self.big_endian)).collect())
    }

    /// The first number of a tag.
    pub(super) fn one(&self, tag: Tag) -> Option<u64> {
        self.numbers(tag)?.first().copied()
    }

    /// The same as a length in memory; what has no room there counts as missing.
    pub(super) fn length(&self, tag: Tag) -> Option<usize> {
        self.one(tag).and_then(|n| usize::try_from(n).ok())
    }

    /// Fractions of a tag.
    pub(super) fn fractions(&self, tag: Tag) -> Option<Vec<f32>> {
        let entry = self.entry(tag).filter(|entry| entry.kind == 5)?;
        let half = |bytes: &[u8]| unsigned(bytes, self.big_endian) as f64;
        let fraction = |bytes: &[u8]| match half(&bytes[4..]) {
            0.0 => 0.0,
            below => (half(&bytes[..4]) / below) as f32,
        };
        Some(entry.data.chunks_exact(8).map(fraction).collect())
    }

    /// The bytes of a tag as they are.
    pub(super) fn raw(&self, tag: Tag) -> Option<&'a [u8]> {
        self.entry(tag).map(|entry| entry.data)
    }
}

fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
    match big_endian {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    }
}
