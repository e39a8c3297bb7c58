//! The shard's first bytes: a u64 little-endian length, then that much JSON, padded with spaces so that the data begin at
//! a multiple of [`ALIGN`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::ShardMeta;
use crate::named::named_enum;

/// The data begin at a multiple of this: a cache line, and the widest vector.
const ALIGN: usize = 64;
/// More is not a header of ours, which has about a thousand bytes.
const MAX_HEADER: u64 = 1 << 20;
/// What a file that is no shard is told.
const MEND: &str = "not a shard: `prep` makes one";

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
    /// Where the data begin in the file.
    pub(super) data_start: usize,
}

/// The header as JSON; the fields' order is the file's.
#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    images: Tensor,
}

#[derive(Serialize, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl Header {
    /// Bytes of all images.
    pub(super) fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The header's bytes, as long as `data_start`.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.data_start as u64 - 8).to_le_bytes().to_vec();
        bytes.extend(self.json());
        assert!(bytes.len() <= self.data_start, "room was reserved");
        bytes.resize(self.data_start, b' ');
        bytes
    }

    /// Reserves room for this header and any that differs from it by smaller numbers.
    pub(super) fn reserve(&mut self) {
        self.data_start = (8 + self.json().len()).next_multiple_of(ALIGN);
    }

    fn json(&self) -> Vec<u8> {
        // By way of a `Value`, whose map sorts its keys.
        let meta = serde_json::to_value(&self.meta).expect("plain fields").to_string();
        let images = Tensor {
            dtype: format!("{:?}", self.dtype),
            shape: self.shape.to_vec(),
            data_offsets: [0, self.data_len()],
        };
        let json = Json { metadata: BTreeMap::from([("gantools".to_string(), meta)]), images };
        serde_json::to_vec(&json).expect("plain fields")
    }

    /// Parses the header of a file of `len` bytes. Whether the data are all there is [`Header::check_length`]'s.
    pub(super) fn read(mut file: &File, len: u64) -> Result<Header, String> {
        if len < 8 {
            return Err(format!("{len} bytes: too short to be a shard: `prep` makes one"));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|e| e.to_string())?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(MEND.into());
        }
        if length > len - 8 {
            return Err("not a shard, or cut short within its header: `prep` makes one".into());
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(|e| e.to_string())?;
        Header::parse(&json)
    }

    fn parse(json: &[u8]) -> Result<Header, String> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|_| MEND.to_string())?;
        let Some(meta) = value["__metadata__"]["gantools"].as_str() else {
            return Err("a safetensors file, but not a shard of ours: `prep` makes one".into());
        };
        let meta = meta.to_string();
        if value.get("images").is_none() {
            return Err("no tensor `images` in it, so not a shard: `prep` makes one".into());
        }
        if let Some(other) = value
            .as_object()
            .and_then(|o| o.keys().find(|k| !matches!(k.as_str(), "images" | "__metadata__")))
        {
            return Err(format!("a tensor `{other}` beside `images`: not a shard of ours"));
        }
        let Json { images, .. } = serde_json::from_value(value).map_err(|e| format!("broken header: {e}"))?;
        let meta: ShardMeta = serde_json::from_str(&meta).map_err(|e| format!("broken metadata: {e}"))?;
        let dtype = match images.dtype.as_str() {
            "U8" => Dtype::U8,
            "F32" => Dtype::F32,
            other => return Err(format!("`images` is of type {other}, not U8 or F32")),
        };
        let shape: [usize; 4] = images
            .shape
            .as_slice()
            .try_into()
            .ok()
            .filter(|s: &[usize; 4]| !s.contains(&0) && matches!(s[3], 1 | 3))
            .ok_or_else(|| {
                format!("`images` has shape {:?}, not [N, H, W, C] with C = 1 or 3", images.shape)
            })?;
        let bytes = shape.iter().try_fold(dtype.size(), |product, &side| product.checked_mul(side));
        if bytes.is_none() || images.data_offsets != [0, bytes.unwrap_or(0)] {
            return Err(format!("`images` of shape {shape:?} can't lie at {:?}", images.data_offsets));
        }
        if meta.count != shape[0] as u64 {
            return Err(format!("metadata of {} images for {}", meta.count, shape[0]));
        }
        Ok(Header { dtype, shape, meta, data_start: 8 + json.len() })
    }

    /// Whether a file of `len` bytes holds the data, all of them and nothing more.
    pub(super) fn check_length(&self, len: u64) -> Result<(), String> {
        let expected = self.data_start as u64 + self.data_len() as u64;
        match len {
            _ if len < expected => {
                Err(format!("cut short: {len} of {expected} bytes; `prep` makes it again"))
            }
            _ if len > expected => Err(format!("{} trailing bytes; `prep` makes it again", len - expected)),
            _ => Ok(()),
        }
    }
}
