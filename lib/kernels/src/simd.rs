//! One way to have a loop compiled for every instruction set and to run the best.

use pulp::{Arch, Simd, WithSimd};

/// Runs `work` compiled for the best instruction set that the processor has, as far as the compiler vectorises it.
/// `work` must be a closure marked `#[inline(always)]`, as must be the functions that it calls.
///
/// To give a closure straight to `Arch::dispatch` does not do that: one that only borrows is then called through a
/// shim that is not inlined, and so is compiled for the oldest processor.
#[inline(always)]
pub fn simd<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);

    impl<R, F: FnOnce() -> R> WithSimd for Work<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }

    Arch::new().dispatch(Work(work))
}
