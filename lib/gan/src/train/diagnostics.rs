//! Detects two common failures of a run, and says what to try. Each warning is given once.

use super::metrics::Metrics;

/// D saturates while it gives real images and fakes their correct label with a mean probability above this.
const SATURATION: f64 = 0.98;
/// Steps in a row of a saturated D before the warning.
const SATURATED_STEPS: u64 = 300;
/// G has collapsed while the standard deviation of its pixels between images is less than this, of 255.
const COLLAPSE: f64 = 3.0;
/// Checks in a row of a collapsed G before the warning: the first images of every run are all gray.
const COLLAPSED_CHECKS: u64 = 3;

/// Watches for the saturation of D and for mode collapse.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    saturation: Streak,
    collapse: Streak,
}

/// Counts how often in a row a failure was seen.
#[derive(Clone, Debug, Default)]
struct Streak {
    length: u64,
    reported: bool,
}

impl Streak {
    /// Whether the failure has now been seen `limit` times in a row, for the first time.
    fn reaches(&mut self, limit: u64, seen: bool) -> bool {
        self.length = if seen { self.length + 1 } else { 0 };
        let first = self.length >= limit && !self.reported;
        self.reported |= first;
        first
    }
}

impl Diagnostics {
    /// Returns a warning when D has been saturated for long. `lr_d` is D's learning rate.
    pub fn check_step(&mut self, metrics: &Metrics, lr_d: f64) -> Option<String> {
        let saturated = metrics.d_x > SATURATION && metrics.d_g_z1.max(metrics.d_g_z2) < 1.0 - SATURATION;
        self.saturation.reaches(SATURATED_STEPS, saturated).then(|| {
            format!(
                "D saturates: it has recognized all fakes for {SATURATED_STEPS} steps (its loss is {:.4}), \
                 so G learns little; try a lower lr_d, such as {}, or another seed",
                metrics.loss_d,
                lr_d / 2.0
            )
        })
    }

    /// Returns a warning when G has collapsed. `bytes` are images of `size` bytes, each of another latent;
    /// `lr_g` is G's learning rate.
    pub fn check_images(&mut self, bytes: &[u8], size: usize, lr_g: f64) -> Option<String> {
        let spread = spread(bytes, size);
        self.collapse.reaches(COLLAPSED_CHECKS, spread < COLLAPSE).then(|| {
            format!(
                "G has collapsed: its images of different latents are the same (their standard deviation is \
                 {spread:.1} of 255); try a lower lr_g, such as {}, a larger batch, or another seed",
                lr_g / 2.0
            )
        })
    }
}

/// The root of the mean variance of a pixel over the images, 0 to 127.5; infinite for fewer than two images.
fn spread(bytes: &[u8], size: usize) -> f64 {
    let n = bytes.len() / size;
    if n < 2 {
        return f64::INFINITY;
    }
    let variance = |i: usize| {
        let values = || bytes.iter().skip(i).step_by(size).map(|&v| f64::from(v));
        let mean = values().sum::<f64>() / n as f64;
        values().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64
    };
    ((0..size).map(variance).sum::<f64>() / size as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(d_x: f64, d_g_z: f64) -> Metrics {
        Metrics {
            step: 1,
            epoch: 1,
            loss_d_real: -d_x.ln(),
            loss_d_fake: -(1.0 - d_g_z).ln(),
            loss_d: -d_x.ln() - (1.0 - d_g_z).ln(),
            loss_g: -d_g_z.ln(),
            value: d_x.ln() + (1.0 - d_g_z).ln(),
            d_x,
            d_g_z1: d_g_z,
            d_g_z2: d_g_z,
            images_per_second: 1.0,
        }
    }

    #[test]
    fn a_saturated_d_is_reported_once_and_only_when_it_lasts() {
        let mut diagnostics = Diagnostics::default();
        let lines: Vec<u64> = (1..=1000)
            .filter(|&i| {
                // One step in which D errs restarts the count.
                let at = if i == 200 { step(0.6, 0.3) } else { step(0.999, 0.001) };
                let line = diagnostics.check_step(&at, 2e-4);
                assert!(
                    line.as_ref()
                        .is_none_or(|l| l.contains("a lower lr_d, such as 0.0001,") && !l.contains('\n'))
                );
                line.is_some()
            })
            .collect();
        assert_eq!(lines, [500]);
        assert!((0..1000).all(|_| Diagnostics::default().check_step(&step(0.9, 0.1), 2e-4).is_none()));
    }

    #[test]
    fn a_collapsed_g_is_reported_at_the_third_check() {
        let (alike, different) =
            (vec![100; 64 * 12], (0..64 * 12).map(|i| (i * 37 % 256) as u8).collect::<Vec<_>>());
        let mut diagnostics = Diagnostics::default();
        let reported: Vec<bool> = [&alike, &alike, &different, &alike, &alike, &alike, &alike]
            .map(|bytes| diagnostics.check_images(bytes, 12, 4e-4).is_some())
            .to_vec();
        assert_eq!(reported, [false, false, false, false, false, true, false]);
        assert_eq!(spread(&[7], 1), f64::INFINITY);
        // Two images of one pixel, 10 apart from their mean.
        assert!((spread(&[50, 70], 1) - 10.0).abs() < 1e-12);
    }
}
