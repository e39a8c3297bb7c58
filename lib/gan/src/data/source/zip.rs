//! A zip of images, read in place by any number of threads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::idx::{self, Idx};
use super::kind::{HEAD, Kind, Sorter, dotted, is_hidden, is_image_name};
use super::span::Span;
use super::{Input, MAX_ENCODED, PassedOver, Raw, Recursion, container, found, split, unzip};
use crate::{Error, Result};

/// Whether a file begins as a zip does (an empty one included).
pub(super) fn is_zip(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(Error::io(path))?;
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(matches!(&magic, b"PK\x03\x04" | b"PK\x05\x06")),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(Error::io(path)(e)),
    }
}

pub(super) struct Zip {
    path: PathBuf,
    archive_len: u64,
    archive: ZipArchive<SharedFile>,
    /// Names and numbers of the images, by name.
    entries: Vec<(String, usize)>,
    passed_over: PassedOver,
    /// Name and number of CelebA's list of its splits.
    list: Option<(String, usize)>,
}

/// The first bytes of entry `i`; none where it cannot be read.
fn head(archive: &ZipArchive<SharedFile>, archive_len: u64, i: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD);
    if let Ok((entry, _)) = unzip::reader(&mut archive.clone(), archive_len, i) {
        let _ = entry.take(HEAD as u64).read_to_end(&mut bytes);
    }
    bytes
}

impl Zip {
    /// Reads the zip's directory: its images, or the images of the IDX file in it that is meant, as of a
    /// folder.
    pub(super) fn open(path: &Path, recursion: Recursion, wanted: Option<&str>) -> Result<Box<dyn Input>> {
        let file = SharedFile::open(path).map_err(Error::io(path))?;
        let archive_len = file.len;
        let archive = ZipArchive::new(file).map_err(|e| match Span::whole(path) {
            Ok(span) => container::zip_error(&span, &e),
            Err(e) => e,
        })?;
        let (mut entries, mut others) = (Vec::new(), Vec::new());
        for i in 0..archive.len() {
            let broken = |e: ZipError| Error::file(path, format!("entry {i}: {e}"));
            let entry = archive.by_index_data(i).map_err(broken)?;
            let name = entry.name().map_err(broken)?.into_owned();
            // Some Windows programs part folders by backslashes.
            if !entry.is_dir() && !name.split(['/', '\\']).any(is_hidden) {
                if is_image_name(&name) { &mut entries } else { &mut others }.push((name, i));
            }
        }
        others.sort_unstable();
        let is_list = |name: &str| split::LISTS.iter().any(|list| Path::new(name).ends_with(list));
        let list = others.iter().rev().find(|(name, _)| is_list(name)).cloned();
        let (mut sorter, mut sets, mut archives) = (Sorter::default(), Vec::new(), Vec::new());
        for (name, i) in others {
            match sorter.kind(&name, || head(&archive, archive_len, i)) {
                Kind::Image => entries.push((name, i)),
                Kind::Idx => sets.push((name, i)),
                Kind::Archive => archives.push(name),
                Kind::Other => {}
            }
        }
        entries.sort_unstable();
        let mut passed_over = sorter.passed_over;
        let version = |i: usize| archive.by_index_data(i).ok().map(|entry| (entry.size(), entry.crc32()));
        let names: Vec<String> = sets.iter().map(|set| set.0.clone()).collect();
        let same = |a: usize, b: usize| version(sets[a].1) == version(sets[b].1);
        if let Some(set) = idx::choose(path, &names, entries.len(), recursion, wanted, same)? {
            entries.iter().for_each(|(image, _)| passed_over.add("beside the IDX file", image));
            let (name, i) = &sets[set];
            let full = path.join(name);
            let broken = |e: ZipError| Error::file(&full, e.to_string());
            let version = version(*i).map_or(String::new(), |(size, crc)| format!("{size} {crc:08x}"));
            let mut archive = archive.clone();
            let (entry, _) = unzip::reader(&mut archive, archive_len, *i).map_err(broken)?;
            return Ok(Box::new(Idx::unpack(&full, entry, version)?.found(name.clone(), passed_over)));
        }
        names.iter().for_each(|name| passed_over.add("IDX", name));
        archives.iter().for_each(|name| passed_over.add(&dotted(name), name));
        if entries.is_empty() {
            return found::in_zip(path, passed_over);
        }
        unzip::any_is_read(path, &archive, &entries)?;
        Ok(Box::new(Zip { path: path.to_path_buf(), archive_len, archive, entries, passed_over, list }))
    }

