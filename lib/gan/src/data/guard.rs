//! Turns panics of decoder crates into errors: one broken file does not end the tool.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs a decoder, whose panics are not printed.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `decoder`; `None` where it panics. The panic is not printed.
pub(crate) fn guarded<T>(decoder: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                print(info);
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
