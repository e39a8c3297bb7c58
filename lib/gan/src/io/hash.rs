//! SHA-256 of files and of what is written.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// A SHA-256 of all bytes that are written to it.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// The hash of `parts`, one after the other, hexadecimal.
    pub(crate) fn of(parts: &[&[u8]]) -> String {
        let mut hasher = Hasher::default();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finish()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash, hexadecimal.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of a file, hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let mut hasher = Hasher::default();
    let mut file = File::open(path).map_err(Error::io(path))?;
    io::copy(&mut file, &mut hasher).map_err(Error::io(path))?;
    Ok(hasher.finish())
}
