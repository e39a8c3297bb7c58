//! `fid`: two sets of images → the distance between them.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gan::io::check_place;
use gan::metrics::features::{self, Extractor, Features};
use gan::metrics::kid;
use gan::metrics::stats::{self, Partition, Stats, StatsMeta};
use gan::metrics::{self, FeatureSpec, FeatureStats, FidInput, ImageSet, Metric};
use gan::precision::Precision;
use gan::progress::Progress;
use gantools::{Common, Output, Reporter, Usage, goes_through_the_pipe, human, operand, precision, whole};
use serde_json::json;

/// Print the Fréchet Inception Distance between two sets of images.
///
/// Each side is .npz statistics, a folder of images, a zip or a shard. The number is pytorch-fid's. With --features
/// squeezenet, whose weights are built in, it is not the FID and is printed as FD-SqueezeNet.
#[derive(Parser)]
#[command(name = "fid", version)]
struct Args {
    /// One side: .npz, a folder, a zip or a shard
    #[arg(value_name = "A")]
    a: Option<PathBuf>,
    /// The other side [default: one line from stdin, the path or a JSON object with `path`]
    #[arg(value_name = "B")]
    b: Option<PathBuf>,
    /// Save the statistics of the images A to the file B, which ends in .npz, and print its path
    #[arg(long)]
    save_stats: bool,
    /// With --save-stats: only the K-th of N equal parts of the images, to be added up by --merge
    #[arg(long, value_name = "K/N", requires = "save_stats")]
    part: Option<Partition>,
    /// Add up the statistics of several sets of images, such as all parts of one, into OUT.npz
    #[arg(long, value_names = ["OUT.npz", "IN.npz"], num_args = 3.., conflicts_with_all = ["a", "b", "save_stats", "features", "dims", "weights", "metrics", "dry_run"])]
    merge: Vec<PathBuf>,
    /// Write Inception's weights as a .safetensors, and print its path
    #[arg(long, value_names = ["IN", "OUT.safetensors"], num_args = 2, conflicts_with_all = ["a", "b", "save_stats", "merge", "features", "dims", "weights", "metrics", "dry_run"])]
    convert_weights: Vec<PathBuf>,
    /// The network whose features are compared [default: what the .npz is of, else inception]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Features::NAMES).try_map(|name| name.parse::<Features>()))]
    features: Option<Features>,
    /// The number of features: 64, 192, 768 or 2048 of Inception, 512 of SqueezeNet [default: what the .npz has, else 2048 or 512]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=stats::MOST_DIMS as u64))]
    dims: Option<usize>,
    /// What to tell, in this order: fid; kid, the kernel distance; prdc, precision, recall, density and coverage by 3 and 5 neighbors, A being the real images
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fid", value_parser = PossibleValuesParser::new(Metric::NAMES).try_map(|name| name.parse::<Metric>()))]
    metrics: Vec<Metric>,
    /// Images of each side in a subset of KID; the published numbers are of 1000 [default: 1000]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(2..=1_000_000), conflicts_with_all = ["save_stats", "merge", "convert_weights"])]
    kid_subset_size: Option<usize>,
    /// The Inception weights, .pth or .safetensors [default: FID_WEIGHTS, torch's hub cache, ~/.cache/gantools, else fetched there]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Never fetch the Inception weights
    #[arg(long)]
    offline: bool,
    /// Images that are read and computed together; only memory and speed depend on it
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = whole::<u32>(1..=4096))]
    batch_size: u32,
    /// What to compute features in: f32, or bf16: faster where the processor multiplies it; the number then differs slightly, and says so
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    precision: Precision,
    /// Where to compute: cpu, cuda or cuda:N [default: the best that is built in and present]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Check both sides and the weights, tell how long it would take, and compute no distance
    #[arg(long)]
    dry_run: bool,
    /// Replace the file that is to be written; compare though the weights differ, or though nothing says that
    /// features are SqueezeNet's
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(args: Args) -> Result<Output> {
    let reporter = Reporter::new("fid", &args.common);
    let output = match (&args.convert_weights[..], &args.merge[..]) {
        ([from, to], _) => convert(&args, from, to),
        (_, [out, parts @ ..]) => merge(&args, out, parts),
        _ if args.save_stats => save_stats(&args, &reporter),
        _ => compare(&args, &reporter),
    };
    reporter.finish();
    output
}

