use candle_core::Device;

use super::*;
use crate::io::npz::Npz;
use crate::metrics::ImageSet;
use crate::metrics::features::Extractor;
use crate::metrics::features::tests::*;
use crate::precision::Precision;

#[test]
fn features_are_torchvisions() {
    features_match(&Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
fn features_are_torchvisions_on_the_gpu() {
    features_match(&crate::device::choose(Some("cuda")).unwrap().device);
}

fn features_match(device: &Device) {
    let file = golden("../squeezenet/features.npz");
    let mut npz = Npz::open(&file).unwrap();
    let want = npz.matrix("features").unwrap();
    let names = String::from_utf8(npz.bytes("names").unwrap().unwrap()).unwrap();
    let extractor = Extractor::squeezenet(Precision::F32, device).unwrap();
    assert!(names.lines().count() >= 8);
    for (name, want) in names.lines().zip(want.rows()) {
        let folder = if name.starts_with('0') { "a" } else { "odd" };
        let image = ImageSet::open(&golden(folder).join(name)).unwrap().get(0).unwrap().0;
        let got = extractor.run(&[image]).unwrap();
        assert!(want.iter().any(|&v| v > 1.0), "features that are all zero would prove nothing");
        assert_features(&got, want);
    }
}

#[test]
fn tensors_give_what_slices_give() {
    let extractor = Extractor::squeezenet(Precision::F32, &Device::Cpu).unwrap();
    assert_backends_agree(&extractor, load().unwrap().0, &drawn(2, 50, 70));
}
