//! What a run shows of itself as it goes: images, curves, scores, warnings. It changes nothing of the training.

use std::path::Path;
use std::time::Duration;

use candle_core::Device;

use super::folder;
use super::score::Scorer;
use crate::data::image::{PADDING, decode, encode_gif, encode_png, grid};
use crate::data::shard::Shard;
use crate::io::atomic;
use crate::nn::Network;
use crate::nn::model::ModelConfig;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::rng::{Stream, permutation};
use crate::sample::{images, latents};
use crate::train::report::{Diagnostics, Metrics, Report, RunInfo, Score};
use crate::{Error, Result};

/// Images in `real.png` and in each that shows the progress.
const SHOWN: usize = 64;
/// Images in a row of them.
const COLUMNS: usize = 8;
/// Frames of `progress.gif` at most, evenly spread over the epochs.
const FRAMES: usize = 60;
/// Their width in pixels, about: a GIF of all 64 faces of 64×64 would be 16 MB.
const FRAME_WIDTH: usize = 300;
/// How long a frame is shown, and the last one.
const FRAME: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(2)];

/// Watches one run.
pub struct Monitor<'a> {
    recipe: &'a Recipe,
    model: &'a ModelConfig,
    device: &'a Device,
    folder: &'a Path,
    progress: &'a dyn Progress,
    info: RunInfo,
    report: Report,
    diagnostics: Diagnostics,
    scorer: Option<Scorer>,
    epochs: Vec<u64>,
}

