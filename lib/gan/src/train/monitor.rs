//! Shows a run: images, charts, scores and warnings. Training does not depend on it.

use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::metrics::{Metrics, Score};
use super::report::Report;
use super::run_dir::{self, RunDir};
use super::score::Scorer;
use super::setup::{Position, Setup};
use crate::data::image::{PADDING, decode, encode_gif, encode_png, grid};
use crate::nn::Network;
use crate::progress::Progress;
use crate::rng::{Stream, permutation};
use crate::sample::{images, latents};
use crate::{Error, Result};

/// Images in each grid.
const GRID_IMAGES: usize = 64;
/// Images in a row of a grid.
const GRID_COLUMNS: usize = 8;
/// The largest number of frames of `progress.gif`, evenly spaced over the epochs.
const MAX_FRAMES: usize = 60;
/// The approximate width of a frame, in pixels: a GIF of all 64 faces of 64×64 would take 16 MB.
const FRAME_WIDTH: usize = 300;
/// The time of a frame, and of the last frame.
const FRAME_TIMES: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(2)];

/// Shows one run.
pub struct Monitor<'a> {
    setup: &'a Setup<'a>,
    dir: &'a RunDir,
    progress: &'a dyn Progress,
    report: Report<'a>,
    diagnostics: Diagnostics,
    scorer: Option<Scorer>,
    /// The epochs with an image of G.
    epochs: Vec<u64>,
}

