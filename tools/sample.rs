//! `sample`: a generator → a folder of PNGs, or one file of a walk, a sum or pairs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gan::Error;
use gan::checkpoint::foreign::{ChannelOrder, LayoutHints, OutputActivation};
use gan::checkpoint::{self, Generator};
use gan::data::shard::Shard;
use gan::device::Device;
use gan::precision::Precision;
use gan::sample::{Expr, Interpolation, Job, Latents, Neighbor, OutputFormat, nearest_grid, sample, sheet};
use gantools::{Common, Output, Reporter, Usage, operand, out_path, precision, stop_flag, whole};
use serde_json::json;

/// Make images with a trained generator, and print their folder (or file).
///
/// Image i depends on the generator, the seed and i alone. The folder takes its place whole, at the end; one that
/// `sample` made is replaced.
#[derive(Parser)]
#[command(name = "sample", version)]
struct Args {
    /// The generator, of `train` or of PyTorch (.safetensors, .pth, .pt, .ckpt) [default: one line from
    /// stdin, the path or a JSON object with `path`]
    #[arg(value_name = "G.safetensors")]
    generator: Option<PathBuf>,
    /// How many images [default: 64, or all of --latents]
    #[arg(short = 'n', long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000), conflicts_with_all = ["interpolate", "expr"])]
    count: Option<u32>,
    /// The folder for 000000.png, 000001.png, …, or the one file of --interpolate (see there), --expr or --nearest (.png) [default: fakes/, expr.png or nearest.png]
    #[arg(short, long, value_name = "PATH", value_parser = out_path())]
    out: Option<PathBuf>,
    /// Which images
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX))]
    seed: u64,
    /// Make the images between some: the numbers of two or more, on the arc from each to the next. -o names a folder, or a file by its form: .png, one row; .gif or .apng, an animation there and back (or round, where the last is the first)
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', conflicts_with_all = ["expr", "nearest"])]
    interpolate: Option<Vec<u32>>,
    /// How many images --interpolate makes, the first and the last included [default: 16]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(2..=10_000), requires = "interpolate")]
    frames: Option<u32>,
    /// Make what a sum of images comes to, beside its terms: "mean(3,7) - mean(1,4) + 0.5*2". Whole numbers are images, factors have a point; there are + - * / and parentheses
    #[arg(long, value_name = "SUM", allow_hyphen_values = true, conflicts_with_all = ["nearest", "grid"])]
    expr: Option<Expr>,
    /// Show each image beside the nearest one of a shard, which tells whether the generator memorized it; up to 4096
    #[arg(long, value_name = "SHARD", conflicts_with = "grid")]
    nearest: Option<PathBuf>,
    /// Take the latents from a safetensors file (tensor `latents`, or its only one, [N, nz]): image i is of row i
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    latents: Option<PathBuf>,
    /// Also write the latents of the images made, for --latents
    #[arg(long, value_name = "FILE")]
    save_latents: Option<PathBuf>,
    /// Images that a thread makes before it writes them, in multiples of 64; changes no byte of them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = whole::<u32>(1..=65_536))]
    batch: u32,
    /// Also write one PNG of the first 64 images
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// What to compute in: f32, or bf16: faster where the processor multiplies it; the images' bytes then differ by a few
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    precision: Precision,
    /// Where to compute: cpu, cuda or cuda:N [default: the best that is built in and present]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Tell what the generator is, and make nothing
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    info: Option<Option<PathBuf>>,
    /// Replace a folder, or a file of latents, though it holds what `sample` did not make
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    common: Common,
}

/// What the file of another program's generator does not tell.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Generators of other programs, whose files do not tell all")]
struct Foreign {
    /// The slope below zero of the hidden activations: 0 is ReLU, else LeakyReLU [default: 0]
    #[arg(long, value_name = "S", value_parser = slope)]
    slope: Option<f64>,
    /// The activation after the last layer; a sigmoid's images are in 0 to 1 [default: tanh]
    #[arg(long, visible_alias = "last-activation", value_name = "NAME", value_parser = last())]
    last: Option<OutputActivation>,
    /// The convolutions' strides: one number for all, or one for each from the first on
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = side)]
    stride: Vec<usize>,
    /// The convolutions' paddings
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = side)]
    padding: Vec<usize>,
    /// The transposed convolutions' output paddings; 0 of others
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = side)]
    output_padding: Vec<usize>,
    /// How many times nn.Upsample repeats the pixels (nearest) before each convolution; 1 where there is none
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = side)]
    upsample: Vec<usize>,
    /// What each batch-norm adds to the variance: one number for all, or one for each [default: 1e-5]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = eps)]
    eps: Vec<f64>,
    /// The order of the numbers that linear layers make of a color image [default: channels-first]
    #[arg(long, value_name = "ORDER", value_parser = layout())]
    layout: Option<ChannelOrder>,
}

