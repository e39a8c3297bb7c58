//! Statistics of a set of images in a file: pytorch-fid's `.npz`, which it writes and reads, and so do we.
//!
//! `mu` [d] and `sigma` [d, d] in f64 (f32, f16 and the names of other programs are read, too). What we write
//! also has `meta`, a JSON object as bytes, which tells the features that the statistics are of; numpy and
//! pytorch-fid pass it over. Files without it prove nothing but the number of their features.

mod kind;
mod merge;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Cursor};
use std::path::Path;
use std::time::SystemTime;

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::io::atomic;
use crate::metrics::DatasetInfo;
use crate::metrics::features::Features;
use crate::metrics::frechet::Gaussian;
use crate::precision::Precision;
use crate::{Error, Result};

pub use crate::io::npz::MAX_FEATURES as MOST_DIMS;
use crate::io::npz::{Npz, NpzWriter};
pub use kind::{StatsKind, kind};
pub use merge::{Partition, merge, read_all};

/// What statistics are of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsMeta {
    /// The network whose features they are.
    pub features: Features,
    /// The number of features.
    pub dims: usize,
    /// The number of images.
    pub n: u64,
    /// SHA-256 of the network's weights as we compute it (not of their file).
    pub weights: String,
    /// What they were computed in; f32 where an earlier version does not say.
    #[serde(default)]
    pub precision: Precision,
    /// Identifies the images: a hash of their bytes in order.
    pub content: String,
    /// What the images look like; `None` where an earlier version does not say, and of merged ones that differ.
    #[serde(default)]
    pub look: Option<DatasetInfo>,
    /// The images as they were named.
    pub source: String,
    /// The program that made the file.
    pub tool: String,
}

/// Statistics and, where the file tells, what they are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Mean and covariance.
    pub gaussian: Gaussian,
    /// `None` for files of other programs.
    pub meta: Option<StatsMeta>,
}

impl Stats {
    /// Reads an `.npz`: `mu` and `sigma`, or the one pair of arrays that other programs call so (`mean` and
    /// `cov`, `mu_clean` and `sigma_clean`).
    ///
    /// # Errors
    /// No such file; not an `.npz`; no such pair of arrays, or several; arrays of other shapes; values that
    /// no features have.
    pub fn read(path: &Path) -> Result<Stats> {
        let mut npz = Npz::open(path)?;
        let names = npz.names();
        let [mean, covariance] = arrays(&names).map_err(|what| Error::file(path, what))?;
        let (mu, sigma) = (npz.vector(&mean)?, npz.matrix(&covariance)?);
        let d = mu.len();
        if d == 0 || sigma.shape() != [d, d] {
            let what = format!("`{mean}` has {d} features but `{covariance}` is {:?}", sigma.shape());
            return Err(Error::file(path, what));
        }
        check_values([&mean, &covariance], &mu, &sigma).map_err(|what| Error::file(path, what))?;
        let meta = match names.iter().any(|n| n == "meta") {
            true => npz.bytes("meta")?.map_or(Ok(None), |json| meta(&json, d)),
            false => Ok(None),
        };
        let meta = meta.map_err(|what| Error::file(path, what))?;
        // Row-major or column-major is one for a symmetric matrix.
        let sigma = sigma.iter().copied().collect();
        Ok(Stats { gaussian: Gaussian { mu: mu.to_vec(), sigma }, meta })
    }

    /// Writes an `.npz`, compressed, in one piece; the same bytes for the same statistics. The file gets the time at which
    /// the images were `listed`, so that an image that changes later makes it out of date.
    ///
    /// # Errors
    /// The folder is not there or not writable.
    pub fn write(&self, path: &Path, listed: SystemTime) -> Result<()> {
        let bytes = self.bytes().map_err(Error::io(path))?;
        atomic::write_dated(path, listed, |out| out.write_all(&bytes))
    }

    /// The `.npz`.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let d = self.gaussian.dims();
        let sigma = ArrayView2::from_shape((d, d), &self.gaussian.sigma).map_err(io::Error::other)?;
        let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
        npz.add("mu", &ArrayView1::from(&self.gaussian.mu))?;
        npz.add("sigma", &sigma)?;
        if let Some(meta) = &self.meta {
            npz.add("meta", &ArrayView1::from(&serde_json::to_vec(meta)?))?;
        }
        Ok(npz.finish()?.into_inner())
    }
}

