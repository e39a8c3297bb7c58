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
    /// A named argument (a field of options, a recipe key) has a value that cannot be used.
    #[error("{}", printable(&format!("{name}: {what}")))]
    Argument {
        /// The argument, in snake case.
        name: String,
        /// What is wrong with its value.
        what: String,
    },
    /// The output of a command is there already and is not replaced.
    #[error("{}", printable(&format!("{}: already exists and {what}", path.display())))]
    Exists {
        /// The file or folder.
        path: PathBuf,
        /// What it is, such as `is not a shard`.
        what: String,
    },
    /// A combination of values makes no sense.
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

/// A number of things, in words: `1 image`, `2 images`.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// candle's errors append a backtrace on further lines.
fn first_line(e: &candle_core::Error) -> String {
    e.to_string().lines().map(str::trim_end).find(|line| !line.is_empty()).unwrap_or("failed").to_string()
}

impl Error {
    /// An error of the operating system about `path`: in plain words where what is wrong can be seen, else an
    /// [`Error::Io`]; made for `map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |reason| match in_words(path.as_ref(), reason.kind()) {
            Some(what) => Error::file(path, what),
            None => Error::Io { path: path.as_ref().to_path_buf(), reason },
        }
    }

    /// An [`Error::Invalid`] whose value's name is completed by `prefix`; other errors as they are.
    pub(crate) fn within(self, prefix: &str) -> Error {
        match self {
            Error::Invalid(what) => Error::Invalid(format!("{prefix}{what}")),
            other => other,
        }
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

/// What keeps `path` from being opened or made, as the names around it show it; `None` where they do not.
fn in_words(path: &Path, kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind::*;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file_above = || path.ancestors().skip(1).find(|above| above.is_file());
    Some(match kind {
        NotFound if path.as_os_str().is_empty() => "an empty name: name a file or a folder".into(),
        NotFound if path.is_symlink() => {
            "No such file or folder: it is a link, and what it names is gone".into()
        }
        NotFound => match folder.filter(|folder| !folder.exists()) {
            Some(folder) => format!("No such file or folder: there is no folder {}", folder.display()),
            None => "No such file or folder: check the name".into(),
        },
        NotADirectory => match file_above() {
            Some(file) => format!("{} is not a folder", file.display()),
            None => "is not a folder".into(),
        },
        IsADirectory => "is a folder: name a file".into(),
        PermissionDenied => "permission denied: your user may not read or write it (chmod allows it)".into(),
        ReadOnlyFilesystem => "Read-only file system: name a place on another disk".into(),
        InvalidFilename => "the name is longer than the file system has it: name it shorter".into(),
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
