//! How long-running work tells its caller where it is, without knowing about terminals.

/// Told by the library while it works; the tools draw it on stderr.
pub trait Progress: Sync {
    /// Work begins with `done` units that were done before, so that they count for no speed.
    fn begins(&self, _done: u64) {}
    /// `done` of `total` units are done; `note` is a short text to put beside it (may be empty).
    fn update(&self, done: u64, total: u64, note: &str);
    /// A warning, one line.
    fn warn(&self, line: &str);
}

/// Says nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _: u64, _: u64, _: &str) {}
    fn warn(&self, _: &str) {}
}
