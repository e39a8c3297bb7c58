//! What one step of the DCGAN requires of a GPU: the table of docs/performance.md. Counted by the emulated
//! GPU of `just check-cuda` (`tests/cuda/driver.cpp`) at the calls of CUDA's driver and of cuBLAS; nothing is
//! computed there.
#![cfg(feature = "cuda")]

use std::ffi::CStr;

use candle_core::{DType, Device, Tensor};
use gan::device::{choose, with_layouts_kept};
use gan::nn::adam::AdamConfig;
use gan::nn::model::{Arch, Dcgan, ModelConfig};
use gan::nn::ops::{Activation, Backend, Geometry, Norm, Weight};
use gan::precision::Precision;
use gan::train::{PendingStep, Trainer};

const BATCH: usize = 128;
/// Bandwidth in bytes, and products in FLOP of f32 (without TF32) and of bf16, all per second, as the maker gives them: of an H100
/// SXM and of an RTX 4070.
const CARDS: [[f64; 3]; 2] = [[3.35e12, 67e12, 989e12], [0.504e12, 29e12, 58e12]];

/// What the emulated GPU counts, in its order.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Counts {
    kernels: u64,
    products: u64,
    copies: u64,
    to_device: u64,
    to_device_bytes: u64,
    to_host: u64,
    to_host_bytes: u64,
    bytes: u64,
    flops: u64,
}