/// How other programs call a mean, and a covariance.
const MEANS: [&str; 2] = ["mu", "mean"];
const COVARIANCES: [&str; 3] = ["sigma", "cov", "covariance"];

/// The arrays that are mean and covariance, among the names of all: `mu` and `sigma`, or else the only pair
/// whose names are alike but for such words.
fn arrays(names: &[String]) -> Result<[String; 2], String> {
    if ["mu", "sigma"].iter().all(|key| names.iter().any(|name| name == key)) {
        return Ok(["mu".into(), "sigma".into()]);
    }
    let (all, mut pairs) = (names.iter().map(String::as_str).collect::<HashSet<_>>(), Vec::new());
    for mean in names {
        for (word, other) in MEANS.iter().flat_map(|m| COVARIANCES.map(|c| (m, c))) {
            for (at, _) in mean.match_indices(word) {
                let (before, after) = (&mean[..at], &mean[at + word.len()..]);
                let whole =
                    !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphabetic);
                let covariance = format!("{before}{other}{after}");
                if whole && all.contains(&*covariance) {
                    pairs.push([mean.clone(), covariance]);
                }
            }
        }
    }
    match &pairs[..] {
        [pair] => Ok(pair.clone()),
        [] => {
            let missing = if names.iter().any(|name| name == "mu") { "sigma" } else { "mu" };
            let held = if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
            Err(format!("no array `{missing}` (it holds {held}); statistics come from fid --save-stats"))
        }
        several => {
            let pairs: Vec<String> = several.iter().map(|[a, b]| format!("`{a}` and `{b}`")).collect();
            Err(format!("holds several statistics ({}): save one as `mu` and `sigma`", pairs.join("; ")))
        }
    }
}

/// Whether statistics may be written to `path`, and are not there already: `true` if what is there is what would be
/// made now, of the same images, by `wanted` (whose `look`, `source` and `tool` do not matter); `changed` is when an image last
/// changed.
///
/// # Errors
/// Something else is there; the folder is not.
pub fn is_up_to_date(path: &Path, wanted: &StatsMeta, changed: Option<SystemTime>) -> Result<bool> {
    let modified = match std::fs::metadata(path).and_then(|there| there.modified()) {
        Ok(modified) => modified,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let same = |there: &StatsMeta| {
        let StatsMeta { look, source, tool, .. } = there.clone();
        *there == StatsMeta { look, source, tool, ..wanted.clone() }
    };
    match Stats::read(path) {
        Ok(Stats { meta: Some(meta), .. })
            if same(&meta) && changed.is_none_or(|changed| changed <= modified) =>
        {
            Ok(true)
        }
        _ => Err(Error::file(
            path,
            "is there and is of other images or features: name another file, or --force",
        )),
    }
}

/// What a covariance cannot be, as one line.
fn check_values(
    [mean, covariance]: [&str; 2],
    mu: &ndarray::Array1<f64>,
    sigma: &ndarray::Array2<f64>,
) -> Result<(), String> {
    if let Some(name) =
        [(mean, mu.iter().all(|v| v.is_finite())), (covariance, sigma.iter().all(|v| v.is_finite()))]
            .iter()
            .find_map(|(name, sound)| (!sound).then_some(name))
    {
        return Err(format!("`{name}` holds values that are not finite; make the statistics again"));
    }
    let largest = sigma.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    for ((i, j), v) in sigma.indexed_iter() {
        if (v - sigma[(j, i)]).abs() > 1e-6 * largest {
            return Err(format!("`{covariance}` is not symmetric (row {i}, column {j}): not a covariance"));
        }
        if i == j && *v < -1e-6 * largest {
            return Err(format!("`{covariance}` has the negative variance {v} in row {i}: not a covariance"));
        }
    }
    Ok(())
}

/// Our `meta`; `None` for a foreign array of that name.
fn meta(json: &[u8], d: usize) -> Result<Option<StatsMeta>, String> {
    let Ok(meta) = serde_json::from_slice::<StatsMeta>(json) else { return Ok(None) };
    if meta.dims != d {
        return Err(format!("`mu` has {d} features but `meta` says {}", meta.dims));
    }
    Ok(Some(meta))
}
