//! Zips, read in place by any number of threads.

use std::borrow::Cow;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ::zip::result::{ZipError, ZipResult};
use ::zip::{CompressionMethod, ZipArchive};
use flate2::Crc;

use super::compression::{TempFile, zip_growth, zip_reader};
use super::file_set::FileSet;
use super::file_slice::{FileSlice, FileSliceReader, FileVersion};
use super::file_type::is_hidden;
use super::input::{Input, MAX_ENCODED, RawImage};
use super::{split, unsupported};
use crate::error::counted;
use crate::{Error, Result};

type Archive = ZipArchive<FileSliceReader>;

/// Whether a file begins as a zip does, an empty one included.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// The files in a zip.
pub(super) struct Zip {
    file: FileSlice,
    archive: Archive,
    /// Names and numbers of the entries, by name.
    entries: Vec<(String, usize)>,
}

impl Zip {
    /// Reads the zip's directory.
    ///
    /// # Errors
    /// It is broken.
    pub fn open(file: &FileSlice) -> Result<Zip> {
        let archive = ZipArchive::new(file.reader()).map_err(|e| unsupported::zip_error(file, &e))?;
        let mut entries = Vec::new();
        for i in 0..archive.len() {
            let broken = |e: ZipError| file.error(format!("entry {i}: {e}"));
            let entry = archive.by_index_data(i).map_err(broken)?;
            let name = entry.name().map_err(broken)?;
            // Some Windows programs separate folders by backslashes.
            if !entry.is_dir() && !name.split(['/', '\\']).any(is_hidden) {
                entries.push((name.into_owned(), i));
            }
        }
        entries.sort_unstable();
        Ok(Zip { file: file.clone(), archive, entries })
    }

    /// Whether this is an `.npz`: every entry is an `.npy`.
    pub fn is_npz(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|(name, _)| name.ends_with(".npy"))
    }

    /// An error about entry `i`.
    fn error(&self, i: usize, e: impl std::fmt::Display) -> Error {
        Error::file(self.file.name.join(&self.entries[i].0), e.to_string())
    }

    /// At most `limit` bytes of entry `i`.
    fn read(&self, i: usize, limit: u64) -> ZipResult<Vec<u8>> {
        // Cheap: the directory is shared, and the reader's buffer starts empty.
        let mut archive = self.archive.clone();
        let (entry, most) = reader(&mut archive, self.file.len, self.entries[i].1)?;
        let mut bytes = Vec::with_capacity(most.min(limit).min(1 << 24) as usize);
        entry.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Checks that one of the images can be read, by their compression.
    ///
    /// # Errors
    /// None can: one line for all.
    fn check_any_is_read(&self, images: &[usize]) -> Result<()> {
        let mut reason = None;
        for &i in images {
            match unsupported_entry(&self.archive, self.entries[i].1).map_err(|e| self.error(i, e))? {
                Some(why) => reason.get_or_insert(why),
                None => return Ok(()),
            };
        }
        let images = match images.len() {
            1 => "its image is".to_string(),
            n => format!("all of its {} are", counted(n as u64, "image")),
        };
        reason.map_or(Ok(()), |why| Err(self.file.error(format!("{images} {why}"))))
    }
}

impl FileSet for Zip {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.entries.iter().map(|(name, _)| Cow::from(name)).collect()
    }

    fn head(&self, i: usize, n: u64) -> Result<Vec<u8>> {
        self.read(i, n).map_err(|e| self.error(i, e))
    }

    /// # Errors
    /// A wrong checksum; a full disk.
    fn open(&self, i: usize) -> Result<FileSlice> {
        let (name, entry) = &self.entries[i];
        let broken = |e: &dyn std::fmt::Display| self.error(i, format!("{e}: fetch it again"));
        let mut archive = self.archive.clone();
        let data = archive.by_index_data(*entry).map_err(|e| broken(&e))?;
        let (is_stored, size) = (data.compression() == CompressionMethod::STORE, data.size());
        let from = match is_stored {
            true => archive.by_index_raw(*entry).map_err(|e| broken(&e))?.data_start(),
            false => None,
        };
        let (mut reader, most) = reader(&mut archive, self.file.len, *entry).map_err(|e| broken(&e))?;
        let file = self.file.clone().named(name);
        match from {
            Some(from) => {
                let stored = file.slice(from, size)?;
                io::copy(&mut reader, &mut io::sink()).map_err(|e| broken(&e))?;
                Ok(stored)
            }
            None => TempFile::fill(&file, &mut reader, most, "zip"),
        }
    }

    fn version(&self, i: usize) -> Option<FileVersion> {
        let entry = self.archive.by_index_data(self.entries[i].1).ok()?;
        Some(FileVersion { size: entry.size(), crc: Some(entry.crc32()), changed: None })
    }

    fn into_images(self: Box<Self>, images: Vec<usize>) -> Result<Box<dyn Input>> {
        self.check_any_is_read(&images)?;
        Ok(Box::new(ZipImages { zip: *self, images }))
    }
}

