//! The header of a shard: that of a safetensors file with one tensor, `images`, and a [`ShardMeta`].

use std::fs::File;

use safetensors::Dtype as StoredDtype;

use super::ShardMeta;
use crate::io::safetensors::{SafetensorsHeader, check_length};
use crate::named::named_enum;

/// The one tensor of a shard.
const IMAGES: &str = "images";

named_enum! {
    /// How a value of an image is stored.
    #[derive(Default)]
    pub enum Dtype {
        /// A byte, 0 to 255.
        #[default]
        U8 = "u8",
        /// A float in [-1, 1], little-endian.
        F32 = "f32",
    }
}

impl Dtype {
    /// Bytes a value.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F32 => 4,
        }
    }
}

/// A parsed header.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    /// N, H, W, C.
    pub(super) shape: [usize; 4],
    pub(super) meta: ShardMeta,
    /// Where the data start in the file.
    pub(super) data_start: usize,
}

impl Header {
    /// Bytes of all images.
    pub(super) fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The bytes of the header, `data_start` of them if they fit.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A `Value` sorts its keys.
        let meta = serde_json::to_value(&self.meta).expect("plain fields").to_string();
        let dtype = match self.dtype {
            Dtype::U8 => StoredDtype::U8,
            Dtype::F32 => StoredDtype::F32,
        };
        SafetensorsHeader::new(&meta, &[(IMAGES, dtype, &self.shape)], self.data_start).bytes
    }

    /// Reserves room for this header, and for any with smaller numbers.
    pub(super) fn reserve(&mut self) {
        self.data_start = 0;
        self.data_start = self.to_bytes().len();
    }

    /// Parses the header of a file of `len` bytes. [`Header::check_length`] checks that all data are there.
    pub(super) fn read(file: &File, len: u64) -> Result<Header, String> {
        let header =
            SafetensorsHeader::read(file, len).map_err(|what| format!("{what}; `prep` makes shards"))?;
        let data_start = header.bytes.len();
        let parsed = Header::parse(&header);
        let (dtype, shape, meta) =
            parsed.map_err(|what| format!("is not a shard: {what}; `prep` makes one"))?;
        Ok(Header { dtype, shape, meta, data_start })
    }

    fn parse(header: &SafetensorsHeader) -> Result<(Dtype, [usize; 4], ShardMeta), String> {
        let meta = header.metadata().ok_or("its metadata are not of gantools")?;
        let tensors = header.layout.tensors();
        let images = tensors.get(IMAGES).ok_or("it has no tensor `images`")?;
        if let Some(other) = tensors.keys().find(|name| *name != IMAGES) {
            return Err(format!("it has a tensor `{other}` beside `images`"));
        }
        let meta: ShardMeta = serde_json::from_str(meta).map_err(|e| format!("damaged metadata ({e})"))?;
        let dtype = match images.dtype {
            StoredDtype::U8 => Dtype::U8,
            StoredDtype::F32 => Dtype::F32,
            other => return Err(format!("`images` is of type {other:?}, not U8 or F32")),
        };
        let shape = match *images.shape.as_slice() {
            [n, h, w, c @ (1 | 3)] if ![n, h, w].contains(&0) => [n, h, w, c],
            ref shape => {
                return Err(format!("`images` has shape {shape:?}, not [N, H, W, C] with C = 1 or 3"));
            }
        };
        match meta.count == shape[0] as u64 {
            true => Ok((dtype, shape, meta)),
            false => Err(format!("metadata of {} images for {}", meta.count, shape[0])),
        }
    }

    /// Checks that a file of `len` bytes holds the data, all of them and nothing more.
    pub(super) fn check_length(&self, len: u64) -> Result<(), String> {
        check_length(self.data_start, self.data_len(), len)
    }
}
