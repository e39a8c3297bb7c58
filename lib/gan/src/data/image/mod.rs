//! Images: decoding, crop and resize, bytes to [-1, 1] and back, encoding, grids and animations.

mod animate;
mod decode;
mod encode;
mod notes;
mod resize;
mod rgb;
#[cfg(test)]
mod tests;

pub use animate::{encode_apng, encode_gif};
pub use decode::{Format, SixteenBit, decode, decode_as, decode_noting, sniff};
pub use encode::{PADDING, encode_jpeg, encode_png, grid};
pub use notes::{NoteCounts, Notes, rotation};
pub use resize::{Filter, Transform, resize_and_crop};
pub use rgb::{Image, luma, to_u8, to_unit};
