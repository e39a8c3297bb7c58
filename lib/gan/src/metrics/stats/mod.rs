//! Statistics of a set of images in a file: pytorch-fid's `.npz`, which it reads and writes.
//!
//! `mu` `[d]` and `sigma` `[d, d]` in f64 (f32, f16 and the names of other programs are read, too). Files of
//! gantools also have `meta`, a JSON object as bytes, which describes the images and the features; numpy and
//! pytorch-fid ignore it. In files without it, only the number of features is known.

mod kind;
mod merge;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::io::atomic;
use crate::metrics::features::{Extractor, Features};
use crate::metrics::frechet::Gaussian;
use crate::metrics::{DatasetInfo, ImageSet};
use crate::precision::Precision;
use crate::{Error, Result};

pub use crate::io::npz::MAX_FEATURES as MOST_DIMS;
use crate::io::npz::{Npz, NpzWriter};
pub(crate) use kind::StatsKind;
pub use merge::merge;

/// What statistics were computed from, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsMeta {
    /// The network.
    pub features: Features,
    /// The number of features.
    pub dims: usize,
    /// The number of images.
    pub n: u64,
    /// SHA-256 of the network's weights: [`Extractor::weights`].
    pub weights: String,
    /// The type that the features were computed in; earlier versions, which did not save it, used f32.
    #[serde(default)]
    pub precision: Precision,
    /// Identifies the images: `listing` and a SHA-256 of their names and versions (such as sizes) in order,
    /// `shard` and that of a shard's content, `part K/N of` and the text of all images, or `merged` and a
    /// SHA-256 of the parts' texts.
    pub content: String,
    /// Properties of the images; `None` if an earlier version did not save them, or merged parts differ in
    /// them.
    #[serde(default, rename = "look")]
    pub dataset: Option<DatasetInfo>,
    /// The name of the images.
    pub source: String,
    /// The program that made the file.
    pub tool: String,
}

impl StatsMeta {
    /// That of `images`, which `content` identifies (see [`ImageSet::content`]), and of the features of
    /// `extractor`. Their `dataset` is known only after a pass over them.
    pub fn new(images: &ImageSet, extractor: &Extractor, content: String) -> StatsMeta {
        StatsMeta {
            features: extractor.features(),
            dims: extractor.dims(),
            n: images.len() as u64,
            weights: extractor.weights().to_string(),
            precision: extractor.precision(),
            content,
            dataset: None,
            source: images.describe(),
            tool: concat!("gantools ", env!("CARGO_PKG_VERSION")).to_string(),
        }
    }
}

/// Statistics of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Mean and covariance.
    pub gaussian: Gaussian,
    /// What they were computed from; `None` for files of other programs.
    pub meta: Option<StatsMeta>,
}

/// Statistics and the file that they were read from.
#[derive(Debug, Clone)]
pub struct StatsFile {
    /// The file.
    pub path: PathBuf,
    /// The statistics.
    pub stats: Stats,
}

impl StatsFile {
    /// Reads a file of statistics.
    ///
    /// # Errors
    /// As [`Stats::read`].
    pub fn read(path: impl Into<PathBuf>) -> Result<StatsFile> {
        let path = path.into();
        Ok(StatsFile { stats: Stats::read(&path)?, path })
    }
}

impl Stats {
    /// Reads an `.npz`: `mu` and `sigma`, or the only pair of arrays with such names (`mean` and `cov`,
    /// `mu_clean` and `sigma_clean`).
    ///
    /// # Errors
    /// There is no such file; it is not an `.npz`; it has no such pair of arrays, or several; their shapes do
    /// not fit; the values are not a mean and a covariance.
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
        let json = if names.iter().any(|n| n == "meta") { npz.bytes("meta")? } else { None };
        // Another program's array may have the same name.
        let meta: Option<StatsMeta> = json.and_then(|json| serde_json::from_slice(&json).ok());
        if let Some(StatsMeta { dims, .. }) = meta.as_ref().filter(|meta| meta.dims != d) {
            return Err(Error::file(path, format!("`{mean}` has {d} features but `meta` says {dims}")));
        }
        // A symmetric matrix is the same in row-major and column-major order.
        let sigma = sigma.iter().copied().collect();
        Ok(Stats { gaussian: Gaussian { mu: mu.to_vec(), sigma }, meta })
    }

    /// Writes a compressed `.npz`, atomically; the same bytes for the same statistics. Its modification time
    /// is set to `listed`, the time at which the images were listed, so that a later change of an image makes
    /// it out of date.
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

