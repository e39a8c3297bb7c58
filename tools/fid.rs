//! `fid`: two sets of images → the distance between them.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use gan::io::{check_overwrite, check_place};
use gan::metrics::features::{Extractor, Features, inception, weights};
use gan::metrics::stats::{self, StatsFile, StatsMeta};
use gan::metrics::{self, Comparison, FeatureSpec, FeatureStats, FidInput, ImageSet, METRICS, Metric};
use gan::metrics::{MetricOptions, Need, Partition};
use gan::precision::Precision;
use gan::progress::Progress;
use gantools::{
    Common, Output, Reporter, Usage, goes_through_the_pipe, human, named, operand, precision, whole,
};
use serde_json::json;

/// The arguments that --merge and --convert-weights do not take.
const COMPARE: [&str; 8] = ["a", "b", "save_stats", "features", "dims", "weights", "metrics", "dry_run"];

/// Print the Fréchet Inception Distance between two sets of images
///
/// Each input is .npz statistics, a folder of images, a zip or a shard. The number is pytorch-fid's. With
/// --features squeezenet, whose weights are built in, it is not the FID and is printed as FD-SqueezeNet.
#[derive(Parser)]
#[command(name = "fid", version)]
struct Args {
    /// First input: .npz, a folder, a zip or a shard
    #[arg(value_name = "A")]
    a: Option<PathBuf>,
    /// Second input [default: one line from stdin, a path or a JSON object with `path`]
    #[arg(value_name = "B")]
    b: Option<PathBuf>,
    /// Save the statistics of the images A to the file B (.npz), and print its path
    #[arg(long)]
    save_stats: bool,
    /// With --save-stats: only the K-th of N equal parts of the images, for --merge
    #[arg(long, value_name = "K/N", requires = "save_stats")]
    part: Option<Partition>,
    /// Merge the statistics of several sets of images, such as all parts of one
    #[arg(long, value_names = ["OUT.npz", "IN.npz"], num_args = 3.., conflicts_with_all = COMPARE)]
    merge: Vec<PathBuf>,
    /// Convert Inception's weights to .safetensors, and print the path
    #[arg(long, value_names = ["IN", "OUT.safetensors"], num_args = 2, conflicts_with_all = COMPARE,
          conflicts_with = "merge")]
    convert_weights: Vec<PathBuf>,
    /// Network whose features are compared [default: that of the .npz, else inception]
    #[arg(long, value_name = "NAME", value_parser = named::<Features>(Features::NAMES))]
    features: Option<Features>,
    /// Number of features: 64, 192, 768, 2048 (Inception) or 512 (SqueezeNet) [default: that of the .npz,
    /// else 2048 or 512]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=stats::MOST_DIMS as u64))]
    dims: Option<usize>,
    /// Inception weights, .pth or .safetensors [default: FID_WEIGHTS, torch's cache, ~/.cache/gantools, else
    /// downloaded]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Do not download the Inception weights
    #[arg(long)]
    offline: bool,
    /// Batch size; changes only memory and speed
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = whole::<usize>(1..=4096))]
    batch_size: usize,
    /// Type of the features' computation; bf16 changes the number slightly, and its name
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    precision: Precision,
    /// Device: cpu, cuda or cuda:N [default: the best that is built in and present]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Metrics to compute
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fid", value_parser = metric())]
    metrics: Vec<&'static Metric>,
    /// Images of each input in a subset of KID [default: 1000, as for published numbers]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(2..=1_000_000),
          conflicts_with_all = ["save_stats", "merge", "convert_weights"])]
    kid_subset_size: Option<usize>,
    /// Check the inputs and the weights, estimate the time, and compute nothing
    #[arg(long)]
    dry_run: bool,
    /// Replace the output; compare features of different weights, or of another program with SqueezeNet's
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// The values of `--metrics`.
fn metric() -> impl TypedValueParser<Value = &'static Metric> {
    let values = METRICS.iter().map(|metric| PossibleValue::new(metric.name).help(metric.help));
    PossibleValuesParser::new(values).try_map(|name| metrics::find(&name))
}

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(args: Args) -> Result<Output> {
    let reporter = Reporter::new("fid", &args.common);
    let output = match (&args.convert_weights[..], &args.merge[..]) {
        ([from, to], _) => convert(from, to, args.force),
        (_, [out, parts @ ..]) => merge(out, parts, args.force),
        _ if args.save_stats => save_stats(&args, &reporter),
        _ => compare(&args, &reporter),
    };
    reporter.finish();
    output
}

