//! The pixel formats of TIFF that Pillow reads, and their conversion to RGB.

use super::super::samples::{Decoded, Samples, cmyk, colored_by, looked_up, spread, three, unpacked};
use super::ifd::{Directory, Tag};
use super::ycbcr;

/// The numeric type of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleFormat {
    Unsigned,
    Signed,
    Float,
}

/// The meaning of the color channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

/// The layout of a pixel.
#[derive(Debug, Clone)]
pub(super) struct PixelFormat {
    pub(super) color: Photometric,
    pub(super) coding: SampleFormat,
    /// Bits of a sample, the same of all.
    pub(super) bits: usize,
    /// Samples of a pixel that are read: colors and extra ones.
    pub(super) samples: usize,
    /// Whether the colors were multiplied by the first extra sample (RGB alone).
    premultiplied: bool,
    /// Whether the only extra sample is alpha that multiplied nothing.
    pub(super) has_alpha: bool,
    /// Whether bits are stored from the lowest to the highest.
    pub(super) reversed: bool,
}

impl PixelFormat {
    /// Reads the tags. Pillow must have a mode for the format.
    pub(super) fn of(directory: &Directory) -> Result<PixelFormat, String> {
        let photometric = directory.one(Tag::Photometric).unwrap_or(0);
        let color = match photometric {
            0 => Photometric::WhiteIsZero,
            1 => Photometric::BlackIsZero,
            2 => Photometric::Rgb,
            3 => Photometric::Palette,
            5 => Photometric::Cmyk,
            6 => Photometric::YCbCr,
            8..=10 => return Err("a TIFF in Lab is not read: convert it to RGB".into()),
            32803 => {
                let what = "a camera's raw file (a color filter array)";
                return Err(format!("{what} is not read: develop it to PNG"));
            }
            other => return Err(format!("a TIFF with the photometric interpretation {other} is not read")),
        };
        let mut formats = directory.numbers(Tag::SampleFormat).unwrap_or_else(|| vec![1]);
        formats.dedup();
        let coding = match formats[..] {
            [1] => SampleFormat::Unsigned,
            [2] => SampleFormat::Signed,
            [3] => SampleFormat::Float,
            _ => return Err(format!("a TIFF with the sample formats {formats:?} is not read")),
        };
        let reversed = match directory.one(Tag::FillOrder).unwrap_or(1) {
            1 => false,
            2 => true,
            other => return Err(format!("a TIFF with the fill order {other} is not read")),
        };
        let planar = directory.one(Tag::PlanarConfiguration) == Some(2);
        let mut extra = directory.numbers(Tag::ExtraSamples).unwrap_or_default();
        let mut bits = directory.numbers(Tag::BitsPerSample).unwrap_or_else(|| vec![1]);
        let mut samples = directory.one(Tag::SamplesPerPixel).unwrap_or(1);
        if planar && !extra.is_empty() && extra.iter().all(|&sample| sample == 0) {
            // Unspecified planes at the end are ignored.
            bits.truncate(bits.len().saturating_sub(extra.len()));
            samples = samples.saturating_sub(extra.len());
            extra.clear();
        }
        if samples == 0 || samples > 6 {
            return Err(format!("a TIFF of {samples} samples a pixel is not read"));
        }
        if bits.len() == 1 {
            bits = vec![bits[0]; samples];
        }
        bits.truncate(samples);
        let what = format!("{samples} samples of {bits:?} bits, extra ones {extra:?}, {color:?}, {coding:?}");
        let refused = || format!("a TIFF of {what} is not read");
        let (enough, little_endian) = (bits.len() == samples, !directory.big_endian);
        bits.dedup();
        let [bits] = bits[..] else { return Err(refused()) };
        use Photometric::{BlackIsZero, Cmyk, Palette, Rgb, WhiteIsZero, YCbCr};
        use SampleFormat::{Float, Signed, Unsigned};
        let known = match (color, coding, bits, samples, &extra[..]) {
            _ if !enough => false,
            (WhiteIsZero | BlackIsZero | Palette, Unsigned, 1 | 2 | 4 | 8, 1, []) => true,
            (Rgb, Unsigned, 8, 3, []) => true,
            (BlackIsZero, Unsigned, 16, 1, []) => !reversed || little_endian,
            _ if reversed => false,
            (BlackIsZero, Signed, 8 | 16 | 32, 1, []) => true,
            (BlackIsZero, Unsigned, 12 | 32, 1, []) | (WhiteIsZero, Unsigned, 16, 1, []) => little_endian,
            (BlackIsZero | WhiteIsZero, Float, 32, 1, []) => true,
            (BlackIsZero | Palette, Unsigned, 8, 2, [0 | 2]) => true,
            (Rgb, Unsigned, 8, 4, [] | [0 | 1 | 2 | 999]) => true,
            (Rgb, Unsigned, 8, 5, [0..=2, 0]) | (Rgb, Unsigned, 8, 6, [0..=2, 0, 0]) => true,
            (Rgb, Unsigned, 16, 3, []) | (Rgb, Unsigned, 16, 4, [] | [0..=2]) => true,
            (Cmyk, Unsigned, 8, 4, []) | (Cmyk, Unsigned, 8, 5, [0]) => true,
            (Cmyk, Unsigned, 8, 6, [0, 0]) | (Cmyk, Unsigned, 16, 4, []) => true,
            (YCbCr, Unsigned, 8, 3, []) => true,
            _ => false,
        };
        if !known {
            return Err(refused());
        }
        let has_alpha = extra == [2];
        let premultiplied = color == Rgb && extra.first() == Some(&1);
        Ok(PixelFormat { color, coding, bits, samples, premultiplied, has_alpha, reversed })
    }

