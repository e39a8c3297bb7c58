//! The samples that decoders return, and Pillow's conversions of them to RGB.

use crate::data::image::notes::Notes;

/// How an image with one channel of 16 bits becomes 8-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SixteenBit {
    /// The high byte.
    HighByte,
    /// Everything above 255 becomes 255, as Pillow's `convert("RGB")` has it: for numbers that must agree
    /// with tools built on Pillow.
    ClipAsPillow,
    /// The highest eight of this number of bits, 9 to 16. Larger values become 255.
    Bits(u8),
}

/// An image before its conversion to RGB.
pub(super) struct Decoded {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Samples,
    /// Of [`Samples::Gray16`]: how many bits its values have by their type.
    pub(super) bits: u8,
    /// Of [`Samples::Gray16`]: how many of them a sBIT chunk calls significant.
    pub(super) significant: Option<u8>,
    /// Whether it was of numbers that are cut off to bytes.
    pub(super) clamped: bool,
    /// Whether it has an EXIF orientation that is not applied.
    pub(super) rotated: bool,
}

/// `[height, width]` pixels.
pub(super) enum Samples {
    /// Three bytes a pixel.
    Rgb(Vec<u8>),
    /// One byte.
    Gray(Vec<u8>),
    /// One 16-bit value.
    Gray16(Vec<u16>),
}

impl Decoded {
    pub(super) fn new(width: usize, height: usize, samples: Samples) -> Decoded {
        let pixels = match &samples {
            Samples::Rgb(data) => data.len() / 3,
            Samples::Gray(data) => data.len(),
            Samples::Gray16(data) => data.len(),
        };
        assert_eq!(pixels, width * height, "{width}×{height} pixels");
        Decoded { width, height, samples, bits: 16, significant: None, clamped: false, rotated: false }
    }

    /// The notes about it.
    pub(super) fn notes(&self) -> Notes {
        let gray_bits = match &self.samples {
            Samples::Gray16(_) if self.bits < 16 => Some(16),
            Samples::Gray16(values) => {
                let largest = values.iter().max().copied().unwrap_or(0);
                Some((16 - largest.leading_zeros() as u8).max(1))
            }
            _ => None,
        };
        Notes { gray_bits, significant: self.significant, clamped: self.clamped, rotated: self.rotated }
    }

    /// RGB; `sixteen` decides on 16-bit gray. Of values with fewer bits by their type the high byte is of
    /// these.
    pub(super) fn into_rgb(self, sixteen: SixteenBit) -> Vec<u8> {
        let shift = match sixteen {
            SixteenBit::HighByte => u32::from(self.bits.max(8) - 8),
            SixteenBit::Bits(bits) => u32::from(bits.clamp(8, 16) - 8),
            SixteenBit::ClipAsPillow => 0,
        };
        match self.samples {
            Samples::Rgb(rgb) => rgb,
            Samples::Gray(gray) => replicated(gray.into_iter()),
            Samples::Gray16(values) => replicated(values.into_iter().map(|v| (v >> shift).min(255) as u8)),
        }
    }

    /// Turned as orientation 2 to 8 of TIFF and EXIF says; any other number changes nothing.
    pub(super) fn oriented(self, orientation: u32) -> Decoded {
        let (width, height) = (self.width, self.height);
        let Some(from) = source(orientation, width, height) else { return self };
        let (w, h) = if orientation >= 5 { (height, width) } else { (width, height) };
        let places = || (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(|(x, y)| from(x, y));
        let samples = match &self.samples {
            Samples::Rgb(data) => {
                Samples::Rgb(places().flat_map(|i| [data[3 * i], data[3 * i + 1], data[3 * i + 2]]).collect())
            }
            Samples::Gray(data) => Samples::Gray(places().map(|i| data[i]).collect()),
            Samples::Gray16(data) => Samples::Gray16(places().map(|i| data[i]).collect()),
        };
        Decoded { width: w, height: h, samples, ..self }
    }
}

/// Where the pixel (x, y) of a turned image is in the file's `width × height` pixels.
fn source(orientation: u32, width: usize, height: usize) -> Option<impl Fn(usize, usize) -> usize + Copy> {
    let (w, h) = (width, height);
    (2..=8).contains(&orientation).then_some(move |x: usize, y: usize| {
        let (column, row) = match orientation {
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (y, h - 1 - x),
            7 => (w - 1 - y, h - 1 - x),
            _ => (w - 1 - y, x),
        };
        row * w + column
    })
}

fn replicated(gray: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * gray.len());
    gray.for_each(|v| rgb.extend([v; 3]));
    rgb
}