/// Prints the metrics of two inputs.
fn compare(args: &Args, reporter: &Reporter) -> Result<Output> {
    let options = metric_options(args)?;
    let inputs = open_both(args, reporter)?;
    let refs = inputs.each_ref();
    let spec = resolve(&refs, args)?;
    metrics::check(&args.metrics, &refs, &options)?;
    let has_images = refs.iter().any(|input| input.images().is_some());
    let load = |features| Network::load(args, features, spec.dims, reporter);
    let network = spec.features.filter(|_| has_images).map(load).transpose()?;
    if let Some(network) = network.as_ref().filter(|_| !args.force) {
        refs.iter().try_for_each(|input| input.check_weights(&network.extractor))?;
    }
    metrics::provenance_warning(&refs, spec).iter().for_each(|line| reporter.warn(line));
    let passed_over = refs.map(|input| passed_over(input, reporter));
    if args.dry_run {
        let images = refs.iter().filter_map(|input| input.images());
        return plan(&images.collect::<Vec<_>>(), network.as_ref());
    }
    let needs = |input: usize| args.metrics.iter().any(|metric| metric.needs[input] == Need::Features);
    let loaded = || network.as_ref().expect("a network is loaded for images");
    let compute = |input, keep| match input {
        FidInput::Statistics(file) => Ok((*file).into()),
        FidInput::Images(images) => loaded().measure(&images, keep, reporter),
    };
    let [a, b] = inputs;
    let inputs = [compute(a, needs(0))?, compute(b, needs(1))?];
    reporter.finish();
    let (text, mut json) = metrics::results(&args.metrics, &Comparison { inputs: &inputs, spec, options })?;
    json["passed_over"] = json!(passed_over);
    report(reporter, &inputs, spec, network.as_ref());
    Ok(Output { text, json })
}

/// The options of the metrics, after a check of the flags on metrics.
fn metric_options(args: &Args) -> Result<MetricOptions, Usage> {
    let names: Vec<&str> = args.metrics.iter().map(|metric| metric.name).collect();
    if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(Usage(format!("--metrics names {twice} twice")));
    }
    if args.kid_subset_size.is_some() && !names.contains(&"kid") {
        return Err(Usage("--kid-subset-size is for --metrics kid".into()));
    }
    let kid_subset_size = args.kid_subset_size.unwrap_or(MetricOptions::default().kid_subset_size);
    Ok(MetricOptions { kid_subset_size })
}

/// Opens A and B. B may come from a pipe, which may take hours: errors of A are reported before, unless A
/// does not exist yet, since the pipe may make that, too.
fn open_both(args: &Args, reporter: &Reporter) -> Result<[FidInput; 2]> {
    let usage = "name two inputs: fid A B, each .npz statistics, a folder, a zip or a shard";
    let Some(a) = &args.a else { return Err(Usage(usage.into()).into()) };
    if args.b.is_none() && !io::stdin().is_terminal() {
        let waiting = || format!("{}: does not exist yet; waiting for the other input", a.display());
        if a.exists() { drop(open(a)?) } else { reporter.info(&waiting()) }
    }
    let b = operand(args.b.clone(), usage)?;
    Ok([open(a)?, open(&b)?])
}

/// Opens an input. If it is a shard that is cut short later, the error names it.
fn open(path: &Path) -> Result<FidInput> {
    let input = FidInput::open(path)?;
    if input.images().is_some_and(|images| images.source().is_none()) {
        gantools::mapped("fid", path);
    }
    Ok(input)
}

/// [`metrics::resolve`], with a hint where --force would help.
fn resolve(inputs: &[&FidInput], args: &Args) -> Result<FeatureSpec> {
    let resolve = |force| metrics::resolve(inputs, args.features, args.dims, force);
    resolve(args.force).map_err(|e| match !args.force && resolve(true).is_ok() {
        true => anyhow!("{e} (--force compares them)"),
        false => e.into(),
    })
}

