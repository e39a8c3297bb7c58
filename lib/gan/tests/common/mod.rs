//! What the comparisons with PyTorch's numbers share.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

pub type Tensors = HashMap<String, Tensor>;

/// The tensors of a golden file, named from `tests/golden` on.
pub fn golden(name: &str) -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// The tensors whose names begin with `prefix`, without it.
pub fn part(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_string(), v.clone()))).collect()
}

pub fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() as f64
}

/// Weights within 1e-5 of PyTorch's.
#[track_caller]
pub fn weights_match(ours: Vec<(String, Tensor)>, theirs: &Tensors, what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in ours {
        let d = largest_difference(&tensor, &theirs[&name]);
        assert!(d < 1e-5, "{what}{name}: differs by {d}");
    }
}

/// Gradients within 1e-5 of the largest of PyTorch's same tensor.
#[track_caller]
pub fn gradients_match(ours: Vec<(String, Tensor)>, theirs: &Tensors, what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (name, grad) in ours {
        let scale = largest_difference(&theirs[&name], &theirs[&name].zeros_like().unwrap());
        let d = largest_difference(&grad, &theirs[&name]);
        assert!(d < 1e-5 * scale.max(1e-2), "{what}{name}: differs by {d}, largest {scale}");
    }
}