/// Values of 1, 2, 4 or 8 bits, the first in the highest bits, from rows that each begin at a byte.
pub(super) fn unpacked(packed: &[u8], width: usize, height: usize, bits: usize) -> Vec<u8> {
    if bits == 8 {
        return packed[..width * height].to_vec();
    }
    let (per_byte, mask) = (8 / bits, (1u8 << bits) - 1);
    let mut values = Vec::with_capacity(width * height);
    for row in packed.chunks_exact(width.div_ceil(per_byte)).take(height) {
        values.extend((0..width).map(|x| row[x / per_byte] >> (8 - bits * (x % per_byte + 1)) & mask));
    }
    values
}

/// A color of every `step` bytes.
pub(super) fn colored_by(bytes: &[u8], step: usize, color: impl Fn(&[u8]) -> [u8; 3]) -> Samples {
    let mut rgb = Vec::with_capacity(bytes.len() / step * 3);
    bytes.chunks_exact(step).for_each(|pixel| rgb.extend(color(pixel)));
    Samples::Rgb(rgb)
}

/// Red, green and blue at these places in every `step` bytes.
pub(super) fn three(bytes: &[u8], step: usize, [r, g, b]: [usize; 3]) -> Samples {
    colored_by(bytes, step, |pixel| [pixel[r], pixel[g], pixel[b]])
}

/// Scales values of `bits` bits to the range of a byte: the largest becomes 255.
pub(super) fn spread(mut values: Vec<u8>, bits: usize) -> Vec<u8> {
    let factor = 255 / ((1u16 << bits) - 1) as u8;
    values.iter_mut().for_each(|v| *v *= factor);
    values
}

/// Colors of a palette; an index beyond its end is black.
pub(super) fn looked_up(indices: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let mut colors = [[0; 3]; 256];
    let known = palette.len().min(256);
    colors[..known].copy_from_slice(&palette[..known]);
    let mut rgb = Vec::with_capacity(3 * indices.len());
    indices.iter().for_each(|&index| rgb.extend(colors[usize::from(index)]));
    rgb
}

/// A pixel of cyan, magenta, yellow and black, each from 0 to 255 of ink, as Pillow's `cmyk2rgb` has it.
pub(super) fn cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(255 - k);
    [c, m, y].map(|ink| {
        // MULDIV255 of Pillow: ink · light / 255, rounded.
        let product = u32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_the_highest_eight_bits() {
        let gray = || Decoded::new(4, 1, Samples::Gray16(vec![0, 255, 0x0fff, 0xffff]));
        let reds =
            |image: Decoded, sixteen| image.into_rgb(sixteen).chunks(3).map(|p| p[0]).collect::<Vec<_>>();
        assert_eq!(reds(gray(), SixteenBit::HighByte), [0, 0, 15, 255]);
        assert_eq!(reds(gray(), SixteenBit::ClipAsPillow), [0, 255, 255, 255]);
        assert_eq!(reds(gray(), SixteenBit::Bits(12)), [0, 15, 255, 255]);
        assert_eq!(reds(gray(), SixteenBit::Bits(16)), [0, 0, 15, 255]);
        let known = Decoded { bits: 12, ..gray() };
        assert_eq!(reds(known, SixteenBit::HighByte), [0, 15, 255, 255]);
    }

    #[test]
    fn bits_come_from_the_high_end() {
        assert_eq!(unpacked(&[0b1010_0000, 0b0100_0000], 3, 2, 1), [1, 0, 1, 0, 1, 0]);
        assert_eq!(unpacked(&[0b1101_0010, 0b1000_0000], 5, 1, 2), [3, 1, 0, 2, 2]);
        assert_eq!(spread(vec![0, 1, 15], 4), [0, 17, 255]);
    }
}
