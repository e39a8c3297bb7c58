//! What a run tells about itself: `metrics.jsonl`, `scores.jsonl`, `loss.png` and `report.html`.

mod chart;
mod diagnostics;
mod glyph;
mod page;
mod plot;

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use diagnostics::Diagnostics;
pub use page::RunInfo;

use crate::io::atomic;
use crate::{Error, Result};
use chart::{BLUE, Chart, Column, Curve, GREEN, ORANGE, columns};
use page::Snapshots;

/// One line of `metrics.jsonl`: a step and what it measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// D's loss on real images, in nats.
    pub loss_d_real: f64,
    /// D's loss on fakes, in nats.
    pub loss_d_fake: f64,
    /// Their sum.
    pub loss_d: f64,
    /// G's loss, in nats.
    pub loss_g: f64,
    /// The value of the game, E log D(x) + E log(1 − D(G(z))), in nats: what D maximizes. Where G's images cannot be told
    /// from real ones it is −log 4 (Goodfellow et al. 2014, theorem 1).
    pub value: f64,
    /// D's mean probability that the real images are real.
    pub d_x: f64,
    /// D's mean probability that the fakes are real, before its update.
    pub d_g_z1: f64,
    /// The same after D's update.
    pub d_g_z2: f64,
    /// Images of the step per second, waiting for them included.
    pub images_per_second: f64,
}

/// One line of `scores.jsonl`: how far G's images are from those that it learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The epoch at whose end it was measured, from 1.
    pub epoch: u64,
    /// Steps up to then.
    pub step: u64,
    /// The Fréchet distance of SqueezeNet features; 0 is best. It is not the FID.
    pub fd_squeezenet: f64,
    /// How many of G's images were measured.
    pub fakes: usize,
    /// How many real ones.
    pub reals: usize,
    /// Whether it is the best so far.
    pub best: bool,
}

/// The numbers of each step, in a run folder.
const METRICS: &str = "metrics.jsonl";

/// Takes the folder of a run for its maker: for as long as what is returned lives, no [`Report`] begins in it. `None` where no run
/// was begun.
///
/// # Errors
/// Another run is at work in it.
pub fn hold(run: &Path) -> Result<Option<File>> {
    let path = run.join(METRICS);
    match File::open(&path) {
        Ok(file) => lock(&file, run).map(|()| Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(&path)(e)),
    }
}

fn lock(metrics: &File, run: &Path) -> Result<()> {
    match metrics.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::file(run, "another run is at work in it")),
        // A file system without locks.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// Writes what a run tells as it goes.
pub struct Report {
    folder: PathBuf,
    metrics: BufWriter<File>,
    /// Of each step: D's loss, G's loss, the game's value, D(x), D(G(z)).
    series: [Vec<f32>; 5],
    scores: Vec<Score>,
    warnings: Vec<String>,
    snapshots: Snapshots,
}

impl Report {
    /// Starts `metrics.jsonl` in the run folder, or goes on after the first `taken` steps in it: what was told of later ones is
    /// cut off. As long as the report lives, no other may begin in the folder.
    ///
    /// # Errors
    /// The file cannot be made; another run writes it.
    pub fn begin(run: &Path, taken: u64) -> Result<Report> {
        let path = run.join(METRICS);
        let io = |e| Error::io(&path)(e);
        let mut file =
            File::options().create(true).read(true).write(true).truncate(false).open(&path).map_err(io)?;
        lock(&file, run)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        // After a power cut its end may be anything.
        let text = String::from_utf8_lossy(&bytes);
        let kept: Vec<Metrics> = text
            .lines()
            .map_while(|line| serde_json::from_str::<Metrics>(line).ok())
            .take_while(|metrics| metrics.step <= taken)
            .collect();
        let length = text.split_inclusive('\n').take(kept.len()).map(str::len).sum::<usize>();
        file.set_len(length as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
        let scores = std::fs::read_to_string(run.join("scores.jsonl")).unwrap_or_default();
        let scores = scores.lines().filter_map(|line| serde_json::from_str::<Score>(line).ok());
        let mut report = Report {
            folder: run.to_path_buf(),
            metrics: BufWriter::new(file),
            series: Default::default(),
            scores: scores.filter(|score| score.step <= taken).collect(),
            warnings: Vec::new(),
            snapshots: Snapshots::default(),
        };
        kept.iter().for_each(|metrics| report.keep(metrics));
        Ok(report)
    }

    /// Keeps the numbers of a step for the charts.
    fn keep(&mut self, metrics: &Metrics) {
        let &Metrics { loss_d, loss_g, value, d_x, d_g_z1, .. } = metrics;
        for (all, value) in self.series.iter_mut().zip([loss_d, loss_g, value, d_x, d_g_z1]) {
            all.push(value as f32);
        }
    }

    /// Adds a step. Its line reaches the file at once and as a whole, for those who follow it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, metrics: &Metrics) -> Result<()> {
        self.keep(metrics);
        let line = serde_json::to_string(metrics).expect("numbers are JSON");
        writeln!(self.metrics, "{line}")
            .and_then(|()| self.metrics.flush())
            .map_err(Error::io(self.folder.join(METRICS)))
    }

    /// Makes the steps that were added last through a crash.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn sync(&self) -> Result<()> {
        self.metrics.get_ref().sync_data().map_err(Error::io(self.folder.join(METRICS)))
    }

    /// Adds a score, to `scores.jsonl` too.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn score(&mut self, score: Score) -> Result<()> {
        self.scores.push(score);
        let lines: Vec<String> =
            self.scores.iter().map(|s| serde_json::to_string(s).expect("numbers are JSON") + "\n").collect();
        let path = self.folder.join("scores.jsonl");
        atomic::write(&path, |out| out.write_all(lines.concat().as_bytes()))
    }

    /// The scores so far.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// Keeps a warning for the page.
    pub fn warn(&mut self, line: &str) {
        self.warnings.push(line.to_string());
    }

    /// Keeps the image, `height · width · channels` bytes, that shows what G makes of the fixed latents at the end of an
    /// epoch.
    pub fn shot(&mut self, epoch: u64, size: (usize, usize, usize), bytes: &[u8]) {
        self.snapshots.add(epoch, size, bytes);
    }

    /// Keeps the image of real ones.
    pub fn real(&mut self, size: (usize, usize, usize), bytes: &[u8]) {
        self.snapshots.real(size, bytes);
    }

    /// Writes `loss.png` and `report.html` anew.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, info: &RunInfo, elapsed: Duration) -> Result<()> {
        let charts = self.charts();
        let png = plot::png(&charts);
        atomic::write(&self.folder.join("loss.png"), |out| out.write_all(&png))?;
        let html = page::html(info, self, &charts, elapsed);
        atomic::write(&self.folder.join("report.html"), |out| out.write_all(html.as_bytes()))
    }

    fn charts(&self) -> Vec<Chart> {
        let [loss_d, loss_g, value, d_x, d_g_z] = &self.series;
        let curve =
            |name, color, values: &[f32]| Curve { name, color, columns: columns(values, plot::COLUMNS) };
        let of_steps = |title, curves, mark| Chart { title, unit: "step", curves, mark };
        let mut charts = vec![
            of_steps("loss", vec![curve("D", BLUE, loss_d), curve("G", ORANGE, loss_g)], None),
            of_steps("value of the game", vec![curve("V", GREEN, value)], Some(("-log 4", -(4f64.ln())))),
            of_steps(
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