fn compare(args: &Args, reporter: &Reporter) -> Result<Output> {
    let usage = "name two sides: fid A B, each .npz statistics, a folder, a zip or a shard";
    if let Some(twice) = args.metrics.iter().enumerate().find(|(i, m)| args.metrics[..*i].contains(m)) {
        return Err(Usage(format!("--metrics names {} twice", twice.1)).into());
    }
    if args.kid_subset_size.is_some() && !args.metrics.contains(&Metric::Kid) {
        return Err(Usage("--kid-subset-size is for --metrics kid".into()).into());
    }
    let subset = args.kid_subset_size.unwrap_or(kid::SUBSET);
    let Some(a) = &args.a else { return Err(Usage(usage.into()).into()) };
    let b = second(args, a, reporter, usage)?;
    let sides = [open(a)?, open(&b)?];
    let choice = metrics::resolve(&sides.each_ref(), args.features, args.dims, args.force)?;
    metrics::check(&args.metrics, &sides.each_ref(), subset)?;
    let images = sides.iter().any(|side| side.images().is_some());
    let network = match choice.features.filter(|_| images) {
        Some(features) => Some(Network::load(args, features, choice.dims, reporter)?),
        None => None,
    };
    let extractor = network.as_ref().map(|network| &network.extractor);
    for side in sides.iter().filter(|_| !args.force) {
        extractor.map_or(Ok(()), |extractor| side.check_weights(extractor))?;
    }
    metrics::unproved(&sides.each_ref(), choice).iter().for_each(|line| reporter.warn(line));
    let passed_over = sides.each_ref().map(|side| passed_over(side, reporter));
    if args.dry_run {
        return plan(args, &sides.each_ref().map(FidInput::images), extractor);
    }
    let paths = sides.each_ref().map(|side| side.path().to_path_buf());
    let keep = args.metrics.iter().any(|metric| metric.needs_features());
    let [a, b] = sides.map(|side| {
        move || metrics::compute_stats(side, extractor, args.batch_size as usize, keep, reporter)
    });
    let sides = [a()?, b()?];
    reporter.finish();
    let (text, mut json) = metrics::results(&args.metrics, choice, &sides, subset)?;
    json["passed_over"] = json!(passed_over);
    table(reporter, &paths, &sides, choice, network.as_ref());
    Ok(Output { text, json })
}

/// The second side's path. Where the pipe brings it, that may take hours: what is wrong with the first side is said
/// before, unless the pipe is still to make that, too.
fn second(args: &Args, first: &Path, reporter: &Reporter, usage: &str) -> Result<PathBuf> {
    if args.b.is_none() && !io::stdin().is_terminal() {
        match first.exists() {
            true => drop(open(first)?),
            false => {
                reporter.info(&format!("{}: is not there yet; waiting for the other side", first.display()))
            }
        }
    }
    operand(args.b.clone(), usage)
}

