//! Where images come from: folders, zips, tars, arrays, IDX files, CIFAR's batches, parquet files, single
//! files and drawn faces. Each is opened as an [`input::Input`]; together they are one [`Source`], which
//! gives image `i` by its number, from any thread. Nothing here resizes.

mod array;
mod choose;
mod cifar;
mod compression;
mod demo;
mod file_set;
mod file_slice;
mod file_type;
mod folder;
mod idx;
mod input;
mod input_paths;
mod listing;
mod npy;
mod open;
mod parquet;
mod pickle;
mod skipped;
mod split;
mod tar;
mod unsupported;
mod zip;

pub use self::input::{RawImage, Recursion};
pub use self::input_paths::InputPaths;
pub use self::listing::{Fingerprint, Source};
pub(crate) use self::open::holds_images;
pub use self::skipped::SkippedFiles;
pub use self::split::Split;

#[cfg(test)]
mod tests;
