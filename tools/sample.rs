//! `sample`: a generator → a folder of PNGs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use gan::Error;
use gan::checkpoint::{self, Generator};
use gan::device::{self, Device};
use gan::latent::{Job, sample};
use gan::layer::Precision;
use gantools::{Answer, Bar, Common, operand, precision, stop_flag};
use serde_json::json;

/// Make pictures with a trained generator, and print their folder.
///
/// Picture i depends on the generator, the seed and i alone. The folder takes its place whole, at the end; one that
/// `sample` made is replaced.
#[derive(Parser)]
#[command(name = "sample", version)]
struct Args {
    /// The generator [default: one line from stdin, the path or a JSON object with `path`]
    #[arg(value_name = "G.safetensors")]
    generator: Option<PathBuf>,
    /// How many pictures
    #[arg(short = 'n', long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The folder for 000000.png, 000001.png, …
    #[arg(short, long, value_name = "DIR", default_value = "fakes/")]
    out: PathBuf,
    /// Which pictures
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Pictures that a thread makes before it writes them, in multiples of 64; changes no byte of them
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Also write one PNG of the first 64 pictures
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    /// What to compute in: f32, or bf16: faster where the processor multiplies it; the pictures' bytes then differ by a few
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = precision())]
    precision: Precision,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Tell what the generator is, and make nothing
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    info: Option<Option<PathBuf>>,
    /// Replace a folder though it holds what `sample` did not make
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    gantools::main(|args: &Args| &args.common, run)
}

fn run(args: Args) -> Result<Answer> {
    let usage = "name a generator: sample G.safetensors (`train` makes one)";
    if let Some(file) = args.info {
        let info = checkpoint::info(&operand(file.or(args.generator), usage)?)?;
        return Ok(Answer { text: info.text, json: info.json });
    }
    let device = device::parse(&args.device)?;
    args.precision.check(&device)?;
    let mut generator = checkpoint::generator(&operand(args.generator.clone(), usage)?, &device)?;
    generator.network = generator.network.with_precision(args.precision);
    make(&args, &generator, &device)?;
    Ok(Answer::path(
        &args.out,
        json!({ "count": args.count, "seed": args.seed, "generator": generator.hash, "grid": args.grid }),
    ))
}

fn make(args: &Args, generator: &Generator, device: &Device) -> Result<()> {
    let stop = stop_flag()?;
    let bar = Bar::new("sample", &args.common);
    bar.advise(args.precision);
    let job = Job {
        generator,
        device,
        seed: args.seed,
        count: args.count as usize,
        batch: args.batch as usize,
        out: &args.out,
        grid: args.grid.as_deref(),
        force: args.force,
    };
    let done = sample(&job, stop, &bar);
    bar.finish();
    match done {
        Err(Error::Stopped) => anyhow::bail!("stopped; {} is as it was", args.out.display()),
        other => Ok(other?),
    }
}
