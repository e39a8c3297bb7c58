//! From files of images to the shard that training reads.

pub mod augment;
mod guard;
pub mod image;
pub mod shard;
pub mod source;
