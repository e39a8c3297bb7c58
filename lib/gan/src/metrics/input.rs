//! The inputs of a comparison: images or statistics, and the features that both can be compared by.

use std::path::Path;

use super::ImageSet;
use super::features::{Extractor, Features, squeezenet};
use super::stats::{Stats, StatsFile, StatsKind};
use crate::data::source;
use crate::{Error, Result};

/// An input of a comparison.
pub enum FidInput {
    /// Saved statistics.
    Statistics(Box<StatsFile>),
    /// Images, whose features are yet to be computed.
    Images(Box<ImageSet>),
}

/// The features to compare by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSpec {
    /// The network; `None` where two files of statistics do not say it. Always known for images.
    pub features: Option<Features>,
    /// The number of features.
    pub dims: usize,
}

impl FidInput {
    /// Opens `.npz` statistics, whatever their name, or images.
    ///
    /// # Errors
    /// It is none of these, or damaged.
    pub fn open(path: &Path) -> Result<FidInput> {
        // Samples are also published as arrays in an .npz, and CIFAR in pickles.
        let images = source::holds_images(path);
        let npz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
        match if images { StatsKind::Unknown } else { StatsKind::of(path)? } {
            StatsKind::Other(what) => Err(Error::file(path, what)),
            StatsKind::Unknown if images || !npz => Ok(FidInput::Images(Box::new(ImageSet::open(path)?))),
            StatsKind::Npz | StatsKind::Unknown => Ok(FidInput::of_stats(path, Stats::read(path)?)),
        }
    }

    /// Statistics that were read from `path`.
    pub(super) fn of_stats(path: impl AsRef<Path>, stats: Stats) -> FidInput {
        FidInput::Statistics(Box::new(StatsFile { path: path.as_ref().to_path_buf(), stats }))
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        match self {
            FidInput::Statistics(file) => &file.path,
            FidInput::Images(images) => &images.path,
        }
    }

    /// The images, if this input is images.
    pub fn images(&self) -> Option<&ImageSet> {
        let FidInput::Images(images) = self else { return None };
        Some(images)
    }

    pub(super) fn statistics(&self) -> Option<&StatsFile> {
        let FidInput::Statistics(file) = self else { return None };
        Some(file)
    }

    /// Checks that statistics, if this input is such, were made with the weights of `extractor`.
    ///
    /// # Errors
    /// They were made with others.
    pub fn check_weights(&self, extractor: &Extractor) -> Result<()> {
        let Some(file) = self.statistics() else { return Ok(()) };
        match &file.stats.meta {
            Some(meta) if meta.weights != extractor.weights() => file.fails(
                "made with other weights than those loaded; make the statistics again, or load their weights",
            ),
            _ => Ok(()),
        }
    }
}

impl StatsFile {
    fn fails<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::file(&self.path, what))
    }

    fn dims(&self) -> usize {
        self.stats.gaussian.dims()
    }

    /// The network, which another program's file does not name.
    fn network(&self) -> Option<Features> {
        self.stats.meta.as_ref().map(|meta| meta.features)
    }

    /// Such as `512 squeezenet features`.
    fn describe(&self) -> String {
        match self.network() {
            Some(network) => format!("{} {network} features", self.dims()),
            None => format!("{} features of an unknown network", self.dims()),
        }
    }

    /// Checks that the file has the requested features.
    fn check_request(&self, features: Option<Features>, dims: Option<usize>) -> Result<()> {
        let wrong = |name: &str, asked: &dyn std::fmt::Display| {
            let what = format!("{asked}, but {} has {}", self.path.display(), self.describe());
            Err(Error::argument(name, what))
        };
        match (dims, features, self.network()) {
            (Some(dims), ..) if dims != self.dims() => wrong("dims", &dims),
            (_, Some(asked), Some(features)) if asked != features => wrong("features", &asked),
            (_, Some(asked), None) => self.check_foreign(asked),
            _ => Ok(()),
        }
    }

    /// Checks that another program's features may be those of `network`.
    fn check_foreign(&self, network: Features) -> Result<()> {
        let (is, choices) = (self.describe(), network.choices_in_words());
        match network {
            Features::Inception if network.choices().contains(&self.dims()) => Ok(()),
            Features::Inception => self.fails(format!("has {is}; Inception has {choices}")),
            Features::Squeezenet => {
                self.fails(format!("has {is} of another program; only gantools saves SqueezeNet's"))
            }
        }
    }

    /// Checks that the features are the same as those of `other`, as far as the files say.
    fn check_like(&self, other: &StatsFile, force: bool) -> Result<()> {
        let networks = self.network().zip(other.network());
        let other_path = other.path.display();
        if self.dims() != other.dims() || networks.is_some_and(|(a, b)| a != b) {
            return self.fails(format!("has {}, but {other_path} has {}", self.describe(), other.describe()));
        }
        match (&self.stats.meta, &other.stats.meta) {
            (Some(a), Some(b)) if !force && a.weights != b.weights => {
                self.fails(format!("made with other {} weights than {other_path}", a.features))
            }
            _ => Ok(()),
        }
    }
}

