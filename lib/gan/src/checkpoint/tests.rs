use std::fs;
use std::path::PathBuf;

use ::safetensors::SafeTensors;
use candle_core::DType;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::nn::model::{Arch, Dcgan};
use crate::rng::{Stream, normals};
use crate::train::Trainer;

const CPU: Device = Device::Cpu;

fn model() -> ModelConfig {
    ModelConfig {
        size: 32,
        channels: 3,
        arch: Arch::Dcgan(Dcgan { nz: 5, ngf: 3, ndf: 2, ..Default::default() }),
    }
}

fn meta(kind: CheckpointKind) -> CheckpointMeta {
    CheckpointMeta {
        kind,
        model: model(),
        recipe: Recipe::load("demo").unwrap(),
        shard: ShardId { name: "faces-32.safetensors".into(), hash: "ab".into(), images: 40 },
        step: 12,
        epoch: 3,
        tool: "0.0.0".into(),
    }
}

fn noise(shape: &[usize], index: u64) -> Tensor {
    let mut data = vec![0.0; shape.iter().product()];
    normals(4, Stream::Noise, index, &mut data);
    Tensor::from_vec(data, shape, &CPU).unwrap()
}

fn trainer() -> Trainer {
    let optimizer = Recipe::load("demo").unwrap().optimizer;
    let (g, d) = (model().generator(1, &CPU).unwrap(), model().discriminator(1, &CPU).unwrap());
    Trainer::new(g, d, &optimizer.adam_g(), &optimizer.adam_d()).unwrap()
}

/// A folder with a generator of gantools in it.
fn written() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("G.safetensors");
    write(&path, &meta(CheckpointKind::Generator), &model().generator(1, &CPU).unwrap().tensors().unwrap())
        .unwrap();
    (folder, path)
}

/// The one line of error that reading `path` as a generator gives, without the path.
fn refusal(path: &Path) -> String {
    let line = generator(path, &LayoutHints::default(), &CPU).err().expect("an error").to_string();
    assert!(!line.contains('\n'), "{line}");
    line.strip_prefix(&format!("{}: ", path.display())).expect("the path first").to_string()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn a_generator_comes_back_as_it_was() {
    let (_folder, path) = written();
    let back = generator(&path, &LayoutHints::default(), &CPU).unwrap();
    let z = noise(&[2, 5], 0);
    let images = |n: &Network| n.forward(&z).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(images(&back.network), images(&model().generator(1, &CPU).unwrap()));
    assert_eq!((back.latent_size, back.image_shape), (5, (32, 32, 3)));
    assert_eq!(back.meta, Some(meta(CheckpointKind::Generator)));

    let bytes = fs::read(&path).unwrap();
    let hash = back.hash.clone();
    write(&path, &meta(CheckpointKind::Generator), &back.network.tensors().unwrap()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "the same content, the same bytes");
    assert_eq!(generator(&path, &LayoutHints::default(), &CPU).unwrap().hash, hash);
    // Other people's reader takes it, and finds one key of metadata and aligned data.
    let (header, layout) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((8 + header) % 64, 0);
    assert_eq!(layout.metadata().as_ref().unwrap().keys().collect::<Vec<_>>(), ["gantools"]);
    let keys = layout.metadata().as_ref().unwrap()["gantools"].clone();
    let sorted: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let names: Vec<_> = sorted.as_object().unwrap().keys().collect();
    let sorted = sorted.to_string();
    assert!(names.is_sorted() && keys == sorted);
}

#[test]
fn a_state_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let step =
        |t: &mut Trainer, i: u64| t.step(&noise(&[4, 32, 32, 3], i), &noise(&[4, 5], 10 + i), None).unwrap();
    let mut through = trainer();
    (0..3).for_each(|i| {
        step(&mut through, i);
    });
    write(&path, &meta(CheckpointKind::State), &through.tensors().unwrap()).unwrap();
    let expected = step(&mut through, 3);

    let mut resumed = trainer();
    resumed.load(&Weights::open(&path).unwrap().read().unwrap().0).unwrap();
    assert_eq!(step(&mut resumed, 3), expected);
    for ((name, a), (_, b)) in resumed.tensors().unwrap().iter().zip(through.tensors().unwrap()) {
        let bits =
            |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(bits(a), bits(&b), "{name}");
    }
}

