//! Entries of zips, whatever they are packed by; and zips as archives of files that are no images by
//! themselves.

use std::io::{self, BufReader, Read};
use std::path::Path;

use ::zip::result::{ZipError, ZipResult};
use ::zip::{CompressionMethod, ZipArchive};
use flate2::Crc;

use super::span::Span;
use super::unpack::{entry, method_name, most_ratio, reads_method, store};
use super::zip::SharedFile;
use crate::{Error, Result};

/// Why an entry cannot be read, and what to do.
pub(super) fn unread(archive: &ZipArchive<SharedFile>, i: usize) -> ZipResult<Option<String>> {
    let entry = archive.by_index_data(i)?;
    let mend = "unpack the zip and name the folder";
    Ok(match entry.compression() {
        // AES has a method of its own in front of the real one.
        _ if entry.encrypted() => Some(format!("encrypted: {mend}")),
        method if !reads_method(method) => {
            Some(format!("packed with {}, which is not read: {mend}", method_name(method)))
        }
        _ => None,
    })
}

/// Looks whether any of the images can be read, by how they are packed.
///
/// # Errors
/// None can: one line for all.
pub(super) fn any_is_read(
    path: &Path,
    archive: &ZipArchive<SharedFile>,
    images: &[(String, usize)],
) -> Result<()> {
    let mut reason = None;
    for (name, i) in images {
        match unread(archive, *i).map_err(|e| Error::file(path.join(name), e.to_string()))? {
            Some(why) => reason.get_or_insert(why),
            None => return Ok(()),
        };
    }
    let Some(why) = reason else { return Ok(()) };
    let n = images.len();
    let are = if n == 1 { "its image is".to_string() } else { format!("all of its {n} images are") };
    Err(Error::file(path, format!("{are} {why}")))
}

/// The bytes of entry `i`, and the most of them that there can be. An error in the end where their checksum
/// is wrong.
///
/// # Errors
/// A method that is not read, an encrypted entry, a damaged header.
pub(super) fn reader<'a>(
    archive: &'a mut ZipArchive<SharedFile>,
    archive_len: u64,
    i: usize,
) -> ZipResult<(Box<dyn Read + 'a>, u64)> {
    if let Some(why) = unread(archive, i)? {
        return Err(ZipError::Io(io::Error::other(why)));
    }
    let about = archive.by_index_data(i)?;
    let (method, size, crc) = (about.compression(), about.size(), about.crc32());
    // What it says of itself may be a lie.
    let packed = about.compressed_size().min(archive_len);
    let most = size.min(packed.saturating_mul(most_ratio(method)));
    Ok(match method {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => (Box::new(archive.by_index(i)?), most),
        method => {
            let packed = BufReader::new(archive.by_index_raw(i)?);
            let unpacked = entry(method, packed, most)?;
            (
                Box::new(Checked { unpacked: unpacked.take(size.saturating_add(1)), sum: Crc::new(), crc }),
                most,
            )
        }
    })
}

/// A reader that fails in the end where the checksum is not what it should be.
struct Checked<R> {
    unpacked: R,
    sum: Crc,
    crc: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.unpacked.read(out)?;
        self.sum.update(&out[..n]);
        if n == 0 && !out.is_empty() && self.sum.sum() != self.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "Invalid checksum"));
        }
        Ok(n)
    }
}

/// A zip as an archive.
pub(super) struct Entries {
    span: Span,
    archive: ZipArchive<SharedFile>,
}

impl Entries {
    /// Reads the directory of the zip that `span` is all of.
    ///
    /// # Errors
    /// A broken one.
    pub fn open(span: &Span) -> Result<Entries> {
        let file = SharedFile::open(&span.name).map_err(Error::io(&span.name))?;
        let archive = ZipArchive::new(file).map_err(|e| super::container::zip_error(span, &e))?;
        Ok(Entries { span: span.clone(), archive })
    }

    fn wrong(&self, i: usize, e: impl std::fmt::Display) -> Error {
        self.span.wrong(format!("entry {i}: {e}"))
    }

    /// The files' names, in order, and their numbers.
    pub fn names(&self) -> Result<Vec<(String, usize)>> {
        let mut names = Vec::new();
        for i in 0..self.archive.len() {
            let entry = self.archive.by_index_data(i).map_err(|e| self.wrong(i, e))?;
            if !entry.is_dir() {
                names.push((String::from_utf8_lossy(entry.name_raw()).into_owned(), i));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The first `n` bytes of entry `i`; fewer where there are no more.
    pub fn head(&self, i: usize, n: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut archive = self.archive.clone();
        let (reader, _) = reader(&mut archive, self.span.len, i).map_err(|e| self.wrong(i, e))?;
        reader.take(n).read_to_end(&mut bytes).map_err(|e| self.wrong(i, e))?;
        Ok(bytes)
    }

    /// All of entry `i`: where it lies, or in a temporary file.
    ///
    /// # Errors
    /// A wrong checksum, no room.
    pub fn open_entry(&self, name: &str, i: usize) -> Result<Span> {
        let mut archive = self.archive.clone();
        let wrong = |e: &dyn std::fmt::Display| self.span.wrong(format!("{name}: {e}: fetch it again"));
        let about = archive.by_index_data(i).map_err(|e| wrong(&e))?;
        let (stored, size) = (about.compression() == CompressionMethod::STORE, about.size());
        let from = match stored {
            true => archive.by_index_raw(i).map_err(|e| wrong(&e))?.data_start(),
            false => None,
        };
        let (mut reader, most) = reader(&mut archive, self.span.len, i).map_err(|e| wrong(&e))?;
        match from {
            Some(from) => {
                let there = self.span.part(from, size)?;
                io::copy(&mut reader, &mut io::sink()).map_err(|e| wrong(&e))?;
                Ok(there)
            }
            None => {
                let (file, len) = store(&self.span, &mut reader, most, "zip")?;
                Ok(self.span.replaced(file, len))
            }
        }
    }
}