impl Foreign {
    fn hints(self) -> LayoutHints {
        let Foreign { slope, last, eps, stride, padding, output_padding, upsample, layout } = self;
        LayoutHints { slope, last, eps, stride, padding, output_padding, upsample, layout }
    }
}

/// A number of a range, of a flag that clap has no range for.
fn in_range<T: std::str::FromStr>(text: &str, is: impl Fn(&T) -> bool, range: &str) -> Result<T, String> {
    text.parse().ok().filter(is).ok_or_else(|| format!("{text} is not in {range}"))
}

fn side(text: &str) -> Result<usize, String> {
    in_range(text, |n| *n <= 256, "0 to 256")
}

fn slope(text: &str) -> Result<f64, String> {
    in_range(text, |s| (0.0..1.0).contains(s), "0 to 1, 1 not included")
}

fn eps(text: &str) -> Result<f64, String> {
    in_range(text, |e| (0.0..=1000.0).contains(e), "0 to 1000")
}

fn last() -> impl TypedValueParser<Value = OutputActivation> {
    PossibleValuesParser::new(["tanh", "sigmoid", "none"]).map(|name| match name.as_str() {
        "tanh" => OutputActivation::Tanh,
        "sigmoid" => OutputActivation::Sigmoid,
        _ => OutputActivation::None,
    })
}

fn layout() -> impl TypedValueParser<Value = ChannelOrder> {
    PossibleValuesParser::new(["channels-first", "channels-last"]).map(|name| match name.as_str() {
        "channels-first" => ChannelOrder::ChannelsFirst,
        _ => ChannelOrder::ChannelsLast,
    })
}

/// The most images that --nearest shows.
const MAX_PAIRS: usize = 4096;

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(mut args: Args) -> Result<Output> {
    let usage = "name a generator: sample G.safetensors (`train` makes one)";
    let foreign = std::mem::take(&mut args.foreign).hints();
    if let Some(file) = args.info {
        let info = checkpoint::info(&operand(file.or(args.generator), usage)?, &foreign)?;
        return Ok(Output { text: info.text, json: info.json });
    }
    let out = place(&args)?;
    let reporter = Reporter::new("sample", &args.common);
    let device = reporter.device(args.device.as_deref())?;
    let path = operand(args.generator.clone(), usage)?;
    let mut generator = checkpoint::generator(&path, &foreign, &device)?;
    if let Some(summary) = generator.summary.as_ref().filter(|summary| !summary.assumed.is_empty()) {
        let flags: Vec<String> =
            summary.hints.iter().map(|hint| format!("--{hint}").replace('_', "-")).collect();
        let change =
            if flags.is_empty() { String::new() } else { format!(" (change: {})", flags.join(", ")) };
        let (path, text) = (path.display(), summary.text());
        reporter.info(&format!("{path}: {text}: assumed {}{change}", summary.assumed));
    }
    generator.network = generator.network.with_precision(args.precision);
    make(&args, &out, &generator, &device, &reporter)
}

/// Extensions of files that are not made; a folder may have any other point in its name.
const MEDIA: [&str; 22] = [
    "mp4", "m4v", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "webp", "jpg", "jpeg", "jxl", "avif", "heic",
    "bmp", "tif", "tiff", "svg", "pdf", "npz", "npy", "zip",
];

