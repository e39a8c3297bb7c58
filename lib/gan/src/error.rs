//! The library's error type.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the library. Its `Display` is one line: the file or value, what is wrong, and the fix if there
/// is one. No error has a `source`, so a printed chain of errors says nothing twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation on a file.
    #[error("{}", printable(&format!("{}: {reason}", path.display())))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{}", printable(&format!("{}: {what}", path.display())))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and the fix.
        what: String,
    },
    /// A named argument (a field of options, a recipe key) has an invalid value.
    #[error("{}", printable(&format!("{name}: {what}")))]
    Argument {
        /// The argument, in snake case.
        name: String,
        /// What is wrong with its value.
        what: String,
    },
    /// An output exists already and is not replaced.
    #[error("{}", printable(&format!("{}: already exists and {what}", path.display())))]
    Exists {
        /// The file or folder.
        path: PathBuf,
        /// Why it is not replaced, such as `is not a shard`.
        what: String,
    },
    /// Values are invalid, alone or in combination.
    #[error("{}", printable(.0))]
    Invalid(String),
    /// The work was stopped on request.
    #[error("stopped")]
    Stopped,
    /// A tensor operation failed: a bug, or the device is out of memory.
    #[error("tensor: {}", first_line(.0))]
    Tensor(candle_core::Error),
}

/// The maximum length of a printed line, in characters; enough for two paths.
const MAX_LINE: usize = 10_000;

/// One line for a terminal: control characters, which names of files may have, are escaped as in Rust.
pub fn printable(line: &str) -> Cow<'_, str> {
    match line.contains(char::is_control) || line.len() > MAX_LINE {
        false => line.into(),
        true => line
            .chars()
            .take(MAX_LINE)
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
            .collect::<String>()
            .into(),
    }
}

/// A number of things in words: `1 image`, `2 images`.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// The first line of an error of candle; a backtrace follows it.
fn first_line(e: &candle_core::Error) -> String {
    e.to_string().lines().map(str::trim_end).find(|line| !line.is_empty()).unwrap_or("failed").to_string()
}

impl Error {
    /// An error of the operating system about `path`, for `map_err(Error::io(path))`: in plain words if the
    /// cause can be seen, else an [`Error::Io`].
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |reason| match in_words(path.as_ref(), reason.kind()) {
            Some(what) => Error::file(path, what),
            None => Error::Io { path: path.as_ref().to_path_buf(), reason },
        }
    }

    /// An [`Error::Invalid`] with `prefix` before its line; any other error unchanged.
    pub(crate) fn within(self, prefix: &str) -> Error {
        let Error::Invalid(what) = self else { return self };
        Error::Invalid(format!("{prefix}{what}"))
    }

    /// An [`Error::Invalid`] as one of the file `path`; other errors as they are.
    pub fn at(self, path: impl AsRef<Path>) -> Error {
        let Error::Invalid(what) = self else { return self };
        Error::file(path, what)
    }

    /// An [`Error::Argument`] about `name`.
    pub fn argument(name: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Argument { name: name.into(), what: what.into() }
    }

    /// An [`Error::File`] about `path`.
    pub fn file(path: impl AsRef<Path>, what: impl Into<String>) -> Error {
        Error::File { path: path.as_ref().to_path_buf(), what: what.into() }
    }
}

/// Why `path` cannot be opened or made, from the files around it; `None` if they do not show it.
fn in_words(path: &Path, kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind::*;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file_above = || path.ancestors().skip(1).find(|above| above.is_file());
    Some(match kind {
        NotFound if path.as_os_str().is_empty() => "an empty name: name a file or a folder".into(),
        NotFound if path.is_symlink() => "No such file or folder: it is a link to a missing file".into(),
        NotFound => match folder.filter(|folder| !folder.exists()) {
            Some(folder) => format!("No such file or folder: there is no folder {}", folder.display()),
            None => "No such file or folder: check the name".into(),
        },
        NotADirectory => match file_above() {
            Some(file) => format!("{} is not a folder", file.display()),
            None => "is not a folder".into(),
        },
        IsADirectory => "is a folder: name a file".into(),
        PermissionDenied => "permission denied: allow your user to read and write it (chmod)".into(),
        ReadOnlyFilesystem => "read-only file system: name a place on another disk".into(),
        InvalidFilename => "the name is too long for the file system: choose a shorter one".into(),
        _ => return None,
    })
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Error {
        Error::Tensor(e)
    }
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
