//! One strip or tile of a TIFF: unpacked, and its differences added up.

use std::borrow::Cow;
use std::io::Read;

use super::super::bytes::part;
use super::super::limits::cut_short;
use super::ccitt::{self, Code};
use super::layout::ChunkLayout;

/// How strips and tiles are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TiffCompression {
    None,
    Ccitt(Code),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

impl TiffCompression {
    /// By TIFF's number; `t4` are the options of T.4.
    pub(super) fn of(number: usize, t4: usize) -> Result<TiffCompression, String> {
        let name = match number {
            1 => return Ok(TiffCompression::None),
            2 => return Ok(TiffCompression::Ccitt(Code::Runs)),
            3 if t4 & 2 == 0 => return Ok(TiffCompression::Ccitt(Code::Group3 { two: t4 & 1 == 1 })),
            4 => return Ok(TiffCompression::Ccitt(Code::Group4)),
            5 => return Ok(TiffCompression::Lzw),
            7 => return Ok(TiffCompression::Jpeg),
            8 | 32946 => return Ok(TiffCompression::Deflate),
            32773 => return Ok(TiffCompression::PackBits),
            34925 => return Ok(TiffCompression::Lzma),
            50000 => return Ok(TiffCompression::Zstd),
            3 => "CCITT Group 3 with uncompressed parts",
            6 => "JPEG of the old kind",
            32771 => "CCITT runs in words of 16 bits",
            32809 => "ThunderScan",
            33003 | 33005 | 34712 => "JPEG 2000",
            34676 | 34677 => "SGI LogLuv",
            34887 => "LERC",
            50001 => "WebP",
            50002 => "JPEG XL",
            n => return Err(format!("a TIFF with the compression {n} is not read: save it with another")),
        };
        Err(not_read(name))
    }

    /// Whether a predictor may be before it.
    pub(super) fn has_predictor(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Lzma | Self::Zstd)
    }
}

fn not_read(compression: &str) -> String {
    format!("a TIFF compressed as {compression} is not read: save it with another compression")
}

/// What a strip or tile is once unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkShape {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples that lie together, and bits of each.
    pub(super) samples: usize,
    pub(super) bits: usize,
    /// Bytes of all rows.
    pub(super) length: usize,
}

impl ChunkLayout<'_> {
    /// The bytes of a strip or tile, its samples little-endian.
    pub(super) fn unpack(&self, packed: &[u8], shape: ChunkShape) -> Result<Vec<u8>, String> {
        let ChunkShape { width, height, samples, bits, length: n } = shape;
        let packed: Cow<[u8]> = match self.reversed {
            true => packed.iter().map(|byte| byte.reverse_bits()).collect(),
            false => packed.into(),
        };
        let packed = &packed[..];
        let mut data = match self.compression {
            TiffCompression::None => part(packed, 0, n)?.to_vec(),
            TiffCompression::Lzw => lzw(packed, n)?,
            TiffCompression::PackBits => pack_bits(packed, n)?,
            TiffCompression::Deflate => read(flate2::read::ZlibDecoder::new(packed), n)?,
            TiffCompression::Zstd => {
                let reader = ruzstd::decoding::StreamingDecoder::new(packed);
                read(reader.map_err(|_| "broken: its Zstandard data")?, n)?
            }
            TiffCompression::Lzma => read(lzma_rust2::XzReader::new_mem_limit(packed, false, 256 << 10), n)?,
            TiffCompression::Ccitt(code) => {
                ccitt::unpack(packed, width, height, code).ok_or("broken: its fax data, or cut short")?
            }
            TiffCompression::Jpeg => unreachable!("JPEG is decoded elsewhere"),
        };
        let predictor = if self.compression.has_predictor() { self.predictor } else { 1 };
        if self.directory.big_endian && matches!(bits, 16 | 32) && predictor != 3 {
            data.chunks_exact_mut(bits / 8).for_each(<[u8]>::reverse);
        }
        let row = width * samples * bits / 8;
        match (predictor, bits) {
            (1, _) => {}
            (2, 8 | 16 | 32) => {
                data.chunks_exact_mut(row).for_each(|row| add_up(row, samples, bits / 8));
            }
            (3, 32) => data.chunks_exact_mut(row).for_each(|row| floats(row, samples)),
            _ => return Err(format!("a TIFF with the predictor {predictor} of {bits} bits is not read")),
        }
        Ok(data)
    }
}

