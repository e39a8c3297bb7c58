//! A temporary folder with the inputs of the rows, each made on first use.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use candle_core::{Device, Tensor};
use gan::checkpoint::{self, CheckpointKind, CheckpointMeta, ShardId};
use gan::data::source::Source;
use gan::metrics::frechet::{Gaussian, RunningCovariance};
use gan::metrics::stats::Stats;
use gan::nn::Network;
use gan::nn::model::Arch;
use gan::recipe::Recipe;
use gan::rng::Stream;
use gan::sample;
use image::ExtendedColorType::Rgb8;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use tempfile::TempDir;

use crate::compute::{SHAPE, TUTORIAL};
use crate::process;

#[path = "../../lib/gan/tests/golden/fid/hashed.rs"]
mod hashed;

/// Drawn faces without `--data`.
const FACES: usize = 4096;

/// JPEG quality, 1 to 100.
const QUALITY: u8 = 90;

/// Dimensions of the Fréchet distance.
const DIMS: usize = 2048;

pub struct Workspace {
    folder: TempDir,
    data: Option<PathBuf>,
    /// Images that the rows of `fid` compare.
    pub fakes: usize,
    jpegs: OnceLock<PathBuf>,
    shard: OnceLock<PathBuf>,
    generator: OnceLock<PathBuf>,
    weights: OnceLock<PathBuf>,
    gaussians: OnceLock<(Gaussian, Gaussian)>,
    samples: OnceLock<PathBuf>,
}

impl Workspace {
    pub fn new(data: Option<PathBuf>, fakes: usize) -> Workspace {
        Workspace {
            folder: tempfile::tempdir().expect("a temporary folder"),
            // The tools run in the temporary folder.
            data: data.map(|path| fs::canonicalize(&path).unwrap_or(path)),
            fakes,
            jpegs: OnceLock::new(),
            shard: OnceLock::new(),
            generator: OnceLock::new(),
            weights: OnceLock::new(),
            gaussians: OnceLock::new(),
            samples: OnceLock::new(),
        }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A folder or zip of JPEGs: `--data`, or drawn faces of 178×218, the size of CelebA's.
    pub fn jpegs(&self) -> &Path {
        self.jpegs.get_or_init(|| {
            if let Some(data) = &self.data {
                return data.clone();
            }
            let folder = self.path("jpegs");
            fs::create_dir(&folder).expect("a new folder");
            let faces = Source::demo(FACES, 0);
            (0..FACES).into_par_iter().for_each(|i| {
                let face = faces.read(i).expect("drawn").decode().expect("pixels");
                let mut jpeg = Vec::new();
                let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
                encoder.encode(&face.rgb, face.width as u32, face.height as u32, Rgb8).expect("in memory");
                fs::write(folder.join(format!("{i:06}.jpg")), jpeg).expect("disk space for the faces");
            });
            folder
        })
    }

    /// A shard of these images at 64×64.
    pub fn shard(&self) -> &Path {
        self.shard.get_or_init(|| process::make_shard(self, "faces.safetensors").1)
    }

    /// A generator of the recipe `celeba` with random weights. Smooth kernels, matching running statistics
    /// and the contrast of photographs make its PNGs about as hard to compress as faces.
    pub fn generator(&self) -> &Path {
        self.generator.get_or_init(|| {
            let path = self.path("G.safetensors");
            let model = Arch::Dcgan(TUTORIAL).model(SHAPE).expect("a sound model");
            let recipe = Recipe::load("celeba").expect("a built-in recipe");
            let meta = CheckpointMeta {
                kind: CheckpointKind::Generator,
                model: model.clone(),
                recipe,
                shard: ShardId { name: "none".into(), hash: String::new(), images: 0 },
                step: 0,
                epoch: 0,
                tool: env!("CARGO_PKG_VERSION").into(),
            };
            let network = model.generator(999, &Device::Cpu).expect("a sound model");
            let tensors = like_trained(network).expect("on the CPU");
            checkpoint::write(&path, &meta, &tensors).expect("disk space for a generator");
            path
        })
    }

    /// Weights for Inception, hashes of their names: they take as long as the published ones.
    pub fn weights(&self) -> &Path {
        self.weights.get_or_init(|| {
            let path = self.path("inception.safetensors");
            fs::write(&path, hashed::inception_weights(&golden(""))).expect("disk space for weights");
            path
        })
    }

    /// The Gaussians of the goldens: 3,000 samples each of 2,048 hashed features.
    pub fn gaussians(&self) -> &(Gaussian, Gaussian) {
        self.gaussians.get_or_init(|| {
            let spread: Vec<f64> = (0..DIMS).map(|j| 0.5 + hashed::uniform("s", j as u64)).collect();
            let offset: Vec<f64> = (0..DIMS).map(|j| 0.3 * hashed::uniform("o", j as u64)).collect();
            let gaussian = |value: &(dyn Fn(usize) -> f64 + Sync)| {
                let mut covariance = RunningCovariance::new(DIMS);
                covariance.push(&(0..3000 * DIMS).into_par_iter().map(value).collect::<Vec<f64>>());
                covariance.gaussian().expect("many samples")
            };
            let one = |i: usize| hashed::uniform("x1", i as u64);
            let two = |i: usize| hashed::uniform("x2", i as u64) * spread[i % DIMS] + offset[i % DIMS];
            (gaussian(&one), gaussian(&two))
        })
    }

    /// The Fréchet distance between them by other programs.
    pub fn golden_distance(&self) -> f64 {
        let text = fs::read(golden("frechet_vectors.json")).expect("the goldens are in the repository");
        let vectors: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let vector = vectors.as_array().into_iter().flatten().find(|v| v["d"] == DIMS);
        let value = vector.and_then(|v| v["nuclear norm of C1 C2^T (exact for few samples)"].as_f64());
        value.expect("a golden of 2,048 dimensions")
    }

    /// `a.npz` and `b.npz`: the two Gaussians as statistics of images.
    pub fn stats(&self) -> [PathBuf; 2] {
        let (a, b) = self.gaussians();
        [("a.npz", a), ("b.npz", b)].map(|(name, gaussian)| {
            let path = self.path(name);
            if !path.exists() {
                let stats = Stats { gaussian: gaussian.clone(), meta: None };
                stats.write(&path, SystemTime::now()).expect("disk space for statistics");
            }
            path
        })
    }

    /// The folder of generated images for the rows of `fid`.
    pub fn samples(&self) -> &Path {
        self.samples.get_or_init(|| process::make_samples(self, "compared", self.fakes, "f32").1)
    }
}

/// A golden of `fid`.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/gan/tests/golden/fid").join(name)
}