/// Where the images go; a file where they make one.
fn place(args: &Args) -> Result<PathBuf> {
    let default = match (&args.expr, &args.nearest) {
        (Some(_), _) => "expr.png",
        (_, Some(_)) => "nearest.png",
        _ => "fakes/",
    };
    let out = args.out.clone().unwrap_or(default.into());
    let form = OutputFormat::of(&out);
    let refuse = |what: String| Err(Usage(what).into());
    if (args.expr.is_some() || args.nearest.is_some()) && form != Some(OutputFormat::Row) {
        return refuse(format!("-o {}: --expr and --nearest make one image: name a .png", out.display()));
    }
    let one = args.expr.is_some() || args.nearest.is_some() || args.interpolate.is_some();
    if form.is_some() && !one {
        return refuse(format!(
            "-o {}: images go into a folder (one file is made by --interpolate, --expr, --nearest and --grid)",
            out.display()
        ));
    }
    let extension = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let is_folder = out.as_os_str().as_encoded_bytes().ends_with(b"/");
    if MEDIA.contains(&&*extension) && !is_folder {
        let what = if one { ".png, .gif, .apng or a folder" } else { "a folder of .png files" };
        return refuse(format!("-o {}: no .{extension} is made: {what}", out.display()));
    }
    if args.grid.is_some() && args.interpolate.is_some() && form.is_some() {
        return refuse(format!("--grid is for folders, and {} is one file", out.display()));
    }
    for path in [Some(&out), args.grid.as_ref(), args.save_latents.as_ref()].into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let what =
                if folder.exists() { "is a file, not a folder" } else { "no such folder: make it first" };
            anyhow::bail!("{}: {what}", folder.display());
        }
    }
    Ok(out)
}

fn make(
    args: &Args,
    out: &Path,
    generator: &Generator,
    device: &Device,
    reporter: &Reporter,
) -> Result<Output> {
    let shard = args.nearest.as_deref().map(Shard::open).transpose()?;
    if let Some(shard) = &shard {
        gantools::mapped("sample", shard.path());
    }
    let interpolation = match &args.interpolate {
        Some(images) => Some(Interpolation::new(images, args.frames.unwrap_or(16) as usize)?),
        None => None,
    };
    let latents = latents(args, interpolation.as_ref(), generator.latent_size)?;
    let stop = stop_flag()?;
    reporter.advise(args.precision, device);
    let job = Job {
        generator,
        device,
        latents: &latents,
        batch: args.batch as usize,
        out,
        save: args.save_latents.as_deref(),
        force: args.force,
    };
    let mut output = latents.about().clone();
    let form = OutputFormat::of(out).filter(|_| interpolation.is_some());
    let order = interpolation.map_or(Vec::new(), |interpolation| interpolation.order());
    let done = match (&shard, &args.expr, form) {
        (Some(shard), ..) => {
            nearest_grid(&job, shard, stop, reporter).map(|near| output["pairs"] = table(reporter, &near))
        }
        (_, Some(_), _) => sheet(&job, OutputFormat::Row, &[], stop, reporter),
        (.., Some(form)) => sheet(&job, form, &order, stop, reporter),
        (.., None) => sample(&job, args.grid.as_deref(), stop, reporter),
    };
    reporter.finish();
    match done {
        Err(Error::Stopped) => anyhow::bail!("stopped; {} is as it was", out.display()),
        other => other?,
    }
    output["count"] = latents.count().into();
    output["generator"] = generator.hash.as_str().into();
    if let Some(summary) = &generator.summary {
        output["model"] = json!(summary);
    }
    output["grid"] = json!(args.grid);
    output["saved_latents"] = json!(args.save_latents);
    Ok(Output::path(out, output))
}

/// The latents that the flags ask for.
fn latents(args: &Args, interpolation: Option<&Interpolation>, nz: usize) -> Result<Latents> {
    let source = match (&args.latents, args.count) {
        (Some(path), None) => Latents::read(path, nz)?,
        (Some(path), Some(n)) => Latents::read(path, nz)?.first(n as usize)?,
        (None, n) => Latents::drawn(args.seed, n.unwrap_or(64) as usize, nz),
    };
    if args.nearest.is_some() && source.count() > MAX_PAIRS {
        anyhow::bail!(
            "--nearest shows {MAX_PAIRS} images at most, not {}: name fewer with -n",
            source.count()
        );
    }
    Ok(match (interpolation, &args.expr) {
        (Some(interpolation), _) => interpolation.latents(&source)?,
        (_, Some(expr)) => expr.latents(&source)?,
        _ => source,
    })
}

/// Tells each image's nearest one on stderr, and gives them for `--json`.
fn table(reporter: &Reporter, near: &[Neighbor]) -> serde_json::Value {
    reporter.finish();
    reporter.info("image  nearest  root-mean-square distance, of 255");
    for (i, near) in near.iter().enumerate() {
        reporter.info(&format!("{i:7}  {:7}  {:6.2}", near.index, near.rms));
    }
    let pair = |(i, near): (usize, &Neighbor)| json!({ "index": i, "nearest": near.index, "rms": near.rms });
    near.iter().enumerate().map(pair).collect()
}
