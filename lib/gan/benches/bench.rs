//! `just bench`: the training step in images per second and in percent of the machine's own f32 peak, both measured in
//! one run, in turn, since a shared machine's speed drifts.
//!
//! FLOPs are counted as the arithmetic demands, not as it is done: a picture and step of the 64×64 DCGAN with
//! nz = 100, ngf = ndf = 64 is 2.275 GFLOP (D forward and backward on real and on fake, G forward and backward, the pass
//! through D in G's update without D's weight gradients).

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use gan::adam::AdamConfig;
use gan::model::{DcganConfig, MlpConfig, ModelConfig};
use gan::rng::{Stream, normals};
use gan::train::Trainer;

// As in the tools: freed pages are kept, so that the buffers of a step are reused.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// f32 operations per second of fused multiply-adds in registers on every thread of rayon's pool.
fn peak_flops(duration: Duration) -> f64 {
    let per_thread = rayon::broadcast(|_| {
        let (start, mut flops) = (Instant::now(), 0.0);
        while start.elapsed() < duration {
            flops += fma_burst();
        }
        flops / start.elapsed().as_secs_f64()
    });
    per_thread.iter().sum()
}

/// Independent chains of multiply-adds, enough to hide their latency.
const CHAINS: usize = 16;
const ROUNDS: usize = 20_000;

