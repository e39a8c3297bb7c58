//! The library under gantools: pictures to shards, GAN training on candle, and the Fréchet Inception Distance.
//!
//! It never prints to stdout, never exits and never reads argv. Errors are typed ([`Error`]) and carry the path.

pub mod adam;
mod atomic;
pub mod augment;
pub mod checkpoint;
pub mod device;
mod error;
pub mod features;
pub mod foreign;
pub mod frechet;
mod guard;
pub mod inception;
pub mod kid;
pub mod latent;
pub mod layer;
pub mod loss;
pub mod model;
pub mod ops;
pub mod picture;
pub mod prdc;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod rng;
pub mod shard;
pub mod source;
pub mod squeezenet;
pub mod stats;
pub mod train;
pub mod weights;

pub use atomic::check_place;
pub use error::{Error, Result, counted, printable};
