//! Repeated measurements. The peak of the machine is measured before and after each, since the speed of a
//! shared machine drifts.

use std::time::Duration;

use gan::precision::Precision;
use gan_kernels::bf16;
use gan_kernels::matmul::peak;

/// One repetition; returns its duration in seconds, without preparations.
pub type Work<'a> = Box<dyn FnMut() -> f64 + Send + 'a>;

/// A measured piece of work.
pub struct Load<'a> {
    pub work: Work<'a>,
    /// Images or steps per repetition.
    pub count: f64,
    /// Operations per repetition; `None` if matrix products do not dominate.
    pub flops: Option<f64>,
    pub precision: Precision,
}

/// The minimum, median and maximum of some values.
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
    /// Further information.
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

/// The seconds of the repetitions and their percent of the peak. If there are several, one more runs first as
/// a warm-up.
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

/// Milliseconds per step.
pub fn milliseconds(mut load: Load, repetitions: usize) -> Figure {
    let (seconds, share) = repeat(&mut load, repetitions);
    Figure { share, ..Figure::new(seconds.median / load.count * 1e3, "ms") }
}

/// Seconds per repetition.
pub fn seconds(mut load: Load, repetitions: usize) -> Figure {
    let (seconds, share) = repeat(&mut load, repetitions);
    Figure { share, ..Figure::new(seconds.median, "s") }
}
