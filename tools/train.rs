//! `train`: a shard of images → a trained generator.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use gan::checkpoint::foreign::LayoutHints;
use gan::config::Range;
use gan::data::shard::Shard;
use gan::nn::loss::{LOSSES, LossKind};
use gan::nn::model::Dcgan;
use gan::precision::Precision;
use gan::progress::Progress;
use gan::recipe::{self, Length, Overrides, Recipe, Schedule};
use gan::train::{Run, RunDir, SAVE_EVERY};
use gan::{Error, checkpoint, counted};
use gantools::{
    Common, Output, Reporter, human, mapped, number, operand, out_path, precision, stop_flag, whole,
};
use serde_json::{Value, json};

/// Train a GAN on the images of a shard, and print the path of its generator.
///
/// The run folder contains G.safetensors, D.safetensors, state.safetensors, report.html, loss.svg,
/// progress.gif, real.png, samples/, metrics.jsonl and recipe.toml. The link ./G.safetensors points at the
/// newest run's generator. Ctrl-C finishes the step and saves; a second Ctrl-C exits at once.
#[derive(Parser)]
#[command(name = "train", version)]
struct Args {
    /// Shard, as written by `prep` [default: one line from stdin, the path or a JSON object with `path`]
    shard: Option<PathBuf>,
    /// Recipe: a name (see --list-recipes) or a FILE.toml [default: celeba]
    #[arg(long, value_name = "NAME|FILE.toml")]
    recipe: Option<String>,
    /// Resume RUN (default: the newest run in this directory)
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true,
        conflicts_with_all = ["output", "list_recipes", "info", "dry_run"])]
    resume: Option<Option<PathBuf>>,
    /// Minutes between saves within an epoch [default: 10]
    #[arg(long, value_name = "MINUTES", value_parser = whole::<u32>(1..=10_000))]
    save_every: Option<u32>,
    /// Run folder, new or empty [default: runs/SHARD, then runs/SHARD-2, …]
    #[arg(short, long, alias = "out", value_name = "RUN", value_parser = out_path())]
    output: Option<PathBuf>,
    /// Number of epochs
    #[arg(long, value_name = "N", value_parser = whole::<u64>(range("epochs")))]
    epochs: Option<u64>,
    /// Number of steps, instead of epochs
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = whole::<u64>(range("steps")))]
    steps: Option<u64>,
    /// Batch size
    #[arg(long, alias = "batch", value_name = "N", value_parser = whole::<usize>(range("batch_size")))]
    batch_size: Option<usize>,
    /// Learning rate of the generator
    #[arg(long, value_name = "X", value_parser = number(RATE))]
    lr_g: Option<f64>,
    /// Learning rate of the discriminator
    #[arg(long, value_name = "X", value_parser = number(RATE))]
    lr_d: Option<f64>,
    /// Adam's decay rate of the first moment
    #[arg(long, value_name = "X", value_parser = number(DECAY))]
    beta1: Option<f64>,
    /// Adam's decay rate of the second moment
    #[arg(long, value_name = "X", value_parser = number(DECAY))]
    beta2: Option<f64>,
    /// Length of a latent vector
    #[arg(long, value_name = "N", value_parser = whole::<usize>(range("nz")))]
    nz: Option<usize>,
    /// Width of the generator
    #[arg(long, value_name = "N", value_parser = whole::<usize>(range("ngf")))]
    ngf: Option<usize>,
    /// Width of the discriminator
    #[arg(long, value_name = "N", value_parser = whole::<usize>(range("ndf")))]
    ndf: Option<usize>,
    /// Loss of the two networks
    #[arg(long, value_name = "LOSS", value_parser = losses())]
    loss: Option<LossKind>,
    /// Epochs whose generators are kept, as G_epoch-0010.safetensors
    #[arg(long, alias = "keep-at", value_name = "EPOCH,…", value_delimiter = ',',
        value_parser = whole::<u64>(range("epochs")))]
    snapshot_epochs: Option<Vec<u64>>,
    /// Write sample images every N steps, as samples/step-000055.png
    #[arg(long, value_name = "N", value_parser = whole::<u64>(range("sample_every")))]
    sample_every: Option<u64>,
    /// Score the generator every N epochs (FD-SqueezeNet), in scores.jsonl; keep the best as
    /// G_best.safetensors
    #[arg(long, alias = "fid-every", value_name = "N", value_parser = whole::<u64>(range("score_every")))]
    score_every: Option<u64>,
    /// Random seed
    #[arg(long, value_name = "N", value_parser = whole::<u64>(range("seed")))]
    seed: Option<u64>,
    /// Number type: f32, or bf16 (faster on processors that multiply it)
    #[arg(long, value_name = "TYPE", value_parser = precision())]
    precision: Option<Precision>,
    /// Device: cpu, cuda or cuda:N [default: the best available]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// List the built-in recipes
    #[arg(long, conflicts_with_all = ["shard", "dry_run"])]
    list_recipes: bool,
    /// Describe a shard, a generator or a state
    #[arg(long, value_name = "FILE", conflicts_with_all = ["shard", "list_recipes"])]
    info: Option<PathBuf>,
    /// Print the resolved recipe and do not train; with SHARD, also estimate the time
    #[arg(long)]
    dry_run: bool,
    /// Replace the run in -o RUN; resume although the recipe, the images or the version differ
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// The range of a recipe's key.
fn range(key: &str) -> RangeInclusive<u64> {
    let tables = [Recipe::KEYS, Schedule::KEYS, recipe::Output::KEYS, Dcgan::KEYS];
    match tables.into_iter().flatten().find(|known| known.name == key).map(|known| known.range) {
        Some(Range::Whole(from, to)) => from..=to,
        _ => unreachable!("{key} is a whole number"),
    }
}