fn save_stats(args: &Args, reporter: &Reporter) -> Result<Output> {
    let (Some(input), Some(out)) = (&args.a, &args.b) else {
        return Err(Usage("name the images and the file: fid --save-stats IN OUT.npz".into()).into());
    };
    is_npz(out, "fid --save-stats IN OUT.npz")?;
    // What is there may be up to date where nothing can be written.
    if !out.is_file() {
        check_place(out)?;
    }
    let listed = SystemTime::now();
    let side = match (open(input)?, args.part) {
        (FidInput::Images(images), Some(part)) => FidInput::Images(Box::new(images.part(part)?)),
        (side, _) => side,
    };
    let Some(images) = side.images() else {
        anyhow::bail!("{}: statistics already: name images to make some of", input.display());
    };
    let choice = metrics::resolve(&[&side], args.features, args.dims, false)?;
    metrics::check(&[Metric::Fid], &[&side], kid::SUBSET)?;
    let origin = images.origin();
    let (content, changed) = images.content()?;
    let features = choice.features.expect("images are measured by a network");
    let network = Network::load(args, features, choice.dims, reporter)?;
    let mut meta = StatsMeta {
        look: None,
        features,
        dims: choice.dims,
        n: images.len() as u64,
        weights: network.extractor.weights().to_string(),
        content,
        precision: args.precision,
        source: images.describe(),
        tool: concat!("gantools ", env!("CARGO_PKG_VERSION")).to_string(),
    };
    let mut output =
        json!({ "n": meta.n, "dims": meta.dims, "features": meta.features, "weights": meta.weights });
    if let Some(other) = origin.as_ref().and_then(|origin| origin.other(out)).filter(|_| !args.force) {
        anyhow::bail!(
            "{}: is there and is of other images ({other}): name another file, or --force",
            out.display()
        );
    }
    output["passed_over"] = passed_over(&side, reporter);
    if !args.force && stats::is_up_to_date(out, &meta, changed)? {
        reporter.info(&format!("{} is up to date (--force makes it again)", out.display()));
        return Ok(Output::path(out, output));
    }
    if args.dry_run {
        return plan(args, &[Some(images)], Some(&network.extractor));
    }
    check_place(out)?;
    metrics::few(&input.display().to_string(), meta.n, choice).iter().for_each(|line| reporter.warn(line));
    let compared =
        metrics::compute_stats(side, Some(&network.extractor), args.batch_size as usize, false, reporter)?;
    meta.look = compared.look;
    Stats { gaussian: compared.gaussian, meta: Some(meta) }.write(out, listed)?;
    origin.iter().for_each(|origin| origin.record(out));
    Ok(Output::path(out, output))
}

fn is_npz(out: &Path, usage: &str) -> Result<()> {
    goes_through_the_pipe(out)?;
    match out.extension().is_some_and(|e| e == "npz") {
        true => Ok(()),
        false => Err(Usage(format!("{}: statistics are .npz: {usage}", out.display())).into()),
    }
}

fn convert(args: &Args, from: &Path, to: &Path) -> Result<Output> {
    if to.extension().is_none_or(|e| e != "safetensors") {
        return Err(Usage(format!("{}: name a .safetensors to write", to.display())).into());
    }
    goes_through_the_pipe(to)?;
    free(args, to)?;
    check_place(to)?;
    features::inception::convert(from, to)?;
    Ok(Output::path(to, json!({})))
}

/// Refuses a file that is there already, without --force.
fn free(args: &Args, out: &Path) -> Result<()> {
    match out.exists() && !args.force {
        true => anyhow::bail!("{}: is there already: name another file, or --force", out.display()),
        false => Ok(()),
    }
}

fn merge(args: &Args, out: &Path, parts: &[PathBuf]) -> Result<Output> {
    is_npz(out, "fid --merge OUT.npz IN.npz IN.npz …")?;
    free(args, out)?;
    check_place(out)?;
    let merged = stats::merge(&stats::read_all(parts)?)?;
    let meta = merged.meta.as_ref().expect("merged statistics tell what they are of");
    let output =
        json!({ "n": meta.n, "dims": meta.dims, "features": meta.features, "weights": meta.weights });
    // An image that changed after the first part was made makes the sum out of date.
    let made = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    merged.write(out, parts.iter().filter_map(made).min().unwrap_or(SystemTime::now()))?;
    Ok(Output::path(out, output))
}

/// Opens a side; the line that is written should a shard shrink names it.
fn open(path: &Path) -> Result<FidInput> {
    let side = FidInput::open(path)?;
    if side.images().is_some_and(ImageSet::is_shard) {
        gantools::mapped("fid", path);
    }
    Ok(side)
}

