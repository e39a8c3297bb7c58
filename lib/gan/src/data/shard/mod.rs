//! The shard: all images of a training run in one safetensors file. Only this module knows its bytes
//! (`header` and `write`); `make` fills one from a [`Source`](crate::data::source::Source).
//!
//! One tensor, `images`, U8 or F32, `[N, H, W, C]` with C = 1 or 3. A byte `x` means `x / 127.5 − 1`; floats
//! are stored normalized. The metadata has one key, `gantools`: the JSON of a [`ShardMeta`] with sorted keys.
//! Nothing else is in the file, and the same images and options give the same bytes every time.

mod header;
mod make;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

pub use self::header::Dtype;
use self::header::Header;
pub use self::make::{ShardOptions, ShardSummary, check_replaceable, describe, is_up_to_date, make};
use crate::data::image::{to_u8, to_unit};
use crate::data::source::SkippedFiles;
use crate::{Error, Result};

/// The metadata of a shard. It has no time and no path: copies of the same data give the same shard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShardMeta {
    /// The images that could not be decoded, by reason. (Not in shards of older versions, which count them
    /// alone.)
    #[serde(default, skip_serializing_if = "SkippedFiles::is_empty")]
    pub broken: SkippedFiles,
    /// SHA-256 of the tensor's bytes, in hexadecimal.
    pub content_hash: String,
    /// Number of images.
    pub count: u64,
    /// Size of the centered square that was cut first, in pixels of the originals; `None`: none was.
    pub crop: Option<usize>,
    /// The number of bits that 16-bit gray was assumed to use; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
    /// The resampling filter's name; `None`: nothing was resized.
    pub filter: Option<String>,
    /// The IDX file that was requested by name, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idx: Option<String>,
    /// SHA-256 over the names and sizes of the requested images, in hexadecimal: shows whether the shard is
    /// up to date.
    pub inputs: String,
    /// The files of the inputs that are not among the images, by reason.
    #[serde(default, skip_serializing_if = "SkippedFiles::is_empty")]
    pub passed_over: SkippedFiles,
    /// Number of images that could not be decoded, and are not in the shard.
    pub rejected: u64,
    /// Requested size of the images, in pixels; `None`: the native size of IDX.
    pub size: Option<usize>,
    /// Number of images that were smaller than `crop` in width or height; of these the largest centered
    /// square was cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub smaller_than_crop: u64,
    /// The names of the inputs without their folders.
    pub source: String,
    /// The split of CelebA that was kept, if one was.
    pub split: Option<String>,
    /// The tool that made it: always `prep`.
    pub tool: String,
    /// The version of that tool.
    pub tool_version: String,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An open shard: mapped, its header checked. Shared between threads freely.
pub struct Shard {
    path: PathBuf,
    header: Header,
    map: Mmap,
}

impl Shard {
    /// Opens and maps a shard. It checks everything except the images.
    ///
    /// # Errors
    /// Each has its own message: not readable, a folder, too short, cut short, trailing bytes, not a
    /// safetensors file, not a shard, an invalid shape or type.
    pub fn open(path: &Path) -> Result<Shard> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if metadata.is_dir() {
            return Err(Error::file(path, "a folder, not a shard: `prep` makes a shard of it"));
        }
        let header = Header::read(&file, metadata.len()).map_err(|what| Error::file(path, what))?;
        header.check_length(metadata.len()).map_err(|what| Error::file(path, what))?;
        // SAFETY: the mapping is only read. These tools replace a shard by a rename, which leaves a mapped
        // file as it is. If another program truncates it, a read raises SIGBUS, which the tools turn into one
        // line; if another program overwrites it, the pixels are wrong, but every byte is a valid u8.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(Shard { path: path.to_path_buf(), header, map })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of images; at least 1.
    pub fn len(&self) -> usize {
        self.header.shape[0]
    }