/// The features that all inputs can be compared by: the requested ones, else those of the statistics, else
/// the FID's. Nothing names the network of two files of other programs; 2,048 features are taken as
/// pytorch-fid's (see [`super::provenance_warning`]).
///
/// # Errors
/// Statistics of other features than those asked for, or than those of the other input; images against
/// features that no network here has; unless `force`, statistics of different weights, or another program's
/// against SqueezeNet's.
pub fn resolve(
    inputs: &[&FidInput],
    features: Option<Features>,
    dims: Option<usize>,
    force: bool,
) -> Result<FeatureSpec> {
    let files: Vec<&StatsFile> = inputs.iter().filter_map(|input| input.statistics()).collect();
    for (i, file) in files.iter().enumerate() {
        file.check_request(features, dims)?;
        files[..i].iter().try_for_each(|other| file.check_like(other, force))?;
    }
    let Some(dims) = files.first().map(|file| file.dims()) else {
        let features = features.unwrap_or(Features::Inception);
        let dims = dims.unwrap_or(features.usual_dims());
        features.check_dims(dims)?;
        return Ok(FeatureSpec { features: Some(features), dims });
    };
    let known = files.iter().find_map(|file| Some((file, file.network()?)));
    let foreign = files.iter().find(|file| file.network().is_none());
    let features = match (known, foreign) {
        (Some((_, Features::Squeezenet)), Some(_)) if force => None,
        (Some((known, Features::Squeezenet)), Some(foreign)) => {
            let (is, known) = (foreign.describe(), known.path.display());
            return foreign.fails(format!("has {is} of another program, but {known} has SqueezeNet's"));
        }
        (Some((_, network)), _) => Some(network),
        (None, Some(foreign)) if files.len() < inputs.len() => {
            let network = if dims == squeezenet::DIMS { Features::Squeezenet } else { Features::Inception };
            foreign.check_foreign(network)?;
            Some(network)
        }
        (None, _) => features.or((dims == Features::Inception.usual_dims()).then_some(Features::Inception)),
    };
    Ok(FeatureSpec { features, dims })
}

impl FeatureSpec {
    /// The name of a distance between these features: `inception` if they are Inception's, else `other` with
    /// the name of the network, or with the number of features.
    pub(super) fn label(self, inception: &str, other: &str) -> String {
        match self.features {
            Some(Features::Inception) => inception.into(),
            Some(Features::Squeezenet) => format!("{other}-SqueezeNet"),
            None => format!("{other}-{}", self.dims),
        }
    }

    /// The key of that distance in JSON, such as `fid`, `fd_squeezenet`, `fd`.
    pub(super) fn key(self, inception: &str, other: &str) -> String {
        match self.features {
            Some(_) => self.label(inception, other).replace('-', "_").to_lowercase(),
            None => other.to_lowercase(),
        }
    }
}

impl std::fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.features {
            Some(network) => write!(f, "{network} {}", self.dims),
            None => write!(f, "{} of an unknown network", self.dims),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::tests::golden;
    use crate::metrics::frechet::Gaussian;
    use crate::metrics::provenance_warning;
    use crate::metrics::stats::{StatsMeta, tests::stats_meta};

    /// Statistics of `dims` features, ours if a network and weights are named.
    fn file(name: &str, dims: usize, ours: Option<(Features, &str)>) -> FidInput {
        let meta = ours.map(|(features, weights)| {
            let content = name.into();
            StatsMeta { n: 5000, weights: weights.into(), content, ..stats_meta(features, dims) }
        });
        let gaussian = Gaussian { mu: vec![0.0; dims], sigma: vec![0.0; dims * dims] };
        FidInput::of_stats(name, Stats { gaussian, meta })
    }

    fn foreign(dims: usize) -> FidInput {
        file("theirs.npz", dims, None)
    }