impl<'a> Monitor<'a> {
    /// Writes `recipe.toml` and `real.png`, and measures the training images if the recipe asks for scores.
    /// Restores the metrics, scores and images of the `taken` steps before.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(
        setup: &'a Setup<'a>,
        dir: &'a RunDir,
        progress: &'a dyn Progress,
        taken: u64,
    ) -> Result<Monitor<'a>> {
        let &Setup { recipe, shard, device, .. } = setup;
        dir.write(run_dir::RECIPE, recipe.to_toml().as_bytes())?;
        let report = Report::new(setup, &dir.restore_metrics(taken)?, dir.scores(taken));
        let scorer = match recipe.output.score_every {
            0 => None,
            _ => Some(Scorer::new(shard, recipe.seed, device)?),
        };
        let (diagnostics, epochs) = (Diagnostics::default(), Vec::new());
        let mut monitor = Monitor { setup, dir, progress, report, diagnostics, scorer, epochs };
        monitor.write_real()?;
        monitor.restore_images(taken);
        Ok(monitor)
    }

    /// Restores those images of the epochs before that still exist.
    fn restore_images(&mut self, taken: u64) {
        let (_, _, c) = self.setup.model.image_shape();
        for epoch in 1..=taken / self.setup.epoch_steps() {
            let file = std::fs::read(self.dir.file(RunDir::epoch_image(epoch)));
            if let Some(image) = file.ok().and_then(|bytes| decode(&bytes).ok()) {
                let size = (image.width, image.height, c);
                let bytes = if c == 1 { image.to_gray() } else { image.rgb };
                self.report.snapshots.add(epoch, size, &bytes);
                self.epochs.push(epoch);
            }
        }
    }

    /// Records the metrics of a step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn step(&mut self, metrics: &Metrics) -> Result<()> {
        self.report.add_metrics(metrics);
        self.dir.append(metrics)?;
        let warning = self.diagnostics.check_step(metrics, self.setup.recipe.optimizer.lr_d);
        self.warn(warning);
        Ok(())
    }

    /// Whether the recipe asks for images after this step.
    pub fn should_sample(&self, at: Position) -> bool {
        let every = self.setup.recipe.output.sample_every;
        every > 0 && (at.step.is_multiple_of(every) || at.is_last)
    }

    /// Writes the images after this step, if the recipe asks for them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn sample(&self, at: Position, generator: &Network) -> Result<()> {
        if self.should_sample(at) {
            self.write_samples(&RunDir::step_image(at.step), at, &self.fixed_samples(generator)?)?;
        }
        Ok(())
    }

    /// Scores the generator, if the recipe asks for it after this step. Returns whether it is the best so
    /// far.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn score(&mut self, at: Position, generator: &Network) -> Result<bool> {
        let &Setup { recipe, ref model, device, .. } = self.setup;
        let Some(scorer) = &self.scorer else { return Ok(false) };
        if !(at.is_last || at.ends_epoch && at.epoch.is_multiple_of(recipe.output.score_every)) {
            return Ok(false);
        }
        let fd_squeezenet = scorer.score(generator, model, recipe.seed, device)?;
        let best = self.report.scores.iter().all(|earlier| fd_squeezenet < earlier.fd_squeezenet);
        let (fakes, reals) = (scorer.fakes, scorer.reals);
        self.report.scores.push(Score { epoch: at.epoch, step: at.step, fd_squeezenet, fakes, reals, best });
        self.dir.write_scores(&self.report.scores)?;
        Ok(best)
    }

    /// Writes the images of an epoch, the charts and the report, at the end of the epoch or of the run.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn report(&mut self, at: Position, generator: &Network, elapsed: Duration) -> Result<()> {
        let samples = self.fixed_samples(generator)?;
        let (size, grid) = self.write_samples(&RunDir::epoch_image(at.epoch), at, &samples)?;
        self.report.snapshots.add(at.epoch, size, &grid);
        // A run that was stopped within an epoch has the image of this epoch already.
        if self.epochs.last() != Some(&at.epoch) {
            self.epochs.push(at.epoch);
        }
        let (h, w, c) = self.setup.model.image_shape();
        let warning = self.diagnostics.check_images(&samples, h * w * c, self.setup.recipe.optimizer.lr_g);
        self.warn(warning);
        let (svg, html) = self.report.render(elapsed);
        self.dir.write(run_dir::CHARTS, svg.as_bytes())?;
        self.dir.write(run_dir::REPORT, html.as_bytes())
    }

    /// Writes `progress.gif`, of the images of the epochs, at the end of the run.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn finish(&self) -> Result<()> {
        // Counted from the end, so that the last epoch is among them.
        let stride = self.epochs.len().div_ceil(MAX_FRAMES).max(1);
        let chosen: Vec<u64> = self.epochs.iter().rev().step_by(stride).copied().collect();
        // The first rows and columns of each grid, which is as high as wide, with the line after them.
        let cell = self.setup.model.image_shape().0 + PADDING;
        let width = (FRAME_WIDTH / cell).clamp(1, GRID_COLUMNS) * cell + PADDING;
        let mut frames = Vec::new();
        for &epoch in chosen.iter().rev() {
            let path = self.dir.file(RunDir::epoch_image(epoch));
            let image = decode(&std::fs::read(&path).map_err(Error::io(&path))?)
                .map_err(|e| Error::file(&path, e.to_string()))?;
            let rows = image.rgb.chunks_exact(3 * image.width).take(width);
            frames.push(rows.flat_map(|row| row[..3 * width].to_vec()).collect::<Vec<u8>>());
        }
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        self.dir.write(run_dir::PROGRESS, &encode_gif(&frames, width, width, 3, FRAME_TIMES))
    }

    fn warn(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.progress.warn(&line);
            self.report.warnings.push(line);
        }
    }

    /// G's images of the fixed noise, `[GRID_IMAGES, H, W, C]`.
    fn fixed_samples(&self, generator: &Network) -> Result<Vec<u8>> {
        let (seed, nz) = (self.setup.recipe.seed, self.setup.model.latent_size());
        images(generator, &latents(seed, Stream::FixedNoise, 0, GRID_IMAGES, nz, self.setup.device)?)
    }

    /// Writes the first images of the first epoch, as they are in the shard.
    fn write_real(&mut self) -> Result<()> {
        let &Setup { recipe, shard, ref model, .. } = self.setup;
        let order = permutation(recipe.seed, Stream::Shuffle, 0, shard.len());
        let (h, w, c) = model.image_shape();
        let mut bytes = vec![0; GRID_IMAGES.min(order.len()) * h * w * c];
        bytes.chunks_exact_mut(h * w * c).zip(order).for_each(|(out, i)| shard.pixels(i, out));
        let (size, grid) = self.write_grid(run_dir::REAL, &bytes, "training images")?;
        self.report.snapshots.set_real(size, &grid);
        Ok(())
    }

    fn write_samples(&self, name: &str, at: Position, bytes: &[u8]) -> Result<Grid> {
        self.write_grid(name, bytes, &format!("step {}, fixed noise", at.step))
    }

    fn write_grid(&self, name: &str, bytes: &[u8], text: &str) -> Result<Grid> {
        let (h, w, c) = self.setup.model.image_shape();
        let cells: Vec<&[u8]> = bytes.chunks_exact(h * w * c).collect();
        let (width, height, bytes) = grid(&cells, w, h, c, GRID_COLUMNS);
        self.dir.write(name, &encode_png(width, height, c, &bytes, &[("gantools", text)]))?;
        Ok(((width, height, c), bytes))
    }
}

/// The size (width, height, channels) and bytes of a grid of images.
type Grid = ((usize, usize, usize), Vec<u8>);
