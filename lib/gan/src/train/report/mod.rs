//! The report of a run: `loss.svg` and `report.html`.

mod chart;
mod page;
mod svg;

use std::time::Duration;

use super::metrics::{Metrics, Score};
use super::setup::Setup;
use chart::{BLUE, Chart, Column, Curve, GREEN, ORANGE, columns};
use page::Snapshots;

/// What a run has measured and made so far.
pub struct Report<'a> {
    setup: &'a Setup<'a>,
    /// Of each step: D's loss, G's loss, the game's value, D(x), D(G(z)).
    series: [Vec<f32>; 5],
    /// Scores of the generator, by rising epoch.
    pub scores: Vec<Score>,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
    /// G's images by epoch, and training images.
    pub snapshots: Snapshots,
}

impl<'a> Report<'a> {
    /// A report that begins with the metrics and scores of earlier steps.
    pub fn new(setup: &'a Setup, metrics: &[Metrics], scores: Vec<Score>) -> Report<'a> {
        let (series, snapshots) = (Default::default(), Snapshots::default());
        let mut report = Report { setup, series, scores, warnings: Vec::new(), snapshots };
        metrics.iter().for_each(|metrics| report.add_metrics(metrics));
        report
    }

    /// Adds the metrics of a step.
    pub fn add_metrics(&mut self, metrics: &Metrics) {
        let &Metrics { loss_d, loss_g, value, d_x, d_g_z1, .. } = metrics;
        for (all, value) in self.series.iter_mut().zip([loss_d, loss_g, value, d_x, d_g_z1]) {
            all.push(value as f32);
        }
    }

    /// The contents of `loss.svg` and `report.html`. `elapsed` is the time since the start of the run.
    pub fn render(&self, elapsed: Duration) -> (String, String) {
        let charts = self.charts();
        (svg::file(&charts), page::html(self, &charts, elapsed))
    }

    fn charts(&self) -> Vec<Chart> {
        let [loss_d, loss_g, value, d_x, d_g_z] = &self.series;
        let curve =
            |name, color, values: &[f32]| Curve { name, color, columns: columns(values, svg::COLUMNS) };
        let optimum = self.setup.recipe.schedule.loss.optimal_value();
        let by_step = |title, curves, mark| Chart { title, unit: "step", curves, mark };
        let mut charts = vec![
            by_step("loss", vec![curve("D", BLUE, loss_d), curve("G", ORANGE, loss_g)], None),
            by_step("value of the game", vec![curve("V", GREEN, value)], optimum),
            by_step(
                "probability of real",
                vec![curve("D(x)", BLUE, d_x), curve("D(G(z))", ORANGE, d_g_z)],
                Some(("0.5", 0.5)),
            ),
        ];
        if !self.scores.is_empty() {
            let column = |s: &Score| Column {
                x: s.epoch as f64,
                mean: s.fd_squeezenet,
                range: s.fd_squeezenet..s.fd_squeezenet,
            };
            let columns = self.scores.iter().map(column).collect();
            let curves = vec![Curve { name: "FD-SqueezeNet", color: GREEN, columns }];
            charts.push(Chart { title: "score", unit: "epoch", curves, mark: None });
        }
        charts
    }
}
