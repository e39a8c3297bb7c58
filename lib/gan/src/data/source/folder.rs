//! A folder of images, or one image.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file_set::FileSet;
use super::file_slice::{FileSlice, FileVersion};
use super::file_type::{is_hidden, is_image_name};
use super::input::{Input, MAX_ENCODED, RawImage, Recursion};
use crate::{Error, Result};

/// The extensions that pytorch-fid reads.
const PYTORCH_FID: [&str; 9] = ["bmp", "jpg", "jpeg", "pgm", "png", "ppm", "tif", "tiff", "webp"];

/// The files of a folder.
pub(super) struct ImageFolder {
    root: PathBuf,
    /// Paths from `root`, in the order of their bytes.
    files: Vec<PathBuf>,
    recursion: Recursion,
}

impl ImageFolder {
    /// Lists a folder at any depth.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(root: &Path, recursion: Recursion) -> Result<ImageFolder> {
        let real = fs::canonicalize(root).map_err(Error::io(root))?;
        let mut folder = ImageFolder { root: root.to_path_buf(), files: Vec::new(), recursion };
        folder.list(Path::new(""), &mut vec![real])?;
        folder.files.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        Ok(folder)
    }

    /// The folder of one image.
    pub fn single(file: &Path) -> ImageFolder {
        let name = file.file_name().expect("a file has a name");
        let root = file.parent().unwrap_or(Path::new("")).to_path_buf();
        ImageFolder { root, files: vec![name.into()], recursion: Recursion::Recursive }
    }

    /// Lists the folder `below` of the root. Links are followed, except into a folder that contains them
    /// (`inside`).
    fn list(&mut self, below: &Path, inside: &mut Vec<PathBuf>) -> Result<()> {
        let folder = self.root.join(below);
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let (path, name) = (entry.path(), below.join(entry.file_name()));
            let mut kind = entry.file_type().map_err(Error::io(&path))?;
            if kind.is_symlink()
                && let Ok(target) = fs::metadata(&path)
            {
                kind = target.file_type();
            }
            if kind.is_dir() {
                let real = fs::canonicalize(&path).map_err(Error::io(&path))?;
                if !inside.contains(&real) {
                    inside.push(real);
                    let listed = self.list(&name, inside);
                    inside.pop();
                    // With one level, subfolders are only counted.
                    listed
                        .or_else(|e| if self.recursion == Recursion::OneLevel { Ok(()) } else { Err(e) })?;
                }
            } else if kind.is_file() || kind.is_symlink() && is_image_name(&name.to_string_lossy()) {
                // A dangling link with the name of an image is a broken image.
                self.files.push(name);
            }
        }
        Ok(())
    }

    fn path(&self, i: usize) -> PathBuf {
        self.root.join(&self.files[i])
    }
}

impl FileSet for ImageFolder {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.files.iter().map(|file| file.to_string_lossy()).collect()
    }

    fn open(&self, i: usize) -> Result<FileSlice> {
        FileSlice::open(&self.path(i))
    }

    /// With one level, as pytorch-fid reads folders.
    fn excludes(&self, name: &str) -> Option<String> {
        let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy();
        Some(match () {
            _ if self.recursion == Recursion::Recursive => return None,
            _ if name.contains('/') => "in subfolders (pytorch-fid reads one level)".into(),
            _ if PYTORCH_FID.contains(&&*extension) => return None,
            _ if PYTORCH_FID.contains(&&*extension.to_ascii_lowercase()) => {
                "with capital extensions (pytorch-fid reads lower case)".into()
            }
            _ if is_image_name(name) => format!(".{extension} (pytorch-fid does not read it)"),
            _ => "images of unknown extensions (pytorch-fid reads known ones)".into(),
        })
    }

    fn is_archive(&self) -> bool {
        false
    }

    fn into_images(mut self: Box<Self>, images: Vec<usize>) -> Result<Box<dyn Input>> {
        self.files = images.into_iter().map(|i| std::mem::take(&mut self.files[i])).collect();
        Ok(self)
    }
}

impl Input for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, i: usize) -> String {
        self.files[i].to_string_lossy().into_owned()
    }

    fn full_name(&self, i: usize) -> String {
        self.path(i).display().to_string()
    }

    fn read(&self, i: usize) -> Result<RawImage> {
        let path = self.path(i);
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(&path)?;
            // With one byte more, `read_to_end` sees the end without growing the buffer.
            bytes.reserve_exact(file.metadata()?.len().min(MAX_ENCODED) as usize + 1);
            file.take(MAX_ENCODED + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read().map_err(Error::io(&path))? {
            bytes if bytes.len() as u64 > MAX_ENCODED => Err(Error::file(&path, "larger than 256 MiB")),
            bytes => Ok(RawImage::Encoded(bytes)),
        }
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let path = self.path(i);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(FileVersion::of(&metadata).text()),
            // A dangling link. Once it is fixed, its target has a time.
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
