//! `prep`: images → one shard to train on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gan::data::image::{Filter, Transform};
use gan::data::shard::{self, Dtype, Shard, ShardOptions};
use gan::data::source::{Recursion, Source, Split};
use gantools::{Common, Output, Reporter, Usage, human, out_path, stop_flag, whole};
use serde_json::json;

/// Side of the images where none is asked for, in pixels.
const SIZE: usize = 64;

/// Turn images into one shard to train on, and print its path.
///
/// Images are brought to SIZE on their shorter side and the centered square is kept. Broken ones are skipped and named.
/// A shard that is up to date is left as it is.
#[derive(Parser)]
#[command(name = "prep", version)]
struct Args {
    /// Folders (searched at any depth), zips, tars, arrays (.npy, .npz), parquet or IDX files, CIFAR's
    /// batches, or images
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The shard to write [default: <INPUT>-<SIZE>.safetensors, here]
    #[arg(short, long, value_name = "FILE", value_parser = out_path())]
    output: Option<PathBuf>,
    /// Side of the square images, in pixels [default: 64; of IDX, arrays and CIFAR, the native size]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=4096))]
    size: Option<u16>,
    /// First cut the centered square of N pixels (108 and 178 are usual for CelebA)
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=u16::MAX as u64))]
    crop: Option<u16>,
    /// How to resample, by Pillow's names [default: bilinear]
    #[arg(long, value_name = "NAME", value_parser = named::<Filter>(Filter::NAMES))]
    filter: Option<Filter>,
    /// Leave out the first N images
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = whole::<usize>(0..=u64::MAX))]
    skip: usize,
    /// Take at most N images
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    limit: Option<u64>,
    /// Store bytes, or floats in [-1, 1]
    #[arg(long, value_name = "TYPE", default_value_t, value_parser = named::<Dtype>(Dtype::NAMES))]
    dtype: Dtype,
    /// One channel instead of three (always so for IDX and gray arrays)
    #[arg(long, alias = "grey")]
    gray: bool,
    /// 16-bit gray uses N bits: keep the highest 8 of these (12 is usual for CT and X-rays)
    #[arg(long, value_name = "N", value_parser = whole::<u8>(8..=16))]
    depth: Option<u8>,
    /// Keep one part of CelebA's split; needs list_eval_partition.txt (or .csv) in the folder, up to two
    /// above it, or in Eval/
    #[arg(long, value_name = "PART", value_parser = named::<Split>(Split::NAMES))]
    split: Option<Split>,
    /// Of several IDX files in a folder or zip, take this one: its name, a part of it, or train, test or
    /// valid
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    idx: Option<String>,
    /// Draw N faces instead of reading images
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u32::MAX as u64))]
    demo: Option<u32>,
    /// Which faces to draw [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    seed: Option<u64>,
    /// A broken image is an error
    #[arg(long)]
    strict: bool,
    /// Make the shard again, whatever is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Parses one of `names` into what it names.
fn named<T>(names: impl Into<Vec<&'static str>>) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.into()).try_map(|name: String| name.parse::<T>())
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
    if let Some(before) = before {
        reporter.info(&format!("{}: replaced {before}", path.display()));
    }
    summary(&path, &source, false)
}

/// Combinations that make no sense.
fn check(args: &Args) -> Result<(), Usage> {
    let wrong = |line: &str| Err(Usage(line.to_string()));
    match args.demo {
        None if args.inputs.is_empty() => wrong("name a folder, a zip, an IDX file or images, or --demo N"),
        Some(_) if !args.inputs.is_empty() => wrong("--demo draws its images: leave out INPUT"),
        Some(_) if args.idx.is_some() => wrong("--idx is for IDX files, not for --demo"),
        Some(_) if args.depth.is_some() => wrong("--depth is for 16-bit gray images, not for --demo"),
        Some(_) if args.split.is_some() => wrong("--split is for CelebA's images, not for --demo"),
        None if args.seed.is_some() => wrong("--seed is for --demo; nothing else here is left to chance"),
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
    source.slice(args.skip, args.limit.map_or(usize::MAX, |n| n as usize));
    if source.is_empty() {
        anyhow::bail!("--skip {}: leaves none of {listed} images", args.skip);
    }
    Ok(source)
}

fn options(args: &Args, source: &Source) -> Result<ShardOptions> {
    let native = source.native_size().is_some();
    let size = args.size.map(usize::from).or((!native).then_some(SIZE));
    if size.is_none() && args.filter.is_some() {
        return Err(
            Usage("--filter needs --size: IDX images and arrays keep their native size".into()).into()
        );
    }
    let fit = Transform { crop: args.crop.map(usize::from), size, filter: args.filter.unwrap_or_default() };
    let (gray, dtype, depth) = (args.gray || source.is_gray(), args.dtype, args.depth);
    Ok(ShardOptions { fit, gray, dtype, depth, split: args.split, strict: args.strict })
}

fn output(args: &Args, source: &Source, options: &ShardOptions) -> Result<PathBuf> {
    match &args.output {
        Some(path) => Ok(path.clone()),
        None => Ok(format!("{}-{}.safetensors", source.title(), options.side(source)?).into()),
    }
}

fn make(path: &Path, source: &Source, options: &ShardOptions, reporter: &Reporter) -> Result<()> {
    let (stop, start) = (stop_flag()?, Instant::now());
    let made = shard::make(path, source, options, reporter, stop);
    reporter.finish();
    let made = made?;
    let (n, [h, w, c], rejected) = (made.meta.count, made.shape, made.meta.rejected);
    let skipped = if rejected > 0 { format!(", {rejected} skipped") } else { String::new() };
    let taken = match source.chosen()[..] {
        [] => String::new(),
        ref files => format!(" of {}", files.join(", ")),
    };
    let images = if n == 1 { "image" } else { "images" };
    reporter.info(&format!("{n} {images} of {h}×{w}×{c}{taken}{skipped}, {}", human(start.elapsed())));
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