/// The tensors of a new generator, changed so that its images have the smoothness and contrast of
/// photographs.
fn like_trained(mut network: Network) -> gan::Result<Vec<(String, Tensor)>> {
    const LAST: &str = "main.12.weight";
    let low_pass = Tensor::new(&[1f32, 3.0, 3.0, 1.0], &Device::Cpu)?.reshape((4, 1))?;
    let low_pass = (low_pass.broadcast_mul(&low_pass.t()?)? / 16.0)?;
    let mut tensors: HashMap<String, Tensor> = network.tensors()?.into_iter().collect();
    for (name, weight) in &mut tensors {
        // Except the first layer, whose kernel covers the image.
        if weight.rank() == 4 && name != "main.0.weight" {
            let smooth = weight.mean_keepdim(3)?.mean_keepdim(2)?.broadcast_mul(&low_pass)?;
            *weight = (smooth + (&*weight * 0.1)?)?;
        }
    }
    network.load(&tensors)?;
    // Update the running statistics with a momentum of 0.1; then measure the deviation of the images before
    // the tanh.
    let z = sample::latents(0, Stream::Noise, 0, 64, TUTORIAL.nz, &Device::Cpu)?;
    let mut last = network.forward_train(&z)?.0;
    for _ in 0..40 {
        last = network.forward_train(&z)?.0;
    }
    let images = last.flatten_all()?.to_vec1::<f32>()?;
    let square = |v: &f32| f64::from(v.clamp(-0.999, 0.999).atanh()).powi(2);
    let deviation = (images.iter().map(square).sum::<f64>() / images.len() as f64).sqrt();
    let mut tensors = network.tensors()?;
    for (name, weight) in &mut tensors {
        if name == LAST {
            *weight = (&*weight * (0.5 / deviation))?;
        }
    }
    Ok(tensors)
}
