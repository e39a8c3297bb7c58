//! `just bench-kernels [WORD]`: the three products of every convolution of the DCGAN (64×64, width 64, batch
//! 128) and every distinct convolution of Inception (batch 16), in f32 and bf16. Criterion's "thrpt" is the
//! percent of the register peak measured at the start. On a shared machine run one WORD at a time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use gan_kernels::conv::{
    BatchShape, ConvWindow, PackedTransposed, conv_transpose2d, conv2d, pack, weight_grad,
};
use gan_kernels::matmul::peak;
use gan_kernels::{Activation, Element, Isa, bf16};

// The allocator of the tools keeps freed pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time, shown in percent of the peak.
struct PercentOfPeak {
    /// Operations per nanosecond.
    peak: f64,
}

impl Measurement for PercentOfPeak {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        Instant::now()
    }

    fn end(&self, start: Instant) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for PercentOfPeak {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let &Throughput::Elements(operations) = throughput else {
            unreachable!("every benchmark states its operations");
        };
        values.iter_mut().for_each(|ns| *ns = operations as f64 / *ns / self.peak * 100.0);
        "% of peak"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

/// A convolution: its shape, height (= width) and channels of the large image, channels of the small image.
struct ConvCase {
    conv: ConvWindow,
    size: usize,
    c: usize,
    s: usize,
}

impl ConvCase {
    fn name(&self) -> String {
        let ConvCase { conv: ConvWindow { kernel, stride, .. }, size, c, s } = self;
        format!("{}x{} stride {stride}, {size}x{size}, {c} to {s}", kernel.0, kernel.1)
    }

    fn large(&self, batch: usize) -> BatchShape {
        (batch, self.size, self.size, self.c)
    }

    /// Pixels of the small image.
    fn pixels(&self) -> usize {
        let (h, w) = self.conv.output(self.size, self.size);
        h * w
    }

    fn weights(&self) -> usize {
        self.conv.kernel.0 * self.conv.kernel.1 * self.c * self.s
    }

    /// The operations of each of the three products per image.
    fn operations(&self) -> usize {
        2 * self.pixels() * self.weights()
    }
}

/// D's convolutions from the first to the last; G's are their adjoints but for the last, which has 100
/// latents for one logit.
fn dcgan() -> Vec<ConvCase> {
    let halving = ConvWindow { kernel: (4, 4), stride: 2, padding: (1, 1) };
    let whole = ConvWindow { kernel: (4, 4), stride: 1, padding: (0, 0) };
    [(halving, 64, 3, 64), (halving, 32, 64, 128), (halving, 16, 128, 256), (halving, 8, 256, 512)]
        .into_iter()
        .chain([(whole, 4, 512, 1), (whole, 4, 512, 100)])
        .map(|(conv, size, c, s)| ConvCase { conv, size, c, s })
        .collect()
}

/// The distinct convolutions of Inception: number, height, channels, kernel (2), stride, padding (2),
/// filters.
#[rustfmt::skip]
const INCEPTION: [[usize; 9]; 43] = [
    [1, 299, 3, 3, 3, 2, 0, 0, 32], [1, 149, 32, 3, 3, 1, 0, 0, 32], [1, 147, 32, 3, 3, 1, 1, 1, 64],
    [1, 73, 64, 1, 1, 1, 0, 0, 80], [1, 73, 80, 3, 3, 1, 0, 0, 192], [2, 35, 192, 1, 1, 1, 0, 0, 64],
    [1, 35, 192, 1, 1, 1, 0, 0, 48], [3, 35, 48, 5, 5, 1, 2, 2, 64], [4, 35, 64, 3, 3, 1, 1, 1, 96],
    [3, 35, 96, 3, 3, 1, 1, 1, 96], [1, 35, 192, 1, 1, 1, 0, 0, 32], [3, 35, 256, 1, 1, 1, 0, 0, 64],
    [1, 35, 256, 1, 1, 1, 0, 0, 48], [4, 35, 288, 1, 1, 1, 0, 0, 64], [1, 35, 288, 1, 1, 1, 0, 0, 48],
    [1, 35, 288, 3, 3, 2, 0, 0, 384], [1, 35, 96, 3, 3, 2, 0, 0, 96], [12, 17, 768, 1, 1, 1, 0, 0, 192],
    [2, 17, 768, 1, 1, 1, 0, 0, 128], [2, 17, 128, 1, 7, 1, 0, 3, 128], [1, 17, 128, 7, 1, 1, 3, 0, 192],
    [2, 17, 128, 7, 1, 1, 3, 0, 128], [1, 17, 128, 1, 7, 1, 0, 3, 192], [4, 17, 768, 1, 1, 1, 0, 0, 160],
    [4, 17, 160, 1, 7, 1, 0, 3, 160], [2, 17, 160, 7, 1, 1, 3, 0, 192], [4, 17, 160, 7, 1, 1, 3, 0, 160],
    [2, 17, 160, 1, 7, 1, 0, 3, 192], [4, 17, 192, 1, 7, 1, 0, 3, 192], [4, 17, 192, 7, 1, 1, 3, 0, 192],
    [1, 17, 192, 3, 3, 2, 0, 0, 320], [1, 17, 192, 3, 3, 2, 0, 0, 192], [1, 8, 1280, 1, 1, 1, 0, 0, 320],
    [1, 8, 1280, 1, 1, 1, 0, 0, 384], [4, 8, 384, 1, 3, 1, 0, 1, 384], [4, 8, 384, 3, 1, 1, 1, 0, 384],
    [1, 8, 1280, 1, 1, 1, 0, 0, 448], [2, 8, 448, 3, 3, 1, 1, 1, 384], [1, 8, 1280, 1, 1, 1, 0, 0, 192],
    [1, 8, 2048, 1, 1, 1, 0, 0, 320], [1, 8, 2048, 1, 1, 1, 0, 0, 384], [1, 8, 2048, 1, 1, 1, 0, 0, 448],
    [1, 8, 2048, 1, 1, 1, 0, 0, 192],
];

fn inception() -> Vec<ConvCase> {
    let layer = |&[_, size, c, kh, kw, stride, ph, pw, s]: &[usize; 9]| {
        let conv = ConvWindow { kernel: (kh, kw), stride, padding: (ph, pw) };
        ConvCase { conv, size, c, s }
    };
    let layers: Vec<ConvCase> = INCEPTION.iter().map(layer).collect();
    let all: usize = INCEPTION.iter().zip(&layers).map(|(row, layer)| row[0] * layer.operations()).sum();
    assert_eq!(all, 11_422_336_192, "the table is Inception's 11.42 GFLOP per image");
    layers
}

/// Values in [−0.5, 0.5).
fn values<T: Element>(n: usize) -> Vec<T> {
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761) >> 8;
    (0..n).map(|i| T::from_f32(hash(i) as f32 / (1 << 24) as f32 - 0.5)).collect()
}