    /// Bits of a pixel whose samples lie together.
    pub(super) fn pixel_bits(&self) -> usize {
        self.bits * self.samples
    }

    /// Pixels of samples: rows of [`PixelFormat::pixel_bits`] a pixel, each from a byte on, little-endian.
    pub(super) fn image(
        &self,
        directory: &Directory,
        rows: Vec<u8>,
        w: usize,
        h: usize,
    ) -> Result<Decoded, String> {
        use Photometric::{Cmyk, Palette, Rgb, WhiteIsZero, YCbCr};
        use SampleFormat::{Float, Signed};
        // Of 16 bits the high byte, which is the second.
        let (step, high) = (self.bits / 8, (self.bits / 8).saturating_sub(1));
        let places = [0, 1, 2, 3].map(|i| i * step + high);
        let pixel = self.samples * step;
        let mut image_bits = 16;
        let mut samples = match (self.color, self.coding, self.bits) {
            (Palette, ..) => Samples::Rgb(self.colors(directory, &rows, w, h)?),
            (Rgb, ..) if self.premultiplied => colored_by(&rows, pixel, |p| divided(places.map(|i| p[i]))),
            (Rgb, ..) => three(&rows, pixel, [high, places[1], places[2]]),
            (Cmyk, ..) => colored_by(&rows, pixel, |p| cmyk(places.map(|i| p[i]))),
            (YCbCr, ..) => colored_by(&rows, 3, |p| ycbcr::as_in_pillow([p[0], p[1], p[2]])),
            // `as` cuts off, and clamps to 0 and 255.
            (_, Float, _) => bytes(&rows, |v| f32::from_le_bytes(v) as u8),
            (_, Signed, 16) => bytes(&rows, |v| i16::from_le_bytes(v).clamp(0, 255) as u8),
            // Pillow's numbers of 32 bits are signed whatever the file says.
            (_, _, 32) => bytes(&rows, |v| i32::from_le_bytes(v).clamp(0, 255) as u8),
            (_, _, 16) => {
                Samples::Gray16(rows.as_chunks().0.iter().map(|&v| u16::from_le_bytes(v)).collect())
            }
            (_, _, 12) => {
                image_bits = 12;
                Samples::Gray16(twelve(&rows, w))
            }
            (_, _, 8) if self.samples == 1 => Samples::Gray(rows),
            (_, _, 8) => Samples::Gray(rows.into_iter().step_by(self.samples).collect()),
            (_, _, bits) => Samples::Gray(spread(unpacked(&rows, w, h, bits), bits)),
        };
        if let (WhiteIsZero, 1..=8, Samples::Gray(gray)) = (self.color, self.bits, &mut samples) {
            gray.iter_mut().for_each(|v| *v = !*v);
        }
        let mut image = Decoded::new(w, h, samples);
        image.bits = image_bits;
        image.clamped = self.coding == Float || self.bits == 32 || self.coding == Signed && self.bits == 16;
        Ok(image)
    }

    fn colors(&self, directory: &Directory, rows: &[u8], w: usize, h: usize) -> Result<Vec<u8>, String> {
        let map = directory.numbers(Tag::ColorMap).ok_or("broken: no palette in it")?;
        let n = map.len() / 3;
        if n > 256 || n == 0 {
            return Err(format!("broken: a palette of {n} colors"));
        }
        // Three lists of 16 bits, of which Pillow takes the high byte.
        let palette: Vec<[u8; 3]> =
            (0..n).map(|i| [0, n, 2 * n].map(|part| (map[part + i] >> 8) as u8)).collect();
        Ok(match self.samples {
            1 => looked_up(&unpacked(rows, w, h, self.bits), &palette),
            _ => looked_up(&rows.iter().step_by(self.samples).copied().collect::<Vec<_>>(), &palette),
        })
    }
}

/// Gray of numbers of `N` bytes.
fn bytes<const N: usize>(rows: &[u8], byte: impl Fn([u8; N]) -> u8) -> Samples {
    Samples::Gray(rows.as_chunks().0.iter().map(|&number| byte(number)).collect())
}

/// A color that was multiplied by its alpha, without that.
fn divided([r, g, b, alpha]: [u8; 4]) -> [u8; 3] {
    match u32::from(alpha) {
        0 => [0; 3],
        alpha => [r, g, b].map(|c| (u32::from(c) * 255 / alpha).min(255) as u8),
    }
}

/// Two values of 12 bits in three bytes; each row begins at a byte.
fn twelve(rows: &[u8], width: usize) -> Vec<u16> {
    let value = |row: &[u8], x: usize| {
        let at = x / 2 * 3;
        let byte = |i: usize| u16::from(row[at + i]);
        if x.is_multiple_of(2) { byte(0) << 4 | byte(1) >> 4 } else { (byte(1) & 15) << 8 | byte(2) }
    };
    let row_bytes = (12 * width).div_ceil(8);
    rows.chunks_exact(row_bytes).flat_map(|row| (0..width).map(move |x| value(row, x))).collect()
}
