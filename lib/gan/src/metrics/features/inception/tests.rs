use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use candle_core::Device;

use super::*;
use crate::metrics::features::cpu::{Cpu, FeatureMap};
use crate::metrics::features::tests::*;
use crate::metrics::features::{Extractor, Features};
use crate::metrics::frechet::{RunningCovariance, distance};
use crate::metrics::{ImageSet, measure};
use crate::precision::Precision;
use crate::progress::Silent;

fn extractor(dims: usize) -> Extractor {
    let weights = load(inception_tensors()).unwrap();
    Extractor::new(Features::Inception, dims, weights, Precision::F32, &Device::Cpu).unwrap()
}

fn features_of_a(dims: usize) -> Vec<f32> {
    let (images, extractor) = (ImageSet::open(&golden("a")).unwrap(), extractor(dims));
    let all: Vec<_> = (0..images.len()).map(|i| images.get(i).unwrap().0).collect();
    all.chunks(12).flat_map(|some| extractor.run(some).unwrap()).collect()
}

#[test]
fn features_are_pytorch_fids() {
    for dims in [64, 2048] {
        assert_features(&features_of_a(dims), &golden_array(&format!("features_{dims}.npz"), "a"));
    }
}

#[cfg(feature = "cuda")]
#[test]
fn features_are_pytorch_fids_on_the_gpu() {
    let device = crate::device::choose(Some("cuda")).unwrap().device;
    let weights = load(inception_tensors()).unwrap();
    let extractor = Extractor::new(Features::Inception, 2048, weights, Precision::F32, &device).unwrap();
    let images = ImageSet::open(&golden("a")).unwrap();
    let two: Vec<_> = (0..2).map(|i| images.get(i).unwrap().0).collect();
    let want = golden_array("features_2048.npz", "a");
    assert_features(&extractor.run(&two).unwrap(), want.rows().into_iter().take(2).flatten());
}

#[test]
fn the_fid_is_pytorch_fids() {
    let images = ImageSet::open(&golden("a")).unwrap();
    let a = measure(&images, &extractor(64), 7, false, &Silent).unwrap().stats.gaussian;
    let mut b = RunningCovariance::new(64);
    b.push(golden_array("features_64.npz", "b").as_slice().unwrap());
    let fid = distance(&a, &b.gaussian().unwrap()).unwrap();
    assert!((fid / 1.0196893278 - 1.0).abs() < 1e-6, "{fid}");
}

/// The network on slices, which records the mean and deviation of each map that the goldens name.
struct Witness {
    cpu: Cpu<f32>,
    /// The block of the convolution that ran last.
    block: RefCell<String>,
    pools: Cell<u32>,
    seen: RefCell<HashMap<String, (f64, f64)>>,
}

impl Witness {
    fn update(&self, name: String, map: FeatureMap<f32>) -> Result<FeatureMap<f32>> {
        let data = self.cpu.elements(&map);
        let (n, values) = (data.len() as f64, data.iter().map(|&v| f64::from(v)));
        let mean = values.clone().sum::<f64>() / n;
        let variance = values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        self.seen.borrow_mut().insert(name, (mean, variance.sqrt()));
        Ok(map)
    }
}

impl Net for Witness {
    type Map = FeatureMap<f32>;

    fn conv(
        &self,
        name: &str,
        conv: ConvWindow,
        filters: usize,
        x: &FeatureMap<f32>,
    ) -> Result<FeatureMap<f32>> {
        *self.block.borrow_mut() = name.split('.').next().unwrap().to_string();
        self.update(name.to_string(), self.cpu.conv(name, conv, filters, x)?)
    }

    fn max_pool(&self, pool: MaxPool, x: &FeatureMap<f32>) -> Result<FeatureMap<f32>> {
        self.pools.set(self.pools.get() + 1);
        self.update(format!("maxpool{}", self.pools.get()), self.cpu.max_pool(pool, x)?)
    }

    fn avg_pool(&self, x: &FeatureMap<f32>) -> Result<FeatureMap<f32>> {
        self.cpu.avg_pool(x)
    }

