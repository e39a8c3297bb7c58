//! The library under gantools: images to shards, GAN training on candle, and the Fréchet Inception Distance.
//!
//! It never prints to stdout, never exits and never reads argv. Errors are typed ([`Error`]) and carry the path.

pub mod checkpoint;
pub mod config;
pub mod data;
pub mod device;
mod error;
pub mod io;
pub mod metrics;
mod named;
pub mod nn;
pub mod precision;
pub mod progress;
pub mod recipe;
pub mod rng;
pub mod sample;
pub mod train;

pub use error::{Error, Result, counted, printable};

/// The examples of CONTRIBUTING.md are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../CONTRIBUTING.md")]
struct Contributing;
