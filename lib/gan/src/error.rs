//! The library's one error type: what went wrong, with the file or value that it went wrong with.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the library. Its `Display` is one line that names the file or value and, where there is one, the mend. It
/// says all: no error has a `source`, so that a chain of errors printed whole says nothing twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something about a file.
    #[error("{}", printable(&format!("{}: {reason}", path.display())))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{}", printable(&format!("{}: {what}", path.display())))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and the mend.
        what: String,
    },
    /// A value (a flag's, a recipe key's) makes no sense.
    #[error("{}", printable(.0))]
    Invalid(String),
    /// The work was stopped on request.
    #[error("stopped")]
    Stopped,
    /// A tensor operation failed: a bug of ours, or a device out of memory.
    #[error("tensor: {}", first_line(.0))]
    Tensor(candle_core::Error),
}

/// The longest line that is printed, in characters: two paths have room.
const LONGEST: usize = 10_000;

/// One line for a terminal, whatever the names of files in it hold: newlines, escape sequences and the like are written as Rust
/// would write them.
pub fn printable(line: &str) -> Cow<'_, str> {
    match line.contains(char::is_control) || line.len() > LONGEST {
        false => line.into(),
        true => line
            .chars()
            .take(LONGEST)
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
            .collect::<String>()
            .into(),
    }
}

/// candle's errors append a backtrace on further lines.
fn first_line(e: &candle_core::Error) -> String {
    e.to_string().lines().map(str::trim_end).find(|line| !line.is_empty()).unwrap_or("failed").to_string()
}

impl Error {
    /// An [`Error::Io`] about `path`; made for `map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |reason| Error::Io { path: path.as_ref().to_path_buf(), reason }
    }

    /// An [`Error::Invalid`] whose value's name is completed by `prefix`; other errors as they are.
    pub(crate) fn within(self, prefix: &str) -> Error {
        match self {
            Error::Invalid(what) => Error::Invalid(format!("{prefix}{what}")),
            other => other,
        }
    }

    /// An [`Error::File`] about `path`.
    pub fn file(path: impl AsRef<Path>, what: impl Into<String>) -> Error {
        Error::File { path: path.as_ref().to_path_buf(), what: what.into() }
    }
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Error {
        Error::Tensor(e)
    }
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
