//! The four built binaries, end to end, as one test binary: one module a tool, and their chain.

mod chain;
mod common;
mod fid;
mod prep;
mod sample;
mod train;