/// The names of a mean, and of a covariance, in other programs.
const MEANS: [&str; 2] = ["mu", "mean"];
const COVARIANCES: [&str; 3] = ["sigma", "cov", "covariance"];

/// The names of the mean and the covariance among those of all arrays: `mu` and `sigma`, or else the only
/// pair of names that are equal except for such words.
fn arrays(names: &[String]) -> Result<[String; 2], String> {
    if ["mu", "sigma"].iter().all(|key| names.iter().any(|name| name == key)) {
        return Ok(["mu".into(), "sigma".into()]);
    }
    let (all, mut pairs) = (names.iter().collect::<HashSet<_>>(), Vec::new());
    for mean in names {
        for (at, word) in MEANS.iter().flat_map(|word| mean.match_indices(word)) {
            let (before, after) = (&mean[..at], &mean[at + word.len()..]);
            if !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphabetic) {
                let others = COVARIANCES.map(|other| format!("{before}{other}{after}"));
                pairs.extend(others.into_iter().filter(|o| all.contains(o)).map(|o| [mean.clone(), o]));
            }
        }
    }
    match &pairs[..] {
        [pair] => Ok(pair.clone()),
        [] => {
            let missing = if names.iter().any(|name| name == "mu") { "sigma" } else { "mu" };
            let held = if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
            Err(format!("no array `{missing}` (it holds {held}); make the statistics again"))
        }
        several => {
            let pairs: Vec<String> = several.iter().map(|[a, b]| format!("`{a}` and `{b}`")).collect();
            Err(format!("holds several statistics ({}): save one as `mu` and `sigma`", pairs.join("; ")))
        }
    }
}

/// Whether the file at `path` has the statistics that would be made now, of the same images, by `wanted`
/// (whose `dataset`, `source` and `tool` are not compared); `changed` is the time at which an image last
/// changed.
pub fn is_up_to_date(path: &Path, wanted: &StatsMeta, changed: Option<SystemTime>) -> bool {
    let Ok(Stats { meta: Some(meta), .. }) = Stats::read(path) else { return false };
    let Ok(modified) = std::fs::metadata(path).and_then(|there| there.modified()) else { return false };
    let StatsMeta { dataset, source, tool, .. } = meta.clone();
    meta == StatsMeta { dataset, source, tool, ..wanted.clone() }
        && changed.is_none_or(|changed| changed <= modified)
}

/// Checks that the values are a mean and a covariance.
fn check_values([mean, cov]: [&str; 2], mu: &Array1<f64>, sigma: &Array2<f64>) -> Result<(), String> {
    let is_finite = |v: &f64| v.is_finite();
    let finite = [(mean, mu.iter().all(is_finite)), (cov, sigma.iter().all(is_finite))];
    if let Some((name, _)) = finite.iter().find(|(_, finite)| !finite) {
        return Err(format!("`{name}` has values that are not finite; make the statistics again"));
    }
    let largest = sigma.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    for ((i, j), v) in sigma.indexed_iter() {
        if (v - sigma[(j, i)]).abs() > 1e-6 * largest {
            return Err(format!("`{cov}` is not symmetric (row {i}, column {j}): not a covariance"));
        }
        if i == j && *v < -1e-6 * largest {
            return Err(format!("`{cov}` has the negative variance {v} in row {i}: not a covariance"));
        }
    }
    Ok(())
}
