//! Writes a shard image by image. It gets its name only when it is complete.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::header::Header;
use super::{Dtype, ShardMeta};
use crate::Result;
use crate::data::image::to_unit;
use crate::data::source::SkippedFiles;
use crate::io::atomic;
use crate::io::hash::Hasher;

/// What is known only when all images have been read.
#[derive(Default)]
pub(super) struct ShardCounts {
    /// The images that could not be decoded.
    pub(super) broken: SkippedFiles,
    pub(super) smaller_than_crop: u64,
}

/// A shard that is being written, in a temporary file beside its final name. Dropped unfinished, it leaves
/// nothing.
pub(super) struct ShardWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    hash: Hasher,
    header: Header,
    written: u64,
    floats: Vec<u8>,
}

impl ShardWriter {
    /// Begins a shard of at most `most` images of `[height, width, channels]`. `meta`'s count, rejected and
    /// hash are set at the end.
    pub(super) fn create(
        path: &Path,
        dtype: Dtype,
        shape: [usize; 3],
        most: usize,
        meta: ShardMeta,
    ) -> Result<ShardWriter> {
        let [height, width, channels] = shape;
        let mut header = Header { dtype, shape: [most, height, width, channels], meta, data_start: 0 };
        header.meta.count = most as u64;
        header.meta.rejected = most as u64;
        header.meta.content_hash = "0".repeat(64);
        header.reserve();
        let temporary = atomic::begin(path).map_err(atomic::failed(path))?;
        let mut file = BufWriter::with_capacity(1 << 20, temporary);
        file.write_all(&vec![b' '; header.data_start]).map_err(atomic::failed(path))?;
        let (path, hash, floats) = (path.to_path_buf(), Hasher::default(), Vec::new());
        Ok(ShardWriter { path, file, hash, header, written: 0, floats })
    }

    /// Appends one image, `[height, width, channels]`.
    pub(super) fn append(&mut self, pixels: &[u8]) -> Result<()> {
        let [_, h, w, c] = self.header.shape;
        assert_eq!(pixels.len(), h * w * c, "one image of {h}×{w}×{c}");
        let bytes = match self.header.dtype {
            Dtype::U8 => pixels,
            Dtype::F32 => {
                self.floats.clear();
                self.floats.extend(pixels.iter().flat_map(|&x| to_unit(x).to_le_bytes()));
                &self.floats
            }
        };
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(atomic::failed(&self.path))?;
        self.written += 1;
        Ok(())
    }

    /// The temporary file.
    pub(super) fn temporary(&self) -> &Path {
        self.file.get_ref().path()
    }

    /// Writes the header, syncs, and gives the file its name. Its time becomes `listed`, when the inputs were
    /// listed: what changes after that is newer than the shard.
    pub(super) fn finish(mut self, counts: ShardCounts, listed: SystemTime) -> Result<ShardMeta> {
        let path = self.path;
        self.header.shape[0] = self.written as usize;
        self.header.meta.count = self.written;
        self.header.meta.rejected = counts.broken.total();
        self.header.meta.broken = counts.broken;
        self.header.meta.smaller_than_crop = counts.smaller_than_crop;
        self.header.meta.content_hash = self.hash.finish();
        let reserved = self.header.data_start;
        self.header.reserve();
        self.header.data_start = self.header.data_start.max(reserved);
        let write = || {
            let file = self.file.into_inner().map_err(IntoInnerError::into_error)?;
            if self.header.data_start > reserved {
                // The header has grown by the reasons for skipped images.
                shift(file.as_file(), reserved, self.header.data_start, self.header.data_len())?;
            }
            file.as_file().write_all_at(&self.header.to_bytes(), 0)?;
            file.as_file().set_modified(listed)?;
            atomic::finish(file, &path)
        };
        write().map_err(atomic::failed(&path))?;
        Ok(self.header.meta)
    }
}

/// Moves the `len` bytes at `from` of a file to `to`, which is behind it; from the last to the first, since
/// they overlap.
fn shift(file: &File, from: usize, to: usize, len: usize) -> io::Result<()> {
    let mut buffer = vec![0; len.min(1 << 20)];
    let mut left = len;
    while left > 0 {
        let piece = &mut buffer[..left.min(1 << 20)];
        left -= piece.len();
        file.read_exact_at(piece, (from + left) as u64)?;
        file.write_all_at(piece, (to + left) as u64)?;
    }
    Ok(())
}
