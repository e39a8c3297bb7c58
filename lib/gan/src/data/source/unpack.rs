//! Packed bytes, unpacked: whole files (`.gz`, `.zst`, `.xz`, `.bz2`) into a temporary file, and entries of
//! zips.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use ::zip::CompressionMethod;
use bzip2::bufread::{BzDecoder, MultiBzDecoder};
use deflate64::Deflate64Decoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::span::Span;
use crate::Result;

/// The most that a dictionary may need, in KiB, and a window of Zstandard, in bytes: `xz -9` has 64 MiB,
/// `zstd --ultra -22` 128.
const MAX_DICTIONARY: u32 = 256 << 10;
const MAX_WINDOW: u64 = 128 << 20;
/// How many times a packed file's size its content may have, where it has more than [`FREE`] bytes: images
/// packed at all have a few times, and this is no way to fill a disk.
const MAX_GROWTH: u64 = 64;
const FREE: u64 = 4 << 30;

/// How a file of one stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Packing {
    /// By a file's first bytes.
    pub fn of(head: &[u8]) -> Option<Packing> {
        match head {
            [0x1F, 0x8B, 8, ..] => Some(Packing::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Packing::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
            // A block of data follows, or the end of the stream.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..] => Some(Packing::Bzip2),
            _ => None,
        }
    }

    /// What it is called, and the command that unpacks it.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Packing::Gzip => ("gzip", "gunzip"),
            Packing::Zstd => ("Zstandard", "unzstd"),
            Packing::Xz => ("xz", "unxz"),
            Packing::Bzip2 => ("bzip2", "bunzip2"),
        }
    }

    fn reader<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Packing::Zstd => Box::new(Zstd::new(packed)),
            Packing::Xz => Box::new(XzReader::new_mem_limit(packed, true, MAX_DICTIONARY)),
            Packing::Bzip2 => Box::new(MultiBzDecoder::new(packed)),
        }
    }

    /// The first `n` bytes of what is packed in `span`; fewer where there are no more, or it is broken.
    pub fn head(self, span: &Span, n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader(BufReader::new(span.reader())).take(n).read_to_end(&mut bytes);
        bytes
    }

    /// All that is packed in `span`, in a temporary file without a name.
    ///
    /// # Errors
    /// It is broken, there is no room, or it is more than images can be.
    pub fn unpack(self, span: &Span) -> Result<Span> {
        let most = span.len.saturating_mul(MAX_GROWTH).max(FREE);
        let mut reader = self.reader(BufReader::with_capacity(1 << 16, span.reader()));
        let what = self.words().0;
        let (file, len) = store(span, &mut reader, most, what)?;
        Ok(span.replaced(file, len))
    }
}

/// Copies all of `reader`, which is `span` unpacked, to a temporary file.
pub(super) fn store(span: &Span, reader: &mut dyn Read, most: u64, packing: &str) -> Result<(File, u64)> {
    let mut room = Room::new(span)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let n = match reader.read(&mut piece) {
            Ok(0) => return Ok((room.file, room.len)),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(span.wrong(format!("broken or incomplete {packing} ({e}): fetch it again")));
            }
        };
        if room.len + n as u64 > most {
            let what = format!("unpacked it is more than {}: unpack it yourself", size(most));
            return Err(span.wrong(what));
        }
        room.write(span, &piece[..n])?;
    }
}

/// A temporary file without a name that something is unpacked into.
pub(super) struct Room {
    file: File,
    pub len: u64,
}

impl Room {
    pub fn new(span: &Span) -> Result<Room> {
        let place = std::env::temp_dir();
        let file = tempfile::tempfile()
            .map_err(|e| span.wrong(format!("no temporary file in {} for it: {e}", place.display())))?;
        Ok(Room { file, len: 0 })
    }

    /// Appends; `span` is what is being unpacked.
    pub fn write(&mut self, span: &Span, bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| {
            span.wrong(format!(
                "unpacked it is {} and more, for which there is no room in {} ({e}): set TMPDIR to a folder \
                 on a \
                 larger disk, or unpack it and name the folder",
                size(self.len),
                std::env::temp_dir().display()
            ))
        })
    }

    pub fn into_span(self, span: &Span) -> Span {
        span.replaced(self.file, self.len)
    }
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Whether zip entries packed so are read.
pub(super) fn reads_method(method: CompressionMethod) -> bool {
    use CompressionMethod as M;
    [M::STORE, M::DEFLATE, M::DEFLATE64, M::BZIP2, M::LZMA, M::ZSTD, M::XZ].contains(&method)
}

/// The most bytes that a packed byte of a zip's entry unpacks to.
pub(super) fn most_ratio(method: CompressionMethod) -> u64 {
    match method {
        CompressionMethod::STORE => 1,
        CompressionMethod::DEFLATE | CompressionMethod::DEFLATE64 => 1032,
        _ => 1 << 16,
    }
}

/// What a method that is not read is called.
pub(super) fn method_name(method: CompressionMethod) -> String {
    let known = [
        (CompressionMethod::SHRINK, "Shrink"),
        (CompressionMethod::IMPLODE, "Implode"),
        (CompressionMethod::PPMD, "PPMd"),
        (CompressionMethod::JPEG, "JPEG"),
        (CompressionMethod::WAVPACK, "WavPack"),
    ];
    let known = known.iter().find(|(one, _)| *one == method);
    known.map_or_else(|| format!("{method}"), |(_, name)| name.to_string())
}

/// Unpacks a zip's entry of `size` bytes that is packed by another method than Deflate.
///
/// # Errors
/// A method that is not read; what LZMA's own header says is out of bounds.
pub(super) fn entry<'a>(
    method: CompressionMethod,
    mut packed: impl BufRead + 'a,
    size: u64,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match method {
        CompressionMethod::STORE => Box::new(packed),
        CompressionMethod::DEFLATE64 => Box::new(Deflate64Decoder::with_buffer(packed)),
        CompressionMethod::BZIP2 => Box::new(BzDecoder::new(packed)),
        CompressionMethod::ZSTD => Box::new(Zstd::new(packed)),
        CompressionMethod::XZ => Box::new(XzReader::new_mem_limit(packed, true, MAX_DICTIONARY)),
        CompressionMethod::LZMA => {
            // The version of the packer (two bytes), the length of the properties, and these: lc, lp and pb
            // in a byte, and the dictionary's size.
            let mut head = [0; 9];
            packed.read_exact(&mut head)?;
            if head[2..4] != [5, 0] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "properties that LZMA does not have"));
            }
            let dictionary = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
            // No match reaches back further than there are bytes.
            let dictionary = dictionary.min(size.min(u64::from(MAX_DICTIONARY) << 10) as u32);
            Box::new(LzmaReader::new_with_props(packed, size, head[4], dictionary, None)?)
        }
        other => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("packed by {other}"))),
    })
}

/// Zstandard frames, one after another.
struct Zstd<R> {
    packed: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(packed: R) -> Zstd<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Zstd { packed, decoder, within: false }
    }

    /// Begins the next frame; whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::other(e)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within {
                self.within = self.begin()?;
                if !self.within {
                    return Ok(0);
                }
            }
            let decoder = &mut self.decoder;
            while decoder.can_collect() == 0 && !decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                decoder.decode_blocks(&mut self.packed, one).map_err(io::Error::other)?;
            }
            let n = decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let sums = decoder.get_checksum_from_data().zip(decoder.get_calculated_checksum());
            if sums.is_some_and(|(told, is)| told != is) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong checksum"));
            }
            self.within = false;
        }
    }
}
