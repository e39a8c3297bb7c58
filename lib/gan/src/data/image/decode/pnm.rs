//! Netpbm's PBM, PGM and PPM, plain and binary, of any largest value, and PFM of one channel, as Pillow reads
//! them; PAM, which it does not read, as the PGM or PPM of the same values.

use super::bytes::{big, part};
use super::limits::{MAX_ALLOC, cut_short, pixels};
use super::samples::{Decoded, Samples, unpacked};

/// White space between the words of a header.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

struct PnmReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> PnmReader<'a> {
    /// The next word, which white space and comments may precede; `None` where it is too long or no text.
    fn text(&mut self) -> Result<Option<&'a str>, String> {
        loop {
            match self.peek()? {
                b'#' => self.comment(),
                byte if is_space(byte) => self.at += 1,
                _ => break,
            }
        }
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'#' || is_space(byte)).unwrap_or(rest.len());
        if rest.get(end) == Some(&b'#') {
            // Within a word: what Pillow makes of it is no number that anyone meant.
            return Err("broken: a comment within a number".into());
        }
        self.at += end;
        Ok(std::str::from_utf8(&rest[..end]).ok().filter(|word| word.len() <= 10))
    }

    /// The next word of the header and the one white space after it.
    fn word(&mut self) -> Result<&'a str, String> {
        let word = self.text()?.ok_or("broken header")?;
        self.at += 1;
        Ok(word)
    }

    fn number(&mut self) -> Result<usize, String> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("broken header: {word} is not a number"))
    }

    fn peek(&self) -> Result<u8, String> {
        self.bytes.get(self.at).copied().ok_or_else(cut_short)
    }

    fn comment(&mut self) {
        while self.at < self.bytes.len() && !matches!(self.bytes[self.at], b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// The next `n` bytes.
    fn take(&self, n: usize) -> Result<&'a [u8], String> {
        part(self.bytes, self.at, n)
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let kind = bytes[1];
    if bytes[2] == b'#' {
        return Err("broken: a comment within its magic number".into());
    }
    let mut reader = PnmReader { bytes, at: 3 };
    if kind == b'7' {
        return pam(&mut reader);
    }
    let (width, height) = (reader.number()?, reader.number()?);
    let channels = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let pixels = pixels(width, height, 16 * channels)?;
    let samples = match kind {
        b'1' => Samples::Gray(plain_bits(&mut reader, pixels)?),
        b'4' => Samples::Gray(binary_bits(&reader, width, height)?),
        b'f' => Samples::Gray(floats(&mut reader, width, height)?),
        _ => {
            let largest = reader.number()?;
            if !(1..65_536).contains(&largest) {
                return Err(format!("broken header: a largest value of {largest}"));
            }
            let scale = Scale::new(largest, channels);
            match kind {
                b'2' | b'3' => plain(&mut reader, pixels * channels, &scale)?,
                _ => binary(&reader, pixels, channels, &scale)?,
            }
        }
    };
    Ok(Decoded { clamped: kind == b'f', ..Decoded::new(width, height, samples) })
}

/// PAM: a header of named numbers; samples of one or two bytes; alpha, the last channel of two or four, goes.
fn pam(reader: &mut PnmReader) -> Result<Decoded, String> {
    let [mut width, mut height, mut depth, mut largest] = [0; 4];
    loop {
        match reader.word()? {
            "WIDTH" => width = reader.number()?,
            "HEIGHT" => height = reader.number()?,
            "DEPTH" => depth = reader.number()?,
            "MAXVAL" => largest = reader.number()?,
            "TUPLTYPE" => {
                while !matches!(reader.peek()?, b'\r' | b'\n') {
                    reader.at += 1;
                }
            }
            "ENDHDR" => break,
            other => return Err(format!("broken header: {other}")),
        }
    }
    if !(1..=4).contains(&depth) || !(1..65_536).contains(&largest) {
        return Err(format!("a PAM of {depth} channels with a largest value of {largest} is not read"));
    }
    let scale = Scale::new(largest, if depth < 3 { 1 } else { 3 });
    let pixels = pixels(width, height, 8 * scale.bytes() * depth)?;
    Ok(Decoded::new(width, height, binary(reader, pixels, depth, &scale)?))
}

/// From what the file's numbers are to samples.
struct Scale {
    /// The largest number in the file, and in the result.
    largest: usize,
    to: u16,
    /// Channels of the result: 1 or 3.
    colors: usize,
}

impl Scale {
    fn new(largest: usize, colors: usize) -> Scale {
        Scale { largest, to: if colors == 1 && largest > 255 { 65_535 } else { 255 }, colors }
    }

    /// Bytes of a number.
    fn bytes(&self) -> usize {
        if self.largest < 256 { 1 } else { 2 }
    }

    /// A value from the file's range to this one, in Python's arithmetic: halves go to the even number.
    fn apply(&self, value: usize) -> u16 {
        if self.largest == usize::from(self.to) {
            return value.min(self.largest) as u16;
        }
        let scaled = value as f64 / self.largest as f64 * f64::from(self.to);
        scaled.round_ties_even().min(f64::from(self.to)) as u16
    }

    fn samples(&self, values: impl Iterator<Item = usize>) -> Samples {
        let values = values.map(|value| self.apply(value));
        match (self.to, self.colors) {
            (65_535, _) => Samples::Gray16(values.collect()),
            (_, 1) => Samples::Gray(values.map(|v| v as u8).collect()),
            _ => Samples::Rgb(values.map(|v| v as u8).collect()),
        }
    }
}

/// Pixels of `depth` numbers each, of which the colors are the first.
fn binary(reader: &PnmReader, pixels: usize, depth: usize, scale: &Scale) -> Result<Samples, String> {
    let (bytes, colors) = (scale.bytes(), scale.colors);
    let data = reader.take(bytes * depth * pixels)?;
    Ok(match colors {
        1 if scale.largest == 255 && depth == 1 => Samples::Gray(data.to_vec()),
        3 if scale.largest == 255 && depth == 3 => Samples::Rgb(data.to_vec()),
        _ => {
            let pixels = data.chunks_exact(bytes * depth).map(|pixel| &pixel[..bytes * colors]);
            scale.samples(pixels.flat_map(|pixel| pixel.chunks_exact(bytes).map(big)))
        }
    })
}

/// Numbers as text; comments may stand between.
fn plain(reader: &mut PnmReader, count: usize, scale: &Scale) -> Result<Samples, String> {
    // A plain sample has at least two bytes: a digit and a space.
    if count > reader.bytes.len() {
        return Err(cut_short());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let value: Option<usize> = reader.text()?.and_then(|word| word.parse().ok());
        match value.ok_or("broken: a sample that is not a number")? {
            v if v > scale.largest => return Err(format!("broken: a sample of {v} above {}", scale.largest)),
            v => values.push(v as u16),
        }
    }
    Ok(scale.samples(values.into_iter().map(usize::from)))
}

/// 0 and 1, with space between or without; 1 is black.
fn plain_bits(reader: &mut PnmReader, count: usize) -> Result<Vec<u8>, String> {
    if count > reader.bytes.len() {
        return Err(cut_short());
    }
    let mut bits = Vec::with_capacity(count);
    while bits.len() < count {
        match reader.peek()? {
            b'#' => {
                reader.comment();
                continue;
            }
            b'0' => bits.push(255),
            b'1' => bits.push(0),
            byte if is_space(byte) => {}
            _ => return Err("broken: a sample that is neither 0 nor 1".into()),
        }
        reader.at += 1;
    }
    Ok(bits)
}

fn binary_bits(reader: &PnmReader, width: usize, height: usize) -> Result<Vec<u8>, String> {
    let packed = reader.take(width.div_ceil(8) * height)?;
    let mut bits = unpacked(packed, width, height, 1);
    bits.iter_mut().for_each(|bit| *bit = 255 * (1 - *bit));
    Ok(bits)
}

/// Rows of f32 from the lowest to the highest; a negative scale means little-endian. Cut off to a byte as
/// Pillow does.
fn floats(reader: &mut PnmReader, width: usize, height: usize) -> Result<Vec<u8>, String> {
    let scale: f64 =
        reader.word()?.parse().map_err(|_| "broken header: its scale is not a number".to_string())?;
    if scale == 0.0 || !scale.is_finite() {
        return Err(format!("broken header: a scale of {scale}"));
    }
    debug_assert!(4 * width * height <= 2 * MAX_ALLOC);
    let data = reader.take(4 * width * height)?;
    let value = if scale < 0.0 { f32::from_le_bytes } else { f32::from_be_bytes };
    // `as` cuts off, and clamps to 0 and 255.
    let row = |row: &[u8]| row.as_chunks().0.iter().map(|&v| value(v) as u8).collect::<Vec<_>>();
    Ok(data.chunks_exact(4 * width).rev().flat_map(row).collect())
}

#[cfg(test)]
mod tests {
    use crate::data::image::decode;

    #[test]
    fn pam_is_the_pnm_of_its_values() {
        let gray = [3, 100, 0, 77, 9, 50];
        let twin = [b"P5 3 2 100\n".to_vec(), gray.to_vec()].concat();
        let head = |depth: usize, most: usize| {
            let lines = format!(
                "P7\n# x\nWIDTH 3\nHEIGHT 2\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE ANY THING\nENDHDR\n"
            );
            lines.into_bytes()
        };
        assert_eq!(decode(&[head(1, 100), gray.to_vec()].concat()), decode(&twin));
        let alpha: Vec<u8> = gray.iter().flat_map(|&v| [v, 255 - v]).collect();
        assert_eq!(decode(&[head(2, 100), alpha.clone()].concat()), decode(&twin));
        let rgb: Vec<u8> = (0..18).collect();
        let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 9]).collect();
        let twin = [b"P6 3 2 255\n".to_vec(), rgb].concat();
        assert_eq!(decode(&[head(4, 255), rgba].concat()), decode(&twin));
        let twin = [b"P5 3 2 4000\n".to_vec(), alpha.clone()].concat();
        assert_eq!(decode(&[head(1, 4000), alpha.clone()].concat()), decode(&twin));
        for broken in
            [[head(1, 100), gray[1..].to_vec()].concat(), head(5, 100), head(1, 0), b"P7\nWIDTH 3\n".to_vec()]
        {
            assert!(decode(&broken).is_err());
        }
    }
}
