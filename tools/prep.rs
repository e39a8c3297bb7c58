//! `prep`: images → one shard to train on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use gan::counted;
use gan::data::image::{Filter, Transform};
use gan::data::shard::{self, Dtype, Shard, ShardOptions};
use gan::data::source::{Recursion, Source, Split};
use gantools::{Common, Output, Reporter, Usage, human, named, out_path, stop_flag, whole};
use serde_json::json;

/// Default size of the images, in pixels.
const SIZE: usize = 64;

/// Turn images into one shard to train on, and print its path.
///
/// Images are resized so that the shorter side has SIZE pixels, then cropped to the centered square.
/// Broken images are listed and skipped. A shard that is up to date is not made again.
#[derive(Parser)]
#[command(name = "prep", version)]
struct Args {
    /// Images, folders (with subfolders), zip, tar, .npy, .npz, parquet, IDX files or CIFAR batches
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Shard to write [default: <INPUT>-<SIZE>.safetensors]
    #[arg(short, long, value_name = "FILE", value_parser = out_path())]
    output: Option<PathBuf>,
    /// Size of the images, in pixels [default: 64; native for IDX, arrays and CIFAR]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=4096))]
    size: Option<u16>,
    /// First crop to the centered square of N pixels (usual for CelebA: 108 or 178)
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=u16::MAX as u64))]
    crop: Option<u16>,
    /// Resampling filter, as in Pillow [default: bilinear]
    #[arg(long, value_name = "NAME", value_parser = named::<Filter>(Filter::NAMES))]
    filter: Option<Filter>,
    /// Skip the first N images
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=u64::MAX))]
    skip: Option<usize>,
    /// Use at most N images
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    limit: Option<u64>,
    /// Stored values: bytes, or floats in [-1, 1]
    #[arg(long, value_name = "TYPE", default_value_t, value_parser = named::<Dtype>(Dtype::NAMES))]
    dtype: Dtype,
    /// Store one channel, not three (always for IDX and gray arrays)
    #[arg(long, alias = "grey")]
    gray: bool,
    /// Bits in use of 16-bit gray images: the highest 8 are kept (usual for CT and X-rays: 12)
    #[arg(long, value_name = "N", value_parser = whole::<u8>(8..=16))]
    depth: Option<u8>,
    /// Use one part of CelebA's split (needs list_eval_partition.txt or .csv)
    ///
    /// The list is in the folder, in one or two folders above it, or in Eval/.
    #[arg(long, value_name = "PART", value_parser = named::<Split>(Split::NAMES))]
    split: Option<Split>,
    /// Which IDX file of a folder or zip: part of its name, or train, test or valid
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    idx: Option<String>,
    /// Draw N demo faces, without INPUT
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u32::MAX as u64))]
    demo: Option<u32>,
    /// Random seed of --demo [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    seed: Option<u64>,
    /// Fail at a broken image
    #[arg(long)]
    strict: bool,
    /// Make the shard again, and replace any file
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(args: Args) -> Result<Output> {
    check(&args)?;
    let reporter = Reporter::new("prep", &args.common);
    let source = source(&args)?;
    let options = options(&args, &source)?;
    let path = output(&args, &source, &options)?;
    shard::check_replaceable(&path, &source, args.force)?;
    source.skipped().line().iter().for_each(|line| reporter.info(line));
    if !args.force && shard::is_up_to_date(&path, &source, &options)? {
        reporter.info(&format!("{} is up to date (--force makes it again)", path.display()));
        return summary(&path, &source, true);
    }
    let before = shard::describe(&path);
    make(&path, &source, &options, &reporter)?;
    before.iter().for_each(|before| reporter.info(&format!("{}: replaced {before}", path.display())));
    summary(&path, &source, false)
}

/// Refuses flags that exclude each other.
fn check(args: &Args) -> Result<(), Usage> {
    let wrong = |line: &str| Err(Usage(line.to_string()));
    match args.demo {
        None if args.inputs.is_empty() => wrong("name images, folders or other inputs, or --demo N"),
        Some(_) if !args.inputs.is_empty() => wrong("--demo needs no INPUT: remove it"),
        Some(_) if args.idx.is_some() => wrong("--idx is for IDX files, not for --demo"),
        Some(_) if args.depth.is_some() => wrong("--depth is for 16-bit gray images, not for --demo"),
        Some(_) if args.split.is_some() => wrong("--split is for CelebA's images, not for --demo"),
        None if args.seed.is_some() => wrong("--seed is for --demo: nothing else is random"),
        _ => Ok(()),
    }
}

fn source(args: &Args) -> Result<Source> {
    let mut source = match args.demo {
        Some(count) => Source::demo(count as usize, args.seed.unwrap_or(0)),
        None => Source::open_idx(&args.inputs, Recursion::Recursive, args.idx.as_deref())?,
    };
    if let Some(split) = args.split {
        source.keep_split(split)?;
    }
    let listed = source.len();
    let skip = args.skip.unwrap_or(0);
    source.slice(skip, args.limit.map_or(usize::MAX, |n| n as usize));
    if source.is_empty() {
        anyhow::bail!("--skip {skip}: there are only {listed} images");
    }
    Ok(source)
}

fn options(args: &Args, source: &Source) -> Result<ShardOptions> {
    let native = source.native_size().is_some();
    let size = args.size.map(usize::from).or((!native).then_some(SIZE));
    if size.is_none() && args.filter.is_some() {
        let what = "--filter needs --size: IDX images and arrays keep their native size";
        return Err(Usage(what.into()).into());
    }
    let fit = Transform { crop: args.crop.map(usize::from), size, filter: args.filter.unwrap_or_default() };
    let (gray, dtype, depth) = (args.gray || source.is_gray(), args.dtype, args.depth);
    Ok(ShardOptions { fit, gray, dtype, depth, split: args.split, strict: args.strict })
}

fn output(args: &Args, source: &Source, options: &ShardOptions) -> Result<PathBuf> {
    let usual = || Ok(format!("{}-{}.safetensors", source.title(), options.side(source)?).into());
    args.output.clone().map_or_else(usual, Ok)
}

fn make(path: &Path, source: &Source, options: &ShardOptions, reporter: &Reporter) -> Result<()> {
    let (stop, start) = (stop_flag()?, Instant::now());
    let made = shard::make(path, source, options, reporter, stop);
    reporter.finish();
    let made = made?;
    let (n, [h, w, c], rejected) = (made.meta.count, made.shape, made.meta.rejected);
    let skipped = if rejected > 0 { format!(", {rejected} skipped") } else { String::new() };
    let files = source.chosen().join(", ");
    let taken = if files.is_empty() { files } else { format!(" of {files}") };
    let images = counted(n, "image");
    reporter.info(&format!("{images} of {h}×{w}×{c}{taken}{skipped}, {}", human(start.elapsed())));
    Ok(())
}

fn summary(path: &Path, source: &Source, up_to_date: bool) -> Result<Output> {
    gantools::mapped("prep", path);
    let (_, mut info) = Shard::open(path)?.header_info();
    info["passed_over"] = source.skipped().to_json();
    info["taken"] = json!(source.chosen());
    info["up_to_date"] = json!(up_to_date);
    Ok(Output::path(path, info))
}
