//! `sample`: a generator → a folder of PNGs, or one file: an interpolation, an expression, nearest pairs.

use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use gan::Error;
use gan::checkpoint::foreign::{ChannelOrder, LayoutHints, OutputActivation};
use gan::checkpoint::{self, Generator};
use gan::data::shard::Shard;
use gan::device::Device;
use gan::io::check_place;
use gan::precision::Precision;
use gan::sample::{
    Expr, Interpolation, Latents, Neighbor, OutputFormat, Sampler, check_folder, check_outside, write_folder,
    write_nearest, write_sheet,
};
use gantools::{Common, Output, Reporter, Usage, named, operand, out_path, precision, stop_flag, whole};
use serde_json::json;

/// Make images with a trained generator, and print their folder (or file).
///
/// Image i depends only on the generator, the seed and i.
#[derive(Parser)]
#[command(name = "sample", version)]
struct Args {
    /// Generator of `train` or PyTorch (.safetensors, .pth, .pt, .ckpt) [default: read from stdin]
    #[arg(value_name = "G.safetensors")]
    generator: Option<PathBuf>,
    /// Number of images [default: 64, or all of --latents]
    #[arg(
        short = 'n', long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000),
        conflicts_with_all = ["interpolate", "expr"]
    )]
    count: Option<u32>,
    /// Folder, or file of --interpolate, --expr or --nearest [default: fakes/, expr.png, nearest.png]
    #[arg(short, long, alias = "out", value_name = "PATH", value_parser = out_path())]
    output: Option<PathBuf>,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX))]
    seed: u64,
    /// Interpolate between images, by their indices
    ///
    /// A file may be .png (one row), .gif or .apng (an animation, forward and back).
    #[arg(
        long, value_name = "A,B,…", value_delimiter = ',', value_parser = whole::<u32>(0..=u32::MAX.into()),
        conflicts_with_all = ["expr", "nearest"]
    )]
    interpolate: Option<Vec<u32>>,
    /// Number of images of --interpolate, both ends included [default: 16]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(2..=10_000), requires = "interpolate")]
    frames: Option<u32>,
    /// Calculate with images: "mean(3,7) - mean(1,4) + 0.5*2"
    ///
    /// Whole numbers are images, numbers with a point are factors. Operators: + - * / ( ) mean.
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, conflicts_with_all = ["nearest", "grid"])]
    expr: Option<Expr>,
    /// Show each image beside the nearest image of a shard; at most 4096 images
    #[arg(long, value_name = "SHARD", conflicts_with = "grid")]
    nearest: Option<PathBuf>,
    /// Read latents [N, nz] from a safetensors file: the tensor `latents`, or its only one
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    latents: Option<PathBuf>,
    /// Also write the latents, for --latents
    #[arg(long, value_name = "FILE")]
    save_latents: Option<PathBuf>,
    /// Images that a thread makes at once, in multiples of 64; does not change the images
    #[arg(long, alias = "batch", value_name = "N", default_value_t = 64,
          value_parser = whole::<u32>(1..=65_536))]
    batch_size: u32,
    /// Also write one PNG of the first 64 images
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// Number type: bf16 is faster on some processors and changes bytes by a few units
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    precision: Precision,
    /// Device: cpu, cuda or cuda:N [default: the best available]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Describe the generator and exit
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    info: Option<Option<PathBuf>>,
    /// Replace outputs that `sample` did not make
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    common: Common,
}