/// Reports which of an input's files were chosen and which were passed over; the latter for `--json`, too.
fn passed_over(input: &FidInput, reporter: &Reporter) -> serde_json::Value {
    let Some(source) = input.images().and_then(ImageSet::source) else { return json!({}) };
    let path = input.path().display();
    if let [_, ..] = source.chosen()[..] {
        reporter.info(&format!("{path}: the images of {}", source.chosen().join(", ")));
    }
    source.skipped().line().iter().for_each(|line| reporter.info(&format!("{path}: {line}")));
    source.skipped().to_json()
}

/// The result of `--dry-run`: the number of images and the estimated time.
fn plan(images: &[&ImageSet], network: Option<&Network>) -> Result<Output> {
    let n: usize = images.iter().map(|images| images.len()).sum();
    let mut seconds = 0.0;
    for (images, network) in images.iter().zip(network.iter().cycle()) {
        let one = metrics::seconds_per_image(images, &network.extractor, network.batch_size)?;
        seconds += one * images.len() as f64;
    }
    let text = format!("{n} images to measure, about {}", human(Duration::from_secs_f64(seconds)));
    Ok(Output { text, json: json!({ "dry_run": true, "images": n, "seconds": seconds }) })
}

/// Reports what was compared, and warns of what makes the comparison less meaningful.
fn report(reporter: &Reporter, inputs: &[FeatureStats; 2], spec: FeatureSpec, network: Option<&Network>) {
    let names = inputs.each_ref().map(|input| input.path.display().to_string());
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("features".len());
    for (name, input) in names.iter().zip(inputs) {
        let meta = input.stats.meta.as_ref();
        let n = meta.map_or("statistics".to_string(), |meta| format!("{} images", meta.n));
        let sizes = meta.and_then(|meta| meta.dataset.as_ref()?.describe_sizes());
        let of = sizes.map_or(String::new(), |sizes| format!(" of {sizes}"));
        let time = human(Duration::from_secs_f64(input.seconds));
        let time = if input.seconds > 0.0 { format!(", {time}") } else { String::new() };
        reporter.info(&format!("{name:width$}  {n}{of}{time}"));
    }
    let origin = network.map_or(String::new(), |network| format!(", weights {}", network.origin));
    reporter.info(&format!("{:width$}  {spec}{origin}", "features"));
    metrics::comparability_warnings(inputs, spec).iter().for_each(|line| reporter.warn(line));
}

/// Saves the statistics of images, unless they are there already.
fn save_stats(args: &Args, reporter: &Reporter) -> Result<Output> {
    let usage = "name the images and the output: fid --save-stats IN OUT.npz";
    let (Some(input), Some(out)) = (&args.a, &args.b) else { return Err(Usage(usage.into()).into()) };
    check_extension(out, "npz", &format!("statistics are .npz: {usage}"))?;
    // An existing file may be up to date in a folder that is not writable.
    if !out.is_file() {
        check_place(out)?;
    }
    let listed = SystemTime::now();
    let input = match (open(input)?, args.part) {
        (FidInput::Images(images), Some(part)) => FidInput::Images(Box::new(images.part(part)?)),
        (input, _) => input,
    };
    let path = input.path().display().to_string();
    let Some(images) = input.images() else { anyhow::bail!("{path}: already statistics; name images") };
    let spec = resolve(&[&input], args)?;
    metrics::check(&[metrics::find("fid").expect("a metric")], &[&input], &MetricOptions::default())?;
    let (content, changed) = images.content()?;
    let origin = images.source().map(|source| source.input_paths());
    let features = spec.features.expect("the network of images is known");
    let network = Network::load(args, features, spec.dims, reporter)?;
    let meta = StatsMeta::new(images, &network.extractor, content);
    check_overwrite(out, args.force, || {
        let other = origin.as_ref().and_then(|origin| origin.other(out));
        Ok(other.map(|other| format!("is of other images ({other})")))
    })?;
    let mut output = describe(&meta);
    output["passed_over"] = passed_over(&input, reporter);
    if !args.force && stats::is_up_to_date(out, &meta, changed) {
        reporter.info(&format!("{} is up to date (--force makes it again)", out.display()));
        return Ok(Output::path(out, output));
    }
    check_overwrite(out, args.force, || Ok(Some("is of other images or features".into())))?;
    if args.dry_run {
        return plan(&[images], Some(&network));
    }
    check_place(out)?;
    metrics::few_images_warning(&path, meta.n, spec).iter().for_each(|line| reporter.warn(line));
    network.measure(images, false, reporter)?.stats.write(out, listed)?;
    origin.iter().for_each(|origin| origin.record(out));
    Ok(Output::path(out, output))
}

