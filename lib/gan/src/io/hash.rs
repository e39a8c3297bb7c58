//! SHA-256 of files and of what is written.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes as hexadecimal digits, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// A SHA-256 that is written to.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// The hash of all bytes written, hexadecimal.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
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
