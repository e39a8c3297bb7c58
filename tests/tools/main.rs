//! The four built binaries, end to end, as one test binary: one module a tool, and their chain.

mod chain;
#[cfg(target_os = "linux")]
mod chaos;
mod common;
mod containers;
#[cfg(target_os = "linux")]
mod faults;
mod fid;
mod foreign;
#[cfg(target_os = "linux")]
mod hostile;
mod house;
mod prep;
mod sample;
mod sources;
mod train;