/// A function of the emulated GPU; none on a real one.
fn emulated<F>(name: &CStr) -> Option<F> {
    // SAFETY: a C string. The caller states the type of the function.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: a pointer to a function is as large as one to data.
    (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
}

/// Counts what `work` requires of the GPU in its second run: the first one uploads what is cached.
fn count<T>(device: &Device, mut work: impl FnMut() -> T) -> Counts {
    let take = emulated::<extern "C" fn(*mut Counts)>(c"emulated_counts").expect("looked for before");
    let mut counts = Counts::default();
    with_layouts_kept(device, &mut work);
    take(&mut counts);
    with_layouts_kept(device, &mut work);
    take(&mut counts);
    counts
}

fn line(what: &str, times: usize, c: Counts) {
    let half = usize::from(what.ends_with("bf16"));
    let [h100, rtx_4070] =
        CARDS.map(|card| 1e3 * (c.bytes as f64 / card[0] + c.flops as f64 / card[1 + half]));
    println!(
        "| {what} | {times} | {} | {} | {} | {} | {:.0} | {:.2} | {h100:.2} | {rtx_4070:.2} |",
        c.kernels,
        c.products,
        c.copies,
        c.to_device,
        c.bytes as f64 / 1e6,
        c.flops as f64 / 1e9
    );
}

/// One layer of D or G: (name, transposed?, geometry, large image's side, its channels, the small one's channels, batch-norm?,
/// activation).
type Spec = (&'static str, bool, Geometry, usize, usize, usize, bool, Activation);

const LAYERS: [Spec; 10] = {
    use Geometry::{K4S1P0, K4S2P1};
    let (relu, leaky) = (Activation::RELU, Activation::LeakyRelu(0.2));
    [
        ("G 1", true, K4S1P0, 4, 512, 100, true, relu),
        ("G 2", true, K4S2P1, 8, 256, 512, true, relu),
        ("G 3", true, K4S2P1, 16, 128, 256, true, relu),
        ("G 4", true, K4S2P1, 32, 64, 128, true, relu),
        ("G 5", true, K4S2P1, 64, 3, 64, false, Activation::Tanh),
        ("D 1", false, K4S2P1, 64, 3, 64, false, leaky),
        ("D 2", false, K4S2P1, 32, 64, 128, true, leaky),
        ("D 3", false, K4S2P1, 16, 128, 256, true, leaky),
        ("D 4", false, K4S2P1, 8, 256, 512, true, leaky),
        ("D 5", false, K4S1P0, 4, 512, 1, false, Activation::Identity),
    ]
};

/// A layer's forward pass, and its backward pass with all gradients that training needs.
fn layer(device: &Device, &(name, transposed, geometry, side, c, s, norm, activation): &Spec) {
    let ops = Backend::Portable;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device).unwrap();
    let (h, _) = geometry.conv().output(side, side);
    let (large, small) = (zeros(&[BATCH, side, side, c]), zeros(&[BATCH, h, h, s]));
    let weight = Weight::new(zeros(&[4, 4, c, s]));
    let (x, y) = if transposed { (&small, &large) } else { (&large, &small) };
    let channels = y.dim(3).unwrap();
    let [gamma, beta] = [0; 2].map(|_| zeros(&[channels]));
    let own = if norm { Activation::Identity } else { activation };
    let norm = norm.then(|| Norm { gamma: &gamma, beta: &beta, eps: 1e-5, activation });
    let forward = count(device, || {
        let z = match transposed {
            true => ops.conv_transpose2d(geometry, x, &weight, own, DType::F32),
            false => ops.conv2d(geometry, x, &weight, None, own, DType::F32),
        };
        let z = z.unwrap();
        norm.as_ref().map(|norm| {
            let moments = ops.batch_stats(&z).unwrap();
            ops.batch_norm(&z, &moments, norm).unwrap()
        })
    });
    let moments = ops.batch_stats(y).unwrap();
    let backward = count(device, || {
        let dz = match &norm {
            Some(norm) => ops.batch_norm_backward(y, y, y.clone(), &moments, norm).unwrap().x,
            None => ops.activation_backward(activation, y, y.clone()).unwrap(),
        };
        if transposed {
            ops.conv_transpose_backward(geometry, &dz, x, &weight, true, name != "G 1").unwrap();
        } else {
            ops.weight_grad(geometry, x, &dz).unwrap();
            if name != "D 1" {
                ops.conv_transpose2d(geometry, &dz, &weight, Activation::Identity, DType::F32).unwrap();
            }
        }
    });
    // D sees reals and fakes, and once more for G; G's images are made once. The third time back through D is for its input alone.
    let d = usize::from(!transposed);
    line(&format!("{name}, forward"), 1 + 2 * d, forward);
    line(&format!("{name}, backward"), 1 + d, backward);
}

fn trainer(device: &Device, precision: Precision) -> Trainer {
    let model = ModelConfig {
        size: 64,
        channels: 3,
        arch: Arch::Dcgan(Dcgan { nz: 100, ngf: 64, ndf: 64, ..Default::default() }),
    };
    let adam = AdamConfig { lr: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 };
    let networks = [model.generator(1, device), model.discriminator(1, device)];
    let [g, d] = networks.map(|network| network.unwrap().with_precision(precision));
    Trainer::new(g, d, &adam, &adam).unwrap()
}

#[test]
fn launches_of_a_step_on_the_gpu() {
    let device = choose(Some("cuda")).unwrap().device;
    let mut trainer = trainer(&device, Precision::F32);
    let real = Tensor::zeros((BATCH, 64, 64, 3), DType::F32, &device).unwrap();
    let z = Tensor::zeros((BATCH, 100), DType::F32, &device).unwrap();
    let Some(computes) = emulated::<extern "C" fn(i32)>(c"emulated_computes") else {
        // On a real GPU there is nothing to count with.
        assert!(trainer.step(&real, &z, None).unwrap().is_finite());
        return;
    };
    computes(0);
    println!(
        "| what | times | kernels | products | copies | to the device | MB | GFLOP | H100, ms | RTX 4070, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    LAYERS.iter().for_each(|spec| layer(&device, spec));
    let mut numbers = Vec::new();
    let step = count(&device, || numbers.push(trainer.start_step(&real, &z, None).unwrap()));
    line("the whole step", 1, step);
    let mut half = self::trainer(&device, Precision::Bf16);
    let step_in_bf16 = count(&device, || half.start_step(&real, &z, None).unwrap());
    line("the whole step in bf16", 1, step_in_bf16);
    let bytes = vec![0u8; BATCH * 64 * 64 * 3];
    let mut noise = vec![0f32; BATCH * 100];
    let batch = count(&device, || {
        noise[0] += 1.0;
        let real = Tensor::from_slice(&bytes, (BATCH, 64, 64, 3), &device).unwrap();
        let real = real.to_dtype(DType::F32).unwrap().affine(1.0 / 127.5, -1.0).unwrap();
        (real, Tensor::from_slice(&noise, (BATCH, 100), &device).unwrap())
    });
    line("its batch", 1, batch);
    let read = count(&device, || PendingStep::read(&numbers).unwrap());
    line("the numbers of two steps", 1, read);
    computes(1);

    assert_eq!((step.to_device, step.to_host), (0, 0), "a step waits for nothing and sends nothing");
    assert_eq!((batch.to_device, batch.to_device_bytes), (2, (BATCH * (64 * 64 * 3 + 4 * 100)) as u64));
    assert_eq!((read.to_host, read.to_host_bytes), (1, 4 * 2 * 3 * BATCH as u64));
    for (step, most) in [(step, MOST), (step_in_bf16, MOST_IN_BF16)] {
        let all = step.kernels + step.products + step.copies;
        assert!(all <= most, "{all} launches a step, not {most}");
    }
}

/// The figures of docs/performance.md.
const MOST: u64 = 752;
/// The same in bf16.
const MOST_IN_BF16: u64 = 897;
