//! The directory of a run, its files, and the link to the newest run's generator.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::metrics::{Metrics, Score};
use crate::checkpoint::{self, CheckpointKind, CheckpointMeta, PREVIOUS};
use crate::io::{atomic, check_overwrite};
use crate::{Error, Result};

/// The parent of the run directories that are not named.
const RUNS: &str = "runs";
/// The directory of the images of G in a run directory.
const SAMPLES: &str = "samples";
/// The temporary name of the link to the newest run's generator.
const TEMPORARY_LINK: &str = ".G.safetensors.part";

pub const METRICS: &str = "metrics.jsonl";
pub const SCORES: &str = "scores.jsonl";
pub const RECIPE: &str = "recipe.toml";
pub const CHARTS: &str = "loss.svg";
pub const REPORT: &str = "report.html";
pub const REAL: &str = "real.png";
pub const PROGRESS: &str = "progress.gif";
/// The generator with the best score.
pub const BEST: &str = "G_best.safetensors";
/// The charts of an earlier version.
const OLD_CHARTS: &str = "loss.png";

/// The directory of a run, locked: no other process can train in it while this value exists.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// `metrics.jsonl`, which holds the lock.
    metrics: File,
}

impl RunDir {
    /// Checks that [`RunDir::create`] would accept `given`; for use before long work.
    ///
    /// # Errors
    /// `given` is a file, or a directory that is not empty without `force`.
    pub fn check(given: Option<&Path>, force: bool) -> Result<()> {
        let Some(path) = given else { return Ok(()) };
        if path.is_file() {
            return Err(Error::file(path, "is a file; name a folder"));
        }
        if let Some(file) = path.ancestors().find(|above| above.is_file()) {
            return Err(Error::file(path, format!("{} is not a folder", file.display())));
        }
        check_overwrite(path, force, || {
            let is_empty = fs::read_dir(path).map_err(Error::io(path))?.next().is_none();
            Ok((!is_empty).then(|| "is not empty".into()))
        })
    }

    /// Creates the directory of a run on `shard`: `given`, or else the first free one of `runs/STEM`,
    /// `runs/STEM-2`, ….
    ///
    /// # Errors
    /// Those of [`RunDir::check`]. With `force`, the files of an earlier run in `given` are removed and no
    /// others, unless another process uses it.
    pub fn create(given: Option<&Path>, shard: &Path, force: bool) -> Result<RunDir> {
        let dir = match given {
            Some(path) => {
                RunDir::check(given, force)?;
                fs::create_dir_all(path).map_err(atomic::failed(path))?;
                let dir = RunDir::open(path)?;
                dir.remove_old_run()?;
                dir
            }
            None => RunDir::open(&next_free(shard)?)?,
        };
        let samples = dir.path.join(SAMPLES);
        fs::create_dir_all(&samples).map_err(Error::io(&samples))?;
        Ok(dir)
    }

