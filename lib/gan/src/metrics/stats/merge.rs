//! Statistics that were made in parts, added up.

use std::path::{Path, PathBuf};

use super::{Stats, StatsMeta};
use crate::io::hash::Hasher;
use crate::metrics::frechet::Gaussian;
use crate::{Error, Result};

/// One of equal shares of a set of images, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Partition {
    /// The images of this part among `n`.
    pub fn range(self, n: usize) -> std::ops::Range<usize> {
        let start = |index: usize| (index as u128 * n as u128 / self.of as u128) as usize;
        start(self.index - 1)..start(self.index)
    }

    /// What identifies the images of this part of a whole.
    pub fn content(self, whole: &str) -> String {
        format!("part {self} of {whole}")
    }
}

impl std::str::FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Partition, String> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Partition { index, of }),
            _ => Err("name a part as K/N, such as 3/16, K being 1 to N".into()),
        }
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// The statistics of all images together: those of one pass over them, but for rounding (Chan, Golub and LeVeque 1979). All
/// parts of one whole come to what that whole's statistics say of themselves.
///
/// # Errors
/// A file of another program, which does not tell its number of images; files of other features, weights or precision; the
/// same images twice.
pub fn merge(parts: &[(PathBuf, Stats)]) -> Result<Stats> {
    let metas: Vec<&StatsMeta> = parts
        .iter()
        .map(|(path, stats)| {
            let what =
                "does not tell its number of images: `fid --save-stats` of gantools makes such that do";
            stats.meta.as_ref().ok_or_else(|| Error::file(path, what))
        })
        .collect::<Result<_>>()?;
    let Some(&first) = metas.first() else { return Err(Error::Invalid("no statistics to add up".into())) };
    for (i, (meta, (path, _))) in metas.iter().zip(parts).enumerate() {
        let kind = |m: &StatsMeta| (m.features, m.dims, m.weights.clone(), m.precision);
        if kind(meta) != kind(first) {
            let what = format!("is of other features, weights or precision than {}", parts[0].0.display());
            return Err(Error::file(path, what));
        }
        if let Some(twin) = metas[..i].iter().position(|other| other.content == meta.content) {
            return Err(Error::file(path, format!("is of the same images as {}", parts[twin].0.display())));
        }
    }
    let n: u64 = metas.iter().map(|meta| meta.n).sum();
    let sources: Vec<&str> = metas.iter().map(|meta| meta.source.as_str()).collect();
    let source =
        if sources.iter().all(|s| *s == sources[0]) { sources[0].to_string() } else { sources.join(", ") };
    let look = first.look.clone().filter(|look| metas.iter().all(|meta| meta.look.as_ref() == Some(look)));
    let meta = StatsMeta { n, content: content(&metas), look, source, ..first.clone() };
    Ok(Stats { gaussian: together(parts, &metas, n as f64), meta: Some(meta) })
}

fn together(parts: &[(PathBuf, Stats)], metas: &[&StatsMeta], n: f64) -> Gaussian {
    let d = metas[0].dims;
    let each = || parts.iter().zip(metas).map(|((_, stats), meta)| (&stats.gaussian, meta.n as f64));
    let mut mu = vec![0.0; d];
    for (gaussian, count) in each() {
        mu.iter_mut().zip(&gaussian.mu).for_each(|(all, one)| *all += count / n * one);
    }
    let mut sigma = vec![0.0; d * d];
    for (gaussian, count) in each() {
        let offset: Vec<f64> = gaussian.mu.iter().zip(&mu).map(|(one, all)| one - all).collect();
        let rows = sigma.chunks_exact_mut(d).zip(gaussian.sigma.chunks_exact(d)).zip(&offset);
        for ((all, one), a) in rows {
            for ((all, one), b) in all.iter_mut().zip(one).zip(&offset) {
                *all += ((count - 1.0) * one + count * a * b) / (n - 1.0);
            }
        }
    }
    Gaussian { mu, sigma }
}

/// What identifies all these images: the whole, where they are its parts from the first to the last.
fn content(metas: &[&StatsMeta]) -> String {
    let mut contents: Vec<&str> = metas.iter().map(|meta| meta.content.as_str()).collect();
    let whole = |text: &str| {
        let (part, whole) = text.strip_prefix("part ")?.split_once(" of ")?;
        Some((part.parse::<Partition>().ok()?, whole.to_string()))
    };
    let parts: Option<Vec<(Partition, String)>> = contents.iter().map(|text| whole(text)).collect();
    if let Some(parts) = parts
        && parts.iter().all(|(part, whole)| part.of == parts.len() && *whole == parts[0].1)
    {
        // No content is there twice, so these are all.
        return parts[0].1.clone();
    }
    contents.sort_unstable();
    format!("merged {}", Hasher::of(&[contents.join("\n").as_bytes()]))
}

/// Reads what is to be merged.
///
/// # Errors
/// As [`Stats::read`].
pub fn read_all(paths: &[impl AsRef<Path>]) -> Result<Vec<(PathBuf, Stats)>> {
    paths.iter().map(|path| Ok((path.as_ref().to_path_buf(), Stats::read(path.as_ref())?))).collect()
}
