//! Both backends against each other, against candle's autograd through its own convolutions, and against
//! finite differences. The comparison with PyTorch is in `tests/dcgan.rs`.

use candle_core::{DType, Device, Tensor, Var};

use super::{Activation, AdamStep, Backend, Geometry, Norm, Weight};
use crate::rng::{Stream, normals};

const BACKENDS: [Backend; 2] = [Backend::Cpu, Backend::Portable];

fn random(index: u64, shape: &[usize]) -> Tensor {
    let mut data = vec![0.0; shape.iter().product()];
    normals(11, Stream::Noise, index, &mut data);
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    let product = |(x, y): (&f32, &f32)| *x as f64 * *y as f64;
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values(a).iter().zip(&values(b)).map(product).sum()
}

#[track_caller]
fn close(a: &Tensor, b: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let largest = |t: Tensor| {
        t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() as f64
    };
    let (difference, scale) = (largest((a - b).unwrap()), largest(b.clone()).max(1.0));
    assert!(difference <= tolerance * scale, "{what}: differ by {difference}, largest {scale}");
}

/// (geometry, large shape, S): small versions of DCGAN's, one channel, one image, images that are not square.
fn shapes() -> Vec<(Geometry, [usize; 4], usize)> {
    vec![
        (Geometry::K4S2P1, [4, 16, 16, 6], 10),
        (Geometry::K4S2P1, [1, 4, 8, 1], 3),
        (Geometry::K4S2P1, [5, 8, 8, 40], 24),
        (Geometry::K4S1P0, [4, 4, 4, 12], 1),
        (Geometry::K4S1P0, [3, 4, 4, 5], 9),
        (Geometry::K1S1P0, [100, 1, 1, 784], 256),
        (Geometry::K1S1P0, [7, 1, 1, 33], 1),
        (Geometry::K1S1P0, [1, 1, 1, 1], 5),
        (Geometry::K1S1P0, [2, 3, 5, 4], 6),
        (square(3, 2, 1, 1), [2, 8, 6, 20], 9),
        (square(3, 1, 1, 0), [2, 5, 7, 3], 8),
        (square(3, 2, 1, 0), [1, 7, 9, 30], 4),
        (square(5, 2, 2, 1), [2, 14, 14, 12], 5),
        (square(2, 2, 0, 0), [3, 8, 8, 3], 6),
        (square(7, 1, 0, 0), [4, 7, 7, 2], 5),
        (square(4, 2, 3, 0), [2, 12, 12, 1], 7),
        (square(4, 1, 1, 0), [2, 6, 6, 17], 4),
        (square(5, 3, 1, 2), [2, 14, 11, 18], 3),
        (square(6, 4, 5, 3), [1, 11, 11, 40], 2),
    ]
}

fn square(kernel: usize, stride: usize, padding: usize, output_padding: usize) -> Geometry {
    Geometry::Square { kernel, stride, padding, output_padding }
}

fn small_shape(geometry: Geometry, [b, h, w, _]: [usize; 4], s: usize) -> [usize; 4] {
    let (h, w) = geometry.conv().output(h, w);
    [b, h, w, s]
}

#[test]
fn convolutions_agree_with_autograd_through_candles_own() {
    for (geometry, large, s) in shapes() {
        let conv = geometry.conv();
        let weight = Weight::new(random(1, &[conv.kernel.0, conv.kernel.1, large[3], s]));
        let (x, y) = (random(2, &large), random(3, &small_shape(geometry, large, s)));
        // candle's convolution is NCHW, its weight [S, C, kh, kw].
        let nchw = |t: &Tensor| t.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let nhwc = |t: &Tensor| t.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        let (vx, vk) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(weight.tensor()).unwrap());
        let kernel = vk.permute((3, 2, 0, 1)).unwrap().contiguous().unwrap();
        let out = nchw(&vx).conv2d(&kernel, conv.padding.0, conv.stride, 1, 1).unwrap();
        let grads = (&out * nchw(&y)).unwrap().sum_all().unwrap().backward().unwrap();
        for backend in BACKENDS {
            let what = format!("{backend:?} {geometry:?} {large:?} {s}");
            let ours = backend.conv2d(geometry, &x, &weight, None, Activation::Identity, DType::F32).unwrap();
            close(&ours, &nhwc(&out), 1e-5, &what);
            let dx =
                backend.conv_transpose2d(geometry, &y, &weight, Activation::Identity, DType::F32).unwrap();
            close(&dx, grads.get(&vx).unwrap(), 1e-5, &what);
            let dw = backend.weight_grad(geometry, &x, &y).unwrap();
            close(&dw, grads.get(&vk).unwrap(), 1e-5, &what);
        }
    }
}

