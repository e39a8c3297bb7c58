//! The two sides of a comparison: pictures or statistics, and what makes them comparable.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Extractor, Features, Look, Measured, Pictures, check_dims, measure};
use crate::frechet::Gaussian;
use crate::layer::Precision;
use crate::progress::Progress;
use crate::stats::Stats;
use crate::{Error, Result, source};

/// One side.
pub enum Side {
    /// Statistics that were saved.
    Stats(PathBuf, Box<Stats>),
    /// Pictures to be measured.
    Pictures(Box<Pictures>),
}

/// By which features to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The network.
    pub features: Features,
    /// The number of its features.
    pub dims: usize,
}

/// One side, ready to be compared.
pub struct Compared {
    /// Its statistics.
    pub gaussian: Gaussian,
    /// The number of pictures, where it is known.
    pub n: Option<u64>,
    /// The hash of the weights, where it is known.
    pub weights: Option<String>,
    /// What the features were computed in, where it is known.
    pub precision: Option<Precision>,
    /// The features themselves, `[n, dims]`, where they were asked for.
    pub features: Option<Vec<f32>>,
    /// What the pictures look like, where it is known.
    pub look: Option<Look>,
    /// How long it took to measure them.
    pub seconds: f64,
}

impl Side {
    /// Opens `.npz` statistics (told by the extension, as pytorch-fid does) or pictures.
    ///
    /// # Errors
    /// It is none of these, or broken.
    pub fn open(path: &Path) -> Result<Side> {
        // Samples are published as arrays in an .npz, too, and CIFAR in pickles.
        if source::holds_images(path) {
            return Ok(Side::Pictures(Box::new(Pictures::open(path)?)));
        }
        let npz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
        Ok(match npz {
            true => Side::Stats(path.to_path_buf(), Box::new(Stats::read(path)?)),
            false => Side::Pictures(Box::new(Pictures::open(path)?)),
        })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        match self {
            Side::Stats(path, _) => path,
            Side::Pictures(pictures) => pictures.path(),
        }
    }

    /// The pictures to be measured, if this side is pictures.
    pub fn pictures(&self) -> Option<&Pictures> {
        match self {
            Side::Stats(..) => None,
            Side::Pictures(pictures) => Some(pictures),
        }
    }

    /// Checks that statistics are of the weights that an extractor has.
    ///
    /// # Errors
    /// They say that they are of others.
    pub fn check_weights(&self, extractor: &Extractor) -> Result<()> {
        match self {
            Side::Stats(path, stats) => match &stats.meta {
                Some(meta) if meta.weights != extractor.weights() => {
                    let what = "of other weights than the ones at hand: make the statistics again, or name theirs with --weights";
                    Err(Error::file(path, what))
                }
                _ => Ok(()),
            },
            Side::Pictures(_) => Ok(()),
        }
    }
}

/// The features that all sides can be compared by: what was asked for, else what the statistics are of, else the FID's.
///
/// # Errors
/// Statistics of other features than asked for, or than those of the other side; of other weights, unless `force`.
pub fn choose(
    sides: &[&Side],
    features: Option<Features>,
    dims: Option<usize>,
    force: bool,
) -> Result<Choice> {
    let mut fixed: Option<(&Path, Choice, Option<&str>)> = None;
    for side in sides {
        let Side::Stats(path, stats) = side else { continue };
        let is = stats.features().map_err(|e| Error::file(path, e.to_string()))?;
        let is = Choice { features: is, dims: stats.gaussian.dims() };
        if features.is_some_and(|f| f != is.features) || dims.is_some_and(|d| d != is.dims) {
            let what = format!("statistics of {is}, which is not what --features and --dims ask for");
            return Err(Error::file(path, what));
        }
        let weights = stats.meta.as_ref().map(|meta| meta.weights.as_str());
        match fixed {
            Some((other, choice, _)) if choice != is => {
                let what = format!("statistics of {is}, but {} is of {choice}", other.display());
                return Err(Error::file(path, what));
            }
            Some((other, _, theirs)) if !force && theirs.zip(weights).is_some_and(|(a, b)| a != b) => {
                let what = format!(
                    "of other {} weights than {} (--force compares them)",
                    is.features,
                    other.display()
                );
                return Err(Error::file(path, what));
            }
            _ => fixed = Some((path, is, weights)),
        }
    }
    if let Some((_, choice, _)) = fixed {
        return Ok(choice);
    }
    let features = features.unwrap_or(Features::Inception);
    let dims = dims.unwrap_or(features.usual_dims());
    check_dims(features, dims)?;
    Ok(Choice { features, dims })
}

/// Makes a side ready to be compared; `extractor` is needed where it is pictures. With `keep` the features are kept: 8 KB for
/// each picture and 2,048 features.
///
/// # Errors
/// A picture that cannot be read; fewer than two; no extractor; statistics, whose features are not there to be kept.
pub fn compared(
    side: Side,
    extractor: Option<&Extractor>,
    batch: usize,
    keep: bool,
    progress: &dyn Progress,
) -> Result<Compared> {
    match (side, extractor) {
        (Side::Stats(path, _), _) if keep => {
            let what =
                "statistics have no single pictures in them: KID and neighbours need the pictures themselves";
            Err(Error::file(path, what))
        }
        (Side::Stats(_, stats), _) => {
            let precision = stats.meta.as_ref().map(|meta| meta.precision);
            let look = stats.meta.as_ref().and_then(|meta| meta.look.clone());
            let (n, weights) = stats.meta.map(|meta| (meta.n, meta.weights)).unzip();
            let (features, seconds) = (None, 0.0);
            Ok(Compared { gaussian: stats.gaussian, n, weights, precision, features, look, seconds })
        }
        (Side::Pictures(pictures), Some(extractor)) => {
            let began = Instant::now();
            let Measured { moments, features, look } = measure(&pictures, extractor, batch, keep, progress)?;
            let n = Some(moments.n());
            let gaussian = moments.gaussian().map_err(|e| Error::file(pictures.path(), e.to_string()))?;
            Ok(Compared {
                gaussian,
                n,
                weights: Some(extractor.weights().to_string()),
                precision: Some(extractor.precision()),
                features,
                look: Some(look),
                seconds: began.elapsed().as_secs_f64(),
            })
        }
        (Side::Pictures(pictures), None) => Err(Error::file(pictures.path(), "pictures need a network")),
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {}", self.features, self.dims)
    }
}
