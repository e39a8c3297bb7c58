//! Files and folders that are whole or not there: made beside their place, synced, renamed.
//!
//! What is being made is called `.NAME.a1B2c3.part` and locked as long as its maker lives. So the next maker of NAME can tell
//! what a killed one left, and removes it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::{Error, Result};

/// How the name of what is being made ends.
const SUFFIX: &str = ".part";
/// Random letters before that.
const RANDOM: usize = 6;
/// Characters of NAME in it: NAME may be as long as the file system allows.
const SHOWN: usize = 48;

/// Writes `path` through `fill`, replacing a file of that name. Under `path` there is the old file or the whole new one,
/// never a part; an error leaves the old one.
///
/// # Errors
/// Whatever the operating system refuses, or `fill` returns, about `path`.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let write = || {
        let mut temporary = begin(path)?;
        filled(&mut temporary, fill)?;
        finish(temporary, path)
    };
    write().map_err(failed(path))
}

/// [`write`] of a file whose last change is to have been at `time`.
///
/// # Errors
/// As [`write`].
pub fn write_dated(
    path: &Path,
    time: SystemTime,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let write = || {
        let mut temporary = begin(path)?;
        filled(&mut temporary, fill)?;
        temporary.as_file().set_modified(time)?;
        finish(temporary, path)
    };
    write().map_err(failed(path))
}

/// Checks that a file can be made at `path`, before long work is done for it.
///
/// # Errors
/// A folder has the name; its folder is not there or not writable.
pub fn check_place(path: &Path) -> Result<()> {
    match path.is_dir() {
        true => Err(Error::file(path, "is a folder: name a file")),
        false => tempfile::tempfile_in(folder_of(path)).map(drop).map_err(failed(path)),
    }
}

/// Checks that an output may be written to `path`: nothing is there, or `force`, or what is there is replaceable. `conflict`
/// says why it is not, such as `is not a shard`, or gives `None` where it is.
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

/// What kept `path` from being made, in words of the names that the user gave.
pub fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |e| {
        let (folder, e) = (folder_of(path), plain(e));
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

fn filled(
    temporary: &mut NamedTempFile,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, temporary);
    fill(&mut out)?;
    out.flush()
}

/// A temporary file beside `path`, with the permissions of any new file; dropped, it is removed. Its errors,
/// and those of what is written to it, name the file itself: see [`failed`].
pub fn begin(path: &Path) -> io::Result<NamedTempFile> {
    sweep(path);
    loop {
        let temporary = builder(&prefix(path), 0o666).tempfile_in(folder_of(path))?;
        if is_claimed(temporary.as_file(), temporary.path())? {
            return Ok(temporary);
        }
    }
}

/// A temporary folder beside `path`, with the permissions of any new folder, and its lock, to be kept as long; dropped, it is
/// removed. Its errors: see [`failed`].
pub fn begin_folder(path: &Path) -> io::Result<(TempDir, File)> {
    sweep(path);
    loop {
        let temporary = builder(&prefix(path), 0o777).tempdir_in(folder_of(path))?;
        let lock = File::open(temporary.path())?;
        if is_claimed(&lock, temporary.path())? {
            return Ok((temporary, lock));
        }
    }
}

/// `mode` is what `File::create` or `create_dir` ask for; the umask takes from it.
fn builder(prefix: &str, mode: u32) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

/// An error of `tempfile` without the name that nobody gave: its line ends with ` at path "…"`.
fn plain(e: io::Error) -> io::Error {
    match e.to_string().split_once(" at path \"") {
        Some((cause, _)) if e.raw_os_error().is_none() => io::Error::new(e.kind(), cause),
        _ => e,
    }
}

/// Locks what was just made at `path`. Before that somebody may have taken it for what a killed one left: `false`.
fn is_claimed(made: &File, path: &Path) -> io::Result<bool> {
    // Where a file system has no locks, nobody gets the one that removing asks for.
    let _ = made.lock();
    fs::exists(path)
}

/// How the names of what is being made for `path` begin.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", name.chars().take(SHOWN).collect::<String>())
}

/// Removes what killed ones left of `path`, as far as it can be removed.
fn sweep(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|n| n.strip_prefix(&*prefix)?.strip_suffix(SUFFIX));
        if random.is_none_or(|random| random.len() != RANDOM || random.contains('.')) {
            continue;
        }
        let left = entry.path();
        let Ok(lock) = File::open(&left) else { continue };
        if lock.try_lock().is_ok() {
            let _ = match left.is_dir() {
                true => fs::remove_dir_all(&left),
                false => fs::remove_file(&left),
            };
        }
    }
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

    /// Whatever fails, the line has the name that was asked for, and not that of what was in the making.
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
            // Where a folder is, these find that out when they take its place.
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
        // A full disk, as tempfile says it.
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        let full = io::Error::new(full.kind(), format!("{full} at path \"/x/.a.b.part\""));
        assert_eq!(failed(Path::new("a"))(full).to_string(), "a: No space left on device (os error 28)");
    }

    #[test]
    fn what_a_killed_one_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let others =
            [".b.abcdef.part", ".a.abc.part", ".a.part", "a.abcdef.part", ".a.b.c.de.part", ".a.abcdef.par"];
        for name in [".a.abcdef.part", ".a.ABC123.part"].iter().chain(&others) {
            fs::write(path(name), b"half").unwrap();
        }
        fs::create_dir_all(path(".a.folder.part/in")).unwrap();
        // One is being made.
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
    fn a_folder_in_the_making_is_kept_until_it_is_forlorn() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("fakes");
        let (first, lock) = begin_folder(&out).unwrap();
        fs::write(first.path().join("0.png"), b"x").unwrap();
        let (second, _lock) = begin_folder(&out).unwrap();
        assert!(first.path().exists());
        // As after a kill: nothing removes it, and nobody has its lock.
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
