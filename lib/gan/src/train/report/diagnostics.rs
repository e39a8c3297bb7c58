//! Looks at a run as it goes, and says what a known trouble means and what to try. Each once.

use super::Metrics;

/// Steps in a row after which D's victory is no longer chance.
const PATIENCE: u64 = 300;
/// D has won while it calls real images real and fakes fake more surely than this.
const SURE: f64 = 0.98;
/// Images in a row that are all alike before it is said: the first ones are gray in every run.
const ALIKE_PATIENCE: u32 = 3;
/// Images whose pixels differ from one another by less than this, of 255 (standard deviation), are all alike.
const ALIKE: f64 = 3.0;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    sure: u64,
    alike: u32,
    told: [bool; 2],
}

impl Diagnostics {
    /// Looks at a step. Returns a line of warning when D has won for long; `lr_d` is for its advice.
    pub fn step(&mut self, metrics: &Metrics, lr_d: f64) -> Option<String> {
        let won = metrics.d_x > SURE && metrics.d_g_z1 < 1.0 - SURE && metrics.d_g_z2 < 1.0 - SURE;
        self.sure = if won { self.sure + 1 } else { 0 };
        let line = || {
            format!(
                "D has told every fake from the real images for {PATIENCE} steps (its loss is {:.4}): G learns little from \
                 that. Try a slower D, --lr-d {}, or another --seed",
                metrics.loss_d,
                lr_d / 2.0
            )
        };
        self.flush(0, self.sure >= PATIENCE).then(line)
    }

    /// Looks at the images, of `size` bytes each, that G makes of different latents. Returns a line of warning when they
    /// were all alike for the third time in a row; `lr_g` is for its advice.
    pub fn images(&mut self, bytes: &[u8], size: usize, lr_g: f64) -> Option<String> {
        let spread = spread(bytes, size);
        self.alike = if spread < ALIKE { self.alike + 1 } else { 0 };
        let line = || {
            format!(
                "G makes the same image of every latent (they differ by {spread:.1} of 255): it has collapsed. Try a slower \
                 G, --lr-g {}, larger batches, --batch, or another --seed",
                lr_g / 2.0
            )
        };
        self.flush(1, self.alike >= ALIKE_PATIENCE).then(line)
    }

    /// Whether trouble `which` is there and was not told of.
    fn flush(&mut self, which: usize, there: bool) -> bool {
        let first = there && !self.told[which];
        self.told[which] |= there;
        first
    }
}

/// The root of the mean variance of a pixel over the images. One image alone has any: it is infinitely spread.
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
    fn a_victory_of_d_is_told_once_and_only_when_it_lasts() {
        let mut diagnostics = Diagnostics::default();
        let lines: Vec<u64> = (1..=1000)
            .filter(|&i| {
                // A single step in which D errs begins the count anew.
                let at = if i == 200 { step(0.6, 0.3) } else { step(0.999, 0.001) };
                let line = diagnostics.step(&at, 2e-4);
                assert!(line.as_ref().is_none_or(|l| l.contains("--lr-d 0.0001") && !l.contains('\n')));
                line.is_some()
            })
            .collect();
        assert_eq!(lines, [500]);
        assert!((0..1000).all(|_| Diagnostics::default().step(&step(0.9, 0.1), 2e-4).is_none()));
    }

    #[test]
    fn images_all_alike_are_told_of_at_the_third_time() {
        let (alike, different) =
            (vec![100; 64 * 12], (0..64 * 12).map(|i| (i * 37 % 256) as u8).collect::<Vec<_>>());
        let mut diagnostics = Diagnostics::default();
        let told: Vec<bool> = [&alike, &alike, &different, &alike, &alike, &alike, &alike]
            .map(|bytes| diagnostics.images(bytes, 12, 4e-4).is_some())
            .to_vec();
        assert_eq!(told, [false, false, false, false, false, true, false]);
        assert_eq!(spread(&[7], 1), f64::INFINITY);
        // Two images of one pixel, 10 apart from their mean.
        assert!((spread(&[50, 70], 1) - 10.0).abs() < 1e-12);
    }
}
