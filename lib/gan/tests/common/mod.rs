//! What the comparisons with PyTorch's numbers share.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use gan::checkpoint::foreign::{self, LayoutHints, ModelSummary, StateDict, TensorSpec};
use gan::nn::Network;
use gan::nn::ops::Backend;

pub type Tensors = HashMap<String, Tensor>;

/// Where a comparison computes, and how far from PyTorch it may come.
pub struct Target {
    pub backend: Backend,
    pub device: Device,
    pub tolerance: f64,
}

/// On the CPU by one implementation or the other.
pub fn cpu(backend: Backend) -> Target {
    Target { backend, device: Device::Cpu, tolerance: 1e-5 }
}

/// On the GPU, whose sums are in another order than the CPU's.
#[cfg(feature = "cuda")]
pub fn gpu() -> Target {
    let device = gan::device::choose(Some("cuda")).unwrap().device;
    Target { backend: Backend::Portable, device, tolerance: 1e-4 }
}

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
    let [a, b] = [a, b].map(|t| t.to_device(&Device::Cpu).unwrap());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() as f64
}

/// Weights within the tolerance of PyTorch's.
#[track_caller]
pub fn weights_match(ours: Vec<(String, Tensor)>, theirs: &Tensors, what: &str, tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in ours {
        let d = largest_difference(&tensor, &theirs[&name]);
        assert!(d < tolerance, "{what}{name}: differs by {d}");
    }
}

/// Gradients within the tolerance, as a part of the largest of PyTorch's same tensor.
#[track_caller]
pub fn gradients_match(ours: Vec<(String, Tensor)>, theirs: &Tensors, what: &str, tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (name, grad) in ours {
        let scale = largest_difference(&theirs[&name], &theirs[&name].zeros_like().unwrap());
        let d = largest_difference(&grad, &theirs[&name]);
        assert!(d < tolerance * scale.max(1e-2), "{what}{name}: differs by {d}, largest {scale}");
    }
}

/// What a generator is taken for by its tensors' names and shapes alone, and the network that comes of it.
pub fn understood(generator: &Network, hints: &LayoutHints) -> (ModelSummary, Network) {
    let tensors = generator.tensors().unwrap();
    let spec = |(name, t): &(String, Tensor)| TensorSpec {
        name: name.clone(),
        shape: t.dims().to_vec(),
        float: true,
    };
    let specs = tensors.iter().map(spec).collect();
    let dicts = [StateDict { path: String::new(), tensors: specs, ordered: false }];
    let found = foreign::find(&dicts, hints).unwrap();
    let read = |name: &str, shape: &[usize]| {
        let (_, tensor) = tensors.iter().find(|(other, _)| other == name).unwrap();
        assert_eq!(tensor.dims(), shape);
        Ok(tensor.flatten_all()?.to_vec1()?)
    };
    let network = found.network(&Device::Cpu, &read).unwrap();
    (found.summary, network)
}
