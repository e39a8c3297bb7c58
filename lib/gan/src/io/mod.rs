//! Files: atomic writes, hashes, downloads; the formats of tensors and arrays.

pub mod atomic;
pub(crate) mod download;
pub(crate) mod hash;
pub(crate) mod npz;
pub(crate) mod pickle;
pub(crate) mod safetensors;
pub(crate) mod state_dict;
pub mod weights;

pub use atomic::{check_overwrite, check_place};
