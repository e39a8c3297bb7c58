//! The strips and tiles of a TIFF.

use super::super::limits::{cut_short, pixels};
use super::chunk::{ChunkCodec, ChunkShape, TiffCompression};
use super::ifd::{Directory, Tag};
use super::pixel_format::PixelFormat;

/// The positions and sizes of the strips or tiles.
pub(super) struct ChunkLayout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Width and height of a strip or tile.
    pub(super) chunk: [usize; 2],
    /// Whether the last row of chunks is complete in the file (tiles), or ends with the image (strips).
    tiled: bool,
    /// Planes in the file: 1 where the samples of a pixel lie together.
    pub(super) planes: usize,
    offsets: Vec<u64>,
    /// The bytes of each; empty where the file does not say.
    lengths: Vec<u64>,
    pub(super) packing: ChunkCodec,
}

impl ChunkLayout {
    pub(super) fn of(
        directory: &Directory,
        format: &PixelFormat,
        compression: TiffCompression,
        [width, height]: [usize; 2],
    ) -> Result<ChunkLayout, String> {
        let strips = directory.numbers(Tag::StripOffsets);
        let tiled = strips.is_none();
        let missing = || "broken: it does not say where its pixels are".to_string();
        let (offsets, lengths, chunk) = match strips {
            Some(offsets) => {
                let rows = directory.length(Tag::RowsPerStrip).unwrap_or(height).min(height);
                (offsets, directory.numbers(Tag::StripByteCounts), [width, rows])
            }
            None => {
                let sides = [Tag::TileWidth, Tag::TileLength].map(|tag| directory.length(tag));
                let [Some(w), Some(h)] = sides else { return Err(missing()) };
                (
                    directory.numbers(Tag::TileOffsets).ok_or_else(missing)?,
                    directory.numbers(Tag::TileByteCounts),
                    [w, h],
                )
            }
        };
        pixels(chunk[0], chunk[1], format.pixel_bits())
            .map_err(|_| "broken: the size of its tiles".to_string())?;
        let planar = directory.one(Tag::PlanarConfiguration).unwrap_or(1);
        if !matches!(planar, 1 | 2) {
            return Err(format!("broken: the planar configuration {planar}"));
        }
        let planes = if planar == 2 { format.samples } else { 1 };
        let packing = ChunkCodec {
            compression,
            predictor: directory.one(Tag::Predictor).unwrap_or(1),
            big_endian: directory.big_endian,
            reversed: format.reversed && compression != TiffCompression::Jpeg,
        };
        let mut lengths = lengths.unwrap_or_default();
        let mut layout =
            ChunkLayout { width, height, chunk, tiled, planes, offsets, lengths: Vec::new(), packing };
        let wanted = layout.across() * layout.down() * planes;
        if layout.offsets.len() < wanted || compression != TiffCompression::None && lengths.len() < wanted {
            return Err(missing());
        }
        if compression == TiffCompression::None {
            // Pillow takes the last offset where one covers the image, and leaves none out where there are
            // planes.
            match (chunk == [width, height] && planes == 1, layout.offsets.len() > wanted) {
                (true, true) => layout.offsets = layout.offsets.split_off(layout.offsets.len() - 1),
                (false, true) => return Err("broken: it has more strips or tiles than rows".into()),
                _ => {}
            }
            lengths.clear();
        }
        layout.lengths = lengths;
        Ok(layout)
    }

    fn across(&self) -> usize {
        self.width.div_ceil(self.chunk[0])
    }

    fn down(&self) -> usize {
        self.height.div_ceil(self.chunk[1])
    }

    /// The compressed bytes of a strip or tile.
    pub(super) fn packed<'a>(&self, directory: &Directory<'a>, index: usize) -> Result<&'a [u8], String> {
        let start = usize::try_from(self.offsets[index]).map_err(|_| cut_short())?;
        let rest = directory.bytes().get(start..).ok_or_else(cut_short)?;
        match self.lengths.get(index) {
            None => Ok(rest),
            Some(&length) => {
                rest.get(..usize::try_from(length).map_err(|_| cut_short())?).ok_or_else(cut_short)
            }
        }
    }

    /// The number of rows of a strip or tile in the file.
    pub(super) fn rows_of(&self, y: usize) -> usize {
        if self.tiled { self.chunk[1] } else { self.chunk[1].min(self.height - y) }
    }

    /// The strips or tiles of one plane: number, and column and row of the first pixel.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (across, [w, h]) = (self.across(), self.chunk);
        (0..across * self.down()).map(move |i| (i, i % across * w, i / across * h))
    }

    /// All rows of the image, the samples of a pixel together, little-endian.
    pub(super) fn rows(&self, directory: &Directory, format: &PixelFormat) -> Result<Vec<u8>, String> {
        let samples = format.samples / self.planes;
        let row_bytes = |width: usize, samples: usize| (width * samples * format.bits).div_ceil(8);
        let whole = row_bytes(self.width, format.samples);
        if self.chunk[0] < self.width && !(self.chunk[0] * samples * format.bits).is_multiple_of(8) {
            return Err("broken: the size of its tiles".into());
        }
        let mut rows = Vec::new();
        for plane in 0..self.planes {
            for (i, x, y) in self.places() {
                let (width, height) = (self.chunk[0], self.rows_of(y));
                let length = row_bytes(width, samples) * height;
                let shape = ChunkShape { width, height, samples, bits: format.bits, length };
                let mut packed = self.packed(directory, plane * self.across() * self.down() + i)?;
                let padded;
                if self.lengths.is_empty() && packed.len() < length {
                    // Of the last tile Pillow needs the rows alone that the image has.
                    let there = row_bytes(width, samples) * (height.min(self.height - y) - 1)
                        + row_bytes(width.min(self.width - x), samples);
                    padded = [packed.get(..there).ok_or_else(cut_short)?, &vec![0; length - there]].concat();
                    packed = &padded;
                }
                let data = self.packing.unpack(packed, shape)?;
                if rows.is_empty() {
                    rows = vec![0; whole * self.height];
                }
                let used = row_bytes(width.min(self.width - x), samples);
                for (r, row) in data.chunks_exact(row_bytes(width, samples)).take(self.height - y).enumerate()
                {
                    let to = &mut rows[whole * (y + r)..][..whole];
                    match self.planes {
                        1 => to[row_bytes(x, samples)..][..used].copy_from_slice(&row[..used]),
                        planes => {
                            let step = format.bits / 8;
                            let pixels = to.chunks_exact_mut(planes * step).skip(x);
                            for (pixel, sample) in pixels.zip(row[..used].chunks_exact(step)) {
                                pixel[plane * step..][..step].copy_from_slice(sample);
                            }
                        }
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// Copies the RGB of a strip or tile, `w` pixels wide, to its place.
pub(super) fn copy_chunk(
    chunk: &[u8],
    w: usize,
    [x, y]: [usize; 2],
    rgb: &mut [u8],
    [width, height]: [usize; 2],
) {
    let used = 3 * w.min(width - x);
    for (r, row) in chunk.chunks_exact(3 * w).take(height - y).enumerate() {
        rgb[3 * ((y + r) * width + x)..][..used].copy_from_slice(&row[..used]);
    }
}
