//! The weights and samples behind the goldens in this folder: numbers that are a hash of a name and an index,
//! so that no file of 95 MB is needed. Included by the tests of the library and of the tools.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

/// u(name, i) in [0, 1): splitmix64 from the FNV-1a hash of the name, the upper 24 bits.
pub fn uniform(name: &str, i: u64) -> f64 {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    let h = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let z = h.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
}

/// The Inception weights as a safetensors file; `folder` is the one with keys.txt and bnstats.safetensors.
#[allow(dead_code)] // each test binary takes what it needs
pub fn inception_weights(folder: &Path) -> Vec<u8> {
    let keys = std::fs::read_to_string(folder.join("keys.txt")).unwrap();
    let stats = std::fs::read(folder.join("bnstats.safetensors")).unwrap();
    let stats = SafeTensors::deserialize(&stats).unwrap();
    let mut tensors = BTreeMap::new();
    for key in keys.lines() {
        let mut parts = key.split('\t');
        let (name, dtype, shape) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        if dtype != "float32" {
            continue;
        }
        let shape: Vec<usize> = shape.split('x').map(|d| d.parse().unwrap()).collect();
        let fan_in: usize = shape[1..].iter().product();
        let value: &dyn Fn(f64) -> f64 = match name {
            "fc.weight" => &|u| (2.0 * u - 1.0) * (1.0f64 / 2048.0).sqrt(),
            "fc.bias" => &|u| 0.2 * u - 0.1,
            _ if name.ends_with("conv.weight") => &|u| (2.0 * u - 1.0) * (6.0 / fan_in as f64).sqrt(),
            _ if name.ends_with("bn.weight") => &|u| 0.5 + u,
            _ if name.ends_with("bn.bias") => &|u| 0.4 * u - 0.2,
            _ => {
                tensors.insert(name.to_string(), (shape, stats.tensor(name).unwrap().data().to_vec()));
                continue;
            }
        };
        let n: usize = shape.iter().product();
        let bytes = (0..n as u64).flat_map(|i| (value(uniform(name, i)) as f32).to_le_bytes()).collect();
        tensors.insert(name.to_string(), (shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(n, (shape, data))| (n, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}
