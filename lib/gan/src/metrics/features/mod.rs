//! The networks whose features are compared, and how they are run.

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

pub use extractor::{Extractor, Features, check_dims};
