//! Which files hold statistics, by how they begin, and what those of other programs are instead.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::{Error, Result};

/// What a file looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsKind {
    /// A zip of numpy's arrays.
    Npz,
    /// What another program may keep statistics in, which is not read: what it is and how to make an `.npz`
    /// of it.
    Other(String),
    /// Anything else: images, perhaps.
    Unknown,
}

/// The bytes that are looked at: a pickle names what is in it before its second array.
const LOOKED_AT: u64 = 1 << 16;

/// What the file or folder at `path` looks like.
///
/// # Errors
/// It is not there or not to be read.
pub fn kind(path: &Path) -> Result<StatsKind> {
    let mut start = Vec::new();
    match File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut start)) {
        Err(e) if e.kind() == ErrorKind::IsADirectory => return Ok(StatsKind::Unknown),
        other => other.map_err(Error::io(path))?,
    };
    Ok(match &start[..] {
        [b'P', b'K', 3, 4, ..] => of_zip(&start),
        // The versions of pickles that are not text.
        [0x80, 2..=5, ..] => StatsKind::Other(of_pickle(&start)),
        _ => StatsKind::Unknown,
    })
}

/// Of a zip, by the name of its first entry: a length at 26, the name at 30.
fn of_zip(start: &[u8]) -> StatsKind {
    let Some(&[low, high]) = start.get(26..28) else { return StatsKind::Unknown };
    let name = start.get(30..30 + usize::from(u16::from_le_bytes([low, high]))).unwrap_or_default();
    if name.ends_with(b".npy") {
        return StatsKind::Npz;
    }
    if name.ends_with(b"/data.pkl") {
        return StatsKind::Other(
            "a file of torch.save, not an .npz: of a mean and a covariance in it, \
             np.savez(\"stats.npz\", mu=…, sigma=…) makes one"
                .into(),
        );
    }
    StatsKind::Unknown
}

fn of_pickle(start: &[u8]) -> String {
    let names = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
    let (what, make) = if names(b"raw_mean") {
        (
            "StyleGAN's statistics, a pickle",
            "n, mu = d[\"num_items\"], d[\"raw_mean\"] / d[\"num_items\"]; np.savez(\"stats.npz\", mu=mu, \
             sigma=d[\"raw_cov\"] / n - np.outer(mu, mu))",
        )
    } else if names(b"fid") && names(b"sigma") {
        (
            "EDM2's statistics, a pickle of several",
            "np.savez(\"stats.npz\", mu=d[\"fid\"][\"mu\"], sigma=d[\"fid\"][\"sigma\"])",
        )
    } else if names(b"sigma") {
        ("statistics in a pickle", "np.savez(\"stats.npz\", mu=d[\"mu\"], sigma=d[\"sigma\"])")
    } else {
        ("a Python pickle", "np.savez(\"stats.npz\", mu=…, sigma=…) of a mean and a covariance in it")
    };
    format!("{what}, which is not read: d = pickle.load(open(…, \"rb\")); {make}")
}
