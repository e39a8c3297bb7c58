//! The folder of a run, and the link to the newest run's generator.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{CheckpointKind, PREVIOUS};
use crate::io::atomic;
use crate::train::report;
use crate::{Error, Result};

/// Where run folders are made when none is named.
const RUNS: &str = "runs";
/// What a run leaves in its folder, besides what [`CheckpointKind::file_name`] names.
const FILES: [&str; 9] = [
    "recipe.toml",
    "metrics.jsonl",
    "scores.jsonl",
    "loss.png",
    "real.png",
    "progress.gif",
    "report.html",
    BEST,
    PREVIOUS,
];
/// The generator of the best score.
pub const BEST: &str = "G_best.safetensors";
/// The link to the newest run's generator before it takes its place.
#[cfg(unix)]
const LINK_PART: &str = ".G.safetensors.part";
/// Where the images that show its progress are.
pub const SAMPLES: &str = "samples";

/// Whether [`create`] will take `given`; it is there to be asked before long work.
///
/// # Errors
/// `given` is a file, or a folder that is not empty, and not `force`.
pub fn check(given: Option<&Path>, force: bool) -> Result<()> {
    let Some(folder) = given else { return Ok(()) };
    if folder.is_file() {
        return Err(Error::file(folder, "is a file: name a folder"));
    }
    if let Some(file) = folder.ancestors().find(|above| above.is_file()) {
        return Err(Error::file(folder, format!("{} is not a folder", file.display())));
    }
    if !folder.exists() {
        return Ok(());
    }
    let empty = fs::read_dir(folder).map_err(Error::io(folder))?.next().is_none();
    if empty || force {
        return Ok(());
    }
    Err(Error::file(folder, "is not empty; name another folder, or --force to train over the run in it"))
}

/// Makes the folder of a run on `shard`: `given`, or else the first of `runs/STEM`, `runs/STEM-2`, … that is free.
///
/// # Errors
/// `given` is there and not empty; with `force`, what a run leaves in it is removed, and nothing else, unless another is at work
/// in it.
pub fn create(given: Option<&Path>, shard: &Path, force: bool) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => {
            check(given, force)?;
            fs::create_dir_all(folder).map_err(atomic::failed(folder))?;
            let held = report::hold(folder)?;
            remove_old_run(folder)?;
            drop(held);
            folder.to_path_buf()
        }
        None => next_free(shard)?,
    };
    let samples = folder.join(SAMPLES);
    fs::create_dir_all(&samples).map_err(Error::io(&samples))?;
    Ok(folder)
}

fn next_free(shard: &Path) -> Result<PathBuf> {
    fs::create_dir_all(RUNS).map_err(atomic::failed(Path::new(RUNS)))?;
    // A line that goes through the pipe, whatever the shard's name is.
    let stem = shard.file_stem().unwrap_or("run".as_ref()).to_string_lossy();
    let stem = stem.replace(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER, "_");
    let names = std::iter::once(stem.clone()).chain((2..).map(|i| format!("{stem}-{i}")));
    for folder in names.map(|name| Path::new(RUNS).join(name)) {
        // Whoever makes it has it: two runs that start at once get two folders.
        match fs::create_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder.clone()).map_err(Error::io(&folder)),
        }
    }
    unreachable!("there is always a next number")
}

fn remove_old_run(folder: &Path) -> Result<()> {
    let weights = [CheckpointKind::Generator, CheckpointKind::Discriminator, CheckpointKind::State]
        .map(CheckpointKind::file_name);
    for file in FILES.iter().chain(&weights).map(|name| folder.join(name)) {
        match fs::remove_file(&file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&file)(e)),
            _ => {}
        }
    }
    for (place, pattern) in [
        (folder.to_path_buf(), ("G_epoch-", ".safetensors")),
        (folder.join(SAMPLES), ("epoch-", ".png")),
        (folder.join(SAMPLES), ("step-", ".png")),
    ] {
        let old = fs::read_dir(&place).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
        for file in old.filter(|p| p.file_name().is_some_and(|n| is_numbered(&n.to_string_lossy(), pattern)))
        {
            fs::remove_file(&file).map_err(Error::io(&file))?;
        }
    }
    Ok(())
}

/// The folder of the newest run, which the link `./G.safetensors` points into.
///
/// # Errors
/// There is no such link.
pub fn newest() -> Result<PathBuf> {
    let target = fs::read_link(CheckpointKind::Generator.file_name());
    target.ok().and_then(|target| target.parent().map(Path::to_path_buf)).ok_or_else(|| {
        Error::Invalid(
            "--resume: no run was begun here (./G.safetensors is no link); name one, --resume=RUN".into(),
        )
    })
}

/// The image that shows the progress at the end of `epoch`, from 1.
pub fn progress_image(run: &Path, epoch: u64) -> PathBuf {
    run.join(SAMPLES).join(format!("epoch-{epoch:04}.png"))
}

/// The same after `step`, from 1.
pub fn step_image(run: &Path, step: u64) -> PathBuf {
    run.join(SAMPLES).join(format!("step-{step:06}.png"))
}

/// The generator that is kept at the end of `epoch`, from 1.
pub fn kept_generator(run: &Path, epoch: u64) -> PathBuf {
    run.join(format!("G_epoch-{epoch:04}.safetensors"))
}

/// Whether a name is a number between two texts.
fn is_numbered(name: &str, (before, after): (&str, &str)) -> bool {
    let number = name.strip_prefix(before).and_then(|n| n.strip_suffix(after));
    number.is_some_and(|n| n.parse::<u64>().is_ok())
}

/// Points the link `./G.safetensors` at the generator of `run`, replacing an older link at once. Returns a line of warning
/// if something that is no link has that name, which is then left as it is.
///
/// # Errors
/// The link cannot be made.
#[cfg(unix)]
pub fn link_newest(run: &Path) -> Result<Option<String>> {
    let name = CheckpointKind::Generator.file_name();
    let (link, target) = (Path::new(name), run.join(name));
    match link.symlink_metadata() {
        // The run is in this very folder, and its generator has the name already.
        Ok(_) if is_here(run) => return Ok(None),
        Ok(there) if !there.is_symlink() => {
            return Ok(Some(format!(
                "./{name} is no link and was left as it is; the new one is {}",
                target.display()
            )));
        }
        _ => {}
    }
    let make = || {
        // One name for all: what a killed run left is in the way of none.
        let part = Path::new(LINK_PART);
        let _ = fs::remove_file(part);
        std::os::unix::fs::symlink(&target, part)?;
        fs::rename(part, link).inspect_err(|_| drop(fs::remove_file(part)))?;
        atomic::sync_folder(Path::new("."))
    };
    // Two runs that begin at once may take each other's.
    make().or_else(|_| make()).map_err(Error::io(link))?;
    Ok(None)
}

/// Elsewhere there is no such link; the path that `train` prints is all.
#[cfg(not(unix))]
pub fn link_newest(_: &Path) -> Result<Option<String>> {
    Ok(None)
}

#[cfg(unix)]
fn is_here(folder: &Path) -> bool {
    matches!((folder.canonicalize(), Path::new(".").canonicalize()), (Ok(a), Ok(b)) if a == b)
}
