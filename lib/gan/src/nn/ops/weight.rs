//! A convolution's weight, and what is made of it to multiply with.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

/// What was made of a weight, one of each type.
type PackCache = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A weight `[kh, kw, C, S]`. What an implementation makes of it to multiply with is kept until the weight changes, since
/// the passes of a step share it, as do the batches that a trained generator makes.
pub struct Weight {
    tensor: Tensor,
    made: Mutex<PackCache>,
}

impl Weight {
    /// A weight of these numbers.
    pub fn new(tensor: Tensor) -> Weight {
        Weight { tensor, made: Mutex::default() }
    }

    /// Its numbers. To change them in place, take them from [`Weight::tensor_mut`].
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Its numbers, to be changed: forgets what was made of them.
    pub fn tensor_mut(&mut self) -> &mut Tensor {
        self.made.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        &mut self.tensor
    }

    /// What `make` makes of the weight, or made before if that `fits`.
    pub(super) fn cached<P: Any + Send + Sync>(
        &self,
        fits: impl Fn(&P) -> bool,
        make: impl FnOnce() -> P,
    ) -> Arc<P> {
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lock().get(&TypeId::of::<P>()).cloned().and_then(|p| p.downcast::<P>().ok());
        if let Some(before) = before.filter(|p| fits(p)) {
            return before;
        }
        // Not under the lock: rayon may give this thread other work meanwhile.
        let new = Arc::new(make());
        lock().insert(TypeId::of::<P>(), new.clone());
        new
    }
}

impl Clone for Weight {
    fn clone(&self) -> Weight {
        Weight::new(self.tensor.clone())
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.tensor.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_was_made_is_kept_until_the_weight_changes() {
        let mut weight =
            Weight::new(Tensor::zeros((1, 1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap());
        let used = |weight: &Weight, fits: bool, n: i32| *weight.cached(|_: &i32| fits, || n);
        assert_eq!(used(&weight, true, 1), 1);
        assert_eq!(used(&weight, true, 2), 1);
        assert_eq!(*weight.cached(|_: &u8| true, || 7), 7, "of another type");
        assert_eq!(used(&weight, false, 3), 3, "does not fit");
        assert_eq!(used(&weight, true, 4), 3);
        assert_eq!(used(&weight.clone(), true, 5), 5, "a clone makes its own");
        weight.tensor_mut();
        assert_eq!(used(&weight, true, 6), 6, "the weight may have changed");
    }
}
