//! Work inside this process: training steps, features, the Fréchet distance, and the speedup by a second
//! thread.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use gan::data::image::Image;
use gan::metrics::features::Extractor;
use gan::metrics::frechet;
use gan::nn::adam::AdamConfig;
use gan::nn::model::{Arch, Dcgan, ImageShape, Mlp};
use gan::nn::ops::{Activation, Backend, Geometry, Weight};
use gan::precision::Precision;
use gan::rng::{Stream, normals};
use gan::train::Trainer;
use rayon::ThreadPoolBuilder;

use crate::flops;
use crate::measure::{Figure, Load, Spread, Work};
use crate::workspace::Workspace;

/// The model of the recipe `celeba`, that of PyTorch's DCGAN tutorial.
pub const TUTORIAL: Dcgan =
    Dcgan { nz: 100, ngf: 64, ndf: 64, leaky_slope: 0.2, init_std: 0.02, norm_init_std: 0.02 };

/// A smaller model, often used for images of cats.
pub const CATS: Dcgan = Dcgan { nz: 30, ndf: 32, leaky_slope: 0.1, ..TUTORIAL };

/// The shape of the images of both models.
pub const SHAPE: ImageShape = (64, 64, 3);

/// Steps of the MLP GAN in a repetition.
pub const MLP_STEPS: usize = 100;

/// Batch size of `fid`.
pub const FEATURES_BATCH: usize = 50;

/// The duration of `work` in seconds, without dropping its result.
pub fn timed<R>(work: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    drop(result);
    seconds
}

/// Standard normal values, clamped to ±`limit`.
fn random(index: u64, limit: f32, shape: &[usize]) -> Tensor {
    let mut data = vec![0.0; shape.iter().product()];
    normals(1, Stream::Noise, index, &mut data);
    data.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
    Tensor::from_vec(data, shape, &Device::Cpu).expect("as many elements as the shape has")
}

fn trainer(arch: Arch, shape: ImageShape, beta1: f64, precision: Precision) -> Trainer {
    let model = arch.model(shape).expect("a sound model");
    let adam = AdamConfig { lr: 2e-4, beta1, beta2: 0.999, eps: 1e-8 };
    let (g, d) = (model.generator(999, &Device::Cpu), model.discriminator(999, &Device::Cpu));
    let [g, d] = [g, d].map(|network| network.expect("a sound model").with_precision(precision));
    Trainer::new(g, d, &adam, &adam).expect("on the CPU")
}

/// One training step of a DCGAN.
pub fn dcgan_step(config: &Dcgan, batch: usize, precision: Precision) -> Load<'static> {
    let precision = precision.on(&Device::Cpu);
    let mut trainer = trainer(Arch::Dcgan(config.clone()), SHAPE, 0.5, precision);
    let real = random(0, 1.0, &[batch, SHAPE.0, SHAPE.1, SHAPE.2]);
    let z = random(1, f32::MAX, &[batch, config.nz]);
    let work = move || timed(|| trainer.step(&real, &z, None).expect("a step"));
    let flops = flops::dcgan_step(config, SHAPE) * batch as f64;
    Load { work: Box::new(work), count: batch as f64, flops: Some(flops), precision }
}

/// [`MLP_STEPS`] steps of the recipe `mnist`, small enough that overhead counts.
pub fn mlp_steps() -> Load<'static> {
    let (batch, config, shape) = (100, Mlp::default(), (28, 28, 1));
    let flops = flops::mlp_step(&config, shape) * (batch * MLP_STEPS) as f64;
    let real = random(0, 1.0, &[batch, shape.0, shape.1, shape.2]);
    let [z, fresh] = [1, 2].map(|i| random(i, f32::MAX, &[batch, config.nz]));
    let mut trainer = trainer(Arch::Mlp(config), shape, 0.9, Precision::F32);
    let work = move || {
        timed(|| {
            for _ in 0..MLP_STEPS {
                trainer.step(&real, &z, Some(&fresh)).expect("a step");
            }
        })
    };
    Load { work: Box::new(work), count: MLP_STEPS as f64, flops: Some(flops), precision: Precision::F32 }
}

/// Inception's 2,048 features of a batch of 64×64 images in memory, resizing included.
pub fn inception(workspace: &Workspace, precision: Precision) -> Load<'static> {
    let precision = precision.on(&Device::Cpu);
    let extractor =
        Extractor::inception(workspace.weights(), 2048, precision, &Device::Cpu).expect("sound weights");
    features(extractor, flops::INCEPTION, precision)
}

/// SqueezeNet's 512 features of the same images.
pub fn squeezenet() -> Load<'static> {
    let extractor = Extractor::squeezenet(Precision::F32, &Device::Cpu).expect("built in");
    features(extractor, flops::SQUEEZENET, Precision::F32)
}

/// The features of a batch of 64×64 images in memory, by a network of `flops` per image.
fn features(extractor: Extractor, flops: f64, precision: Precision) -> Load<'static> {
    let image = |i: usize| {
        let mut noise = vec![0.0; 64 * 64 * 3];
        normals(1, Stream::Noise, i as u64, &mut noise);
        let rgb = noise.iter().map(|v| (128.0 + 40.0 * v) as u8).collect();
        Image { width: 64, height: 64, rgb }
    };
    let images: Vec<Image> = (0..FEATURES_BATCH).map(image).collect();
    let work = move || timed(|| extractor.run(&images).expect("features"));
    let count = FEATURES_BATCH as f64;
    Load { work: Box::new(work), count, flops: Some(flops * count), precision }
}

/// The Fréchet distance between the Gaussians of the goldens: 2,048 dimensions, full rank.
pub fn frechet(workspace: &Workspace) -> Load<'_> {
    let (a, b) = workspace.gaussians();
    let work = || timed(|| frechet::distance(a, b).expect("sound statistics"));
    Load { work: Box::new(work), count: 1.0, flops: None, precision: Precision::F32 }
}

/// The relative error of that distance.
pub fn frechet_error(workspace: &Workspace) -> String {
    let (a, b) = workspace.gaussians();
    let got = frechet::distance(a, b).expect("sound statistics");
    format!("{:.0e} from the golden", (got / workspace.golden_distance() - 1.0).abs())
}

/// The middle convolution of the DCGAN's discriminator on a batch: one large matrix product.
pub fn convolution() -> Work<'static> {
    let (x, weight) = (random(0, 1.0, &[128, 16, 16, 128]), Weight::new(random(1, 1.0, &[4, 4, 128, 256])));
    let conv =
        move || Backend::Cpu.conv2d(Geometry::K4S2P1, &x, &weight, None, Activation::Identity, DType::F32);
    Box::new(move || timed(|| (0..5).for_each(|_| drop(conv().expect("a convolution")))))
}

/// One training step of [`TUTORIAL`].
pub fn step() -> Work<'static> {
    dcgan_step(&TUTORIAL, 128, Precision::F32).work
}

/// The speedup of two threads over one, measured in turn.
pub fn scaling(work: fn() -> Work<'static>, repetitions: usize) -> Result<Figure, String> {
    if std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return Err("one core here".into());
    }
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let mut runners = [1, 2].map(|threads| (pool(threads), work()));
    let mut run = |i: usize| {
        let (pool, work) = &mut runners[i];
        pool.install(work)
    };
    // The first run of each allocates memory.
    let _ = [run(0), run(1)];
    let seconds: Vec<[f64; 2]> = (0..repetitions).map(|_| [run(0), run(1)]).collect();
    let median = |i: usize| Spread::of(seconds.iter().map(|pair| pair[i]).collect()).median;
    Ok(Figure::new(median(0) / median(1), "×"))
}
