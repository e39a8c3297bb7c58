//! IDX files, MNIST's format: a big-endian header (0, 0, type, dimensions, then each dimension as u32) and the data. The
//! pictures' type is 8 (unsigned bytes) and they have three dimensions: number, rows, columns. Gzipped ones, too.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use super::folder::last_change;
use super::{Part, Raw};
use crate::picture::Picture;
use crate::{Error, Result};

const HEADER: usize = 16;

/// The first bytes of a file, unzipped; fewer where there are no more or the gzip is broken.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (file, gzipped) = open_maybe_gzipped(path)?;
    let read = match gzipped {
        true => MultiGzDecoder::new(file).take(HEADER as u64).read_to_end(&mut bytes),
        false => file.take(HEADER as u64).read_to_end(&mut bytes),
    };
    match read {
        // A broken gzip shows itself as too few bytes here; `Idx::open` says what is wrong.
        Err(e) if !gzipped => Err(Error::io(path)(e)),
        _ => Ok(bytes),
    }
}

fn open_maybe_gzipped(path: &Path) -> Result<(File, bool)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut magic = [0; 2];
    let n = file.read_at(&mut magic, 0).map_err(Error::io(path))?;
    Ok((file, n == 2 && magic == [0x1F, 0x8B]))
}

/// Whether a file is IDX of any kind: by its content, or a gzip whose name says so.
pub(super) fn is_idx(path: &Path) -> Result<bool> {
    let by_name = path.to_string_lossy().ends_with("ubyte.gz");
    Ok(by_name || matches!(head(path)?.as_slice(), [0, 0, 0x08 | 0x09 | 0x0B..=0x0E, 1..=8, ..]))
}

/// Of the IDX files of pictures that lie in `folder`, the training ones (`train…`), or the only ones that there are.
pub(super) fn training_pictures(folder: &Path) -> Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if name.contains("idx3") && !name.starts_with('.') && path.is_file() {
            found.push(path);
        }
    }
    // Where both an unpacked file and its gzip lie there, the unpacked one sorts first.
    found.sort_unstable();
    let train =
        found.iter().position(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("train")));
    Ok(match train {
        Some(at) => Some(found.swap_remove(at)),
        None => found.into_iter().next(),
    })
}

pub(super) struct Idx {
    path: PathBuf,
    /// The unpacked content; of a gzip, a nameless temporary file, so that memory does not grow with the data.
    data: File,
    len: usize,
    width: usize,
    height: usize,
}

impl Idx {
    /// Opens a file of pictures and checks its size against its header.
    pub(super) fn open(path: &Path) -> Result<Idx> {
        let mut header = head(path)?;
        if header.len() < 4 {
            return Err(Error::file(path, "cut short, or a broken gzip: fetch it again"));
        }
        if header[..4] != [0, 0, 8, 3] {
            let (kind, dimensions) = (header[2], header[3]);
            let what = format!(
                "IDX of type {kind} and {dimensions} dimensions, not of pictures (8 and 3: …-images-idx3-ubyte)"
            );
            return Err(Error::file(path, what));
        }
        header.resize(HEADER, 0);
        let dimension =
            |i: usize| u32::from_be_bytes(header[4 * i..4 * i + 4].try_into().expect("four bytes")) as usize;
        let (len, height, width) = (dimension(1), dimension(2), dimension(3));
        let expected = (width as u64).checked_mul(height as u64).and_then(|n| n.checked_mul(len as u64));
        let expected = expected.and_then(|n| n.checked_add(HEADER as u64));
        let Some(expected) = expected.filter(|_| width > 0 && height > 0) else {
            return Err(Error::file(path, format!("IDX of {len} pictures of {width}×{height} pixels")));
        };
        if len == 0 {
            return Err(Error::file(path, "no pictures in it"));
        }
        let (file, gzipped) = open_maybe_gzipped(path)?;
        let (data, size) = if gzipped {
            let mut unpacked = tempfile::tempfile().map_err(Error::io(std::env::temp_dir()))?;
            let size = io::copy(&mut MultiGzDecoder::new(file).take(expected + 1), &mut unpacked)
                .map_err(|e| Error::file(path, format!("a broken gzip, or no room for it unpacked ({e})")))?;
            (unpacked, size)
        } else {
            let size = file.metadata().map_err(Error::io(path))?.len();
            (file, size)
        };
        if size != expected {
            let what = if size < expected { "cut short" } else { "trailing bytes" };
            let what = format!("{what}: {len} pictures of {width}×{height} need {expected} bytes");
            return Err(Error::file(path, what));
        }
        Ok(Idx { path: path.to_path_buf(), data, len, width, height })
    }
}

impl Part for Idx {
    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, i: usize) -> String {
        format!("{i:06}")
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{i:06}", self.path.display())
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let mut grey = vec![0; self.width * self.height];
        let at = HEADER as u64 + i as u64 * grey.len() as u64;
        self.data.read_exact_at(&mut grey, at).map_err(Error::io(&self.path))?;
        Ok(Raw::Pixels(Picture::from_grey(self.width, self.height, &grey)))
    }

    fn version(&self, _: usize) -> Result<(String, Option<SystemTime>)> {
        let metadata = fs::metadata(&self.path).map_err(Error::io(&self.path))?;
        Ok((metadata.len().to_string(), Some(last_change(&metadata))))
    }

    fn native(&self) -> Option<(usize, usize)> {
        Some((self.width, self.height))
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}
