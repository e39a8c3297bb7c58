//! Progress of long work.

/// Receives the progress of the library's work; the tools show it on stderr.
pub trait Progress: Sync {
    /// Work starts. `done` units were done before; they do not count for the speed.
    fn start(&self, _done: u64) {}
    /// `done` of `total` units are done. `note` is a short text beside the numbers; it may be empty.
    fn update(&self, done: u64, total: u64, note: &str);
    /// Prints a warning, one line.
    fn warn(&self, line: &str);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: u64, _: u64, _: &str) {}
    fn warn(&self, _: &str) {}
}
