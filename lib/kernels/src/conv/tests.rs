use super::*;
use crate::testing::random;
use crate::{Activation, Element};
use crate::{Isa, bf16};

fn conv(kernel: (usize, usize), stride: usize, padding: (usize, usize)) -> ConvWindow {
    ConvWindow { kernel, stride, padding }
}

/// (conv, shape, S): those of the models and edge cases: one channel, one image, 1×1, strides, long kernels,
/// kernels smaller than the stride, images that the stride does not divide, more pixels than one piece or
/// part, wide and narrow outputs.
fn cases() -> Vec<(ConvWindow, BatchShape, usize)> {
    vec![
        (conv((4, 4), 2, (1, 1)), (3, 8, 8, 5), 7),
        (conv((4, 4), 2, (1, 1)), (2, 64, 64, 3), 16),
        (conv((4, 4), 2, (1, 1)), (9, 16, 16, 20), 33),
        (conv((4, 4), 2, (1, 1)), (1, 2, 2, 300), 290),
        (conv((4, 4), 1, (0, 0)), (5, 4, 4, 6), 1),
        (conv((4, 4), 1, (0, 0)), (1, 4, 4, 40), 13),
        (conv((1, 1), 1, (0, 0)), (2, 7, 9, 4), 3),
        (conv((1, 1), 1, (0, 0)), (1, 1, 1, 1), 1),
        (conv((1, 1), 1, (0, 0)), (100, 1, 1, 64), 70),
        (conv((1, 1), 1, (0, 0)), (71, 1, 1, 90), 310),
        (conv((1, 1), 2, (0, 0)), (2, 5, 5, 70), 9),
        (conv((3, 3), 2, (0, 0)), (2, 11, 11, 3), 2),
        (conv((3, 3), 2, (0, 0)), (2, 12, 9, 17), 18),
        (conv((3, 3), 2, (1, 1)), (3, 7, 10, 33), 4),
        (conv((3, 3), 1, (1, 1)), (1, 5, 4, 1), 1),
        (conv((3, 3), 1, (1, 1)), (2, 6, 5, 30), 65),
        (conv((3, 3), 1, (1, 1)), (2, 5, 4, 48), 20),
        (conv((1, 7), 1, (0, 3)), (2, 5, 6, 3), 4),
        (conv((7, 1), 1, (3, 0)), (1, 6, 5, 12), 5),
        (conv((5, 5), 1, (2, 2)), (1, 3, 3, 2), 3),
        (conv((2, 2), 3, (0, 0)), (2, 8, 7, 36), 3),
    ]
}

/// Calls `f(x index, weight index, y index)` for every product of the definition.
fn each(conv: &ConvWindow, (b, h, w, c): BatchShape, s: usize, mut f: impl FnMut(usize, usize, usize)) {
    let (oh, ow) = conv.output(h, w);
    for (bi, oy, ox) in (0..b * oh * ow).map(|r| (r / (oh * ow), r / ow % oh, r % ow)) {
        for (ky, kx) in (0..conv.taps()).map(|k| (k / conv.kernel.1, k % conv.kernel.1)) {
            let (y, x) = (oy * conv.stride + ky, ox * conv.stride + kx);
            let (py, px) = conv.padding;
            if y < py || x < px || y - py >= h || x - px >= w {
                continue;
            }
            for (ci, si) in (0..c * s).map(|i| (i / s, i % s)) {
                f(
                    ((bi * h + y - py) * w + x - px) * c + ci,
                    ((ky * conv.kernel.1 + kx) * c + ci) * s + si,
                    ((bi * oh + oy) * ow + ox) * s + si,
                );
            }
        }
    }
}

fn close(ours: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    let scale = exact.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(exact).enumerate() {
        assert!((*a as f64 - b).abs() < tolerance * scale, "{what} at {i}: {a} {b}");
    }
}

/// Values that T holds exactly, so that only sums are rounded.
fn exact<T: Element>(n: usize, seed: u32) -> (Vec<T>, Vec<f32>) {
    let stored: Vec<T> = random(n, seed).into_iter().map(T::from_f32).collect();
    let floats = stored.iter().map(|v| v.to_f32()).collect();
    (stored, floats)
}

