//! Decompression: of complete files (`.gz`, `.zst`, `.xz`, `.bz2`) into a temporary file, and of the entries
//! of zips.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use ::zip::CompressionMethod;
use bzip2::bufread::MultiBzDecoder;
use deflate64::Deflate64Decoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::file_slice::FileSlice;
use crate::Result;

/// The largest dictionary of xz and LZMA, in KiB; `xz -9` uses 64 MiB.
const MAX_DICTIONARY: u32 = 256 << 10;
/// The largest window of Zstandard, in bytes: that of `zstd --ultra -22`.
const MAX_WINDOW: u64 = 128 << 20;
/// A file of more than [`ALWAYS_ALLOWED`] bytes may grow by this factor when it is decompressed. Compressed
/// images grow by a few times; more is an attempt to fill the disk.
const MAX_GROWTH: u64 = 64;
const ALWAYS_ALLOWED: u64 = 4 << 30;

/// The compression of a file that is one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Detects the compression by a file's first bytes.
    pub fn of(head: &[u8]) -> Option<Compression> {
        match head {
            [0x1F, 0x8B, 8, ..] => Some(Compression::Gzip),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Compression::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            // A block of data follows, or the end of the stream.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..] => Some(Compression::Bzip2),
            _ => None,
        }
    }

    /// Its name, and the command that decompresses it.
    pub fn name_and_command(self) -> (&'static str, &'static str) {
        match self {
            Compression::Gzip => ("gzip", "gunzip"),
            Compression::Zstd => ("Zstandard", "unzstd"),
            Compression::Xz => ("xz", "unxz"),
            Compression::Bzip2 => ("bzip2", "bunzip2"),
        }
    }

    pub fn reader<'a>(self, compressed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(compressed)),
            Compression::Zstd => Box::new(ZstdReader::new(compressed)),
            Compression::Xz => Box::new(XzReader::new_mem_limit(compressed, true, MAX_DICTIONARY)),
            Compression::Bzip2 => Box::new(MultiBzDecoder::new(compressed)),
        }
    }

    /// The first `n` bytes of the content of `file`; fewer where it is shorter or broken.
    pub fn head(self, file: &FileSlice, n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.reader(BufReader::new(file.reader())).take(n).read_to_end(&mut bytes);
        bytes
    }

    /// Decompresses all of `file`.
    ///
    /// # Errors
    /// It is broken, the disk is full, or the content is larger than images can be.
    pub fn decompress(self, file: &FileSlice) -> Result<FileSlice> {
        let most = file.len.saturating_mul(MAX_GROWTH).max(ALWAYS_ALLOWED);
        let mut reader = self.reader(BufReader::with_capacity(1 << 16, file.reader()));
        TempFile::fill(file, &mut reader, most, self.name_and_command().0)
    }
}

/// A temporary file without a name for the decompressed content of another file.
pub(super) struct TempFile<'a> {
    /// Names the content in messages.
    of: &'a FileSlice,
    file: File,
    pub len: u64,
}

impl<'a> TempFile<'a> {
    pub fn new(of: &'a FileSlice) -> Result<TempFile<'a>> {
        let folder = std::env::temp_dir();
        let file = tempfile::tempfile().map_err(|e| {
            of.error(format!("cannot create a temporary file in {} ({e}): set TMPDIR", folder.display()))
        })?;
        Ok(TempFile { of, file, len: 0 })
    }

    /// Copies all of `reader`, the content of `of`, which may have `most` bytes. `compression` is for
    /// messages.
    pub fn fill(of: &FileSlice, reader: &mut dyn Read, most: u64, compression: &str) -> Result<FileSlice> {
        let mut temporary = TempFile::new(of)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(temporary.finish()),
                Ok(n) if temporary.len + n as u64 > most => {
                    let most = human_size(most);
                    return Err(
                        of.error(format!("larger than {most} when decompressed: decompress it yourself"))
                    );
                }
                Ok(n) => temporary.write(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(of.error(format!("broken or incomplete {compression} ({e}): fetch it again")));
                }
            }
        }
    }

    /// Appends `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| {
            let (size, folder) = (human_size(self.len), std::env::temp_dir());
            self.of.error(format!(
                "no room in {} for its decompressed content of {size} or more ({e}): set TMPDIR to a folder \
                 on a larger disk, or decompress it and name the folder",
                folder.display()
            ))
        })
    }

    pub fn finish(self) -> FileSlice {
        self.of.replaced(self.file, self.len)
    }
}

/// A number of bytes for people.
fn human_size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// The name of a zip's compression method, and the largest growth of a byte; an error for methods that are
/// not read.
pub(super) fn zip_growth(method: CompressionMethod) -> Result<u64, String> {
    use CompressionMethod as M;
    let name = match method {
        M::STORE => return Ok(1),
        M::DEFLATE | M::DEFLATE64 => return Ok(1032),
        M::BZIP2 | M::LZMA | M::ZSTD | M::XZ => return Ok(1 << 16),
        M::SHRINK => "Shrink",
        M::IMPLODE => "Implode",
        M::PPMD => "PPMd",
        M::JPEG => "JPEG",
        M::WAVPACK => "WavPack",
        other => return Err(other.to_string()),
    };
    Err(name.into())
}

/// Decompresses a zip's entry of `size` bytes. (The crate `zip` does it for Deflate itself.)
///
/// # Errors
/// A method that is not read; an LZMA header out of bounds.
pub(super) fn zip_reader<'a>(
    method: CompressionMethod,
    mut compressed: impl BufRead + 'a,
    size: u64,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match method {
        CompressionMethod::DEFLATE64 => Box::new(Deflate64Decoder::with_buffer(compressed)),
        CompressionMethod::BZIP2 => Compression::Bzip2.reader(compressed),
        CompressionMethod::ZSTD => Compression::Zstd.reader(compressed),
        CompressionMethod::XZ => Compression::Xz.reader(compressed),
        CompressionMethod::LZMA => {
            // Two bytes of version, the length of the properties (5), then lc, lp and pb in one byte, and the
            // size of the dictionary.
            let mut head = [0; 9];
            compressed.read_exact(&mut head)?;
            if head[2..4] != [5, 0] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "invalid LZMA properties"));
            }
            let dictionary = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
            // No match reaches back further than the start of the content.
            let dictionary = dictionary.min(size.min(u64::from(MAX_DICTIONARY) << 10) as u32);
            Box::new(LzmaReader::new_with_props(compressed, size, head[4], dictionary, None)?)
        }
        other => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("packed with {other}"))),
    })
}

/// Decompresses a sequence of Zstandard frames.
struct ZstdReader<R> {
    compressed: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(compressed: R) -> ZstdReader<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        ZstdReader { compressed, decoder, in_frame: false }
    }

    /// Starts the next frame; `false` at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.compressed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.compressed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.compressed.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::other(e)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.next_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            let decoder = &mut self.decoder;
            while decoder.can_collect() == 0 && !decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                decoder.decode_blocks(&mut self.compressed, one).map_err(io::Error::other)?;
            }
            let n = decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let sums = decoder.get_checksum_from_data().zip(decoder.get_calculated_checksum());
            if sums.is_some_and(|(stored, computed)| stored != computed) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong checksum"));
            }
            self.in_frame = false;
        }
    }
}
