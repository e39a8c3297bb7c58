//! A stretch of a file: all of it, or a member that lies in an archive as it is. Read by its offsets, from
//! any thread.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::folder::last_change;
use crate::{Error, Result};

/// The bytes from one offset of a file on.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// What messages call it: the file's path, followed by the member's name.
    pub name: PathBuf,
    /// The size of the input that it came from and when that last changed: its version.
    pub stamp: (u64, SystemTime),
    pub len: u64,
    file: Arc<File>,
    from: u64,
}

impl Span {
    /// All of a file.
    pub fn whole(path: &Path) -> Result<Span> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        let (len, stamp) = (metadata.len(), (metadata.len(), last_change(&metadata)));
        Ok(Span { name: path.to_path_buf(), stamp, len, file: Arc::new(file), from: 0 })
    }

    /// All of another file that takes this one's place: what it holds, unpacked.
    pub fn replaced(&self, file: File, len: u64) -> Span {
        Span { name: self.name.clone(), stamp: self.stamp, len, file: Arc::new(file), from: 0 }
    }

    /// `len` bytes from `from` on.
    ///
    /// # Errors
    /// They do not lie in it.
    pub fn part(&self, from: u64, len: u64) -> Result<Span> {
        match from.checked_add(len) {
            Some(end) if end <= self.len => Ok(Span { from: self.from + from, len, ..self.clone() }),
            _ => Err(self.wrong("cut short: fetch it again")),
        }
    }

    /// The same under the name of a member.
    pub fn named(self, member: &str) -> Span {
        Span { name: self.name.join(member), ..self }
    }

    /// An error about it.
    pub fn wrong(&self, what: impl Into<String>) -> Error {
        Error::file(&self.name, what)
    }

    /// Fills `out` with the bytes from `at` on.
    ///
    /// # Errors
    /// There are fewer, or what the system says.
    pub fn read_exact_at(&self, out: &mut [u8], at: u64) -> Result<()> {
        match at.checked_add(out.len() as u64) {
            Some(end) if end <= self.len => {
                self.file.read_exact_at(out, self.from + at).map_err(Error::io(&self.name))
            }
            _ => Err(self.wrong("cut short: fetch it again")),
        }
    }

    /// The first `n` bytes; fewer where there are no more.
    pub fn head(&self, n: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; n.min(self.len) as usize];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// The last `n` bytes; fewer where there are no more.
    pub fn tail(&self, n: u64) -> Result<Vec<u8>> {
        let n = n.min(self.len);
        let mut bytes = vec![0; n as usize];
        self.read_exact_at(&mut bytes, self.len - n)?;
        Ok(bytes)
    }

    /// A reader with a place of its own; it has no buffer.
    pub fn reader(&self) -> SpanReader {
        SpanReader { span: self.clone(), at: 0 }
    }
}

/// See [`Span::reader`].
pub(super) struct SpanReader {
    span: Span,
    at: u64,
}

impl Read for SpanReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.span.len.saturating_sub(self.at).min(out.len() as u64) as usize;
        let n = self.span.file.read_at(&mut out[..left], self.span.from + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for SpanReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.span.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        // Nothing lies behind the end, and no sum of it and an offset overflows.
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "a place outside the file");
        self.at = at.filter(|&at| at <= self.span.len).ok_or_else(wrong)?;
        Ok(self.at)
    }
}

/// The first `N` bytes of at least as many.
pub(super) fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("as many bytes")
}
