//! Files and folders that are written complete or not at all: made under a temporary name beside their place,
//! synced to disk, renamed.
//!
//! The temporary name of NAME is `.NAME.a1B2c3.part`. It is locked while its process lives, so that the next
//! process that makes NAME recognizes an orphaned temporary file and removes it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::{Error, Result};

/// The end of a temporary name.
const SUFFIX: &str = ".part";
/// The number of random letters before it.
const NUM_RANDOM: usize = 6;
/// The most characters of NAME in it: NAME may have the full length that the file system allows.
const MAX_SHOWN: usize = 48;

/// Writes `path` through `fill`, and replaces a file of that name. `path` is the old file or the complete new
/// one at any time; an error leaves the old one.
///
/// # Errors
/// Those of the operating system and of `fill`, with `path`.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_dated(path, None, fill)
}

/// [`write`] of a file with the modification time `time`, if it is given.
///
/// # Errors
/// As [`write`].
pub fn write_dated(
    path: &Path,
    time: impl Into<Option<SystemTime>>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write = || {
        let mut temporary = begin(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, &mut temporary);
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        if let Some(time) = time.into() {
            temporary.as_file().set_modified(time)?;
        }
        finish(temporary, path)
    };
    write().map_err(failed(path))
}

/// Checks that a file can be made at `path`, before long work for it.
///
/// # Errors
/// `path` is a folder; its folder does not exist or is not writable.
pub fn check_place(path: &Path) -> Result<()> {
    match path.is_dir() {
        true => Err(Error::file(path, "is a folder: name a file")),
        false => tempfile::tempfile_in(folder_of(path)).map(drop).map_err(failed(path)),
    }
}

/// Checks that an output may be written to `path`: nothing is there, or `force`, or what is there is
/// replaceable. `conflict` says why it is not, such as `is not a shard`, or gives `None` where it is.
///
/// # Errors
/// [`Error::Exists`]; those of `conflict`.
pub fn check_overwrite(
    path: &Path,
    force: bool,
    conflict: impl FnOnce() -> Result<Option<String>>,
) -> Result<()> {
    if force || !path.exists() {
        return Ok(());
    }
    match conflict()? {
        Some(what) => Err(Error::Exists { path: path.to_path_buf(), what }),
        None => Ok(()),
    }
}

/// Turns an error of making `path` into one that names `path`, not the temporary file.
pub fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |e| {
        let (folder, e) = (folder_of(path), without_path(e));
        match e.kind() {
            io::ErrorKind::NotFound if !folder.exists() => {
                let what = format!("no such folder: make it first (mkdir -p {})", folder.display());
                Error::file(folder, what)
            }
            io::ErrorKind::PermissionDenied if !path.exists() => {
                Error::file(path, format!("your user may not write to its folder, {}", folder.display()))
            }
            _ => Error::io(path)(e),
        }
    }
}

/// An error of `tempfile` without the temporary path at its end, ` at path "…"`.
fn without_path(e: io::Error) -> io::Error {
    match e.to_string().split_once(" at path \"") {
        Some((cause, _)) if e.raw_os_error().is_none() => io::Error::new(e.kind(), cause),
        _ => e,
    }
}

/// Makes a temporary file beside `path`, with the permissions of any new file. It is removed when it is
/// dropped.
///
/// # Errors
/// Those of the operating system, about the temporary name: use [`failed`].
pub fn begin(path: &Path) -> io::Result<NamedTempFile> {
    remove_orphans(path);
    loop {
        let temporary = builder(&prefix(path), 0o666).tempfile_in(folder_of(path))?;
        if lock(temporary.as_file(), temporary.path())? {
            return Ok(temporary);
        }
    }
}

/// Makes a temporary folder beside `path`, with the permissions of any new folder, and returns its lock to be
/// kept as long. It is removed when it is dropped.
///
/// # Errors
/// As [`begin`].
pub fn begin_folder(path: &Path) -> io::Result<(TempDir, File)> {
    remove_orphans(path);
    loop {
        let temporary = builder(&prefix(path), 0o777).tempdir_in(folder_of(path))?;
        let folder = File::open(temporary.path())?;
        if lock(&folder, temporary.path())? {
            return Ok((temporary, folder));
        }
    }
}

/// `mode` is what `File::create` or `create_dir` ask for, before the umask.
fn builder(prefix: &str, mode: u32) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix).suffix(SUFFIX).rand_bytes(NUM_RANDOM);
    builder.permissions(fs::Permissions::from_mode(mode));
    builder
}

