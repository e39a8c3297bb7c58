//! Helpers of the tests of both networks, and tests of the code that both use.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use ndarray::Array2;

use super::cpu::FeatureMap;
use super::device::DeviceNet;
use super::extractor::{Extractor, ExtractorBackend};
use super::net::{MaxPool, Net, NetworkWeights};
use super::{cpu, resize};
use crate::data::image::Image;
use crate::io::npz::Npz;
use crate::io::weights::Tensors;

#[path = "../../../tests/golden/fid/hashed.rs"]
pub(crate) mod hashed;

/// A file or folder of the goldens.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fid").join(name)
}

/// Two samples `[n, d]` and `[m, d]` by the recipe of the golden vectors, as f32.
pub(crate) fn hashed_samples(n: usize, m: usize, d: usize) -> [Vec<f32>; 2] {
    let of_column = |name: &str| (0..d).map(|j| hashed::uniform(name, j as u64)).collect::<Vec<_>>();
    let (spread, offset) = (of_column("s"), of_column("o"));
    let one = |i: usize| hashed::uniform("x1", i as u64) as f32;
    let two =
        |i: usize| (hashed::uniform("x2", i as u64) * (0.5 + spread[i % d]) + 0.3 * offset[i % d]) as f32;
    [(0..n * d).map(one).collect(), (0..m * d).map(two).collect()]
}

/// An array of a golden `.npz`.
pub(crate) fn golden_array(file: &str, name: &str) -> Array2<f64> {
    Npz::open(&golden(file)).unwrap().matrix(name).unwrap()
}

/// The hashed Inception weights.
pub(crate) fn inception_tensors() -> &'static Tensors {
    static TENSORS: OnceLock<Tensors> = OnceLock::new();
    TENSORS.get_or_init(|| {
        Tensors::from_bytes(Path::new("hashed"), hashed::inception_weights(&golden(""))).unwrap()
    })
}

/// Whether `got` is `want` within 2e-4 + 2e-5·|want|: PyTorch's own f32 and f64 differ by a quarter of that.
pub(crate) fn assert_features<'a>(got: &[f32], want: impl IntoIterator<Item = &'a f64>) {
    let want: Vec<f64> = want.into_iter().copied().collect();
    assert_eq!(got.len(), want.len());
    for (i, (&g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(g) - w).abs() <= 2e-4 + 2e-5 * w.abs(), "feature {i}: {g}, not {w}");
    }
}

/// Images drawn by the hash.
pub(crate) fn drawn(n: usize, width: usize, height: usize) -> Vec<Image> {
    let image = |p: usize| {
        let byte = |i: usize| (hashed::uniform(&format!("picture {p}"), i as u64) * 256.0) as u8;
        Image { width, height, rgb: (0..width * height * 3).map(byte).collect() }
    };
    (0..n).map(image).collect()
}

/// The same through slices and through candle's tensors on the CPU.
pub(crate) fn assert_backends_agree(slices: &Extractor, filters: NetworkWeights, images: &[Image]) {
    let backend = ExtractorBackend::Device(DeviceNet::new(filters, &Device::Cpu).unwrap());
    let tensors = slices.with_backend(backend);
    let want = tensors.run(images).unwrap();
    assert!(want.iter().any(|&v| v > 0.1), "features that are all zero would prove nothing");
    for (g, w) in slices.run(images).unwrap().iter().zip(want) {
        assert!((g - w).abs() <= 1e-4 + 1e-4 * w.abs(), "{g} on slices, {w} on tensors");
    }
}

#[test]
fn pools_agree_on_both_backends() {
    let (h, w, c) = (9, 12, 3);
    let values: Vec<f32> = (0..2 * h * w * c).map(|i| hashed::uniform("pool", i as u64) as f32).collect();
    let (cpu, device) = (
        cpu::Cpu::<f32>::new(NetworkWeights::new()),
        DeviceNet::new(NetworkWeights::new(), &Device::Cpu).unwrap(),
    );
    let map = FeatureMap::new((2, h, w, c), values.clone());
    let tensor = Tensor::from_vec(values, (2, h, w, c), &Device::Cpu).unwrap().permute((0, 3, 1, 2)).unwrap();
    let tensor = tensor.contiguous().unwrap();
    let same = |got: FeatureMap<f32>, want: Tensor| {
        let want = want.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got = cpu.elements(&got);
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-6, "{g} and {w}"));
    };
    for (stride, padding, ceil) in [(2, 0, false), (2, 0, true), (1, 1, false)] {
        let pool = MaxPool { stride, padding, ceil };
        same(cpu.max_pool(pool, &map).unwrap(), device.max_pool(pool, &tensor).unwrap());
    }
    same(cpu.avg_pool(&map).unwrap(), device.avg_pool(&tensor).unwrap());
}

#[test]
fn an_average_does_not_count_the_padding() {
    let cpu = cpu::Cpu::<f32>::new(NetworkWeights::new());
    let map = FeatureMap::new((1, 2, 3, 1), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(*cpu.elements(&cpu.avg_pool(&map).unwrap()), [3.0, 3.5, 4.0, 3.0, 3.5, 4.0]);
}

#[test]
fn resizing_an_image_to_its_own_size_changes_nothing() {
    let image = &drawn(1, 17, 17)[0];
    let mut out = vec![0.0; 17 * 17 * 3];
    resize::bilinear(image, 17, f32::from, &mut out);
    assert!(out.iter().zip(&image.rgb).all(|(&o, &p)| o == f32::from(p)));
}

#[test]
fn resizing_interpolates_between_pixel_centers() {
    let image = Image { width: 2, height: 1, rgb: vec![0, 0, 0, 100, 100, 100] };
    let mut out = vec![0.0; 4 * 4 * 3];
    resize::bilinear(&image, 4, f32::from, &mut out);
    let row: Vec<f32> = out.chunks_exact(3).take(4).map(|p| p[0]).collect();
    assert_eq!(row, [0.0, 25.0, 75.0, 100.0]);
}