#[test]
fn the_transposed_convolution_is_the_adjoint() {
    for (geometry, large, s) in shapes() {
        let (kh, kw) = geometry.conv().kernel;
        let weight = Weight::new(random(4, &[kh, kw, large[3], s]));
        let (x, y) = (random(5, &large), random(6, &small_shape(geometry, large, s)));
        for backend in BACKENDS {
            let down = backend.conv2d(geometry, &x, &weight, None, Activation::Identity, DType::F32).unwrap();
            let up =
                backend.conv_transpose2d(geometry, &y, &weight, Activation::Identity, DType::F32).unwrap();
            let (a, b) = (dot(&down, &y), dot(&x, &up));
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{backend:?} {geometry:?}: {a} {b}");
        }
    }
}

#[test]
fn activations_and_their_gradients_agree_with_autograd() {
    let (x, dy) = (random(7, &[3, 4, 4, 5]), random(8, &[3, 4, 4, 5]));
    let (weight, bias) = (Weight::new(random(9, &[4, 4, 5, 2])), random(10, &[2]));
    for activation in [Activation::RELU, Activation::LeakyRelu(0.2), Activation::Tanh, Activation::Identity] {
        let var = Var::from_tensor(&x).unwrap();
        let y = match activation {
            Activation::Identity => var.as_tensor().clone(),
            Activation::Tanh => var.tanh().unwrap(),
            Activation::LeakyRelu(slope) => candle_nn::ops::leaky_relu(&var, slope as f64).unwrap(),
        };
        let grads = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
        for backend in BACKENDS {
            let what = format!("{backend:?} {activation:?}");
            let dx = backend.activation_backward(activation, &y.detach(), dy.copy().unwrap()).unwrap();
            close(&dx, grads.get(&var).unwrap(), 1e-6, &what);
            let plain = backend
                .conv2d(Geometry::K4S2P1, &x, &weight, None, Activation::Identity, DType::F32)
                .unwrap();
            let plain = plain.broadcast_add(&bias).unwrap();
            let fused =
                backend.conv2d(Geometry::K4S2P1, &x, &weight, Some(&bias), activation, DType::F32).unwrap();
            let expected = match activation {
                Activation::Identity => plain.clone(),
                Activation::Tanh => plain.tanh().unwrap(),
                Activation::LeakyRelu(s) => plain.maximum(&(&plain * s as f64).unwrap()).unwrap(),
            };
            close(&fused, &expected, 1e-5, &what);
        }
    }
}

#[test]
fn the_bias_gradient_agrees_with_autograd_over_several_pieces() {
    for (shape, geometry) in [
        ([100, 1, 1, 784], Geometry::K1S1P0),
        ([1, 1, 1, 1], Geometry::K1S1P0),
        ([5, 9, 13, 3], Geometry::K1S1P0),
    ] {
        let (x, dy) = (random(16, &[shape[0], shape[1], shape[2], 4]), random(17, &shape));
        let (weight, bias) = (Weight::new(random(18, &[1, 1, 4, shape[3]])), random(19, &[shape[3]]));
        let var = Var::from_tensor(&bias).unwrap();
        let flat = x.flatten_to(2).unwrap().matmul(&weight.tensor().flatten_to(2).unwrap()).unwrap();
        let y = flat.broadcast_add(&var).unwrap().reshape(&shape).unwrap();
        let grads = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
        for backend in BACKENDS {
            let what = format!("{backend:?} {shape:?}");
            let ours =
                backend.conv2d(geometry, &x, &weight, Some(&bias), Activation::Identity, DType::F32).unwrap();
            close(&ours, &y.detach(), 1e-5, &what);
            close(&backend.bias_grad(&dy).unwrap(), grads.get(&var).unwrap(), 1e-5, &what);
        }
    }
}

