//! Panics of other people's decoders as errors: one file is broken, not the tool.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a decoder, whose panics are errors like others.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `decoder` gives; `None` where it panicked, of which nothing is printed.
pub(crate) fn guarded<T>(decoder: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                loud(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decoder));
    GUARDED.set(before);
    decoded.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_the_next_call_works() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded(|| -> u8 { panic!("a decoder's") }), None);
        assert_eq!(guarded(|| guarded(|| -> u8 { panic!("a decoder's") })), Some(None));
        assert_eq!(guarded(|| 2), Some(2));
    }
}
