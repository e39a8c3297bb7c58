//! Which files hold statistics, by their first bytes, and what to do with those of other programs.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::{Error, Result};

const TORCH: &str = "a file of torch.save, not an .npz: save its mean and covariance by \
                     np.savez(\"stats.npz\", mu=…, sigma=…)";

/// The kind of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatsKind {
    /// A zip of numpy's arrays.
    Npz,
    /// Another program's format, which is not read: its name, and how to make an `.npz` of it.
    Other(String),
    /// Anything else, such as images.
    Unknown,
}

/// The bytes that are read: a pickle names its contents before its second array.
const HEAD: u64 = 1 << 16;

impl StatsKind {
    /// The kind of the file or folder at `path`.
    ///
    /// # Errors
    /// It is not there or not readable.
    pub(crate) fn of(path: &Path) -> Result<StatsKind> {
        let mut head = Vec::new();
        match File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)) {
            Err(e) if e.kind() == ErrorKind::IsADirectory => return Ok(StatsKind::Unknown),
            other => other.map_err(Error::io(path))?,
        };
        Ok(match &head[..] {
            [b'P', b'K', 3, 4, ..] => of_zip(&head),
            // The binary versions of pickles.
            [0x80, 2..=5, ..] => StatsKind::Other(of_pickle(&head)),
            _ => StatsKind::Unknown,
        })
    }
}

/// Of a zip, by the name of its first entry: its length at 26, the name at 30.
fn of_zip(head: &[u8]) -> StatsKind {
    let Some(&[low, high]) = head.get(26..28) else { return StatsKind::Unknown };
    let name = head.get(30..30 + usize::from(u16::from_le_bytes([low, high]))).unwrap_or_default();
    match name {
        name if name.ends_with(b".npy") => StatsKind::Npz,
        name if name.ends_with(b"/data.pkl") => StatsKind::Other(TORCH.into()),
        _ => StatsKind::Unknown,
    }
}

fn of_pickle(head: &[u8]) -> String {
    let names = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    let (what, save) = if names(b"raw_mean") {
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
    format!("{what}, which is not read: d = pickle.load(open(…, \"rb\")); {save}")
}
