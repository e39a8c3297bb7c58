//! TIFF and BigTIFF: the first image, read as Pillow reads it, which takes uncompressed ones by itself and
//! others by libtiff. What is packed is unpacked by crates; the container, the predictors and the kinds of
//! pixels are here.

mod ccitt;
mod chunk;
mod ifd;
mod jpeg;
mod kind;
mod ycbcr;

use self::chunk::{Compression, Packing, Shape};
use self::ifd::{Directory, Tag};
use self::kind::{Coding, Color, Kind};
use super::{Decoded, Samples, cut_short, pixels};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let directory = Directory::read(bytes)?;
    let compression = Compression::of(
        directory.one(Tag::Compression).unwrap_or(1),
        directory.one(Tag::T4Options).unwrap_or(0),
    )?;
    if directory.raw(Tag::WindowsMediaPhoto).is_some() {
        return Err("a Windows Media Photo is not read: convert it to PNG".into());
    }
    let kind = Kind::of(&directory)?;
    let sides = [Tag::ImageWidth, Tag::ImageLength].map(|tag| directory.length(tag));
    let [Some(width), Some(height)] = sides else { return Err("broken: it has no size".into()) };
    pixels(width, height, kind.pixel_bits())?;
    check(&directory, &kind, compression)?;
    let layout = Layout::of(&directory, &kind, compression, [width, height])?;
    let image = match (kind.color, compression) {
        (_, Compression::Jpeg) => jpeg::decode(&directory, &kind, &layout)?,
        (Color::YCbCr, Compression::None) => {
            kind.image(&directory, layout.rows(&directory, &kind)?, width, height)?
        }
        (Color::YCbCr, _) => subsampled(&directory, &kind, &layout)?,
        _ => kind.image(&directory, layout.rows(&directory, &kind)?, width, height)?,
    };
    Ok(image.oriented(orientation(&directory)))
}

/// Combinations that Pillow reads wrongly, or that have no meaning.
fn check(directory: &Directory, kind: &Kind, compression: Compression) -> Result<(), String> {
    let refused = |what: &str| Err(format!("a TIFF with {what} is not read"));
    let planar = directory.one(Tag::PlanarConfiguration).unwrap_or(1) == 2;
    match compression {
        Compression::Ccitt(_) if kind.bits != 1 || kind.samples != 1 => {
            return refused("fax coding of more than one bit");
        }
        Compression::None if planar => {
            let whole_bytes = kind.bits == 8 && kind.coding == Coding::Unsigned;
            let read = match kind.color {
                Color::BlackIsZero => kind.samples == 1 && (whole_bytes || kind.bits == 1) && !kind.reversed,
                Color::Palette => kind.samples == 1 && whole_bytes && !kind.reversed,
                Color::Rgb => (kind.samples == 3 || kind.has_alpha) && whole_bytes && !kind.reversed,
                Color::Cmyk => kind.samples == 4 && whole_bytes,
                Color::WhiteIsZero | Color::YCbCr => false,
            };
            if !read {
                return refused("uncompressed planes of this kind");
            }
        }
        Compression::None
            if kind.color == Color::YCbCr
                && directory.numbers(Tag::YCbCrSubsampling).is_some_and(|shared| shared != [1, 1]) =>
        {
            return refused("uncompressed, subsampled YCbCr");
        }
        // These alone Pillow does not read.
        Compression::None
            if kind.reversed
                && (kind.color == Color::Palette && kind.bits < 8
                    || kind.color == Color::WhiteIsZero && kind.bits == 8) =>
        {
            return refused("reversed bits of this kind");
        }
        Compression::None => {}
        _ if !directory.is_standard => return Err("broken: its first four bytes".into()),
        // libtiff gives numbers in the machine's order, Pillow takes them for the file's.
        _ if directory.big_endian
            && (kind.coding != Coding::Unsigned || kind.bits == 32)
            && kind.bits > 8 =>
        {
            return refused(
                "compressed big-endian numbers that are signed or of 32 bits, which Pillow misreads",
            );
        }
        _ if planar => {
            let read = match kind.color {
                _ if kind.samples == 1 => true,
                Color::Rgb => kind.samples == 3 || kind.has_alpha,
                Color::Cmyk => kind.samples == 4,
                _ => false,
            };
            if !read {
                return refused("compressed planes of this kind");
            }
        }
        _ => {}
    }
    Ok(())
}

/// The orientation: the tag, or else, as in Pillow, what the XMP says.
fn orientation(directory: &Directory) -> u32 {
    if let Some(turn) = directory.one(Tag::Orientation) {
        return turn as u32;
    }
    let xmp = directory.raw(Tag::Xmp).unwrap_or_default();
    const NAME: &[u8] = b"tiff:Orientation";
    let after = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let turns = after.filter_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| u32::from(digit - b'0'))
    });
    turns.take(1).next().unwrap_or(1)
}

/// Where the strips or tiles of an image are, and how large they are.
struct Layout {
    width: usize,
    height: usize,
    /// Width and height of a strip or tile.
    chunk: [usize; 2],
    /// Whether the last row of strips or tiles is whole in the file (tiles), or ends with the image (strips).
    tiled: bool,
    /// Planes in the file: 1 where the samples of a pixel lie together.
    planes: usize,
    offsets: Vec<u64>,
    /// Bytes of each; empty where none are told.
    lengths: Vec<u64>,
    packing: Packing,
}