/// Says what was taken of a side's files and what was passed over; the latter for `--json`, too.
fn passed_over(side: &FidInput, reporter: &Reporter) -> serde_json::Value {
    let Some(images) = side.images() else { return json!({}) };
    let path = side.path().display();
    if let [_, ..] = images.taken()[..] {
        reporter.info(&format!("{path}: the images of {}", images.taken().join(", ")));
    }
    let Some(passed_over) = images.passed_over() else { return json!({}) };
    passed_over.line().iter().for_each(|line| reporter.info(&format!("{path}: {line}")));
    passed_over.to_json()
}

/// The network, and where its weights come from, for people.
struct Network {
    extractor: Extractor,
    origin: String,
}

impl Network {
    fn load(args: &Args, features: Features, dims: usize, reporter: &Reporter) -> Result<Network> {
        let device = reporter.device(args.device.as_deref())?;
        reporter.advise(args.precision, &device);
        if features == Features::Squeezenet {
            if let Some(file) = &args.weights {
                anyhow::bail!("--weights {}: SqueezeNet's weights are built in", file.display());
            }
            return Ok(Network {
                extractor: Extractor::squeezenet(args.precision, &device)?,
                origin: "built in".into(),
            });
        }
        let file = match features::weights::find_inception(args.weights.as_deref())? {
            Some(file) => file,
            None if args.offline => {
                return Err(features::weights::missing("--offline forbids to fetch them").into());
            }
            None => fetch(args)?,
        };
        let published = if features::weights::is_published(&file)? { "" } else { ", not the published file" };
        let origin = format!("{}{published}", file.display());
        Ok(Network { extractor: Extractor::inception(&file, dims, args.precision, &device)?, origin })
    }
}

/// Fetches the Inception weights.
fn fetch(args: &Args) -> Result<PathBuf> {
    let reporter = Reporter::new("fid", &args.common);
    reporter.info(&format!(
        "no Inception weights found: fetching {} (96 MB), once",
        features::weights::INCEPTION_URL
    ));
    let fetched = features::weights::fetch_inception(&reporter);
    reporter.finish();
    Ok(fetched?)
}

/// What `--dry-run` tells: how many images and about how long.
fn plan(args: &Args, sides: &[Option<&ImageSet>], extractor: Option<&Extractor>) -> Result<Output> {
    let (mut seconds, mut n) = (0.0, 0);
    for images in sides.iter().copied().flatten() {
        n += images.len();
        if let Some(extractor) = extractor {
            let one = metrics::seconds_per_image(images, extractor, args.batch_size as usize)?;
            seconds += one * images.len() as f64;
        }
    }
    let text = format!("{n} images to measure, about {}", human(Duration::from_secs_f64(seconds)));
    Ok(Output { text, json: json!({ "dry_run": true, "images": n, "seconds": seconds }) })
}

/// Tells on stderr what was compared, and what spoils the comparison.
fn table(
    reporter: &Reporter,
    paths: &[PathBuf; 2],
    sides: &[FeatureStats; 2],
    choice: FeatureSpec,
    network: Option<&Network>,
) {
    let names = paths.each_ref().map(|path| path.display().to_string());
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("features".len());
    for (name, side) in names.iter().zip(sides) {
        let n = side.n.map_or("statistics".to_string(), |n| format!("{n} images"));
        let sizes = side.look.as_ref().and_then(|look| look.describe());
        let of = sizes.map_or(String::new(), |sizes| format!(" of {sizes}"));
        let time = match side.seconds {
            0.0 => String::new(),
            seconds => format!(", {}", human(Duration::from_secs_f64(seconds))),
        };
        reporter.info(&format!("{name:width$}  {n}{of}{time}"));
    }
    let origin = network.map_or(String::new(), |network| format!(", weights {}", network.origin));
    reporter.info(&format!("{:width$}  {choice}{origin}", "features"));
    metrics::comparability_warnings(names.each_ref().map(String::as_str), sides, choice)
        .iter()
        .for_each(|line| reporter.warn(line));
}