/// What the file of another program's generator does not say.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Generators of other programs: what their files do not say")]
struct Foreign {
    /// Negative slope of the hidden activations: 0 is ReLU, else LeakyReLU [default: 0]
    #[arg(long, value_name = "S", value_parser = |s: &str| in_range(s, 0.0..1.0, "0 to 1, 1 not included"))]
    slope: Option<f64>,
    /// Activation of the last layer: tanh is for images in -1 to 1, sigmoid for 0 to 1 [default: tanh]
    #[arg(
        long, visible_alias = "last-activation", value_name = "NAME",
        value_parser = named::<OutputActivation>(OutputActivation::NAMES)
    )]
    last: Option<OutputActivation>,
    /// Strides of the convolutions: one for all, or one for each
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<usize>(0..=256))]
    stride: Vec<usize>,
    /// Paddings of the convolutions
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<usize>(0..=256))]
    padding: Vec<usize>,
    /// Output paddings of the transposed convolutions; 0 for the others
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<usize>(0..=256))]
    output_padding: Vec<usize>,
    /// Factor of nn.Upsample (nearest) before each convolution; 1 if there is none
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<usize>(0..=256))]
    upsample: Vec<usize>,
    /// Epsilon of the batch norms: one for all, or one for each [default: 1e-5]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = |s: &str| in_range(s, 0.0..=1000.0, "0 to 1000"))]
    eps: Vec<f64>,
    /// Order of the numbers of a linear last layer, for color images [default: channels-first]
    #[arg(long, value_name = "ORDER", value_parser = named::<ChannelOrder>(ChannelOrder::NAMES))]
    layout: Option<ChannelOrder>,
}

impl Foreign {
    fn hints(self) -> LayoutHints {
        let Foreign { slope, last, eps, stride, padding, output_padding, upsample, layout } = self;
        LayoutHints { slope, last, eps, stride, padding, output_padding, upsample, layout }
    }
}

fn in_range(text: &str, range: impl RangeBounds<f64>, name: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x| range.contains(x)).ok_or_else(|| format!("{text} is not in {name}"))
}

/// The maximum number of images of --nearest.
const MAX_PAIRS: usize = 4096;

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(mut args: Args) -> Result<Output> {
    let usage = "name a generator: sample G.safetensors (`train` makes one)";
    let hints = std::mem::take(&mut args.foreign).hints();
    if let Some(file) = args.info {
        let info = checkpoint::info(&operand(file.or(args.generator), usage)?, &hints)?;
        return Ok(Output { text: info.text, json: info.json });
    }
    let (out, format) = output(&args)?;
    check_outputs(&args, &out, format)?;
    let reporter = Reporter::new("sample", &args.common);
    let device = reporter.device(args.device.as_deref())?;
    let path = operand(args.generator.clone(), usage)?;
    let mut generator = checkpoint::generator(&path, &hints, &device)?;
    if let Some(summary) = generator.summary.as_ref().filter(|summary| !summary.assumed.is_empty()) {
        let flags = summary.hints.iter().map(|hint| format!("--{hint}").replace('_', "-"));
        let flags = flags.collect::<Vec<_>>().join(", ");
        let change = if flags.is_empty() { flags } else { format!(" (change: {flags})") };
        let (path, text) = (path.display(), summary.text());
        reporter.info(&format!("{path}: {text}: assumed {}{change}", summary.assumed));
    }
    let precision = reporter.precision(args.precision, &device);
    generator.network = generator.network.with_precision(precision);
    make(&args, &out, format, &generator, &device, &reporter)
}

/// Extensions of formats that are not written. Any other extension may be part of a folder's name.
const MEDIA: [&str; 22] = [
    "mp4", "m4v", "webm", "mkv", "mov", "avi", "mpg", "mpeg", "webp", "jpg", "jpeg", "jxl", "avif", "heic",
    "bmp", "tif", "tiff", "svg", "pdf", "npz", "npy", "zip",
];

/// Where the images go, and the format if that is a single file.
fn output(args: &Args) -> Result<(PathBuf, Option<OutputFormat>), Usage> {
    let row = args.expr.as_ref().map(|_| "expr.png").or(args.nearest.as_ref().map(|_| "nearest.png"));
    let is_row = row.is_some();
    let out = args.output.clone().unwrap_or(row.unwrap_or("fakes/").into());
    let format = OutputFormat::of(&out);
    let refuse = |what: &str| Err(Usage(format!("-o {}: {what}", out.display())));
    if is_row && format != Some(OutputFormat::Row) {
        return refuse("--expr and --nearest make one image: name a .png");
    }
    if format.is_some() && !is_row && args.interpolate.is_none() {
        return refuse("is a file: name a folder (--interpolate, --expr, --nearest and --grid make files)");
    }
    let extension = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let is_folder = out.as_os_str().as_encoded_bytes().ends_with(b"/");
    if MEDIA.contains(&&*extension) && !is_folder {
        let or_file = if args.interpolate.is_some() { ", or a .png, .gif or .apng" } else { "" };
        return refuse(&format!(".{extension} is not supported: name a folder{or_file}"));
    }
    if args.grid.is_some() && format.is_some() {
        return refuse("is one file, and --grid needs a folder");
    }
    Ok((out, format))
}