    fn images() -> FidInput {
        FidInput::open(&golden("a")).unwrap()
    }

    #[test]
    fn the_features_are_those_that_both_inputs_can_have() {
        use Features::{Inception, Squeezenet};
        let ours =
            |dims| file("ours.npz", dims, Some((if dims == 512 { Squeezenet } else { Inception }, "01")));
        for (a, b, wanted, label) in [
            (images(), images(), Some(Inception), "FID"),
            (images(), ours(512), Some(Squeezenet), "FD-SqueezeNet"),
            (ours(64), images(), Some(Inception), "FID"),
            (foreign(64), images(), Some(Inception), "FID"),
            (images(), foreign(2048), Some(Inception), "FID"),
            (ours(768), foreign(768), Some(Inception), "FID"),
            (foreign(2048), foreign(2048), Some(Inception), "FID"),
            (foreign(768), foreign(768), None, "FD-768"),
            (foreign(512), foreign(512), None, "FD-512"),
            (foreign(1), foreign(1), None, "FD-1"),
            (foreign(1000), foreign(1000), None, "FD-1000"),
        ] {
            let spec = resolve(&[&a, &b], None, None, false).unwrap();
            assert_eq!((spec.features, &*spec.label("FID", "FD")), (wanted, label));
            let warned = provenance_warning(&[&a, &b], spec);
            let theirs = [&a, &b].iter().any(|input| input.path() == Path::new("theirs.npz"));
            assert_eq!(warned.is_some(), theirs);
        }
        // 64 features are taken as Inception's on request; forced comparisons have no network's name.
        let asked = resolve(&[&foreign(64), &foreign(64)], Some(Inception), Some(64), false).unwrap();
        assert_eq!((&*asked.label("FID", "FD"), &*asked.key("FID", "FD")), ("FID", "fid"));
        let forced = resolve(&[&ours(512), &foreign(512)], None, None, true).unwrap();
        assert_eq!((&*forced.label("FID", "FD"), &*forced.key("FID", "FD")), ("FD-512", "fd"));
        assert_eq!(forced.to_string(), "512 of an unknown network");
        let own = resolve(&[&ours(512)], None, None, false).unwrap();
        assert_eq!(own.key("KID", "KD"), "kd_squeezenet");
    }

    #[test]
    fn inputs_that_cannot_be_compared_are_one_line() {
        use Features::{Inception, Squeezenet};
        let ours = || file("ours.npz", 512, Some((Squeezenet, "01")));
        let others = || file("others.npz", 512, Some((Squeezenet, "02")));
        for (a, b, features, dims, force, wanted) in [
            (
                foreign(512),
                images(),
                None,
                None,
                true,
                "theirs.npz: has 512 features of an unknown network of another program",
            ),
            (
                foreign(1024),
                images(),
                None,
                None,
                true,
                "has 1024 features of an unknown network; Inception has 64, 192, 768, 2048",
            ),
            (
                foreign(512),
                ours(),
                None,
                None,
                false,
                "network of another program, but ours.npz has SqueezeNet's",
            ),
            (
                ours(),
                foreign(64),
                None,
                None,
                true,
                "theirs.npz: has 64 features of an unknown network, but ours.npz has 512 squeezenet features",
            ),
            (
                foreign(64),
                foreign(63),
                None,
                None,
                true,
                "has 63 features of an unknown network, but theirs.npz has 64",
            ),
            (foreign(64), images(), Some(Squeezenet), None, false, "only gantools saves SqueezeNet's"),
            (foreign(512), foreign(512), Some(Squeezenet), None, true, "only gantools saves SqueezeNet's"),
            (
                foreign(100),
                foreign(100),
                Some(Inception),
                None,
                true,
                "has 100 features of an unknown network; Inception has 64",
            ),
            (
                foreign(100),
                foreign(100),
                None,
                Some(64),
                true,
                "dims: 64, but theirs.npz has 100 features of an unknown network",
            ),
            (
                ours(),
                images(),
                Some(Inception),
                None,
                true,
                "features: inception, but ours.npz has 512 squeezenet features",
            ),
            (
                ours(),
                others(),
                None,
                None,
                false,
                "others.npz: made with other squeezenet weights than ours.npz",
            ),
        ] {
            let line = resolve(&[&a, &b], features, dims, force).unwrap_err().to_string();
            assert!(line.contains(wanted) && !line.contains('\n'), "{wanted}: {line}");
        }
        assert!(resolve(&[&ours(), &others()], None, None, true).is_ok());
    }
}