    fn unpack(&self, i: usize) -> Result<Vec<u8>, ZipError> {
        // Cheap: the directory is shared, the reader's buffer begins empty.
        let mut archive = self.archive.clone();
        let (entry, most) = unzip::reader(&mut archive, self.archive_len, self.entries[i].1)?;
        let mut bytes = Vec::with_capacity(most.min(1 << 24) as usize);
        entry.take(MAX_ENCODED + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_ENCODED {
            return Err(ZipError::UnsupportedArchive("unpacked it is larger than 256 MiB"));
        }
        Ok(bytes)
    }
}

impl Input for Zip {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn name(&self, i: usize) -> String {
        self.entries[i].0.clone()
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.path.display(), self.entries[i].0)
    }

    fn read(&self, i: usize) -> Result<Raw> {
        self.unpack(i).map(Raw::Encoded).map_err(|e| match e {
            ZipError::Io(e) => Error::file(self.full_name(i), e.to_string()),
            other => Error::file(self.full_name(i), other.to_string()),
        })
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let entry = self.archive.by_index_data(self.entries[i].1);
        let entry = entry.map_err(|e| Error::file(self.full_name(i), e.to_string()))?;
        Ok((format!("{} {:08x}", entry.size(), entry.crc32()), None))
    }

    fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    fn enclosed_list(&self) -> Result<Option<(PathBuf, Vec<u8>)>> {
        let Some((name, i)) = &self.list else { return Ok(None) };
        let path = self.path.join(name);
        let broken = |e: &dyn std::fmt::Display| Error::file(&path, e.to_string());
        let (mut archive, mut bytes) = (self.archive.clone(), Vec::new());
        let (entry, _) = unzip::reader(&mut archive, self.archive_len, *i).map_err(|e| broken(&e))?;
        entry.take(split::MAX_LIST).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
        Ok(Some((path, bytes)))
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.path.parent().unwrap_or(Path::new("")).to_path_buf())
    }
}

/// A file that many read at once, each from a place of its own, through a small buffer of its own.
pub(super) struct SharedFile {
    file: Arc<File>,
    len: u64,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl SharedFile {
    const BUFFER: usize = 8192;

    pub(super) fn open(path: &Path) -> io::Result<SharedFile> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(SharedFile { file: Arc::new(file), len, at: 0, buffer: Vec::new(), buffer_at: 0 })
    }
}

impl Clone for SharedFile {
    fn clone(&self) -> SharedFile {
        SharedFile { file: self.file.clone(), len: self.len, at: 0, buffer: Vec::new(), buffer_at: 0 }
    }
}

impl Read for SharedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        let n = if buffered.contains(&self.at) {
            (&self.buffer[(self.at - self.buffer_at) as usize..]).read(out)?
        } else if out.len() >= SharedFile::BUFFER {
            self.file.read_at(out, self.at)?
        } else {
            self.buffer.resize(SharedFile::BUFFER, 0);
            let n = self.file.read_at(&mut self.buffer, self.at);
            self.buffer.truncate(*n.as_ref().unwrap_or(&0));
            self.buffer_at = self.at;
            n?;
            self.buffer.as_slice().read(out)?
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at =
            at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the file's start"))?;
        Ok(self.at)
    }
}