#[test]
fn pytorchs_generator_makes_pytorchs_images() {
    let ours = generator(&golden("pytorch_generator.safetensors"), &LayoutHints::default(), &CPU).unwrap();
    assert!(ours.meta.is_none());
    assert_eq!(ours.image_shape, (64, 64, 3));
    let expected = candle_core::safetensors::load(golden("pytorch_pictures.safetensors"), &CPU).unwrap();
    let images = crate::sample::images(&ours.network, &expected["z"]).unwrap();
    let theirs = expected["pictures"].flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert_eq!(images.len(), theirs.len());
    assert!(images.iter().zip(&theirs).all(|(a, b)| a.abs_diff(*b) <= 1));
    // They are images, not one gray.
    assert!(theirs.iter().min().unwrap() + 100 < *theirs.iter().max().unwrap());
}

#[test]
fn every_wrong_byte_has_its_line() {
    let (folder, path) = written();
    let whole = fs::read(&path).unwrap();
    let data = whole.len() - 100;
    let mut nan = whole.clone();
    nan[data..data + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut shape = whole.clone();
    let at = whole.windows(7).position(|w| w == b"\"shape\"").unwrap();
    shape[at + 9] = b'9';
    let cases: [(&[u8], &str); 9] = [
        (b"", "is empty"),
        (b"PK\x03\x04zip archive of PyTorch", "a damaged zip; fetch it again"),
        (b"short", "is neither a safetensors file nor what torch.save writes"),
        (&whole[..40], "is cut short in its header, at 40 bytes; make or download it again"),
        (
            &whole[..data],
            &format!("is cut short: {data} of {} bytes; make or download it again", whole.len()),
        ),
        (&[&whole[..], b"more"].concat(), "has 4 trailing bytes; make or download it again"),
        (&nan, "is damaged: its bytes are not those that were written"),
        (&shape, "its safetensors header is damaged (invalid "),
        (b"\x02\0\0\0\0\0\0\0{}", "it holds no network"),
    ];
    let path = folder.path().join("X.safetensors");
    for (bytes, line) in cases {
        fs::write(&path, bytes).unwrap();
        assert!(refusal(&path).starts_with(line), "{} should be {line}", refusal(&path));
    }
    assert!(refusal(&folder.path().join("none")).contains("No such file"));
    assert!(refusal(folder.path()).starts_with("is a folder"));
}

#[test]
fn other_files_of_ours_are_told_apart() {
    let (folder, path) = written();
    let tensors = model().generator(1, &CPU).unwrap().tensors().unwrap();
    let other = folder.path().join("other");
    write(&other, &meta(CheckpointKind::State), &tensors).unwrap();
    assert!(refusal(&other).starts_with("is a run's state, not a generator"));
    write(&other, &meta(CheckpointKind::Discriminator), &tensors).unwrap();
    assert!(refusal(&other).starts_with("is a discriminator, not a generator"));
    let (norm, others): (Vec<_>, Vec<_>) =
        tensors.iter().cloned().partition(|(name, _)| name == "main.1.weight");
    write(&other, &meta(CheckpointKind::Generator), &others).unwrap();
    assert_eq!(refusal(&other), "main.1.weight: is missing");
    write(&other, &meta(CheckpointKind::Generator), &norm).unwrap();
    assert_eq!(refusal(&other), "has fewer elements than its generator");
    let diverged: Vec<_> = tensors.iter().map(|(n, t)| (n.clone(), (t / 0.0).unwrap())).collect();
    write(&other, &meta(CheckpointKind::Generator), &diverged).unwrap();
    assert!(refusal(&other).ends_with(": holds a NaN or an infinity; its training diverged"));
    crate::io::safetensors::write(&other, "{\"kind\":\"generator\",\"later\":1}", &tensors).unwrap();
    assert!(refusal(&other).starts_with("its metadata is not understood (missing field"));
    let images = Tensor::zeros((1, 2, 2, 3), DType::F32, &CPU).unwrap();
    crate::io::safetensors::write(&other, "{}", &[("images".into(), images)]).unwrap();
    assert!(refusal(&other).starts_with("is a shard of images"));

    let info = super::info(&path, &LayoutHints::default()).unwrap();
    assert!(info.text.contains("DCGAN 32×32×3, nz 5, ngf 3, ndf 2"), "{}", info.text);
    assert_eq!(info.json["kind"], "generator");
    assert_eq!(info.json["step"], 12);
    let foreign = super::info(&golden("pytorch_generator.safetensors"), &LayoutHints::default()).unwrap();
    assert_eq!(foreign.json["model"]["nz"], json!(6));
}
