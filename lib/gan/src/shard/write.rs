//! Writes a shard picture by picture, and shows it under its name only when it is whole.

use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::header::Header;
use super::{Dtype, Meta};
use crate::picture::to_unit;
use crate::source::hex;
use crate::{Result, atomic};

/// A shard that is being written, in a temporary file beside its final name. Dropped unfinished, it leaves nothing.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
    header: Header,
    written: u64,
    floats: Vec<u8>,
}

impl Writer {
    /// Begins a shard of at most `most` pictures of `[height, width, channels]`. `meta`'s count, rejected and hash are
    /// set at the end.
    pub(super) fn create(
        path: &Path,
        dtype: Dtype,
        shape: [usize; 3],
        most: usize,
        meta: Meta,
    ) -> Result<Writer> {
        let [height, width, channels] = shape;
        let mut header = Header { dtype, shape: [most, height, width, channels], meta, data_start: 0 };
        header.meta.count = most as u64;
        header.meta.rejected = most as u64;
        header.meta.content_hash = "0".repeat(64);
        header.reserve();
        let temporary = atomic::begin(path).map_err(atomic::failed(path))?;
        let mut file = BufWriter::with_capacity(1 << 20, temporary);
        file.write_all(&vec![b' '; header.data_start]).map_err(atomic::failed(path))?;
        Ok(Writer {
            path: path.to_path_buf(),
            file,
            hash: Sha256::new(),
            header,
            written: 0,
            floats: Vec::new(),
        })
    }

    /// Appends one picture, `[height, width, channels]`.
    pub(super) fn append(&mut self, pixels: &[u8]) -> Result<()> {
        let [_, h, w, c] = self.header.shape;
        assert_eq!(pixels.len(), h * w * c, "one picture of {h}×{w}×{c}");
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

    /// Writes the header, syncs, and gives the file its name. Its time becomes `listed`, when the inputs were listed:
    /// what changes after that is newer than the shard.
    pub(super) fn finish(mut self, rejected: u64, listed: SystemTime) -> Result<Meta> {
        let path = self.path;
        self.header.shape[0] = self.written as usize;
        self.header.meta.count = self.written;
        self.header.meta.rejected = rejected;
        self.header.meta.content_hash = hex(&self.hash.finalize());
        let mut file = self.file.into_inner().map_err(|e| atomic::failed(&path)(e.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(atomic::failed(&path))?;
        file.write_all(&self.header.to_bytes()).map_err(atomic::failed(&path))?;
        file.as_file().set_modified(listed).map_err(atomic::failed(&path))?;
        atomic::finish(file, &path).map_err(atomic::failed(&path))?;
        Ok(self.header.meta)
    }
}
