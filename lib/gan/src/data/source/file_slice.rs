//! A byte range of a file: the complete file, or an archive's member that is stored uncompressed. It is read
//! by offset, from any thread.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{Error, Result};

/// Tells a file from other versions of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileVersion {
    pub size: u64,
    pub crc: Option<u32>,
    /// When the content last changed. The system sets the change time (ctime) itself, so a file that was
    /// replaced by one with an older modification time (`mv`, `cp -p`) shows, too. `None` where a checksum is
    /// known.
    pub changed: Option<SystemTime>,
}

impl FileVersion {
    pub fn of(metadata: &Metadata) -> FileVersion {
        let (s, ns) = (metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(s, ns);
        FileVersion { size: metadata.len(), crc: None, changed: Some(changed) }
    }

    /// The version as [`super::input::Input::version`] returns it.
    pub fn text(&self) -> (String, Option<SystemTime>) {
        let crc = self.crc.map_or(String::new(), |crc| format!(" {crc:08x}"));
        (format!("{}{crc}", self.size), self.changed)
    }
}

/// A byte range of an open file.
#[derive(Debug, Clone)]
pub(super) struct FileSlice {
    /// The name in messages: the file's path, followed by the member's name.
    pub name: PathBuf,
    /// The version of the input.
    pub version: FileVersion,
    pub len: u64,
    file: Arc<File>,
    start: u64,
}

impl FileSlice {
    /// The complete file at `path`.
    pub fn open(path: &Path) -> Result<FileSlice> {
        let file = File::open(path).map_err(Error::io(path))?;
        let version = FileVersion::of(&file.metadata().map_err(Error::io(path))?);
        Ok(FileSlice { name: path.to_path_buf(), version, len: version.size, file: Arc::new(file), start: 0 })
    }

    /// `file` with the name and version of this slice: its decompressed content.
    pub fn replaced(&self, file: File, len: u64) -> FileSlice {
        FileSlice { len, file: Arc::new(file), start: 0, ..self.clone() }
    }

    /// `len` bytes at `from`.
    ///
    /// # Errors
    /// The range exceeds this slice.
    pub fn slice(&self, from: u64, len: u64) -> Result<FileSlice> {
        match from.checked_add(len) {
            Some(end) if end <= self.len => Ok(FileSlice { start: self.start + from, len, ..self.clone() }),
            _ => Err(self.error("cut short: fetch it again")),
        }
    }

    /// The same bytes under the name of a member.
    pub fn named(self, member: &str) -> FileSlice {
        FileSlice { name: self.name.join(member), ..self }
    }

    /// An error about this slice.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::file(&self.name, what)
    }

    /// Fills `out` with the bytes at `at`.
    ///
    /// # Errors
    /// There are fewer, or the system refuses.
    pub fn read_exact_at(&self, out: &mut [u8], at: u64) -> Result<()> {
        match at.checked_add(out.len() as u64) {
            Some(end) if end <= self.len => {
                self.file.read_exact_at(out, self.start + at).map_err(Error::io(&self.name))
            }
            _ => Err(self.error("cut short: fetch it again")),
        }
    }

    /// The first `n` bytes; fewer where the slice is shorter.
    pub fn head(&self, n: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; n.min(self.len) as usize];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// The last `n` bytes; fewer where the slice is shorter.
    pub fn tail(&self, n: u64) -> Result<Vec<u8>> {
        let n = n.min(self.len);
        let mut bytes = vec![0; n as usize];
        self.read_exact_at(&mut bytes, self.len - n)?;
        Ok(bytes)
    }

    /// A reader with a position of its own.
    pub fn reader(&self) -> FileSliceReader {
        FileSliceReader { slice: self.clone(), at: 0, buffer: Vec::new(), buffer_at: 0 }
    }
}

/// See [`FileSlice::reader`]. Small reads go through a buffer, which is allocated by the first of them.
pub(super) struct FileSliceReader {
    slice: FileSlice,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl FileSliceReader {
    const BUFFER: usize = 8192;
}

impl Clone for FileSliceReader {
    fn clone(&self) -> FileSliceReader {
        self.slice.reader()
    }
}

impl Read for FileSliceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.slice.len.saturating_sub(self.at);
        if left == 0 {
            return Ok(0);
        }
        let (file, start) = (&self.slice.file, self.slice.start + self.at);
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        let n = if buffered.contains(&self.at) {
            (&self.buffer[(self.at - self.buffer_at) as usize..]).read(out)?
        } else if out.len() >= FileSliceReader::BUFFER {
            let n = left.min(out.len() as u64) as usize;
            file.read_at(&mut out[..n], start)?
        } else {
            self.buffer.resize(left.min(FileSliceReader::BUFFER as u64) as usize, 0);
            let n = file.read_at(&mut self.buffer, start);
            self.buffer.truncate(*n.as_ref().unwrap_or(&0));
            self.buffer_at = self.at;
            n?;
            self.buffer.as_slice().read(out)?
        };
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for FileSliceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.slice.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the file's start");
        self.at = at.ok_or_else(outside)?;
        Ok(self.at)
    }
}