/// Checks where to write before any work.
fn check_outputs(args: &Args, out: &Path, format: Option<OutputFormat>) -> Result<()> {
    format.map_or_else(|| check_folder(out, args.force), |_| check_place(out))?;
    if let Some(path) = &args.save_latents {
        Latents::check_output(path, args.force)?;
        check_outside("save_latents", path, out)?;
    }
    Ok(())
}

fn make(
    args: &Args,
    out: &Path,
    format: Option<OutputFormat>,
    generator: &Generator,
    device: &Device,
    reporter: &Reporter,
) -> Result<Output> {
    let shard = args.nearest.as_deref().map(Shard::open).transpose()?;
    if let Some(shard) = &shard {
        gantools::mapped("sample", shard.path());
    }
    let (latents, order) = latents(args, generator.latent_size)?;
    let stop = stop_flag()?;
    let sampler = Sampler::new(generator, device, args.batch_size as usize, stop, reporter);
    let mut json = latents.provenance().clone();
    let done = match (&shard, format) {
        (Some(shard), _) => write_nearest(&sampler, &latents, out, shard, args.force)
            .map(|neighbors| json["pairs"] = pairs(reporter, &neighbors)),
        (_, Some(format)) => write_sheet(&sampler, &latents, out, format, &order, args.force),
        _ => write_folder(&sampler, &latents, out, args.grid.as_deref(), args.force),
    };
    reporter.finish();
    match done {
        Err(Error::Stopped) => anyhow::bail!("stopped; {} is unchanged", out.display()),
        other => other?,
    }
    if let Some(path) = &args.save_latents {
        latents.write(path)?;
    }
    json["count"] = latents.count().into();
    json["generator"] = generator.hash.as_str().into();
    if let Some(summary) = &generator.summary {
        json["model"] = json!(summary);
    }
    json["grid"] = json!(args.grid);
    json["saved_latents"] = json!(args.save_latents);
    Ok(Output::path(out, json))
}

/// The latents that the flags ask for, and the order of their images in an animation.
fn latents(args: &Args, nz: usize) -> Result<(Latents, Vec<usize>)> {
    let path = |images: &Vec<u32>| Interpolation::new(images, args.frames.unwrap_or(16) as usize);
    let interpolation = args.interpolate.as_ref().map(path).transpose()?;
    let source = match (&args.latents, args.count) {
        (Some(path), None) => Latents::read(path, nz)?,
        (Some(path), Some(n)) => Latents::read(path, nz)?.first(n as usize)?,
        (None, n) => Latents::from_seed(args.seed, n.unwrap_or(64) as usize, nz),
    };
    if args.nearest.is_some() && source.count() > MAX_PAIRS {
        anyhow::bail!("--nearest: at most {MAX_PAIRS} images, not {}: set -n", source.count());
    }
    Ok(match (interpolation, &args.expr) {
        (Some(interpolation), _) => (interpolation.latents(&source)?, interpolation.order()),
        (_, Some(expr)) => (expr.latents(&source)?, Vec::new()),
        _ => (source, Vec::new()),
    })
}

/// Prints the nearest image of each image on stderr, and returns the pairs for `--json`.
fn pairs(reporter: &Reporter, neighbors: &[Neighbor]) -> serde_json::Value {
    reporter.finish();
    reporter.info("image  nearest  root-mean-square distance (0 to 255)");
    let pair = |(i, neighbor): (usize, &Neighbor)| {
        reporter.info(&format!("{i:7}  {:7}  {:6.2}", neighbor.index, neighbor.rms));
        json!({ "index": i, "nearest": neighbor.index, "rms": neighbor.rms })
    };
    neighbors.iter().enumerate().map(pair).collect()
}