#[test]
fn batch_norm_agrees_with_autograd_and_finite_differences() {
    for (shape, activation) in [
        ([4, 4, 4, 6], Activation::RELU),
        ([6, 8, 8, 3], Activation::LeakyRelu(0.2)),
        ([2, 1, 1, 5], Activation::Tanh),
        ([3, 2, 2, 1], Activation::Identity),
    ] {
        let c = shape[3];
        let (x, dy) = (random(10, &shape), random(11, &shape));
        let x = (x + 3.0).unwrap();
        let (gamma, beta) = ((random(12, &[c]) + 1.0).unwrap(), random(13, &[c]));
        let [vx, vg, vb] = [&x, &gamma, &beta].map(|t| Var::from_tensor(t).unwrap());
        let flat = vx.flatten_to(2).unwrap();
        let mean = flat.mean(0).unwrap();
        let centered = flat.broadcast_sub(&mean).unwrap();
        let var = centered.sqr().unwrap().mean(0).unwrap();
        let unit = centered.broadcast_div(&(&var + 1e-5).unwrap().sqrt().unwrap()).unwrap();
        let z = unit.broadcast_mul(&vg).unwrap().broadcast_add(&vb).unwrap();
        let y = match activation {
            Activation::Identity => z,
            Activation::Tanh => z.tanh().unwrap(),
            Activation::LeakyRelu(s) => candle_nn::ops::leaky_relu(&z, s as f64).unwrap(),
        };
        let y = y.reshape(&shape).unwrap();
        let grads = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
        for backend in BACKENDS {
            let what = format!("{backend:?} {shape:?} {activation:?}");
            let stats = backend.batch_stats(&x).unwrap();
            close(&stats.mean, &mean.detach(), 1e-5, &what);
            close(&stats.var, &var.detach(), 1e-5, &what);
            let norm = Norm { gamma: &gamma, beta: &beta, eps: 1e-5, activation };
            let ours = backend.batch_norm(&x, &stats, &norm).unwrap();
            close(&ours, &y.detach(), 2e-5, &what);
            let back = backend.batch_norm_backward(&x, &ours, dy.copy().unwrap(), &stats, &norm).unwrap();
            close(&back.x, grads.get(&vx).unwrap(), 1e-4, &what);
            close(&back.gamma, grads.get(&vg).unwrap(), 2e-5, &what);
            close(&back.beta, grads.get(&vb).unwrap(), 2e-5, &what);

            // A central difference along one random direction of x. The direction is small, and the
            // tolerance allows for the few elements that cross the kink of LeakyReLU.
            let direction = random(14, &shape);
            let loss = |step: f64| {
                let x = (&x + (&direction * step).unwrap()).unwrap();
                let m = backend.batch_stats(&x).unwrap();
                dot(&backend.batch_norm(&x, &m, &norm).unwrap(), &dy)
            };
            let numeric = (loss(1e-3) - loss(-1e-3)) / 2e-3;
            let exact = dot(&back.x, &direction);
            assert!((numeric - exact).abs() < 0.03 * (1.0 + exact.abs()), "{what}: {numeric} {exact}");
        }
    }
}

/// bf16 activations, as on a GPU: within a few of their last bits of f32.
#[test]
fn portable_operations_in_bf16_and_f16_agree_with_f32() {
    let ops = Backend::Portable;
    for (dtype, tolerance) in [(DType::BF16, 2e-2), (DType::F16, 3e-3)] {
        let narrow = |t: &Tensor| t.to_dtype(dtype).unwrap();
        let same = |half: &Tensor, full: &Tensor, what: &str| {
            close(&half.to_dtype(DType::F32).unwrap(), full, tolerance, &format!("{dtype:?} {what}"));
        };
        for (geometry, large, s) in shapes() {
            let (kh, kw) = geometry.conv().kernel;
            let weight = Weight::new((random(4, &[kh, kw, large[3], s]) * 0.1).unwrap());
            let (x, y) = (random(5, &large), random(6, &small_shape(geometry, large, s)));
            let (hx, hy) = (narrow(&x), narrow(&y));
            let (leaky, linear) = (Activation::LeakyRelu(0.2), Activation::Identity);
            let down = |x: &Tensor| ops.conv2d(geometry, x, &weight, None, leaky, x.dtype()).unwrap();
            same(&down(&hx), &down(&x), "conv2d");
            assert_eq!(down(&hx).dtype(), dtype);
            let up = |y: &Tensor| ops.conv_transpose2d(geometry, y, &weight, linear, y.dtype()).unwrap();
            same(&up(&hy), &up(&y), "conv_transpose2d");
            let grad = ops.weight_grad(geometry, &hx, &hy).unwrap();
            assert_eq!(grad.dtype(), DType::F32);
            same(&grad, &ops.weight_grad(geometry, &x, &y).unwrap(), "weight_grad");
        }
        let (x, dy) = (random(10, &[4, 4, 4, 6]), random(11, &[4, 4, 4, 6]));
        let (gamma, beta) = ((random(12, &[6]) + 1.0).unwrap(), random(13, &[6]));
        let norm = Norm { gamma: &gamma, beta: &beta, eps: 1e-5, activation: Activation::LeakyRelu(0.2) };
        let passes = |x: &Tensor, dy: &Tensor| {
            let stats = ops.batch_stats(x).unwrap();
            assert_eq!((stats.mean.dtype(), stats.var.dtype()), (DType::F32, DType::F32));
            let y = ops.batch_norm(x, &stats, &norm).unwrap();
            let back = ops.batch_norm_backward(x, &y, dy.copy().unwrap(), &stats, &norm).unwrap();
            assert_eq!((y.dtype(), back.x.dtype(), back.gamma.dtype()), (x.dtype(), x.dtype(), DType::F32));
            [y, back.x, back.gamma, back.beta]
        };
        for (half, full) in passes(&narrow(&x), &narrow(&dy)).iter().zip(passes(&x, &dy)) {
            same(half, &full, "batch_norm");
        }
    }
}