impl<'a> Monitor<'a> {
    /// Begins: `recipe.toml`, `real.png`, and where scores are wanted the statistics of the real images. After `taken` steps of
    /// an earlier run in the folder it goes on with what that told of them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn begin(
        recipe: &'a Recipe,
        model: &'a ModelConfig,
        shard: &Shard,
        device: &'a Device,
        folder: &'a Path,
        progress: &'a dyn Progress,
        taken: u64,
    ) -> Result<Monitor<'a>> {
        // First of all: it says whether another run has the folder.
        let report = Report::begin(folder, taken)?;
        let toml = recipe.to_toml();
        atomic::write(&folder.join("recipe.toml"), |out| out.write_all(toml.as_bytes()))?;
        let name = shard.path().file_name().unwrap_or_default().to_string_lossy();
        let info = RunInfo {
            name: recipe.name.clone(),
            about: recipe.description.clone(),
            recipe: toml,
            images: format!("{name}, {} images", shard.len()),
            steps: recipe.schedule.total_steps(shard.len()),
            epoch_steps: recipe.schedule.epoch_steps(shard.len()),
        };
        let scorer = match recipe.output.score_every {
            0 => None,
            _ => Some(Scorer::new(shard, recipe.seed, device)?),
        };
        let (diagnostics, epochs) = (Diagnostics::default(), Vec::new());
        let mut monitor =
            Monitor { recipe, model, device, folder, progress, info, report, diagnostics, scorer, epochs };
        monitor.write_real(shard)?;
        monitor.restore(taken)?;
        Ok(monitor)
    }

    /// Takes up the images of the epochs of an earlier run, as far as they are there.
    fn restore(&mut self, taken: u64) -> Result<()> {
        for epoch in 1..=taken / self.info.epoch_steps {
            let path = folder::progress_image(self.folder, epoch);
            if let Some(image) = std::fs::read(&path).ok().and_then(|bytes| decode(&bytes).ok()) {
                let bytes = if self.model.image_shape().2 == 1 { image.to_gray() } else { image.rgb };
                let size = (image.width, image.height, self.model.image_shape().2);
                self.report.shot(epoch, size, &bytes);
                self.epochs.push(epoch);
            }
        }
        Ok(())
    }

    /// What a step measured.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn step(&mut self, metrics: &Metrics) -> Result<()> {
        self.report.add(metrics)?;
        let warning = self.diagnostics.step(metrics, self.recipe.optimizer.lr_d);
        self.warn(warning);
        Ok(())
    }

    /// Whether the recipe wants images after this step, within epochs.
    pub fn should_sample(&self, step: u64) -> bool {
        let every = self.recipe.output.sample_every;
        every > 0 && (step.is_multiple_of(every) || step == self.info.steps)
    }

    /// These images, if they are wanted; `generator` as it is after the step.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn show(&self, step: u64, generator: &Network) -> Result<()> {
        if self.should_sample(step) {
            let bytes = self.fixed(generator)?;
            let path = folder::step_image(self.folder, step);
            self.write_grid(&path, &bytes, &format!("step {step}, fixed noise"))?;
        }
        Ok(())
    }

    /// After each epoch, and where the run ends within one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn epoch(&mut self, step: u64, epoch: u64, generator: &Network, elapsed: Duration) -> Result<()> {
        let bytes = self.fixed(generator)?;
        let path = folder::progress_image(self.folder, epoch);
        let (size, grid) = self.write_grid(&path, &bytes, &format!("step {step}, fixed noise"))?;
        self.report.shot(epoch, size, &grid);
        // An epoch in which the run was stopped comes twice.
        if self.epochs.last() != Some(&epoch) {
            self.epochs.push(epoch);
        }
        let (h, w, c) = self.model.image_shape();
        let warning = self.diagnostics.images(&bytes, h * w * c, self.recipe.optimizer.lr_g);
        self.warn(warning);
        self.report.write(&self.info, elapsed)
    }

    /// The score of `generator`, where the recipe wants one at the end of this epoch.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn score(&mut self, step: u64, epoch: u64, generator: &Network) -> Result<Option<&Score>> {
        let Some(scorer) = &self.scorer else { return Ok(None) };
        let last = step == self.info.steps;
        if !epoch.is_multiple_of(self.recipe.output.score_every) && !last {
            return Ok(None);
        }
        let distance = scorer.score(generator, self.model, self.recipe.seed, self.device)?;
        let best = self.report.scores().iter().all(|earlier| distance < earlier.fd_squeezenet);
        let (fakes, reals) = (scorer.fakes, scorer.reals);
        self.report.score(Score { epoch, step, fd_squeezenet: distance, fakes, reals, best })?;
        Ok(self.report.scores().last())
    }

    /// At the end: `progress.gif`, of the images at the ends of epochs.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn end(&self) -> Result<()> {
        let stride = self.epochs.len().div_ceil(FRAMES).max(1);
        // Counted from the end: the last one is among them.
        let mut chosen: Vec<u64> = self.epochs.iter().rev().step_by(stride).copied().collect();
        chosen.reverse();
        // The first images of each grid: so many rows and columns, and the line after them.
        let (side, _, _) = self.model.image_shape();
        let cell = side + PADDING;
        let width = (FRAME_WIDTH / cell).clamp(1, COLUMNS) * cell + PADDING;
        let mut frames = Vec::new();
        for epoch in chosen {
            let path = folder::progress_image(self.folder, epoch);
            let image = decode(&std::fs::read(&path).map_err(Error::io(&path))?)
                .map_err(|e| Error::file(&path, e.to_string()))?;
            let rows = image.rgb.chunks_exact(3 * image.width).take(width);
            frames.push(rows.flat_map(|row| row[..3 * width].to_vec()).collect::<Vec<u8>>());
        }
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let gif = encode_gif(&frames, width, width, 3, FRAME);
        atomic::write(&self.folder.join("progress.gif"), |out| out.write_all(&gif))
    }

    /// Makes what was told of the steps so far last through a crash.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn sync(&self) -> Result<()> {
        self.report.sync()
    }

    fn warn(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.report.warn(&line);
            self.progress.warn(&line);
        }
    }

    /// What the generator now makes of the fixed noise.
    fn fixed(&self, generator: &Network) -> Result<Vec<u8>> {
        let nz = self.model.latent_size();
        let z = latents(self.recipe.seed, Stream::FixedNoise, 0, SHOWN, nz, self.device)?;
        images(generator, &z)
    }

    /// The first images of the first epoch, as they are in the shard.
    fn write_real(&mut self, shard: &Shard) -> Result<()> {
        let order = permutation(self.recipe.seed, Stream::Shuffle, 0, shard.len());
        let (h, w, c) = self.model.image_shape();
        let mut bytes = vec![0; SHOWN.min(order.len()) * h * w * c];
        bytes.chunks_exact_mut(h * w * c).zip(order).for_each(|(out, i)| shard.pixels(i, out));
        let path = self.folder.join("real.png");
        let (size, grid) = self.write_grid(&path, &bytes, "training images")?;
        self.report.real(size, &grid);
        Ok(())
    }

    /// Writes a grid, and returns its size (width, height, channels) and bytes.
    fn write_grid(&self, path: &Path, bytes: &[u8], text: &str) -> Result<((usize, usize, usize), Vec<u8>)> {
        let (h, w, c) = self.model.image_shape();
        let cells: Vec<&[u8]> = bytes.chunks_exact(h * w * c).collect();
        let (width, height, bytes) = grid(&cells, w, h, c, COLUMNS);
        let png = encode_png(width, height, c, &bytes, &[("gantools", text)]);
        atomic::write(path, |out| out.write_all(&png))?;
        Ok(((width, height, c), bytes))
    }
}
