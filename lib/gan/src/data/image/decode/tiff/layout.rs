//! The strips and tiles of a TIFF.

use super::super::bytes::part;
use super::super::limits::{cut_short, pixels};
use super::chunk::{ChunkShape, TiffCompression};
use super::ifd::{Directory, Tag};
use super::pixel_format::PixelFormat;

/// The positions and sizes of the strips or tiles, and how they are packed.
pub(super) struct ChunkLayout<'a> {
    pub(super) directory: &'a Directory<'a>,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Width and height of a strip or tile.
    pub(super) chunk: [usize; 2],
    /// Whether the last row of chunks is complete in the file (tiles), or ends with the image (strips).
    tiled: bool,
    /// Planes in the file: 1 where the samples of a pixel lie together.
    pub(super) planes: usize,
    offsets: Vec<usize>,
    /// The bytes of each; empty where the file does not say.
    lengths: Vec<usize>,
    pub(super) compression: TiffCompression,
    pub(super) predictor: usize,
    /// Whether bits are stored from the lowest to the highest.
    pub(super) reversed: bool,
}

impl<'a> ChunkLayout<'a> {
    pub(super) fn of(
        directory: &'a Directory<'a>,
        format: &PixelFormat,
        compression: TiffCompression,
        [width, height]: [usize; 2],
    ) -> Result<ChunkLayout<'a>, String> {
        const MISSING: &str = "broken: it does not say where its pixels are";
        let strips = directory.numbers(Tag::StripOffsets);
        let tiled = strips.is_none();
        let (mut offsets, lengths, chunk) = match strips {
            Some(offsets) => {
                let rows = directory.one(Tag::RowsPerStrip).unwrap_or(height).min(height);
                (offsets, Tag::StripByteCounts, [width, rows])
            }
            None => {
                let side = |tag| directory.one(tag).ok_or(MISSING);
                let chunk = [side(Tag::TileWidth)?, side(Tag::TileLength)?];
                (directory.numbers(Tag::TileOffsets).ok_or(MISSING)?, Tag::TileByteCounts, chunk)
            }
        };
        let mut lengths = directory.numbers(lengths).unwrap_or_default();
        pixels(chunk[0], chunk[1], format.pixel_bits()).map_err(|_| "broken: the size of its tiles")?;
        let planes = match directory.one(Tag::PlanarConfiguration).unwrap_or(1) {
            1 => 1,
            2 => format.samples,
            planar => return Err(format!("broken: the planar configuration {planar}")),
        };
        let wanted = width.div_ceil(chunk[0]) * height.div_ceil(chunk[1]) * planes;
        let packed = compression != TiffCompression::None;
        if offsets.len() < wanted || packed && lengths.len() < wanted {
            return Err(MISSING.into());
        }
        if !packed {
            // Pillow takes the last offset where one covers the image, and leaves none out where there are
            // planes.
            match (chunk == [width, height] && planes == 1, offsets.len() > wanted) {
                (true, true) => offsets = offsets.split_off(offsets.len() - 1),
                (false, true) => return Err("broken: it has more strips or tiles than rows".into()),
                _ => {}
            }
            lengths.clear();
        }
        let predictor = directory.one(Tag::Predictor).unwrap_or(1);
        let reversed = format.reversed && compression != TiffCompression::Jpeg;
        Ok(ChunkLayout {
            directory,
            width,
            height,
            chunk,
            tiled,
            planes,
            offsets,
            lengths,
            compression,
            predictor,
            reversed,
        })
    }

    /// The compressed bytes of a strip or tile.
    pub(super) fn packed(&self, index: usize) -> Result<&'a [u8], String> {
        let rest = self.directory.bytes.get(self.offsets[index]..).ok_or_else(cut_short)?;
        self.lengths.get(index).map_or(Ok(rest), |&length| part(rest, 0, length))
    }

    /// The number of rows of a strip or tile in the file.
    pub(super) fn rows_of(&self, y: usize) -> usize {
        if self.tiled { self.chunk[1] } else { self.chunk[1].min(self.height - y) }
    }

    /// All rows of the image, the samples of a pixel together, little-endian.
    pub(super) fn rows(&self, format: &PixelFormat) -> Result<Vec<u8>, String> {
        let (width, samples, bits) = (self.chunk[0], format.samples / self.planes, format.bits);
        let row_bytes = |width: usize| (width * samples * bits).div_ceil(8);
        if width < self.width && !(width * samples * bits).is_multiple_of(8) {
            return Err("broken: the size of its tiles".into());
        }
        self.assembled(format.samples, bits, |i, x, y| {
            let height = self.rows_of(y);
            let shape = ChunkShape { width, height, samples, bits, length: row_bytes(width) * height };
            let packed = self.packed(i)?;
            if !self.lengths.is_empty() || packed.len() >= shape.length {
                return self.unpack(packed, shape);
            }
            // Of the last tile Pillow needs the rows alone that the image has.
            let there =
                row_bytes(width) * (height.min(self.height - y) - 1) + row_bytes(width.min(self.width - x));
            self.unpack(&[part(packed, 0, there)?, &vec![0; shape.length - there]].concat(), shape)
        })
    }

    /// The rows of the image, each pixel of `samples` of `bits`, from those of each strip or tile, which
    /// `chunk` gives for its number and the column and row of its first pixel.
    pub(super) fn assembled(
        &self,
        samples: usize,
        bits: usize,
        chunk: impl Fn(usize, usize, usize) -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        let of_plane = |width: usize| (width * samples / self.planes * bits).div_ceil(8);
        let whole = (self.width * samples * bits).div_ceil(8);
        let [w, h] = self.chunk;
        let across = self.width.div_ceil(w);
        let count = across * self.height.div_ceil(h);
        let mut rows = Vec::new();
        for i in 0..count * self.planes {
            let (plane, x, y) = (i / count, i % count % across * w, i % count / across * h);
            let data = chunk(i, x, y)?;
            if rows.is_empty() {
                // Not before the first one is sound.
                rows = vec![0; whole * self.height];
            }
            let used = of_plane(w.min(self.width - x));
            for (to, row) in rows.chunks_exact_mut(whole).skip(y).zip(data.chunks_exact(of_plane(w))) {
                if self.planes == 1 {
                    to[of_plane(x)..][..used].copy_from_slice(&row[..used]);
                    continue;
                }
                let step = bits / 8;
                let pixels = to.chunks_exact_mut(self.planes * step).skip(x);
                for (pixel, sample) in pixels.zip(row[..used].chunks_exact(step)) {
                    pixel[plane * step..][..step].copy_from_slice(sample);
                }
            }
        }
        Ok(rows)
    }
}
