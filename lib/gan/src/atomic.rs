//! Files that are whole or not there: written beside their place, synced, renamed.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes `path` through `fill`, replacing a file of that name. Under `path` there is the old file or the whole new one,
/// never a part; an error leaves the old one.
///
/// # Errors
/// Whatever the operating system refuses, or `fill` returns, about `path`.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let write = || {
        let temporary = begin(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        finish(temporary, path)
    };
    write().map_err(Error::io(path))
}

/// A temporary file beside `path`, with the permissions of any new file; dropped, it is removed.
pub fn begin(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What `File::create` asks for; the umask takes from it.
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path))
}

/// Gives a temporary file its final name, on the disk and not in a buffer only.
pub fn finish(temporary: NamedTempFile, path: &Path) -> io::Result<()> {
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    sync_folder(folder_of(path))
}

/// The folder that holds `path`.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the names in `folder` last through a crash.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_old_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let failing = |out: &mut dyn Write| {
            out.write_all(b"new")?;
            Err(io::Error::other("no more"))
        };
        let line = write(&path, failing).unwrap_err().to_string();
        assert_eq!(line, format!("{}: no more", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, |_| Ok(())).unwrap();
        File::create(&plain).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