impl Layout {
    fn of(
        directory: &Directory,
        kind: &Kind,
        compression: Compression,
        [width, height]: [usize; 2],
    ) -> Result<Layout, String> {
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
        pixels(chunk[0], chunk[1], kind.pixel_bits())
            .map_err(|_| "broken: the size of its tiles".to_string())?;
        let planar = directory.one(Tag::PlanarConfiguration).unwrap_or(1);
        if !matches!(planar, 1 | 2) {
            return Err(format!("broken: the planar configuration {planar}"));
        }
        let planes = if planar == 2 { kind.samples } else { 1 };
        let packing = Packing {
            compression,
            predictor: directory.one(Tag::Predictor).unwrap_or(1),
            big_endian: directory.big_endian,
            reversed: kind.reversed && compression != Compression::Jpeg,
        };
        let mut lengths = lengths.unwrap_or_default();
        let mut layout =
            Layout { width, height, chunk, tiled, planes, offsets, lengths: Vec::new(), packing };
        let wanted = layout.across() * layout.down() * planes;
        if layout.offsets.len() < wanted || compression != Compression::None && lengths.len() < wanted {
            return Err(missing());
        }
        if compression == Compression::None {
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

    /// The packed bytes of a strip or tile.
    fn packed<'a>(&self, directory: &Directory<'a>, index: usize) -> Result<&'a [u8], String> {
        let start = usize::try_from(self.offsets[index]).map_err(|_| cut_short())?;
        let rest = directory.bytes().get(start..).ok_or_else(cut_short)?;
        match self.lengths.get(index) {
            None => Ok(rest),
            Some(&length) => {
                rest.get(..usize::try_from(length).map_err(|_| cut_short())?).ok_or_else(cut_short)
            }
        }
    }

    /// Rows that a strip or tile has in the file.
    fn rows_of(&self, y: usize) -> usize {
        if self.tiled { self.chunk[1] } else { self.chunk[1].min(self.height - y) }
    }

    /// The places of strips or tiles of one plane: their number, and column and row of their first pixel.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (across, [w, h]) = (self.across(), self.chunk);
        (0..across * self.down()).map(move |i| (i, i % across * w, i / across * h))
    }

    /// All rows of the image, the samples of a pixel together, little-endian.
    fn rows(&self, directory: &Directory, kind: &Kind) -> Result<Vec<u8>, String> {
        let samples = kind.samples / self.planes;
        let row_bytes = |width: usize, samples: usize| (width * samples * kind.bits).div_ceil(8);
        let whole = row_bytes(self.width, kind.samples);
        if self.chunk[0] < self.width && !(self.chunk[0] * samples * kind.bits).is_multiple_of(8) {
            return Err("broken: the size of its tiles".into());
        }
        let mut rows = Vec::new();
        for plane in 0..self.planes {
            for (i, x, y) in self.places() {
                let (width, height) = (self.chunk[0], self.rows_of(y));
                let length = row_bytes(width, samples) * height;
                let shape = Shape { width, height, samples, bits: kind.bits, length };
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
                            let step = kind.bits / 8;
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

/// YCbCr that is compressed, but not as JPEG: libtiff makes RGB of it.
fn subsampled(directory: &Directory, kind: &Kind, layout: &Layout) -> Result<Decoded, String> {
    let shared = directory.numbers(Tag::YCbCrSubsampling).unwrap_or_else(|| vec![2, 2]);
    let (width, height) = (layout.width, layout.height);
    // Those that libtiff converts; of 4×4 it does not get the edges right.
    let shared = match shared[..] {
        [4, 4] if width.is_multiple_of(4) && height.is_multiple_of(4) => [4, 4],
        [across @ (1 | 2 | 4), 1] | [across @ (2 | 4), 2] => [across as usize, shared[1] as usize],
        [1, 2] => [1, 2],
        _ => return Err(format!("a TIFF with the YCbCr subsampling {shared:?} is not read")),
    };
    if layout.packing.predictor != 1 && layout.packing.compression.has_predictor() && shared != [1, 1] {
        return Err("a TIFF in subsampled YCbCr with a predictor is not read".into());
    }
    let tables = ycbcr::Tables::of(directory)?;
    let mut rgb = vec![0; 3 * width * height];
    for (i, x, y) in layout.places() {
        let (w, h) = (layout.chunk[0], layout.rows_of(y));
        let length = ycbcr::packed(w, h, shared);
        let shape = Shape { width: w, height: h, samples: kind.samples, bits: kind.bits, length };
        let data = layout.packing.unpack(layout.packed(directory, i)?, shape)?;
        let mut chunk = vec![0; 3 * w * h];
        tables.convert(&data, [w, h], shared, &mut chunk);
        copy(&chunk, w, [x, y], &mut rgb, [width, height]);
    }
    Ok(Decoded::new(width, height, Samples::Rgb(rgb)))
}

/// Sets RGB of a strip or tile, `w` pixels wide, at its place.
fn copy(chunk: &[u8], w: usize, [x, y]: [usize; 2], rgb: &mut [u8], [width, height]: [usize; 2]) {
    let used = 3 * w.min(width - x);
    for (r, row) in chunk.chunks_exact(3 * w).take(height - y).enumerate() {
        rgb[3 * ((y + r) * width + x)..][..used].copy_from_slice(&row[..used]);
    }
}
