//! What a run tells about itself: `metrics.jsonl` and `loss.png`.

mod plot;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, atomic};

/// One line of `metrics.jsonl`: a step and what it measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The step, from 1.
    pub step: u64,
    /// Its epoch, from 1.
    pub epoch: u64,
    /// D's loss on real pictures, in nats.
    pub loss_d_real: f64,
    /// D's loss on fakes, in nats.
    pub loss_d_fake: f64,
    /// Their sum.
    pub loss_d: f64,
    /// G's loss, in nats.
    pub loss_g: f64,
    /// D's mean probability that the real pictures are real.
    pub d_x: f64,
    /// D's mean probability that the fakes are real, before its update.
    pub d_g_z1: f64,
    /// The same after D's update.
    pub d_g_z2: f64,
    /// Pictures of the step per second, waiting for them included.
    pub images_per_second: f64,
}

/// Writes `metrics.jsonl` as the run goes, and `loss.png` from it.
pub struct Report {
    path: PathBuf,
    file: BufWriter<File>,
    /// (D's loss, G's loss) of each step.
    losses: Vec<[f32; 2]>,
}

impl Report {
    /// Starts `metrics.jsonl` in the run folder.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(run: &Path) -> Result<Report> {
        let path = run.join("metrics.jsonl");
        let file = BufWriter::new(File::create(&path).map_err(Error::io(&path))?);
        Ok(Report { path, file, losses: Vec::new() })
    }

    /// Adds a step. Its line reaches the file at once and as a whole, for those who follow it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, metrics: &Metrics) -> Result<()> {
        self.losses.push([metrics.loss_d as f32, metrics.loss_g as f32]);
        let line = serde_json::to_string(metrics).expect("numbers are JSON");
        writeln!(self.file, "{line}").and_then(|()| self.file.flush()).map_err(Error::io(&self.path))
    }

    /// Writes `loss.png` anew: both losses of every step so far.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plot(&self) -> Result<()> {
        let png = plot::png(&self.losses);
        atomic::write(&self.path.with_file_name("loss.png"), |out| out.write_all(&png))
    }
}