/// Merges statistics.
fn merge(out: &Path, parts: &[PathBuf], force: bool) -> Result<Output> {
    check_extension(out, "npz", "statistics are .npz: fid --merge OUT.npz IN.npz IN.npz …")?;
    check_new(out, force)?;
    let parts = parts.iter().map(StatsFile::read).collect::<gan::Result<Vec<_>>>()?;
    let merged = stats::merge(&parts)?;
    let output = describe(merged.meta.as_ref().expect("merged statistics have metadata"));
    // The oldest time: an image that changed after the first part was made makes the result out of date.
    let times = parts.iter().filter_map(|part| part.path.metadata().and_then(|file| file.modified()).ok());
    merged.write(out, times.min().unwrap_or(SystemTime::now()))?;
    Ok(Output::path(out, output))
}

/// Converts Inception's weights.
fn convert(from: &Path, to: &Path, force: bool) -> Result<Output> {
    check_extension(to, "safetensors", "weights are written as .safetensors")?;
    check_new(to, force)?;
    inception::convert(from, to)?;
    Ok(Output::path(to, json!({})))
}

/// The entries of saved statistics in `--json`.
fn describe(meta: &StatsMeta) -> serde_json::Value {
    json!({ "n": meta.n, "dims": meta.dims, "features": meta.features, "weights": meta.weights })
}

/// Checks the extension of an output; `what` is the error of another one.
fn check_extension(out: &Path, extension: &str, what: &str) -> Result<(), Usage> {
    match out.extension().is_some_and(|e| e == extension) {
        true => goes_through_the_pipe(out),
        false => Err(Usage(format!("{}: {what}", out.display()))),
    }
}

/// Checks that an output can be written, and without `force` that it does not exist.
fn check_new(out: &Path, force: bool) -> gan::Result<()> {
    check_overwrite(out, force, || Ok(Some("would be replaced".into())))?;
    check_place(out)
}

/// A network that is loaded, and the source of its weights.
struct Network {
    extractor: Extractor,
    origin: String,
    batch_size: usize,
}

impl Network {
    fn load(args: &Args, features: Features, dims: usize, reporter: &Reporter) -> Result<Network> {
        let device = reporter.device(args.device.as_deref())?;
        let precision = reporter.precision(args.precision, &device);
        let (extractor, origin) = match (features, &args.weights) {
            (Features::Squeezenet, Some(file)) => {
                anyhow::bail!("--weights {}: SqueezeNet's weights are built in", file.display())
            }
            (Features::Squeezenet, None) => (Extractor::squeezenet(precision, &device)?, "built in".into()),
            (Features::Inception, given) => {
                let file = find_inception(given.as_deref(), args.offline, reporter)?;
                let published = if weights::is_published(&file)? { "" } else { ", not the published file" };
                let extractor = Extractor::inception(&file, dims, precision, &device)?;
                (extractor, format!("{}{published}", file.display()))
            }
        };
        Ok(Network { extractor, origin, batch_size: args.batch_size })
    }

    fn measure(&self, images: &ImageSet, keep_features: bool, reporter: &Reporter) -> Result<FeatureStats> {
        Ok(metrics::measure(images, &self.extractor, self.batch_size, keep_features, reporter)?)
    }
}

/// The file of the Inception weights, which is downloaded if there is none.
fn find_inception(given: Option<&Path>, offline: bool, reporter: &Reporter) -> Result<PathBuf> {
    let fetched = match weights::find_inception(given)? {
        Some(file) => Ok(file),
        None if offline => Err(weights::missing("--offline forbids their download")),
        None => {
            let url = weights::INCEPTION_URL;
            reporter.info(&format!("no Inception weights found: downloading {url} (96 MB), once"));
            weights::fetch_inception(reporter)
        }
    };
    fetched.map_err(|e| anyhow!("{e} or by --weights; --features squeezenet needs no file"))
}
