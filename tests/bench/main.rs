//! `just bench [WORD…]`: the table of PERFORMANCE.md, or its rows that have one of the words in their names.
//! `just bench peers [WORD…]`: the same work done in turn by Python's programs, and the ratios.

mod compute;
mod flops;
mod measure;
mod peer;
mod peers;
mod place;
mod process;
mod rows;
mod table;

use std::path::PathBuf;

use clap::Parser;
use gan_kernels::{Isa, bf16};
use place::Place;

/// Measure speed and memory as shares of what this machine can do.
#[derive(Parser)]
struct Args {
    /// Rows with one of these words in their names [default: all]; `peers` first: against Python's programs
    words: Vec<String>,
    /// JPEGs for `prep`, a folder or a zip, instead of drawn faces
    #[arg(long, value_name = "DIR_OR_ZIP")]
    data: Option<PathBuf>,
    /// Pictures that the rows of `fid` compare [default: 500; 3,000 against peers]
    #[arg(long, value_name = "N")]
    fakes: Option<usize>,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    // The tools' allocator, as they set it.
    gantools::keep_pages();
    let Args { mut words, data, fakes, bench: _ } = Args::parse();
    let against_peers = words.first().is_some_and(|word| word == "peers");
    if against_peers {
        words.remove(0);
    }
    // So that nobody needs an é to ask for Fréchet.
    let plain = |text: &str| text.to_lowercase().replace('é', "e");
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| plain(name).contains(&plain(word)));
    let place = Place::new(data, fakes.unwrap_or(if against_peers { 3000 } else { 500 }));
    println!(
        "{} threads; f32 on {:?}, bf16 on {:?}\n",
        rayon::current_num_threads(),
        Isa::best::<f32>(),
        Isa::best::<bf16>()
    );
    if against_peers { peers::run(&place, wanted) } else { rows::run(&place, wanted) }
}