/// The images in a zip.
struct ZipImages {
    zip: Zip,
    /// Their numbers in the zip.
    images: Vec<usize>,
}

impl Input for ZipImages {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.zip.entries[self.images[i]].0.clone()
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.zip.file.name.display(), self.name(i))
    }

    fn read(&self, i: usize) -> Result<RawImage> {
        let what = match self.zip.read(self.images[i], MAX_ENCODED + 1) {
            Ok(bytes) if bytes.len() as u64 > MAX_ENCODED => "larger than 256 MiB when decompressed".into(),
            Ok(bytes) => return Ok(RawImage::Encoded(bytes)),
            Err(ZipError::Io(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        Err(Error::file(self.full_name(i), what))
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let broken = || Error::file(self.full_name(i), "a broken entry: fetch the zip again");
        Ok(self.zip.version(self.images[i]).ok_or_else(broken)?.text())
    }

    fn enclosed_list(&self) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let is_list =
            |(name, _): &(String, usize)| split::LISTS.iter().any(|list| Path::new(name).ends_with(list));
        let Some(i) = self.zip.entries.iter().rposition(is_list) else { return Ok(None) };
        Ok(Some((self.zip.file.name.join(&self.zip.entries[i].0), self.zip.head(i, split::MAX_LIST)?)))
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.zip.file.name.parent().unwrap_or(Path::new("")).to_path_buf())
    }
}

/// Why entry `i` cannot be read, and what to do.
fn unsupported_entry(archive: &Archive, i: usize) -> ZipResult<Option<String>> {
    let entry = archive.by_index_data(i)?;
    // AES hides the real method behind its own.
    let what = match zip_growth(entry.compression()) {
        _ if entry.encrypted() => "encrypted".to_string(),
        Err(method) => format!("packed with {method}, which is not read"),
        Ok(_) => return Ok(None),
    };
    Ok(Some(format!("{what}: unpack the zip and name the folder")))
}

/// The bytes of entry `i`, and an upper bound of their number. The reader fails at the end where the checksum
/// is wrong.
///
/// # Errors
/// An unsupported method; an encrypted entry; a damaged header.
fn reader<'a>(archive: &'a mut Archive, archive_len: u64, i: usize) -> ZipResult<(Box<dyn Read + 'a>, u64)> {
    if let Some(why) = unsupported_entry(archive, i)? {
        return Err(ZipError::Io(io::Error::other(why)));
    }
    let entry = archive.by_index_data(i)?;
    let (method, size, crc) = (entry.compression(), entry.size(), entry.crc32());
    // The sizes in the directory may be wrong.
    let growth = zip_growth(method).unwrap_or(1);
    let most = size.min(entry.compressed_size().min(archive_len).saturating_mul(growth));
    if let CompressionMethod::STORE | CompressionMethod::DEFLATE = method {
        return Ok((Box::new(archive.by_index(i)?), most));
    }
    let entry = zip_reader(method, BufReader::new(archive.by_index_raw(i)?), most)?;
    Ok((Box::new(CheckedReader { entry: entry.take(size.saturating_add(1)), sum: Crc::new(), crc }), most))
}

/// A reader that fails at the end where the checksum is wrong.
struct CheckedReader<R> {
    entry: R,
    sum: Crc,
    crc: u32,
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.entry.read(out)?;
        self.sum.update(&out[..n]);
        if n == 0 && !out.is_empty() && self.sum.sum() != self.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "Invalid checksum"));
        }
        Ok(n)
    }
}
