//! The weight of a convolution and a cache of its packed forms.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

/// The packed forms of a weight, one of each type.
type PackCache = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// A weight `[kh, kw, C, S]`. Packed forms are cached until the weight changes: the passes of a training step
/// share them, and so do the batches of a trained generator.
pub struct Weight {
    tensor: Tensor,
    packs: Mutex<PackCache>,
}

impl Weight {
    /// A weight with these elements.
    pub fn new(tensor: Tensor) -> Weight {
        Weight { tensor, packs: Mutex::default() }
    }

    /// The elements. Use [`Weight::tensor_mut`] to change them in place.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The elements, mutable; clears the cache.
    pub fn tensor_mut(&mut self) -> &mut Tensor {
        self.packs.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        &mut self.tensor
    }

    /// The packed form that `build` makes of the weight, or a cached one that `is_valid`.
    pub(super) fn cached<P: Any + Send + Sync>(
        &self,
        is_valid: impl Fn(&P) -> bool,
        build: impl FnOnce() -> P,
    ) -> Arc<P> {
        let lock = || self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = lock().get(&TypeId::of::<P>()).cloned().and_then(|p| p.downcast::<P>().ok());
        if let Some(cached) = cached.filter(|p| is_valid(p)) {
            return cached;
        }
        // Without the lock: rayon may run other work on this thread meanwhile.
        let new = Arc::new(build());
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
    fn packs_are_cached_until_the_weight_changes() {
        let mut weight =
            Weight::new(Tensor::zeros((1, 1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap());
        let used = |weight: &Weight, valid: bool, n: i32| *weight.cached(|_: &i32| valid, || n);
        assert_eq!(used(&weight, true, 1), 1);
        assert_eq!(used(&weight, true, 2), 1);
        assert_eq!(*weight.cached(|_: &u8| true, || 7), 7, "of another type");
        assert_eq!(used(&weight, false, 3), 3, "not valid");
        assert_eq!(used(&weight, true, 4), 3);
        assert_eq!(used(&weight.clone(), true, 5), 5, "a clone has its own cache");
        weight.tensor_mut();
        assert_eq!(used(&weight, true, 6), 6, "the weight may have changed");
    }
}