    /// A block ends with the last of its concatenations.
    fn concat(&self, parts: &[FeatureMap<f32>]) -> Result<FeatureMap<f32>> {
        self.update(self.block.borrow().clone(), self.cpu.concat(parts)?)
    }

    fn mean(&self, x: &FeatureMap<f32>) -> Result<Vec<f32>> {
        self.cpu.mean(x)
    }
}

#[test]
fn every_block_is_pytorch_fids() {
    let want: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("single_a0000.json")).unwrap()).unwrap();
    let image = ImageSet::open(&golden("a")).unwrap().get(0).unwrap().0;
    let cpu = Cpu::new(load(inception_tensors()).unwrap().0);
    let net = Witness { cpu, block: Default::default(), pools: Cell::new(0), seen: Default::default() };
    let mut input = vec![0.0; SIZE * SIZE * 3];
    prepare(&image, &mut input);
    let last = forward(&net, net.cpu.input(input, SIZE), 2048).unwrap();
    let data = net.mean(&last).unwrap();
    net.update("avgpool".to_string(), FeatureMap::new((1, 1, 1, 2048), data)).unwrap();
    let seen = net.seen.into_inner();
    for (name, want) in want.as_object().unwrap() {
        let got = seen.get(name).unwrap_or_else(|| panic!("{name} was not met"));
        for (got, key) in [(got.0, "mean"), (got.1, "std")] {
            let want = want[key].as_f64().unwrap();
            assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{name}: {key} {got}, not {want}");
        }
    }
}

#[test]
fn tensors_give_what_slices_give() {
    let (filters, _) = load(inception_tensors()).unwrap();
    assert_backends_agree(&extractor(2048), filters, &drawn(1, 40, 30));
}

#[test]
fn the_batch_size_is_only_noise() {
    let (images, extractor) = (drawn(5, 64, 64), extractor(192));
    let one: Vec<f32> = images.chunks(1).flat_map(|p| extractor.run(p).unwrap()).collect();
    let all = extractor.run(&images).unwrap();
    assert!(one.iter().zip(&all).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)));
}

#[test]
fn other_weights_are_named() {
    let squeezenet =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/squeezenet-v1.1-f16.safetensors");
    let error =
        Extractor::inception(&squeezenet, 2048, Precision::F32, &Device::Cpu).err().unwrap().to_string();
    assert!(
        error.contains("squeezenet-v1.1-f16.safetensors") && error.contains("Conv2d_1a_3x3.conv.weight"),
        "{error}"
    );
}

/// Gray, 16-bit, palette, alpha and odd sizes: the network's input is the image that Pillow decodes. JPEG
/// decoders may differ by 3 in 255, which these weights magnify: a wider bound.
#[test]
fn odd_images_give_pytorch_fids_features() {
    let want: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("odd.json")).unwrap()).unwrap();
    let (images, extractor) = (ImageSet::open(&golden("odd")).unwrap(), extractor(2048));
    let mut seen = 0;
    for (name, want) in want.as_object().unwrap() {
        let file = golden("odd").join(name);
        if !file.is_file() {
            continue;
        }
        let got = extractor.run(&[ImageSet::open(&file).unwrap().get(0).unwrap().0]).unwrap();
        let number = |key: &str| want[key].as_f64().unwrap();
        let first = want["feat_first8"].as_array().unwrap();
        let sum: f64 = got.iter().map(|&v| f64::from(v)).sum();
        let length = got.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let (each, all) = if name.contains(".jp") { (0.25, 0.02) } else { (2e-4, 1e-5) };
        for (&g, w) in got.iter().zip(first) {
            let (g, w) = (f64::from(g), w.as_f64().unwrap());
            assert!((g - w).abs() <= each + 2e-5 * w.abs(), "{name}: {g}, not {w}");
        }
        for (got, want) in [(sum, number("feat_sum")), (length, number("feat_l2"))] {
            assert!((got / want - 1.0).abs() <= all, "{name}: {got}, not {want}");
        }
        seen += 1;
    }
    // As in pytorch-fid, extensions in capitals and subfolders are not read.
    assert_eq!((seen, images.len()), (13, 13));
}
