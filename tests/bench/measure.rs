//! Repetitions, with the machine's peak measured before and after each: a shared machine's speed drifts.

use std::time::Duration;

use gan::precision::Precision;
use gan_kernels::bf16;
use gan_kernels::matmul::peak;

/// One repetition of some work; returns the seconds that it took, what it prepared not counted.
pub type Work<'a> = Box<dyn FnMut() -> f64 + Send + 'a>;

/// Work on so many images (or steps) a repetition.
pub struct Load<'a> {
    pub work: Work<'a>,
    pub count: f64,
    /// Of a repetition; `None` where products are not what takes the time.
    pub flops: Option<f64>,
    pub precision: Precision,
}

/// The least, the middle and the largest of some values.
#[derive(Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let median = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        Spread { least: values[0], median, most: values[last] }
    }
}

/// A row's result.
pub struct Figure {
    /// In `unit`.
    pub value: f64,
    pub unit: &'static str,
    /// Percent of the peak.
    pub share: Option<Spread>,
    /// What else is to be told.
    pub note: String,
}

impl Figure {
    pub fn new(value: f64, unit: &'static str) -> Figure {
        Figure { value, unit, share: None, note: String::new() }
    }
}

/// The register peak of all threads, in operations per second.
fn peak_of(precision: Precision) -> f64 {
    let duration = Duration::from_millis(150);
    match precision {
        Precision::F32 => peak::<f32>(duration),
        Precision::Bf16 => peak::<bf16>(duration),
    }
}

/// The seconds of each repetition, after one that does not count (unless there is one only), and its percent of the peak
/// around it.
fn repeat(load: &mut Load, repetitions: usize) -> (Spread, Option<Spread>) {
    if repetitions > 1 {
        (load.work)();
    }
    let Some(flops) = load.flops else {
        return (Spread::of((0..repetitions).map(|_| (load.work)()).collect()), None);
    };
    let mut before = peak_of(load.precision);
    let (mut seconds, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        let s = (load.work)();
        let after = peak_of(load.precision);
        seconds.push(s);
        shares.push(flops / s / ((before + after) / 2.0) * 100.0);
        before = after;
    }
    (Spread::of(seconds), Some(Spread::of(shares)))
}

/// Images per second.
pub fn rate(mut load: Load, repetitions: usize) -> Figure {
    let (seconds, share) = repeat(&mut load, repetitions);
    Figure { share, ..Figure::new(load.count / seconds.median, "images/s") }
}

/// Milliseconds for one of what a repetition does many times.
pub fn milliseconds(mut load: Load, repetitions: usize) -> Figure {
    let (seconds, share) = repeat(&mut load, repetitions);
    Figure { share, ..Figure::new(seconds.median / load.count * 1e3, "ms") }
}

/// Seconds of the whole.
pub fn seconds(mut load: Load, repetitions: usize) -> Figure {
    let (seconds, share) = repeat(&mut load, repetitions);
    Figure { share, ..Figure::new(seconds.median, "s") }
}
