//! `just bench [WORD…]`: the table of docs/performance.md, or the rows with one of the words in their names.
//! `just bench peers [WORD…]`: comparison with Python programs.
//! `just test-gpu` ends with `bench gpu [WORD…]`: the tools on a GPU.

mod compute;
mod flops;
mod gpu;
mod measure;
mod peer;
mod peers;
mod process;
mod rows;
mod table;
mod workspace;

use std::path::PathBuf;

use clap::Parser;
use gan_kernels::{Isa, bf16};
use workspace::Workspace;

/// Measure speed and memory, relative to the peak of this machine.
#[derive(Parser)]
struct Args {
    /// Words in the names of rows [default: all rows]; after `peers`: compare with Python; after `gpu`: use a
    /// GPU
    words: Vec<String>,
    /// JPEGs for `prep`, a folder or a zip, instead of drawn faces
    #[arg(long, value_name = "DIR_OR_ZIP")]
    data: Option<PathBuf>,
    /// Images that the rows of `fid` compare [default: 500; 3,000 against peers and on a GPU]
    #[arg(long, value_name = "N")]
    fakes: Option<usize>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    // The allocator settings of the tools.
    gantools::keep_pages();
    let Args { mut words, data, fakes, bench: _ } = Args::parse();
    let mode = words.first().filter(|word| ["peers", "gpu"].contains(&word.as_str())).cloned();
    if mode.is_some() {
        words.remove(0);
    }
    // "frechet" matches "Fréchet".
    let plain = |text: &str| text.to_lowercase().replace('é', "e");
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| plain(name).contains(&plain(word)));
    let workspace = Workspace::new(data, fakes.unwrap_or(if mode.is_some() { 3000 } else { 500 }));
    println!(
        "{} threads; f32 on {:?}, bf16 on {:?}\n",
        rayon::current_num_threads(),
        Isa::best::<f32>(),
        Isa::best::<bf16>()
    );
    match mode.as_deref() {
        Some("peers") => peers::run(&workspace, wanted),
        Some(_) => gpu::run(&workspace, wanted),
        None => rows::run(&workspace, wanted),
    }
}