#[cfg(target_arch = "x86_64")]
fn fma_burst() -> f64 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f")]
    fn wide() -> f64 {
        let (m, a) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
        let mut x = [a; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = _mm512_fmadd_ps(*x, m, a));
        }
        black_box(x);
        (ROUNDS * CHAINS * 16 * 2) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow() -> f64 {
        // 16 registers in all: 12 chains, two constants.
        const CHAINS: usize = 12;
        let (m, a) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
        let mut x = [a; CHAINS];
        for _ in 0..ROUNDS {
            x.iter_mut().for_each(|x| *x = _mm256_fmadd_ps(*x, m, a));
        }
        black_box(x);
        (ROUNDS * CHAINS * 8 * 2) as f64
    }

    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        unsafe { wide() }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { narrow() }
    } else {
        plain_burst()
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fma_burst() -> f64 {
    plain_burst()
}

/// For processors without a burst of their own: what the compiler makes of multiply and add.
fn plain_burst() -> f64 {
    let (m, a) = (std::hint::black_box(0.999f32), std::hint::black_box(1e-3f32));
    let mut x = [a; 8 * CHAINS];
    for _ in 0..ROUNDS {
        x.iter_mut().for_each(|x| *x = *x * m + a);
    }
    std::hint::black_box(x);
    (ROUNDS * 8 * CHAINS * 2) as f64
}

fn trainer(model: ModelConfig, beta1: f64) -> Trainer {
    let adam = AdamConfig { lr: 2e-4, beta1, beta2: 0.999, eps: 1e-8 };
    let (g, d) = (model.generator(999, &Device::Cpu), model.discriminator(999, &Device::Cpu));
    Trainer::new(g.unwrap(), d.unwrap(), &adam, &adam).unwrap()
}

/// Standard normal numbers, within ±`limit`.
fn random(index: u64, limit: f32, shape: &[usize]) -> Tensor {
    let mut data = vec![0.0; shape.iter().product()];
    normals(1, Stream::Noise, index, &mut data);
    data.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// f32 operations per picture and step; see the head of this file.
fn flops_per_picture(c: &DcganConfig) -> f64 {
    let halvings = (c.size / 4).ilog2();
    let (mut g, mut d) = (0, 0);
    let (mut first_g, mut first_d) = (0, 0);
    for i in 0..=halvings {
        let side = |i: u32| 4usize << i;
        // Layer i of G goes from side 4·2^(i−1) to 4·2^i; D's layers are the mirror image.
        let (channels_g, channels_d) = match i {
            0 => (c.nz * (c.ngf << (halvings - 1)), c.ndf << (halvings - 1)),
            i if i == halvings => (c.ngf * c.channels, c.channels * c.ndf),
            i => (
                (c.ngf << (halvings - i)) * (c.ngf << (halvings - i - 1)),
                (c.ndf << (halvings - i)) * (c.ndf << (halvings - i - 1)),
            ),
        };
        let pixels = if i == 0 { 1 } else { side(i - 1).pow(2) };
        g += channels_g * pixels * 16;
        d += channels_d * pixels * 16;
        if i == 0 {
            first_g = channels_g * 16;
        }
        if i == halvings {
            first_d = channels_d * pixels * 16;
        }
    }
    // G: forward, weight and input gradients (none for its input). D: three forwards, two weight gradients, three input
    // gradients of which two stop before the pictures.
    2.0 * (3 * g - first_g + 8 * d - 2 * first_d) as f64
}

/// The step of the recipe `mnist`, in milliseconds: so small that what surrounds the arithmetic counts.
fn mlp() {
    let (batch, nz, hidden) = (100, 64, 256);
    let model = ModelConfig::Mlp(MlpConfig {
        size: 28,
        channels: 1,
        nz,
        hidden_g: vec![hidden; 2],
        hidden_d: vec![hidden; 2],
        slope_g: 0.0,
        slope_d: 0.2,
    });
    let mut trainer = trainer(model, 0.9);
    let real = random(0, 1.0, &[batch, 28, 28, 1]);
    let [z, fresh] = [1, 2].map(|i| random(i, f32::MAX, &[batch, nz]));
    // As in `flops_per_picture`, G running twice forward.
    let (first_g, first_d) = (nz * hidden, 784 * hidden);
    let (g, d) = (first_g + hidden * hidden + hidden * 784, first_d + hidden * hidden + hidden);
    let work = (2 * batch * (4 * g - first_g + 8 * d - 2 * first_d)) as f64;
    let before = peak_flops(Duration::from_millis(200));
    let mut times = Vec::new();
    for step in 0..700 {
        let start = Instant::now();
        trainer.step(&real, &z, Some(&fresh)).unwrap();
        if step >= 100 {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let peak = (before + peak_flops(Duration::from_millis(200))) / 2.0;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "MLP step, mnist, batch {batch}, f32: {:.2} ms ({:.2} to {:.2} for nine of ten), {:.0} GFLOP/s; {:.0} % of the f32 \
         peak (about {:.0} GFLOP/s)",
        at(0.5) * 1e3,
        at(0.05) * 1e3,
        at(0.95) * 1e3,
        work / at(0.5) / 1e9,
        work / at(0.5) / peak * 100.0,
        peak / 1e9,
    );
}

fn main() {
    // `cargo bench -- WORD` and `cargo test --benches` pass arguments that mean nothing here.
    let threads = rayon::current_num_threads();
    println!("{threads} threads");
    mlp();
    dcgan();
}

/// The DCGAN's step in images per second and in percent of the peak.
fn dcgan() {
    let steps = 5;
    let tutorial = DcganConfig { size: 64, channels: 3, nz: 100, ngf: 64, ndf: 64, leaky_slope: 0.2 };
    let demo = DcganConfig { ngf: 32, ndf: 32, ..tutorial.clone() };
    for (name, config, batch) in [("tutorial 64×64", tutorial, 128), ("demo 64×64, width 32", demo, 64)] {
        let work = flops_per_picture(&config) * batch as f64;
        let mut trainer = trainer(ModelConfig::Dcgan(config.clone()), 0.5);
        let real = random(0, 1.0, &[batch, config.size, config.size, config.channels]);
        let z = random(1, f32::MAX, &[batch, config.nz]);
        trainer.step(&real, &z, None).unwrap();
        let mut shares = Vec::new();
        let mut speeds = Vec::new();
        for _ in 0..steps {
            let before = peak_flops(Duration::from_millis(200));
            let start = Instant::now();
            trainer.step(&real, &z, None).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let peak = (before + peak_flops(Duration::from_millis(200))) / 2.0;
            shares.push(work / seconds / peak * 100.0);
            speeds.push((batch as f64 / seconds, work / seconds / 1e9, peak / 1e9));
        }
        shares.sort_by(f64::total_cmp);
        speeds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (images, gflops, peak) = speeds[steps / 2];
        println!(
            "DCGAN step, {name}, batch {batch}, f32: {images:.1} images/s, {gflops:.0} GFLOP/s at {:.3} GFLOP/image; \
             {:.0} % of the f32 peak ({:.0} to {:.0}; peak about {peak:.0} GFLOP/s)",
            work / batch as f64 / 1e9,
            shares[steps / 2],
            shares[0],
            shares[steps - 1],
        );
    }
}
