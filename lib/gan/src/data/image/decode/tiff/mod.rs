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
pub(super) use self::ifd::{Directory, Tag};
use self::layout::ChunkLayout;
use self::pixel_format::{Photometric, PixelFormat, SampleFormat};
use super::limits::pixels;
use super::samples::{Decoded, Samples};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut directory = Directory::of(bytes);
    directory.read()?;
    let number = |tag| directory.one(tag);
    let compression =
        TiffCompression::of(number(Tag::Compression).unwrap_or(1), number(Tag::T4Options).unwrap_or(0))?;
    if directory.raw(Tag::WindowsMediaPhoto).is_some() {
        return Err("a Windows Media Photo is not read: convert it to PNG".into());
    }
    let format = PixelFormat::of(&directory)?;
    let sides = number(Tag::ImageWidth).zip(number(Tag::ImageLength));
    let (width, height) = sides.ok_or("broken: it has no size")?;
    pixels(width, height, format.pixel_bits())?;
    check(&directory, &format, compression)?;
    let layout = ChunkLayout::of(&directory, &format, compression, [width, height])?;
    let image = match (format.color, compression) {
        (_, TiffCompression::Jpeg) => jpeg::decode(&format, &layout)?,
        (Photometric::YCbCr, packed) if packed != TiffCompression::None => subsampled(&format, &layout)?,
        _ => format.image(&directory, layout.rows(&format)?, width, height)?,
    };
    Ok(image.oriented(orientation(&directory)))
}

/// Refuses combinations that Pillow reads wrongly or that have no meaning.
fn check(directory: &Directory, format: &PixelFormat, compression: TiffCompression) -> Result<(), String> {
    use Photometric::{BlackIsZero, Cmyk, Palette, Rgb, WhiteIsZero, YCbCr};
    let PixelFormat { color, coding, bits, samples, has_alpha, reversed, .. } = *format;
    let planar = directory.one(Tag::PlanarConfiguration) == Some(2);
    let unsigned = coding == SampleFormat::Unsigned;
    let planes_are_read = match color {
        Rgb => samples == 3 || has_alpha,
        Cmyk => samples == 4,
        _ => samples == 1,
    };
    let raw_planes_are_read = planes_are_read
        && !reversed
        && (bits == 8 && unsigned && color != WhiteIsZero || bits == 1 && color == BlackIsZero);
    let is_shared = || directory.numbers(Tag::YCbCrSubsampling).is_some_and(|shared| shared != [1, 1]);
    let what = match compression {
        TiffCompression::Ccitt(_) if bits != 1 || samples != 1 => "fax coding of more than one bit",
        TiffCompression::None if planar && raw_planes_are_read => return Ok(()),
        TiffCompression::None if planar => "uncompressed planes of this kind",
        TiffCompression::None if color == YCbCr && is_shared() => "uncompressed, subsampled YCbCr",
        // These alone Pillow does not read.
        TiffCompression::None
            if reversed && (color == Palette && bits < 8 || color == WhiteIsZero && bits == 8) =>
        {
            "reversed bits of this kind"
        }
        TiffCompression::None => return Ok(()),
        _ if !directory.is_standard => return Err("broken: its first four bytes".into()),
        // libtiff gives numbers in the machine's order, Pillow takes them for the file's.
        _ if directory.big_endian && bits > 8 && (!unsigned || bits == 32) => {
            "compressed big-endian numbers that are signed or of 32 bits, which Pillow misreads"
        }
        _ if planar && !planes_are_read => "compressed planes of this kind",
        _ => return Ok(()),
    };
    Err(format!("a TIFF with {what} is not read"))
}

/// The orientation: the tag, or else, as in Pillow, what the XMP says.
fn orientation(directory: &Directory) -> u32 {
    if let Some(turn) = directory.one(Tag::Orientation) {
        return turn as u32;
    }
    let xmp = directory.raw(Tag::Xmp).unwrap_or_default();
    const NAME: &[u8] = b"tiff:Orientation";
    let after = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let mut turns = after.filter_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| u32::from(digit - b'0'))
    });
    turns.next().unwrap_or(1)
}

/// YCbCr that is compressed, but not as JPEG: libtiff makes RGB of it.
fn subsampled(format: &PixelFormat, layout: &ChunkLayout) -> Result<Decoded, String> {
    let shared = layout.directory.numbers(Tag::YCbCrSubsampling).unwrap_or_else(|| vec![2, 2]);
    let (width, height) = (layout.width, layout.height);
    // Those that libtiff converts; of 4×4 it does not get the edges right.
    let shared = match shared[..] {
        [4, 4] if width.is_multiple_of(4) && height.is_multiple_of(4) => [4, 4],
        [across @ (1 | 2 | 4), down @ 1] | [across @ (2 | 4), down @ 2] => [across, down],
        [1, 2] => [1, 2],
        _ => return Err(format!("a TIFF with the YCbCr subsampling {shared:?} is not read")),
    };
    if layout.predictor != 1 && layout.compression.has_predictor() && shared != [1, 1] {
        return Err("a TIFF in subsampled YCbCr with a predictor is not read".into());
    }
    let tables = ycbcr::Tables::of(layout.directory)?;
    let rgb = layout.assembled(3, 8, |i, _, y| {
        let (w, h) = (layout.chunk[0], layout.rows_of(y));
        let length = ycbcr::packed(w, h, shared);
        let shape = ChunkShape { width: w, height: h, samples: format.samples, bits: format.bits, length };
        let data = layout.unpack(layout.packed(i)?, shape)?;
        Ok(tables.convert(&data, [w, h], shared))
    })?;
    Ok(Decoded::new(width, height, Samples::Rgb(rgb)))
}