/// The first `n` bytes of what a reader gives. Room is made as they come.
fn read(reader: impl Read, n: usize) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    let end = reader.take(n as u64).read_to_end(&mut data);
    match (data.len() == n, end) {
        (true, _) => Ok(data),
        (_, Err(e)) if e.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err("broken: its compressed data".into())
        }
        _ => Err(cut_short()),
    }
}

fn lzw(packed: &[u8], n: usize) -> Result<Vec<u8>, String> {
    if let [0, odd, ..] = packed
        && odd & 1 == 1
    {
        return Err(not_read("LZW of the old kind"));
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    // A byte of LZW is at most 4,096 bytes unpacked, twelve bits of it.
    if n / 4096 > packed.len() {
        return Err(cut_short());
    }
    let mut data = vec![0; n];
    let (mut from, mut to) = (0, 0);
    while to < n {
        let step = decoder.decode_bytes(&packed[from..], &mut data[to..]);
        (from, to) = (from + step.consumed_in, to + step.consumed_out);
        match step.status {
            Err(_) => return Err("broken: its LZW data".into()),
            Ok(weezl::LzwStatus::Done) => break,
            Ok(_) if step.consumed_in == 0 && step.consumed_out == 0 => break,
            Ok(_) => {}
        }
    }
    if to < n { Err(cut_short()) } else { Ok(data) }
}

fn pack_bits(packed: &[u8], n: usize) -> Result<Vec<u8>, String> {
    let (mut data, mut rest) = (Vec::new(), packed);
    while data.len() < n {
        let (&head, tail) = rest.split_first().ok_or_else(cut_short)?;
        let count = match head as i8 {
            -128 => 0,
            same @ ..0 => {
                let &value = tail.first().ok_or_else(cut_short)?;
                data.resize(data.len() + 1 + usize::from(same.unsigned_abs()), value);
                1
            }
            others => {
                data.extend(part(tail, 0, others as usize + 1)?);
                others as usize + 1
            }
        };
        rest = &tail[count..];
    }
    data.truncate(n);
    Ok(data)
}

/// Adds to each sample the one of the pixel before it.
fn add_up(row: &mut [u8], samples: usize, bytes: usize) {
    let step = samples * bytes;
    for at in (step..row.len()).step_by(bytes) {
        let mut carry = 0;
        for i in 0..bytes {
            let sum = u16::from(row[at + i]) + u16::from(row[at + i - step]) + carry;
            row[at + i] = sum as u8;
            carry = sum >> 8;
        }
    }
}

/// Floats whose bytes lie in planes, the highest first, each the difference from the one before it.
fn floats(row: &mut [u8], samples: usize) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let planes = row.to_vec();
    let n = row.len() / 4;
    for i in 0..n {
        (0..4).for_each(|byte| row[4 * i + byte] = planes[(3 - byte) * n + i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bytes() {
        assert_eq!(pack_bits(&[0xfe, 7, 1, 8, 9, 0x80, 0, 1], 6).unwrap(), [7, 7, 7, 8, 9, 1]);
        assert!(
            pack_bits(&[0xfe], 3).is_err() && pack_bits(&[5, 1, 2], 3).is_err() && pack_bits(&[], 1).is_err()
        );
    }

    #[test]
    fn differences_add_up() {
        let mut row = [250, 1, 10, 2, 0, 3];
        add_up(&mut row, 2, 1);
        assert_eq!(row, [250, 1, 4, 3, 4, 6]);
        let mut row = [0xff, 0x00, 0x01, 0x01];
        add_up(&mut row, 1, 2);
        assert_eq!(row, [0xff, 0x00, 0x00, 0x02]);
    }
}