/// Locks a new temporary file at `path`. `false` if another process removed it as an orphan before.
fn lock(temporary: &File, path: &Path) -> io::Result<bool> {
    // On a file system without locks no process gets the lock that removing needs.
    let _ = temporary.lock();
    fs::exists(path)
}

/// The start of the temporary names of `path`.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", name.chars().take(MAX_SHOWN).collect::<String>())
}

/// Removes the orphaned temporary files and folders of `path`, as far as possible.
fn remove_orphans(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|n| n.strip_prefix(&*prefix)?.strip_suffix(SUFFIX));
        if random.is_none_or(|random| random.len() != NUM_RANDOM || random.contains('.')) {
            continue;
        }
        let orphan = entry.path();
        let Ok(lock) = File::open(&orphan) else { continue };
        if lock.try_lock().is_ok() {
            let _ = match orphan.is_dir() {
                true => fs::remove_dir_all(&orphan),
                false => fs::remove_file(&orphan),
            };
        }
    }
}

/// Syncs a temporary file to disk and gives it its final name.
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

/// Syncs the names in `folder` to disk.
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

    /// Every line has the final name, and not the temporary one.
    #[test]
    fn errors_name_the_final_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), b"x").unwrap();
        fs::create_dir(path("made")).unwrap();
        let shown = folder.path().display();
        for (name, wanted) in [
            (
                "no/such/x",
                format!("{shown}/no/such: no such folder: make it first (mkdir -p {shown}/no/such)"),
            ),
            ("file/in/x", format!("{shown}/file/in/x: {shown}/file is not a folder")),
            ("made", format!("{shown}/made: is a folder: name a file")),
        ] {
            let (checked, written) = (check_place(&path(name)), write(&path(name), |_| Ok(())));
            let begun = begin(&path(name)).map_err(failed(&path(name))).map(drop);
            let folder = begin_folder(&path(name)).map_err(failed(&path(name))).map(drop);
            for line in [checked, written] {
                assert_eq!(line.unwrap_err().to_string(), wanted);
            }
            // These fail on a folder only when they take its place.
            for line in [begun, folder].into_iter().filter(|_| name != "made") {
                assert_eq!(line.unwrap_err().to_string(), wanted);
            }
        }
        let long = path(&"x".repeat(300));
        let line = write(&long, |_| Ok(())).unwrap_err().to_string();
        assert!(
            line.ends_with("xxx: the name is too long for the file system: choose a shorter one"),
            "{line}"
        );
        assert!(check_place(&path("new")).is_ok() && check_place(&path("file")).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // A full disk, in the words of tempfile.
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        let full = io::Error::new(full.kind(), format!("{full} at path \"/x/.a.b.part\""));
        assert_eq!(failed(Path::new("a"))(full).to_string(), "a: No space left on device (os error 28)");
    }

    #[test]
    fn orphaned_temporary_files_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let others =
            [".b.abcdef.part", ".a.abc.part", ".a.part", "a.abcdef.part", ".a.b.c.de.part", ".a.abcdef.par"];
        for name in [".a.abcdef.part", ".a.ABC123.part"].iter().chain(&others) {
            fs::write(path(name), b"half").unwrap();
        }
        fs::create_dir_all(path(".a.folder.part/in")).unwrap();
        // One belongs to a living process.
        let alive = begin(&path("a")).unwrap();
        write(&path("a"), |out| out.write_all(b"whole")).unwrap();
        let left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        let alive_name = alive.path().file_name().unwrap().to_str().unwrap();
        assert!(
            others.iter().chain(&["a", alive_name]).all(|name| left.contains(&name.to_string())),
            "{left:?}"
        );
        assert_eq!(left.len(), others.len() + 2, "{left:?}");
        finish(alive, &path("a")).unwrap();
        assert_eq!(fs::read(path("a")).unwrap(), b"");
    }

    #[test]
    fn a_temporary_folder_is_kept_until_it_is_orphaned() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("fakes");
        let (first, lock) = begin_folder(&out).unwrap();
        fs::write(first.path().join("0.png"), b"x").unwrap();
        let (second, _lock) = begin_folder(&out).unwrap();
        assert!(first.path().exists());
        // As after a kill: it stays, and no process has its lock.
        let left = first.keep();
        drop(lock);
        let (_third, _lock) = begin_folder(&out).unwrap();
        assert!(!left.exists() && second.path().exists());
    }

    #[test]
    fn a_name_may_be_as_long_as_the_file_system_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("é".repeat(127));
        write(&path, |out| out.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn permissions_are_those_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, |_| Ok(())).unwrap();
        File::create(&plain).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
