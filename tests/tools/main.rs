//! The four built binaries, end to end, as one test binary: one module a tool, their chain, and what they
//! refuse.

mod chain;
#[cfg(target_os = "linux")]
mod chaos;
mod common;
mod containers;
#[cfg(target_os = "linux")]
mod faults;
mod fid;
mod flags;
mod foreign;
mod former;
#[cfg(target_os = "linux")]
mod hostile;
mod house;
mod minima;
mod prep;
mod sample;
mod sources;
mod statistics;
mod train;
