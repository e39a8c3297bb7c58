//! The data of charts: curves over steps or epochs, reduced to the resolution of a screen, and their axes.

use std::ops::Range;

/// A color's red, green and blue.
pub type Color = [u8; 3];

/// Of the palette by Okabe and Ito (2008), which the color-blind can distinguish.
pub const BLUE: Color = [0, 114, 178];
pub const ORANGE: Color = [213, 94, 0];
pub const GREEN: Color = [0, 158, 115];

/// Points of a curve that are drawn as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The middle of their steps or epochs, from 1.
    pub x: f64,
    /// Their mean.
    pub mean: f64,
    /// From their minimum to their maximum.
    pub range: Range<f64>,
}

/// A curve with its name and color.
#[derive(Clone, Debug)]
pub struct Curve {
    pub name: &'static str,
    pub color: Color,
    pub columns: Vec<Column>,
}

/// Curves that share their axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The quantity of the vertical axis.
    pub title: &'static str,
    /// The unit of the horizontal axis.
    pub unit: &'static str,
    pub curves: Vec<Curve>,
    /// A level to compare with: its name and value.
    pub mark: Option<(&'static str, f64)>,
}

/// The values of steps 1, 2, … in at most `width` columns.
pub fn columns(values: &[f32], width: usize) -> Vec<Column> {
    let per_column = values.len().div_ceil(width).max(1);
    let column = |(i, values): (usize, &[f32])| {
        let each = || values.iter().map(|&v| f64::from(v));
        Column {
            x: (i * per_column) as f64 + (values.len() + 1) as f64 / 2.0,
            mean: each().sum::<f64>() / values.len() as f64,
            range: each().fold(f64::INFINITY, f64::min)..each().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    values.chunks(per_column).enumerate().map(column).collect()
}

/// An axis: its range, and its numbers.
#[derive(Clone, Debug)]
pub struct Axis {
    pub range: Range<f64>,
    /// Values with their texts, rising.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The position of `value`: 0 at the start of the range, 1 at its end.
    pub fn position(&self, value: f64) -> f64 {
        (value - self.range.start) / (self.range.end - self.range.start)
    }
}

impl Chart {
    /// From 1 to the last step or epoch.
    pub fn horizontal(&self) -> Axis {
        let last =
            self.curves.iter().flat_map(|curve| &curve.columns).map(|c| c.x.ceil()).fold(2.0, f64::max);
        let step = tick(last / 8.0).max(1.0);
        let round = (1..).map(|i| i as f64 * step).take_while(|&x| x <= last).filter(|&x| x > 1.0);
        let ticks = std::iter::once(1.0).chain(round).map(|x| (x, number(x, step))).collect();
        Axis { range: 1.0..last, ticks }
    }

    /// Contains 0, the mark and the mean of each column, but not all of their ranges.
    pub fn vertical(&self) -> Axis {
        let means = self.curves.iter().flat_map(|curve| &curve.columns).map(|column| column.mean);
        let all = means.chain(self.mark.map(|(_, level)| level)).filter(|v| v.is_finite());
        let (low, high) = all.fold((0f64, 0f64), |(low, high), v| (low.min(v), high.max(v)));
        let step = tick((high - low) / 5.0).max(1e-3);
        let first = (low / step).floor();
        // Space above the highest value, unless none is above 0.
        let last = if high > 0.0 { (high / step).floor() + 1.0 } else { 0.0 };
        let last = last.max(first + 1.0);
        let ticks = (0..=(last - first) as u32).map(|i| (first + f64::from(i)) * step);
        Axis { range: first * step..last * step, ticks: ticks.map(|y| (y, number(y, step))).collect() }
    }
}

/// The smallest of 1, 2, 5, 10, 20, … (and 0.5, 0.2, 0.1, …) that is at least `least`.
fn tick(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&t| t >= least * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// The number of a tick, with the decimals that `step` needs; thousands as `k`.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    match value {
        v if v.abs() >= 10_000.0 && v % 1000.0 == 0.0 => format!("{}k", v / 1000.0),
        // Not -0.
        v => format!("{:.decimals$}", v + 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f32], mark: Option<(&'static str, f64)>) -> Chart {
        let curve = Curve { name: "D", color: BLUE, columns: columns(values, 100) };
        Chart { title: "loss", unit: "step", curves: vec![curve], mark }
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (least, wanted) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (0.03, 0.05), (117.5, 200.0)]
        {
            assert!((tick(least) - wanted).abs() < 1e-9, "{least}: {}", tick(least));
        }
        assert_eq!(number(0.5, 0.5), "0.5");
        assert_eq!(number(10.0, 5.0), "10");
        assert_eq!(number(20_000.0, 5000.0), "20k");
        assert_eq!(number(-0.0, 0.5), "0.0");
    }

    #[test]
    fn columns_keep_means_and_ranges() {
        let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let few = columns(&values, 4);
        assert_eq!(few.iter().map(|c| c.mean).collect::<Vec<_>>(), [1.0, 4.0, 7.0, 9.0]);
        assert_eq!(few.iter().map(|c| c.x).collect::<Vec<_>>(), [2.0, 5.0, 8.0, 10.0]);
        assert_eq!(few[1].range, 3.0..5.0);
        assert_eq!(columns(&values, 100).len(), 10);
    }

    #[test]
    fn axes_hold_every_value_the_mark_and_zero() {
        let y = chart(&[0.2, 1.7], None).vertical();
        assert_eq!((y.range.start, y.range.end), (0.0, 2.0));
        let y = chart(&[-0.3, -1.9], Some(("-log 4", -(4f64.ln())))).vertical();
        assert_eq!((y.range.start, y.range.end), (-2.0, 0.0));
        assert!((y.position(-0.5) - 0.75).abs() < 1e-12);
        let y = chart(&[-1.0, 3.0], None).vertical();
        assert!(y.range.start <= -1.0 && y.range.end > 3.0);
        // No step, one step and NaN have axes, too.
        for values in [&[][..], &[0.5], &[f32::NAN, 1.0]] {
            let (x, y) = (chart(values, None).horizontal(), chart(values, None).vertical());
            assert!(x.range.end >= 2.0 && y.range.end > y.range.start && y.ticks.len() > 1);
        }
        let x = chart(&[1.0; 900], None).horizontal();
        assert_eq!(x.ticks.iter().map(|t| t.0).collect::<Vec<_>>(), [1.0, 200.0, 400.0, 600.0, 800.0]);
    }
}