#[test]
fn accumulate_is_the_sum_on_both() {
    let (a, b) = (random(30, &[3, 5]), random(31, &[3, 5]));
    for backend in BACKENDS {
        let mut sum = a.copy().unwrap();
        backend.accumulate(&mut sum, &b).unwrap();
        close(&sum, &(&a + &b).unwrap(), 0.0, "sum");
    }
}

#[test]
fn adam_is_the_same_on_both() {
    let start = || [random(15, &[7, 9]), random(16, &[5])];
    let mut weights = BACKENDS.map(|_| start());
    let zeros = || start().map(|weight| weight.zeros_like().unwrap()).to_vec();
    let mut moments = BACKENDS.map(|backend| [0; 2].map(|_| backend.join(zeros()).unwrap()));
    for t in 1..=4 {
        let step = AdamStep { lr: 1e-2, beta1: 0.5, beta2: 0.999, eps: 1e-8, t };
        for (i, backend) in BACKENDS.into_iter().enumerate() {
            let g = [random(20 + t, &[7, 9]), random(40 + t, &[5])];
            let ([m, v], weights) = (&mut moments[i], weights[i].iter_mut().collect());
            backend.adam(&step, weights, m, v, &g).unwrap();
        }
        let like: Vec<&Tensor> = weights[0].iter().collect();
        let v = Backend::Portable.split(&moments[1][1], &like).unwrap();
        for i in 0..2 {
            close(&weights[0][i], &weights[1][i], 1e-6, "weights");
            close(&moments[0][1][i], &v[i], 1e-6, "second moments");
        }
    }
    let weight = &weights[0][0];
    close(weight, &start()[0], 0.2, "four steps of 0.01 move by at most about 0.04");
    assert!(dot(&(weight - &start()[0]).unwrap(), &weight.ones_like().unwrap()) != 0.0);
}

#[test]
fn adam_changes_the_tensors_own_numbers_and_those_of_a_view_alone() {
    let whole = random(15, &[3, 4]);
    let before = whole.copy().unwrap();
    let mut row = whole.get(1).unwrap();
    let [mut m, mut v] = [0; 2].map(|_| [row.zeros_like().unwrap()]);
    let step = AdamStep { lr: 1e-2, beta1: 0.5, beta2: 0.999, eps: 1e-8, t: 1 };
    let g = [row.ones_like().unwrap()];
    Backend::Cpu.adam(&step, vec![&mut row], &mut m, &mut v, &g).unwrap();
    let moved = (before - whole).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!([&moved[0], &moved[2]], [&[0.0; 4]; 2]);
    assert!(moved[1].iter().all(|d| (d - 1e-2).abs() < 1e-5), "{moved:?}");
    let strided = random(15, &[3, 4]).t().unwrap();
    let [mut w, mut m, mut v] = [0; 3].map(|_| [strided.clone()]);
    let g = [strided.contiguous().unwrap()];
    let error = Backend::Cpu.adam(&step, vec![&mut w[0]], &mut m, &mut v, &g).unwrap_err();
    assert!(error.to_string().contains("contiguous"), "{error}");
}

#[test]
fn the_cpu_backend_refuses_what_it_cannot_read() {
    let x = random(1, &[2, 4, 4, 3]);
    let strided = x.permute((0, 2, 1, 3)).unwrap();
    let weight = Weight::new(random(2, &[4, 4, 3, 2]));
    let error = Backend::Cpu
        .conv2d(Geometry::K4S2P1, &strided, &weight, None, Activation::Identity, DType::F32)
        .unwrap_err();
    assert!(error.to_string().contains("contiguous"), "{error}");
}
