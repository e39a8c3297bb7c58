//! The four built binaries, end to end, as one test binary: one module a tool, their chain, and what they
//! refuse.

mod chain;
#[cfg(target_os = "linux")]
mod chaos;
mod common;
#[cfg(target_os = "linux")]
mod faults;
mod fid;
mod flags;
#[cfg(target_os = "linux")]
mod hostile;
mod house;
mod minima;
mod prep;
mod sample;
mod statistics;
mod train;