fn check<T: Element>(tolerance: f64) {
    crate::testing::emulate();
    for (conv, shape @ (b, h, w, c), s) in cases() {
        let (oh, ow) = conv.output(h, w);
        let ((x, xf), (y, yf)) = (exact::<T>(b * h * w * c, 1), exact::<T>(b * oh * ow * s, 2));
        let (_, k) = exact::<T>(conv.taps() * c * s, 3);
        let (mut ex, mut ek, mut ey) = (vec![0.0; x.len()], vec![0.0; k.len()], vec![0.0; y.len()]);
        each(&conv, shape, s, |i, j, l| {
            ey[l] += xf[i] as f64 * k[j] as f64;
            ex[i] += yf[l] as f64 * k[j] as f64;
            ek[j] += xf[i] as f64 * yf[l] as f64;
        });
        let bias = random(s, 4);
        let ez: Vec<f64> = ey.iter().enumerate().map(|(i, v)| (v + bias[i % s] as f64).max(0.0)).collect();
        for &isa in Isa::candidates::<T>().iter().filter(|isa| isa.supported()) {
            let what = format!("{isa:?} {conv:?} {shape:?} {s}");
            let weight = pack::<T>(isa, &conv, &k, c, s);
            let out: Vec<f32> = conv2d(&conv, &x, shape, &weight, None, Activation::Identity);
            close(&out, &ey, tolerance, &format!("forward {what}"));
            let out: Vec<f32> = conv2d(&conv, &x, shape, &weight, Some(&bias), Activation::RELU);
            close(&out, &ez, tolerance, &format!("with bias {what}"));

            let weight = PackedTransposed::<T>::new(isa, &conv, (h, w, c), &k, s);
            let out: Vec<f32> = conv_transpose2d(&y, &weight, Activation::Identity);
            close(&out, &ex, tolerance, &format!("transposed {what}"));

            let out = weight_grad(isa, &conv, &x, shape, &y, s);
            close(&out, &ek, tolerance, &format!("weight gradient {what}"));

            // Results stored as T equal the rounded f32 results.
            let rounded: Vec<T> = conv_transpose2d(&y, &weight, Activation::Tanh);
            let out: Vec<f32> = conv_transpose2d(&y, &weight, Activation::Tanh);
            assert!(out.iter().zip(&rounded).all(|(&o, r)| T::from_f32(o) == *r), "{what}");
        }
    }
}

#[test]
fn all_three_products_of_f32_match_their_definition() {
    check::<f32>(3e-6);
}

#[test]
fn all_three_products_of_bf16_match_their_definition() {
    check::<bf16>(1e-5);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    fn run<T: Element>(isa: Isa, threads: usize) -> (Vec<T>, Vec<T>, Vec<f32>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (conv, shape, s) = (conv((4, 4), 2, (1, 1)), (24, 32, 32, 20), 24);
            let (x, _) = exact::<T>(24 * 32 * 32 * 20, 1);
            let k = random(16 * 20 * s, 2);
            let weight = pack(isa, &conv, &k, 20, s);
            let y: Vec<T> = conv2d(&conv, &x, shape, &weight, None, Activation::LeakyRelu(0.2));
            let transposed = PackedTransposed::new(isa, &conv, (32, 32, 20), &k, s);
            let dx = conv_transpose2d(&y, &transposed, Activation::Tanh);
            let mut dk = weight_grad(isa, &conv, &x, shape, &y, s);
            // A linear layer, too: 20 rows are fewer than its 300 outputs.
            let linear = ConvWindow { kernel: (1, 1), stride: 1, padding: (0, 0) };
            dk.extend(weight_grad(isa, &linear, &x[..20 * 500], (20, 1, 1, 500), &y[..20 * 300], 300));
            (y, dx, dk)
        })
    }
    let (of_f32, of_bf16) = (Isa::best::<f32>(), Isa::best::<bf16>());
    let (f32s, bf16s) = (run::<f32>(of_f32, 1), run::<bf16>(of_bf16, 1));
    for threads in [2, 5] {
        assert_eq!(f32s, run(of_f32, threads));
        assert_eq!(bf16s, run(of_bf16, threads));
    }
}