/// Parses the name of a loss.
fn losses() -> impl TypedValueParser<Value = LossKind> {
    let values = LOSSES.iter().map(|loss| PossibleValue::new(loss.name()).help(loss.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<LossKind>())
}

/// The range of learning rates.
const RATE: &str = "above 0 and at most 1";
/// The range of Adam's decay rates.
const DECAY: &str = "of at least 0 and below 1";
/// The error after Ctrl-C before the first step.
const STOPPED: &str = "stopped before the first step; nothing was changed";

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(args: Args) -> Result<Output> {
    if args.list_recipes {
        return Ok(list_recipes());
    }
    if let Some(file) = &args.info {
        let info = checkpoint::info(file, &LayoutHints::default())?;
        return Ok(Output { text: info.text, json: info.json });
    }
    if let Some(folder) = &args.resume {
        return resume(&args, folder.clone());
    }
    let recipe = Recipe::load(args.recipe.as_deref().unwrap_or(recipe::DEFAULT))?.with(&overrides(&args))?;
    if args.dry_run {
        return dry_run(&args, &recipe);
    }
    let reporter = Reporter::new("train", &args.common);
    let device = reporter.device(args.device.as_deref())?;
    let path = operand(args.shard.clone(), "name a shard: train SHARD (`prep` makes one)")?;
    let shard = open(&path)?;
    let run = Run::new(&recipe, &shard, &device)?;
    let stop = stop_flag()?;
    let output = args.output.as_deref();
    RunDir::check(output, args.force)?;
    reporter.precision(recipe.schedule.precision, &device);
    plan(&recipe, &shard, &run, "", &reporter);
    let dir = RunDir::create(output, shard.path(), args.force)?;
    train(&args, run, &dir, stop, &reporter)
}

/// Resumes a run.
fn resume(args: &Args, folder: Option<PathBuf>) -> Result<Output> {
    let folder = folder.map_or_else(RunDir::newest, Ok)?;
    let (state, damaged) = checkpoint::state(&folder)?;
    let reporter = Reporter::new("train", &args.common);
    if let Some(damaged) = damaged {
        reporter.warn(&format!("{damaged}; resuming from the state before it"));
    }
    let meta = &state.meta;
    let base = args.recipe.as_deref().map_or(Ok(meta.recipe.clone()), Recipe::load)?;
    let recipe = base.with(&overrides(args))?;
    let here = Path::new(&meta.shard.name);
    let path = match &args.shard {
        Some(path) => path,
        None if here.exists() => here,
        None => {
            anyhow::bail!("{}: not in this directory; name it: train SHARD --resume=RUN", meta.shard.name)
        }
    };
    let shard = open(path)?;
    let changed = [
        meta.recipe.changed_by(&recipe).map(|what| format!("the recipe has {what}")),
        (shard.meta().content_hash != meta.shard.hash)
            .then(|| format!("{} has other images than the run", path.display())),
        (meta.tool != env!("CARGO_PKG_VERSION")).then(|| format!("the run is of gantools {}", meta.tool)),
    ];
    if let Some(what) = changed.into_iter().flatten().next().filter(|_| !args.force) {
        anyhow::bail!("{}: {what}; --force resumes anyway", folder.display());
    }
    let device = reporter.device(args.device.as_deref())?;
    let with_path = |e: Error| match e {
        Error::Invalid(what) => Error::file(&folder, what),
        other => other,
    };
    let run = Run::new(&recipe, &shard, &device)?.resumed(&state).map_err(with_path)?;
    let stop = stop_flag()?;
    reporter.precision(recipe.schedule.precision, &device);
    plan(&recipe, &shard, &run, &format!(", from step {}", meta.step + 1), &reporter);
    train(args, run, &RunDir::open(&folder)?, stop, &reporter)
}

/// The recipe's keys that have flags.
fn overrides(args: &Args) -> Overrides {
    let keys = [
        ("epochs", args.epochs.map(Value::from)),
        ("steps", args.steps.map(Value::from)),
        ("batch_size", args.batch_size.map(Value::from)),
        ("lr_g", args.lr_g.map(Value::from)),
        ("lr_d", args.lr_d.map(Value::from)),
        ("beta1", args.beta1.map(Value::from)),
        ("beta2", args.beta2.map(Value::from)),
        ("nz", args.nz.map(Value::from)),
        ("ngf", args.ngf.map(Value::from)),
        ("ndf", args.ndf.map(Value::from)),
        ("loss", args.loss.map(|loss| loss.name().into())),
        ("precision", args.precision.map(|precision| precision.to_string().into())),
        ("snapshot_epochs", args.snapshot_epochs.clone().map(Value::from)),
        ("sample_every", args.sample_every.map(Value::from)),
        ("score_every", args.score_every.map(Value::from)),
        ("seed", args.seed.map(Value::from)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn open(path: &Path) -> Result<Shard> {
    mapped("train", path);
    Ok(Shard::open(path)?)
}

fn list_recipes() -> Output {
    let recipes = recipe::built_in();
    let line = |r: &Recipe| format!("{:<12} {}", r.name, r.description);
    let text = recipes.iter().map(line).collect::<Vec<_>>().join("\n");
    Output { text, json: json!({ "recipes": recipes }) }
}

fn dry_run(args: &Args, recipe: &Recipe) -> Result<Output> {
    let mut output = Output { text: recipe.to_toml(), json: json!({ "recipe": recipe }) };
    if let Some(path) = &args.shard {
        let reporter = Reporter::new("train", &args.common);
        let (shard, device) = (open(path)?, reporter.device(args.device.as_deref())?);
        RunDir::check(args.output.as_deref(), args.force)?;
        let run = Run::new(recipe, &shard, &device)?;
        let estimate = run.estimate()?;
        let (time, speed) = (human(estimate.duration), estimate.images_per_second);
        plan(recipe, &shard, &run, &format!(", about {time} at {speed:.0} img/s"), &reporter);
        output.json["steps"] = estimate.steps.into();
        output.json["seconds"] = estimate.duration.as_secs_f64().into();
        output.json["images_per_second"] = estimate.images_per_second.into();
    }
    Ok(output)
}

/// Prints the plan of a run, and a warning if the images do not fill a batch.
fn plan(recipe: &Recipe, shard: &Shard, run: &Run, more: &str, reporter: &Reporter) {
    let (n, batch) = (shard.len(), recipe.schedule.batch_size);
    let steps = format!("{} of {}", Length::Steps(run.steps()), batch.min(n));
    let length = match recipe.schedule.length() {
        epochs @ Length::Epochs(_) => format!("{epochs}: {steps}"),
        Length::Steps(_) => steps,
    };
    let images = counted(n as u64, "image");
    reporter.info(&format!("{} on {} ({images}), {length}{more}", recipe.name, shard.path().display()));
    if n < batch {
        reporter.warn(&format!("batch size {batch}, but only {images}: each step has {n}"));
    }
}

fn train(args: &Args, run: Run, dir: &RunDir, stop: &AtomicBool, reporter: &Reporter) -> Result<Output> {
    let every = args.save_every.map_or(SAVE_EVERY, |minutes| Duration::from_secs(60 * u64::from(minutes)));
    let done = run.linked().save_every(every).train(dir, stop, reporter);
    reporter.finish();
    let done = match done {
        Err(Error::Stopped) => anyhow::bail!(STOPPED),
        other => other?,
    };
    let end = if done.stopped { "stopped and saved" } else { "done" };
    let (step, epoch, time, speed) = (done.step, done.epoch, human(done.duration), done.images_per_second);
    reporter.info(&format!("{end} at step {step} (epoch {epoch}) after {time}, {speed:.0} img/s"));
    Ok(Output::path(
        &done.generator,
        json!({
            "run": dir.path(),
            "step": done.step,
            "epoch": done.epoch,
            "stopped": done.stopped,
            "seconds": done.duration.as_secs_f64(),
            "images_per_second": done.images_per_second,
        }),
    ))
}
