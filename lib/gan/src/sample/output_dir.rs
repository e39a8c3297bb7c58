//! A folder of images that appears complete, and never replaces files of others.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::io::{atomic, check_overwrite};
use crate::progress::Progress;
use crate::{Error, Result};

/// The file in a folder that says what made it.
const MARKER: &str = ".gantools.json";

/// The name of image `index`.
pub(super) fn file_name(index: usize) -> String {
    format!("{index:06}.png")
}

/// A temporary folder beside its final place. It is removed when it is dropped before [`OutputDir::finish`].
pub(super) struct OutputDir {
    place: PathBuf,
    temporary: TempDir,
    _lock: fs::File,
    force: bool,
}

impl OutputDir {
    /// Begins a folder that will be at `out`.
    ///
    /// # Errors
    /// Those of [`check_folder`].
    pub(super) fn begin(out: &Path, force: bool) -> Result<OutputDir> {
        check_folder(out, force)?;
        // A link to a folder stays a link: the folder behind it is replaced.
        let place = out.canonicalize().unwrap_or_else(|_| out.to_path_buf());
        let (temporary, lock) = atomic::begin_folder(&place).map_err(atomic::failed(out))?;
        Ok(OutputDir { place, temporary, _lock: lock, force })
    }

    /// Adds a file; callable from many threads.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.temporary.path().join(name), bytes).map_err(Error::io(self.place.join(name)))
    }

    /// Adds the marker and moves the folder to its place. `marker` is an object with `images`, their number.
    ///
    /// # Errors
    /// Those of [`check_folder`], or the operating system refuses. Then the old folder is still there.
    pub(super) fn finish(self, mut marker: Value, progress: &dyn Progress) -> Result<()> {
        marker["made_by"] = "sample".into();
        marker["version"] = env!("CARGO_PKG_VERSION").into();
        self.add(MARKER, format!("{marker}\n").as_bytes())?;
        check_folder(&self.place, self.force)?;
        let (replaces, temporary) = (self.place.exists(), self.temporary.path().to_path_buf());
        let publish = || {
            sync(&temporary)?;
            if replaces { exchange(&temporary, &self.place) } else { fs::rename(&temporary, &self.place) }?;
            atomic::sync_folder(atomic::folder_of(&self.place))
        };
        publish().map_err(Error::io(&self.place))?;
        if !replaces {
            // Nothing has the temporary name any more.
            let _ = self.temporary.keep();
        } else if let Err(e) = self.temporary.close() {
            progress.warn(&format!("{}: the replaced folder cannot be removed: {e}", temporary.display()));
        }
        Ok(())
    }
}

/// Checks that a folder of images may be written to `out`: nothing is there, or an empty folder, or one of
/// `sample`, or `force`.
///
/// # Errors
/// [`Error::Exists`]; `out` is a file, a broken link or the current folder; its parent is missing.
pub fn check_folder(out: &Path, force: bool) -> Result<()> {
    let Ok(place) = out.canonicalize() else {
        return match out.is_symlink() {
            true => Err(Error::file(out, "is a link to a missing folder: remove it")),
            false => atomic::check_place(out),
        };
    };
    if !place.is_dir() {
        return Err(Error::file(out, "is a file: name a folder"));
    }
    let here = std::env::current_dir().and_then(|d| d.canonicalize()).map_err(Error::io("."))?;
    if here.starts_with(&place) {
        return Err(Error::file(out, "is the current folder or holds it: name another folder"));
    }
    check_overwrite(out, force, || foreign(&place).map_err(Error::io(out)))
}

/// Checks that the file `path` is not inside the folder of images `folder`, for an argument of that name.
///
/// # Errors
/// It is.
pub fn check_outside(argument: &str, path: &Path, folder: &Path) -> Result<()> {
    let absolute = |p: &Path| p.canonicalize().or_else(|_| std::path::absolute(p)).map_err(Error::io(p));
    if absolute(atomic::folder_of(path))?.starts_with(absolute(folder)?) {
        let (path, folder) = (path.display(), folder.display());
        return Err(Error::argument(argument, format!("{path} is inside {folder}, a folder of images only")));
    }
    Ok(())
}

/// What an existing folder holds besides the files of `sample`; `None` if nothing.
fn foreign(folder: &Path) -> io::Result<Option<String>> {
    let entries = fs::read_dir(folder)?.map(|e| Ok(e?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let marker = || {
        let marker: Value = serde_json::from_slice(&fs::read(folder.join(MARKER)).ok()?).ok()?;
        // Older versions wrote `pictures`.
        let count = marker["images"].as_u64().or(marker["pictures"].as_u64())?;
        (marker["made_by"] == "sample").then_some(count as usize)
    };
    let Some(count) = marker() else {
        return Ok((!entries.is_empty()).then(|| "was not made by `sample`".into()));
    };
    let is_ours = |name: &OsStr| {
        let stem = name.to_str().and_then(|n| n.strip_suffix(".png"));
        let index = stem.and_then(|s| s.parse().ok()).filter(|&i| i < count);
        name == MARKER || index.is_some_and(|i| name == file_name(i).as_str())
    };
    let other = entries.iter().filter(|name| !is_ours(name)).min();
    Ok(other.map(|name| format!("holds {}, which `sample` did not make", name.display())))
}

/// Syncs the file system of a folder. One call for each image would take longer than making the images.
#[cfg(target_os = "linux")]
fn sync(folder: &Path) -> io::Result<()> {
    let folder = fs::File::open(folder)?;
    // SAFETY: the descriptor is open as long as `folder` lives, which is past the call.
    answer(unsafe { libc::syncfs(std::os::fd::AsRawFd::as_raw_fd(&folder)) })
}

#[cfg(not(target_os = "linux"))]
fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// The result of a system call.
#[cfg(target_os = "linux")]
fn answer(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Exchanges two folders: atomically where the file system can, else by renames, which are undone if one
/// fails.
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
    answer(unsafe { libc::renameat2(here, new.as_ptr(), here, old.as_ptr(), libc::RENAME_EXCHANGE) })
}

#[cfg(not(target_os = "linux"))]
fn exchange_at_once(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same by three renames.
pub(super) fn exchange_by_renames(new: &Path, old: &Path) -> io::Result<()> {
    let mut aside = tempfile::Builder::new();
    let aside = aside.prefix(".sample-").suffix(".old").tempdir_in(atomic::folder_of(old))?;
    let parked = aside.path().join("old");
    fs::rename(old, &parked)?;
    if let Err(e) = fs::rename(new, old) {
        fs::rename(&parked, old)?;
        return Err(e);
    }
    fs::rename(&parked, new)
}
