//! The first image of a TIFF or BigTIFF, with Pillow's result. (Pillow itself reads uncompressed files,
//! libtiff the others.) Crates decompress; the container, the predictors and the pixel formats are here.

mod ccitt;
mod chunk;
mod ifd;
mod jpeg;
mod layout;
mod pixel_format;
mod ycbcr;

use self::chunk::{ChunkShape, TiffCompression};
use self::ifd::{Directory, Tag};
use self::layout::{ChunkLayout, copy_chunk};
use self::pixel_format::{Photometric, PixelFormat, SampleFormat};
use super::limits::pixels;
use super::samples::{Decoded, Samples};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let directory = Directory::read(bytes)?;
    let compression = TiffCompression::of(
        directory.one(Tag::Compression).unwrap_or(1),
        directory.one(Tag::T4Options).unwrap_or(0),
    )?;
    if directory.raw(Tag::WindowsMediaPhoto).is_some() {
        return Err("a Windows Media Photo is not read: convert it to PNG".into());
    }
    let format = PixelFormat::of(&directory)?;
    let sides = [Tag::ImageWidth, Tag::ImageLength].map(|tag| directory.length(tag));
    let [Some(width), Some(height)] = sides else { return Err("broken: it has no size".into()) };
    pixels(width, height, format.pixel_bits())?;
    check(&directory, &format, compression)?;
    let layout = ChunkLayout::of(&directory, &format, compression, [width, height])?;
    let image = match (format.color, compression) {
        (_, TiffCompression::Jpeg) => jpeg::decode(&directory, &format, &layout)?,
        (Photometric::YCbCr, TiffCompression::None) => {
            format.image(&directory, layout.rows(&directory, &format)?, width, height)?
        }
        (Photometric::YCbCr, _) => subsampled(&directory, &format, &layout)?,
        _ => format.image(&directory, layout.rows(&directory, &format)?, width, height)?,
    };
    Ok(image.oriented(orientation(&directory)))
}

/// Refuses combinations that Pillow reads wrongly or that have no meaning.
fn check(directory: &Directory, format: &PixelFormat, compression: TiffCompression) -> Result<(), String> {
    let refused = |what: &str| Err(format!("a TIFF with {what} is not read"));
    let planar = directory.one(Tag::PlanarConfiguration).unwrap_or(1) == 2;
    match compression {
        TiffCompression::Ccitt(_) if format.bits != 1 || format.samples != 1 => {
            return refused("fax coding of more than one bit");
        }
        TiffCompression::None if planar => {
            let whole_bytes = format.bits == 8 && format.coding == SampleFormat::Unsigned;
            let read = match format.color {
                Photometric::BlackIsZero => {
                    format.samples == 1 && (whole_bytes || format.bits == 1) && !format.reversed
                }
                Photometric::Palette => format.samples == 1 && whole_bytes && !format.reversed,
                Photometric::Rgb => {
                    (format.samples == 3 || format.has_alpha) && whole_bytes && !format.reversed
                }
                Photometric::Cmyk => format.samples == 4 && whole_bytes,
                Photometric::WhiteIsZero | Photometric::YCbCr => false,
            };
            if !read {
                return refused("uncompressed planes of this kind");
            }
        }
        TiffCompression::None
            if format.color == Photometric::YCbCr
                && directory.numbers(Tag::YCbCrSubsampling).is_some_and(|shared| shared != [1, 1]) =>
        {
            return refused("uncompressed, subsampled YCbCr");
        }
        // These alone Pillow does not read.
        TiffCompression::None
            if format.reversed
                && (format.color == Photometric::Palette && format.bits < 8
                    || format.color == Photometric::WhiteIsZero && format.bits == 8) =>
        {
            return refused("reversed bits of this kind");
        }
        TiffCompression::None => {}
        _ if !directory.is_standard => return Err("broken: its first four bytes".into()),
        // libtiff gives numbers in the machine's order, Pillow takes them for the file's.
        _ if directory.big_endian
            && (format.coding != SampleFormat::Unsigned || format.bits == 32)
            && format.bits > 8 =>
        {
            return refused(
                "compressed big-endian numbers that are signed or of 32 bits, which Pillow misreads",
            );
        }
        _ if planar => {
            let read = match format.color {
                _ if format.samples == 1 => true,
                Photometric::Rgb => format.samples == 3 || format.has_alpha,
                Photometric::Cmyk => format.samples == 4,
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

/// YCbCr that is compressed, but not as JPEG: libtiff makes RGB of it.
fn subsampled(directory: &Directory, format: &PixelFormat, layout: &ChunkLayout) -> Result<Decoded, String> {
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
        let shape = ChunkShape { width: w, height: h, samples: format.samples, bits: format.bits, length };
        let data = layout.packing.unpack(layout.packed(directory, i)?, shape)?;
        let mut chunk = vec![0; 3 * w * h];
        tables.convert(&data, [w, h], shared, &mut chunk);
        copy_chunk(&chunk, w, [x, y], &mut rgb, [width, height]);
    }
    Ok(Decoded::new(width, height, Samples::Rgb(rgb)))
}
