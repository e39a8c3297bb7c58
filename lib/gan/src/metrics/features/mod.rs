//! Feature networks and their backends.

pub(crate) mod cpu;
mod device;
mod extractor;
pub mod inception;
pub(crate) mod net;
pub(crate) mod resize;
pub mod squeezenet;
#[cfg(test)]
pub(crate) mod tests;
pub mod weights;

pub use extractor::{Extractor, Features};