    /// Always `false`: an empty shard is neither written nor opened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.header.shape[1]
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.header.shape[2]
    }

    /// Channels of an image: 1 (gray) or 3 (RGB).
    pub fn channels(&self) -> usize {
        self.header.shape[3]
    }

    /// How a value is stored.
    pub fn dtype(&self) -> Dtype {
        self.header.dtype
    }

    /// The shard's metadata.
    pub fn meta(&self) -> &ShardMeta {
        &self.header.meta
    }

    /// Values of one image.
    fn values(&self) -> usize {
        self.height() * self.width() * self.channels()
    }

    /// Image `i`'s bytes as stored.
    fn stored(&self, i: usize) -> &[u8] {
        assert!(i < self.len(), "image {i} of {}", self.len());
        let size = self.values() * self.dtype().size();
        &self.map[self.header.data_start + i * size..][..size]
    }

    /// Reads the images `indices` into `out`, `[B, H, W, C]`, normalized to [-1, 1]: `x / 127.5 − 1`. It uses
    /// only the calling thread, since a training step uses the others at the same time.
    ///
    /// # Panics
    /// If an index is not below [`Shard::len`] or `out` has another length.
    pub fn gather(&self, indices: &[usize], out: &mut [f32]) {
        let values = self.values();
        assert_eq!(out.len(), indices.len() * values, "room for {} images", indices.len());
        out.chunks_exact_mut(values).zip(indices).for_each(|(out, &i)| match self.dtype() {
            Dtype::U8 => out.iter_mut().zip(self.stored(i)).for_each(|(o, &x)| *o = to_unit(x)),
            Dtype::F32 => out.iter_mut().zip(floats(self.stored(i))).for_each(|(o, x)| *o = x),
        });
    }

    /// Reads image `i` as bytes, `[H, W, C]`.
    ///
    /// # Panics
    /// If `i` is not below [`Shard::len`] or `out` has another length.
    pub fn pixels(&self, i: usize, out: &mut [u8]) {
        assert_eq!(out.len(), self.values(), "room for one image");
        match self.dtype() {
            Dtype::U8 => out.copy_from_slice(self.stored(i)),
            Dtype::F32 => out.iter_mut().zip(floats(self.stored(i))).for_each(|(o, x)| *o = to_u8(x)),
        }
    }

    /// What `--info` shows: a short table, and the same as JSON.
    pub fn header_info(&self) -> (String, serde_json::Value) {
        let meta = self.meta();
        let or = |value: Option<usize>, none: &str| value.map_or(none.to_string(), |v| v.to_string());
        let named = |value: &Option<String>| value.clone().unwrap_or("none".into());
        let [n, h, w, c] = self.header.shape;
        let broken =
            if meta.broken.is_empty() { String::new() } else { format!(" ({})", meta.broken.counts()) };
        let mut rows = vec![
            ("shard", self.path.display().to_string()),
            ("images", n.to_string()),
            ("rejected", format!("{}{broken}", meta.rejected)),
            ("shape", format!("{h}×{w}×{c} (height, width, channels)")),
            ("dtype", self.dtype().to_string()),
            ("source", meta.source.clone()),
            ("split", named(&meta.split)),
            ("crop", or(meta.crop, "none")),
            ("size", or(meta.size, "native")),
            ("filter", named(&meta.filter)),
            ("sha256", meta.content_hash.clone()),
            ("made by", format!("{} {}", meta.tool, meta.tool_version)),
        ];
        rows.extend(meta.passed_over.line().map(|line| ("inputs", line)));
        if meta.smaller_than_crop > 0 {
            rows.push(("smaller", format!("{} images than the crop", meta.smaller_than_crop)));
        }
        rows.extend(meta.idx.clone().map(|idx| ("idx", idx)));
        let text: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<9} {value}")).collect();
        let text = text.join("\n");
        let mut json = serde_json::to_value(meta).expect("plain fields");
        json["path"] = self.path.display().to_string().into();
        json["dtype"] = self.dtype().to_string().into();
        json["shape"] = vec![n, h, w, c].into();
        (text, json)
    }
}

/// Little-endian floats, at any alignment.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
}