    /// Opens the directory of an earlier run.
    ///
    /// # Errors
    /// Another process uses it; it is not writable.
    pub fn open(path: &Path) -> Result<RunDir> {
        let samples = path.join(SAMPLES);
        fs::create_dir_all(&samples).map_err(Error::io(&samples))?;
        let file = path.join(METRICS);
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false);
        let metrics = options.open(&file).map_err(Error::io(&file))?;
        match metrics.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::file(path, "in use by another run")),
            // Some file systems have no locks.
            Err(TryLockError::Error(_)) | Ok(()) => Ok(RunDir { path: path.into(), metrics }),
        }
    }

    /// The directory of the newest run, which the link `./G.safetensors` points into.
    ///
    /// # Errors
    /// There is no such link.
    pub fn newest() -> Result<PathBuf> {
        let name = CheckpointKind::Generator.file_name();
        let target = fs::read_link(name).ok().and_then(|target| Some(target.parent()?.to_path_buf()));
        target.ok_or_else(|| Error::file(name, "not a link to the newest run; name the run to resume"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The image of G at the end of `epoch`, from 1.
    pub fn epoch_image(epoch: u64) -> String {
        format!("{SAMPLES}/epoch-{epoch:04}.png")
    }

    /// The image of G after `step`, from 1.
    pub fn step_image(step: u64) -> String {
        format!("{SAMPLES}/step-{step:06}.png")
    }

    /// The generator at the end of `epoch`, from 1.
    pub fn snapshot(epoch: u64) -> String {
        format!("G_epoch-{epoch:04}.safetensors")
    }

    /// Writes a file, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic::write(&self.file(name), |out| out.write_all(bytes))
    }

    /// Writes a network.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_network(
        &self,
        name: &str,
        meta: &CheckpointMeta,
        tensors: &[(String, Tensor)],
    ) -> Result<()> {
        checkpoint::write(&self.file(name), meta, tensors)
    }

    /// Writes the state. The last one is kept as [`PREVIOUS`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_state(&self, meta: &CheckpointMeta, tensors: &[(String, Tensor)]) -> Result<()> {
        checkpoint::write_state(&self.file(CheckpointKind::State.file_name()), meta, tensors)
    }

    /// The metrics of the first `steps` steps. Those of later steps are cut off from the file.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn restore_metrics(&self, steps: u64) -> Result<Vec<Metrics>> {
        let mut file = &self.metrics;
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(Error::io(self.file(METRICS)))?;
        // The file may end with anything after a power failure.
        let text = String::from_utf8_lossy(&bytes);
        let kept: Vec<Metrics> = text
            .lines()
            .map_while(|line| serde_json::from_str::<Metrics>(line).ok())
            .take_while(|metrics| metrics.step <= steps)
            .collect();
        let length = text.split_inclusive('\n').take(kept.len()).map(str::len).sum::<usize>();
        let cut = file.set_len(length as u64).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(Error::io(self.file(METRICS)))?;
        Ok(kept)
    }

    /// Appends a line to `metrics.jsonl`, in one write: a reader never sees a part of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, metrics: &Metrics) -> Result<()> {
        (&self.metrics).write_all(json_line(metrics).as_bytes()).map_err(Error::io(self.file(METRICS)))
    }

    /// Writes the appended metrics through to the disk.
    ///
    /// # Errors
    /// The disk refuses them.
    pub fn sync_metrics(&self) -> Result<()> {
        self.metrics.sync_data().map_err(Error::io(self.file(METRICS)))
    }

    /// The scores of the first `steps` steps.
    pub fn scores(&self, steps: u64) -> Vec<Score> {
        let text = fs::read_to_string(self.file(SCORES)).unwrap_or_default();
        let scores = text.lines().filter_map(|line| serde_json::from_str::<Score>(line).ok());
        scores.filter(|score| score.step <= steps).collect()
    }

    /// Writes `scores.jsonl`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_scores(&self, scores: &[Score]) -> Result<()> {
        self.write(SCORES, scores.iter().map(json_line).collect::<String>().as_bytes())
    }

    /// Points the link `./G.safetensors` at this run's generator, atomically. Returns a warning if a file
    /// that is not a link has this name; the file is kept.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn link_newest(&self) -> Result<Option<String>> {
        let name = CheckpointKind::Generator.file_name();
        let (link, target) = (Path::new(name), self.file(name));
        match link.symlink_metadata() {
            // The run's own generator has this name.
            Ok(_) if is_current(&self.path) => return Ok(None),
            Ok(found) if !found.is_symlink() => {
                let target = target.display();
                return Ok(Some(format!(
                    "./{name} is not a link and was kept; the new generator is {target}"
                )));
            }
            _ => {}
        }
        let make = || {
            // One temporary name for all runs: a killed run leaves at most this one behind.
            let part = Path::new(TEMPORARY_LINK);
            let _ = fs::remove_file(part);
            std::os::unix::fs::symlink(&target, part)?;
            fs::rename(part, link).inspect_err(|_| drop(fs::remove_file(part)))?;
            atomic::sync_folder(Path::new("."))
        };
        // Two runs that start together may remove each other's temporary link.
        make().or_else(|_| make()).map_err(Error::io(link))?;
        Ok(None)
    }

    /// Removes the files of an earlier run, and no others.
    fn remove_old_run(&self) -> Result<()> {
        // Emptied and not removed: the lock is on it.
        self.metrics.set_len(0).map_err(Error::io(self.file(METRICS)))?;
        let weights = [CheckpointKind::Generator, CheckpointKind::Discriminator, CheckpointKind::State]
            .map(CheckpointKind::file_name);
        let others = [RECIPE, SCORES, CHARTS, OLD_CHARTS, REAL, PROGRESS, REPORT, BEST, PREVIOUS];
        for file in others.iter().chain(&weights).map(|name| self.file(name)) {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&file)(e)),
                _ => {}
            }
        }
        for (folder, before, after) in
            [("", "G_epoch-", ".safetensors"), (SAMPLES, "epoch-", ".png"), (SAMPLES, "step-", ".png")]
        {
            for entry in fs::read_dir(self.file(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let number = name.to_str().and_then(|name| name.strip_prefix(before)?.strip_suffix(after));
                if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
                    fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
                }
            }
        }
        Ok(())
    }
}

fn json_line(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).expect("numbers are JSON") + "\n"
}

/// Creates the first free directory of `runs/STEM`, `runs/STEM-2`, ….
fn next_free(shard: &Path) -> Result<PathBuf> {
    fs::create_dir_all(RUNS).map_err(atomic::failed(Path::new(RUNS)))?;
    // The path must be one line of UTF-8, whatever the shard's name is.
    let stem = shard.file_stem().unwrap_or("run".as_ref()).to_string_lossy();
    let stem = stem.replace(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER, "_");
    let names = std::iter::once(stem.clone()).chain((2..).map(|i| format!("{stem}-{i}")));
    for path in names.map(|name| Path::new(RUNS).join(name)) {
        // The creator owns it: two runs that start together get two directories.
        match fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| path.clone()).map_err(Error::io(&path)),
        }
    }
    unreachable!("there is always a next number")
}

fn is_current(path: &Path) -> bool {
    matches!((path.canonicalize(), Path::new(".").canonicalize()), (Ok(a), Ok(b)) if a == b)
}