type Group<'a> = BenchmarkGroup<'a, PercentOfPeak>;

/// One benchmark of `operations`.
fn measure(group: &mut Group, name: String, operations: usize, mut run: impl FnMut()) {
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(name, |b| b.iter(&mut run));
}

fn convolution<T: Element>(group: &mut Group, layer: &ConvCase, batch: usize, type_: &str) {
    let ConvCase { conv, c, s, .. } = layer;
    let x: Vec<T> = values(batch * layer.size * layer.size * c);
    let weight = pack::<T>(Isa::best::<T>(), conv, &values::<f32>(layer.weights()), *c, *s);
    let bias: Vec<f32> = values(*s);
    measure(group, format!("conv {}, {type_}", layer.name()), batch * layer.operations(), || {
        let relu = Activation::LeakyRelu(0.0);
        black_box(conv2d::<T, T>(conv, &x, layer.large(batch), &weight, Some(&bias), relu));
    });
}

fn adjoint<T: Element>(group: &mut Group, layer: &ConvCase, batch: usize, type_: &str) {
    let ConvCase { conv, size, c, s } = layer;
    let weights: Vec<f32> = values(layer.weights());
    let weight = PackedTransposed::<T>::new(Isa::best::<T>(), conv, (*size, *size, *c), &weights, *s);
    let y: Vec<T> = values(batch * layer.pixels() * s);
    measure(group, format!("transposed {}, {type_}", layer.name()), batch * layer.operations(), || {
        black_box(conv_transpose2d::<T, T>(&y, &weight, Activation::Identity));
    });
}

fn gradient<T: Element>(group: &mut Group, layer: &ConvCase, batch: usize, type_: &str) {
    let ConvCase { conv, size, c, s } = layer;
    let (x, y): (Vec<T>, Vec<T>) = (values(batch * size * size * c), values(batch * layer.pixels() * s));
    measure(group, format!("weights {}, {type_}", layer.name()), batch * layer.operations(), || {
        black_box(weight_grad(Isa::best::<T>(), conv, &x, layer.large(batch), &y, *s));
    });
}

/// All benchmarks of T.
fn all<T: Element>(type_: &str) {
    let peak = peak::<T>(Duration::from_millis(500)) / 1e9;
    let threads = rayon::current_num_threads();
    println!("{type_}: {:?}, {threads} threads, peak {peak:.0} GFLOP/s\n", Isa::best::<T>());
    let mut criterion = Criterion::default()
        .with_measurement(PercentOfPeak { peak })
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    let mut group = criterion.benchmark_group("dcgan");
    group.sampling_mode(SamplingMode::Flat);
    for layer in dcgan() {
        convolution::<T>(&mut group, &layer, 128, type_);
        adjoint::<T>(&mut group, &layer, 128, type_);
        gradient::<T>(&mut group, &layer, 128, type_);
    }
    group.finish();
    let mut group = criterion.benchmark_group("inception");
    group.sampling_mode(SamplingMode::Flat);
    for layer in inception() {
        convolution::<T>(&mut group, &layer, 16, type_);
    }
    group.finish();
}

fn main() {
    all::<f32>("f32");
    all::<bf16>("bf16");
}
