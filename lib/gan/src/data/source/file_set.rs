//! Folders and archives: sets of files by name, some of which are images.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file_slice::{FileSlice, FileVersion};
use super::input::{Input, MAX_ENCODED, RawImage};
use crate::{Error, Result};

/// The files of a folder or an archive, ordered by name. Hidden ones are left out.
pub(super) trait FileSet {
    /// The names, with folders separated by `/`.
    fn names(&self) -> Vec<Cow<'_, str>>;

    /// The first `n` bytes of file `i`; fewer where it is shorter.
    fn head(&self, i: usize, n: u64) -> Result<Vec<u8>> {
        self.open(i)?.head(n)
    }

    /// File `i`: where it lies, or decompressed into a temporary file.
    fn open(&self, i: usize) -> Result<FileSlice>;

    /// These files as an input of images.
    fn into_images(self: Box<Self>, images: Vec<usize>) -> Result<Box<dyn Input>>;

    /// The version of file `i`, where the archive itself records one.
    fn version(&self, _i: usize) -> Option<FileVersion> {
        None
    }

    /// Why the image called `name` is not taken, by the rule of the folder.
    fn excludes(&self, _name: &str) -> Option<String> {
        None
    }

    /// Whether this is an archive: its members cannot be named by themselves.
    fn is_archive(&self) -> bool {
        true
    }
}

/// A file in a tar, or in a temporary file.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub name: String,
    pub from: u64,
    pub len: u64,
}

/// Encoded images that lie uncompressed in one file.
pub(super) struct StoredImages {
    pub file: FileSlice,
    pub images: Vec<Member>,
}

impl Input for StoredImages {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.images[i].name.clone()
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.file.name.display(), self.images[i].name)
    }

    fn read(&self, i: usize) -> Result<RawImage> {
        let image = &self.images[i];
        if image.len > MAX_ENCODED {
            return Err(Error::file(self.full_name(i), "larger than 256 MiB"));
        }
        let mut bytes = vec![0; image.len as usize];
        self.file.read_exact_at(&mut bytes, image.from)?;
        Ok(RawImage::Encoded(bytes))
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        Ok((self.images[i].len.to_string(), self.file.version.changed))
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.file.name.parent().unwrap_or(Path::new("")).to_path_buf())
    }
}
