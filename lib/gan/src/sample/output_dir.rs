//! A folder of images that takes its place whole, and never takes the place of what others made.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::sample::file_name;
use crate::io::atomic;
use crate::progress::Progress;
use crate::{Error, Result};

/// The file in a folder that says who made it.
const MARKER: &str = ".gantools.json";
/// What it says.
const MAKER: &str = "sample";

/// A folder in the making, beside its place; dropped before [`Folder::finish`], it is removed.
pub struct OutputDir {
    place: PathBuf,
    making: TempDir,
    _lock: fs::File,
    force: bool,
}

impl OutputDir {
    /// Begins a folder that will take the place `out`, with `force` whatever is there.
    ///
    /// # Errors
    /// `out` is a file, or the folder that we are in, or without `force` a folder that holds what `sample` did not make.
    pub fn begin(out: &Path, force: bool) -> Result<OutputDir> {
        // A link to a folder stays a link: the folder behind it is replaced.
        let place = match out.canonicalize() {
            Ok(real) => real,
            Err(_) if out.is_symlink() => return Err(Error::file(out, "is a link to nothing; remove it")),
            Err(_) => out.to_path_buf(),
        };
        may_replace(out, &place, force)?;
        let (making, lock) = atomic::begin_folder(&place).map_err(atomic::failed(out))?;
        Ok(OutputDir { place, making, _lock: lock, force })
    }

    /// Adds a file. Many threads may.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.making.path().join(name), bytes).map_err(Error::io(self.place.join(name)))
    }

    /// Adds the marker, with what `about` (an object with `images`, their number) tells of them, and takes the place.
    ///
    /// # Errors
    /// The place is no longer free, or the operating system refuses. Then what was there is there still.
    pub fn finish(self, mut about: Value, progress: &dyn Progress) -> Result<()> {
        about["made_by"] = MAKER.into();
        about["version"] = env!("CARGO_PKG_VERSION").into();
        self.add(MARKER, format!("{about}\n").as_bytes())?;
        may_replace(&self.place, &self.place, self.force)?;
        let io = |e| Error::io(&self.place)(e);
        sync(self.making.path()).map_err(io)?;
        if self.place.exists() {
            exchange(self.making.path(), &self.place).map_err(io)?;
            atomic::sync_folder(atomic::folder_of(&self.place)).map_err(io)?;
            // What was in the place is in the temporary folder now.
            let old = self.making.path().to_path_buf();
            if let Err(e) = self.making.close() {
                progress.warn(&format!("{}: what was replaced cannot be removed: {e}", old.display()));
            }
            return Ok(());
        }
        fs::rename(self.making.path(), &self.place).map_err(io)?;
        // There is nothing of that name any more.
        let _ = self.making.keep();
        atomic::sync_folder(atomic::folder_of(&self.place)).map_err(|e| Error::io(&self.place)(e))
    }
}

/// Whether what is in `place` may go; `out` is its name for the error.
fn may_replace(out: &Path, place: &Path, force: bool) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    if !place.is_dir() {
        return Err(Error::file(out, "is a file; name a folder for the images"));
    }
    let here = std::env::current_dir().and_then(|d| d.canonicalize()).map_err(Error::io("."))?;
    if here.starts_with(place) {
        return Err(Error::file(
            out,
            "is the folder that you are in (or holds it); name one for the images alone",
        ));
    }
    match foreign(place).map_err(Error::io(out))? {
        Some(what) if !force => {
            let what =
                format!("{what}; it is not replaced (name another folder, or --force to lose what it holds)");
            Err(Error::file(out, what))
        }
        _ => Ok(()),
    }
}

/// What in an existing folder is not `sample`'s, or `None` if all is (or it is empty).
fn foreign(folder: &Path) -> io::Result<Option<String>> {
    let entries = fs::read_dir(folder)?.map(|e| Ok(e?.file_name())).collect::<io::Result<Vec<_>>>()?;
    if entries.is_empty() {
        return Ok(None);
    }
    let count = || -> Option<usize> {
        let marker: Value = serde_json::from_slice(&fs::read(folder.join(MARKER)).ok()?).ok()?;
        (marker["made_by"] == MAKER).then(|| marker["pictures"].as_u64())?.map(|n| n as usize)
    };
    let Some(count) = count() else { return Ok(Some("holds what `sample` did not make".into())) };
    let ours = |name: &OsStr| {
        let stem = name.to_str().and_then(|n| n.strip_suffix(".png"));
        let index = stem.and_then(|s| s.parse().ok()).filter(|&i| i < count);
        name == MARKER || index.is_some_and(|i| name == file_name(i).as_str())
    };
    let other = entries.iter().filter(|name| !ours(name)).min();
    Ok(other.map(|name| format!("holds {}, which `sample` did not put there", name.display())))
}

/// Writes a folder's files to the disk. One call for all: one per image would take longer than making them.
fn sync(folder: &Path) -> io::Result<()> {
    let folder = fs::File::open(folder)?;
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open as long as `folder` lives, which is past the call.
        match unsafe { libc::syncfs(folder.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    folder.sync_all()
}

/// Exchanges two folders: at once where the file system can, else by renames that are undone if one fails.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    match exchange_at_once(new, old) {
        Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
            exchange_by_renames(new, old)
        }
        other => other,
    }
}

#[cfg(target_os = "linux")]
fn exchange_at_once(new: &Path, old: &Path) -> io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let path = |p: &Path| CString::new(p.as_os_str().as_bytes()).map_err(io::Error::from);
    let (new, old) = (path(new)?, path(old)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both are C strings that live past the call; the call keeps neither.
    match unsafe { libc::renameat2(here, new.as_ptr(), here, old.as_ptr(), libc::RENAME_EXCHANGE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange_at_once(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same as three renames, for file systems that cannot exchange.
pub(super) fn exchange_by_renames(new: &Path, old: &Path) -> io::Result<()> {
    let aside =
        tempfile::Builder::new().prefix(".sample-").suffix(".old").tempdir_in(atomic::folder_of(old))?;
    let parked = aside.path().join("old");
    fs::rename(old, &parked)?;
    if let Err(e) = fs::rename(new, old) {
        fs::rename(&parked, old)?;
        return Err(e);
    }
    fs::rename(&parked, new)
}
