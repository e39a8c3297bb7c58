//! A folder of pictures, or one picture.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{MAX_ENCODED, Part, Raw, Walk};
use crate::{Error, Result};

/// Extensions of the formats that are read.
const ANY: [&str; 16] = [
    "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm", "ppm", "tif",
    "tiff", "webp",
];
/// Extensions that pytorch-fid looks for.
const PYTORCH_FID: [&str; 9] = ["bmp", "jpg", "jpeg", "pgm", "png", "ppm", "tif", "tiff", "webp"];

/// Whether `path` is a picture by its extension.
pub(super) fn is_picture(path: &Path, walk: Walk) -> bool {
    let Some(extension) = path.extension().and_then(|e| e.to_str()) else { return false };
    match walk {
        Walk::Recursive => ANY.iter().any(|known| extension.eq_ignore_ascii_case(known)),
        Walk::OneLevel => PYTORCH_FID.contains(&extension),
    }
}

/// Whether a file or folder of this name is passed over: hidden, or macOS' shadow of a zip's content.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

pub(super) struct Folder {
    root: PathBuf,
    /// Paths from `root`, in order.
    files: Vec<PathBuf>,
}

impl Folder {
    /// Lists the pictures in `root`. Links are followed, but not into a folder that they lie in.
    pub(super) fn walk(root: &Path, walk: Walk) -> Result<Folder> {
        let mut files = Vec::new();
        let real = fs::canonicalize(root).map_err(Error::io(root))?;
        list(root, Path::new(""), walk, &mut vec![real], &mut files)?;
        files.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
        Ok(Folder { root: root.to_path_buf(), files })
    }

    /// The folder of one picture.
    pub(super) fn single(file: &Path) -> Folder {
        let name = file.file_name().expect("a picture has an extension, so a name");
        Folder { root: file.parent().unwrap_or(Path::new("")).to_path_buf(), files: vec![name.into()] }
    }

    fn path(&self, i: usize) -> PathBuf {
        self.root.join(&self.files[i])
    }
}

fn list(
    root: &Path,
    below: &Path,
    walk: Walk,
    inside: &mut Vec<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let entry = entry.map_err(Error::io(&folder))?;
        if is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let mut kind = entry.file_type().map_err(Error::io(&path))?;
        if kind.is_symlink() {
            // A link to nowhere is a picture that will be found broken, if it looks like one.
            if let Ok(target) = fs::metadata(&path) {
                kind = target.file_type();
            }
        }
        if kind.is_dir() {
            let real = fs::canonicalize(&path).map_err(Error::io(&path))?;
            if walk == Walk::Recursive && !inside.contains(&real) {
                inside.push(real);
                list(root, &name, walk, inside, files)?;
                inside.pop();
            }
        } else if (kind.is_file() || kind.is_symlink()) && is_picture(&path, walk) {
            files.push(name);
        }
    }
    Ok(())
}

impl Part for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, i: usize) -> String {
        self.files[i].to_string_lossy().into_owned()
    }

    fn full_name(&self, i: usize) -> String {
        self.path(i).display().to_string()
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let path = self.path(i);
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(&path)?;
            // One more, since only then is its end seen without asking for more room.
            bytes.reserve_exact(file.metadata()?.len().min(MAX_ENCODED) as usize + 1);
            file.take(MAX_ENCODED + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read().map_err(Error::io(&path))? {
            bytes if bytes.len() as u64 > MAX_ENCODED => Err(Error::file(&path, "larger than 256 MiB")),
            bytes => Ok(Raw::Encoded(bytes)),
        }
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let path = self.path(i);
        match fs::metadata(&path) {
            Ok(metadata) => Ok((metadata.len().to_string(), Some(last_change(&metadata)))),
            // A link to nowhere: broken now, and when it is mended the target's own time tells.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => {
                Ok(("missing".into(), None))
            }
            Err(e) => Err(Error::io(&path)(e)),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.root.clone())
    }
}

/// When a file's content last changed at the latest. The system sets the change time (ctime) itself, so a file that was
/// replaced by one with an older modification time (`mv`, `cp -p`) shows, too.
pub(super) fn last_change(metadata: &fs::Metadata) -> SystemTime {
    let (s, ns) = (metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
    SystemTime::UNIX_EPOCH + Duration::new(s, ns)
}
