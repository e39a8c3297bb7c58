//! The two sides of a comparison: images or statistics, and what makes them comparable.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::features::{Extractor, Features, check_dims};
use super::{DatasetInfo, ImageSet, Measured, measure};
use crate::data::source;
use crate::metrics::features::inception;
use crate::metrics::features::squeezenet;
use crate::metrics::frechet::Gaussian;
use crate::metrics::stats::{self, Stats, StatsKind, StatsMeta};
use crate::precision::Precision;
use crate::progress::Progress;
use crate::{Error, Result};

/// One side.
pub enum FidInput {
    /// Statistics that were saved.
    Stats(PathBuf, Box<Stats>),
    /// Images to be measured.
    Images(Box<ImageSet>),
}

/// By which features to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSpec {
    /// The network; `None` for two files of statistics that could be of any.
    pub features: Option<Features>,
    /// The number of its features.
    pub dims: usize,
}

/// One side, ready to be compared.
pub struct FeatureStats {
    /// Its statistics.
    pub gaussian: Gaussian,
    /// The number of images, where it is known.
    pub n: Option<u64>,
    /// The hash of the weights, where it is known.
    pub weights: Option<String>,
    /// What the features were computed in, where it is known.
    pub precision: Option<Precision>,
    /// The features themselves, `[n, dims]`, where they were asked for.
    pub features: Option<Vec<f32>>,
    /// What the images look like, where it is known.
    pub look: Option<DatasetInfo>,
    /// How long it took to measure them.
    pub seconds: f64,
}

impl FidInput {
    /// Opens `.npz` statistics, whatever their name, or images.
    ///
    /// # Errors
    /// It is none of these, or broken.
    pub fn open(path: &Path) -> Result<FidInput> {
        // Samples are published as arrays in an .npz, too, and CIFAR in pickles.
        if source::holds_images(path) {
            return Ok(FidInput::Images(Box::new(ImageSet::open(path)?)));
        }
        let npz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"));
        Ok(match stats::kind(path)? {
            StatsKind::Other(what) => return Err(Error::file(path, what)),
            kind if npz || kind == StatsKind::Npz => {
                FidInput::Stats(path.to_path_buf(), Box::new(Stats::read(path)?))
            }
            _ => FidInput::Images(Box::new(ImageSet::open(path)?)),
        })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        match self {
            FidInput::Stats(path, _) => path,
            FidInput::Images(images) => images.path(),
        }
    }

    /// The images to be measured, if this side is images.
    pub fn images(&self) -> Option<&ImageSet> {
        match self {
            FidInput::Stats(..) => None,
            FidInput::Images(images) => Some(images),
        }
    }

    /// What its file says of itself, if this side is statistics.
    fn file(&self) -> Option<File<'_>> {
        let FidInput::Stats(path, stats) = self else { return None };
        Some(File { path, dims: stats.gaussian.dims(), meta: stats.meta.as_ref() })
    }

    /// Checks that statistics are of the weights that an extractor has.
    ///
    /// # Errors
    /// They say that they are of others.
    pub fn check_weights(&self, extractor: &Extractor) -> Result<()> {
        match self {
            FidInput::Stats(path, stats) => match &stats.meta {
                Some(meta) if meta.weights != extractor.weights() => {
                    let what = "of other weights than the ones at hand: make the statistics again, or name theirs with --weights";
                    Err(Error::file(path, what))
                }
                _ => Ok(()),
            },
            FidInput::Images(_) => Ok(()),
        }
    }
}

/// What a file of statistics is of, as far as it says.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a Path,
    dims: usize,
    /// What our `meta` says; `None` of another program's file.
    meta: Option<&'a StatsMeta>,
}

impl File<'_> {
    fn fails<T>(self, what: impl Into<String>) -> Result<T> {
        Err(Error::file(self.path, what))
    }

    /// Checks that another program's features can be of `network`.
    ///
    /// # Errors
    /// They cannot.
    fn check_foreign(self, network: Features) -> Result<()> {
        let dims = self.dims;
        match network {
            Features::Inception if inception::DIMS.contains(&dims) => Ok(()),
            Features::Inception => self.fails(format!(
                "of another program's network: Inception has 64, 192, 768 or 2048 features, not {dims}"
            )),
            Features::Squeezenet => self.fails(format!(
                "of another program's network: its {dims} features are not SqueezeNet's, of which gantools \
                 alone makes statistics"
            )),
        }
    }
}

impl std::fmt::Display for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.meta {
            Some(meta) => write!(f, "{} {}", meta.features, self.dims),
            None => write!(f, "{} features of an unknown network", self.dims),
        }
    }
}

/// The features that all sides can be compared by: what was asked for, else what the statistics are of, else
/// the FID's. Of what two files of other programs are is told by nothing; 2,048 features are taken for
/// pytorch-fid's (see [`unproved`]).
///
/// # Errors
/// Statistics of other features than asked for, or than those of the other side; images against features
/// that none of our networks has; unless `force`, statistics of other weights, or another program's against
/// SqueezeNet's.
pub fn resolve(
    sides: &[&FidInput],
    features: Option<Features>,
    dims: Option<usize>,
    force: bool,
) -> Result<FeatureSpec> {
    let files: Vec<File> = sides.iter().filter_map(|side| side.file()).collect();
    let images = sides.len() > files.len();
    for (i, file) in files.iter().enumerate() {
        if let Some(dims) = dims.filter(|&dims| dims != file.dims) {
            return file.fails(format!("statistics of {file}, but --dims asks for {dims}"));
        }
        match (features, file.meta) {
            (Some(asked), Some(meta)) if asked != meta.features => {
                return file.fails(format!("statistics of {file}, but --features asks for {asked}"));
            }
            (Some(asked), None) => file.check_foreign(asked)?,
            _ => {}
        }
        for other in &files[..i] {
            let both = other.meta.zip(file.meta);
            if other.dims != file.dims || both.is_some_and(|(a, b)| a.features != b.features) {
                return file
                    .fails(format!("statistics of {file}, but {} is of {other}", other.path.display()));
            }
            if let Some((_, meta)) = both.filter(|(a, b)| !force && a.weights != b.weights) {
                let (network, other) = (meta.features, other.path.display());
                return file
                    .fails(format!("of other {network} weights than {other} (--force compares them)"));
            }
        }
    }
    let Some(&File { dims, .. }) = files.first() else {
        let features = features.unwrap_or(Features::Inception);
        let dims = dims.unwrap_or(features.usual_dims());
        check_dims(features, dims)?;
        return Ok(FeatureSpec { features: Some(features), dims });
    };
    let ours = files.iter().find_map(|file| file.meta.map(|meta| (file, meta.features)));
    let foreign = files.iter().find(|file| file.meta.is_none());
    let features = match (ours, foreign) {
        (Some((_, Features::Squeezenet)), Some(_)) if force => None,
        (Some((ours, Features::Squeezenet)), Some(foreign)) => {
            return foreign.fails(format!(
                "of another program's network: its {dims} features are not SqueezeNet's, as those of {} are \
                 (--force compares them)",
                ours.path.display()
            ));
        }
        (Some((_, network)), _) => Some(network),
        (None, Some(foreign)) if images => {
            let network = match dims {
                squeezenet::DIMS => Features::Squeezenet,
                _ => Features::Inception,
            };
            foreign.check_foreign(network)?;
            Some(network)
        }
        (None, _) => features.or((dims == Features::Inception.usual_dims()).then_some(Features::Inception)),
    };
    Ok(FeatureSpec { features, dims })
}

/// A warning about statistics that do not say of which network and weights they are; `None` where all do.
pub fn unproved(sides: &[&FidInput], choice: FeatureSpec) -> Option<String> {
    let files = sides.iter().filter_map(|side| side.file()).filter(|file| file.meta.is_none());
    let mut names: Vec<String> = files.map(|file| file.path.display().to_string()).collect();
    names.dedup();
    let (it, its) = match names.len() {
        0 => return None,
        1 => ("it", "its"),
        _ => ("them", "their"),
    };
    let (names, dims) = (names.join(" and "), choice.dims);
    let too = if dims == 768 { "; DINOv2 and CLIP have 768, too" } else { "" };
    let only = match choice.features {
        Some(_) => format!(
            "the number is a FID only if they are pytorch-fid's (those of clean-fid, TTUR, ADM and EDM are of \
             images resized otherwise{too})"
        ),
        None => "the number means something only if they are the same on both sides".into(),
    };
    Some(format!(
        "{names}: nothing in {it} proves of which network, weights and resizing {its} {dims} features are: \
         {only}"
    ))
}

/// Makes a side ready to be compared; `extractor` is needed where it is images. With `keep` the features are kept: 8 KB for
/// each image and 2,048 features.
///
/// # Errors
/// An image that cannot be read; fewer than two; no extractor.
pub fn compute_stats(
    side: FidInput,
    extractor: Option<&Extractor>,
    batch: usize,
    keep: bool,
    progress: &dyn Progress,
) -> Result<FeatureStats> {
    match (side, extractor) {
        (FidInput::Stats(_, stats), _) => {
            let precision = stats.meta.as_ref().map(|meta| meta.precision);
            let look = stats.meta.as_ref().and_then(|meta| meta.look.clone());
            let (n, weights) = stats.meta.map(|meta| (meta.n, meta.weights)).unzip();
            let (features, seconds) = (None, 0.0);
            Ok(FeatureStats { gaussian: stats.gaussian, n, weights, precision, features, look, seconds })
        }
        (FidInput::Images(images), Some(extractor)) => {
            let began = Instant::now();
            let Measured { moments, features, look } = measure(&images, extractor, batch, keep, progress)?;
            let n = Some(moments.n());
            let gaussian = moments.gaussian().map_err(|e| Error::file(images.path(), e.to_string()))?;
            Ok(FeatureStats {
                gaussian,
                n,
                weights: Some(extractor.weights().to_string()),
                precision: Some(extractor.precision()),
                features,
                look: Some(look),
                seconds: began.elapsed().as_secs_f64(),
            })
        }
        (FidInput::Images(images), None) => Err(Error::file(images.path(), "images need a network")),
    }
}

impl FeatureSpec {
    /// How the Fréchet distance of these features is called: `FD-1024` where their network is not known.
    pub fn distance(self) -> String {
        self.features.map_or_else(|| format!("FD-{}", self.dims), |network| network.distance().to_string())
    }

    /// How their kernel distance is called.
    pub fn kernel_distance(self) -> String {
        self.features
            .map_or_else(|| format!("KD-{}", self.dims), |network| network.kernel_distance().to_string())
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

    /// Statistics of `dims` features, ours if a network and weights are named.
    fn file(name: &str, dims: usize, ours: Option<(Features, &str)>) -> FidInput {
        let meta = ours.map(|(features, weights)| StatsMeta {
            features,
            dims,
            n: 5000,
            weights: weights.into(),
            precision: Precision::F32,
            content: name.into(),
            look: None,
            source: name.into(),
            tool: "test".into(),
        });
        let gaussian = Gaussian { mu: vec![0.0; dims], sigma: vec![0.0; dims * dims] };
        FidInput::Stats(name.into(), Box::new(Stats { gaussian, meta }))
    }

    fn foreign(dims: usize) -> FidInput {
        file("theirs.npz", dims, None)
    }

    fn images() -> FidInput {
        FidInput::open(&golden("a")).unwrap()
    }

    #[test]
    fn what_is_compared_is_what_both_sides_can_be() {
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
            let choice = resolve(&[&a, &b], None, None, false).unwrap();
            assert_eq!((choice.features, &*choice.distance()), (wanted, label));
            let warned = unproved(&[&a, &b], choice);
            let theirs = [&a, &b].iter().any(|side| side.path() == Path::new("theirs.npz"));
            assert_eq!(warned.is_some(), theirs);
        }
        // Who says that 64 features are Inception's has a FID, and who insists has a number of no name.
        let said = resolve(&[&foreign(64), &foreign(64)], Some(Inception), Some(64), false).unwrap();
        assert_eq!(said.distance(), "FID");
        let forced = resolve(&[&ours(512), &foreign(512)], None, None, true).unwrap();
        assert_eq!((&*forced.distance(), &*forced.to_string()), ("FD-512", "512 of an unknown network"));
    }

    #[test]
    fn what_cannot_be_compared_is_one_line() {
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
                "theirs.npz: of another program's network: its 512 features",
            ),
            (
                foreign(1024),
                images(),
                None,
                None,
                true,
                "Inception has 64, 192, 768 or 2048 features, not 1024",
            ),
            (
                foreign(512),
                ours(),
                None,
                None,
                false,
                "are not SqueezeNet's, as those of ours.npz are (--force",
            ),
            (
                ours(),
                foreign(64),
                None,
                None,
                true,
                "of 64 features of an unknown network, but ours.npz is of squeezenet 512",
            ),
            (
                foreign(64),
                foreign(63),
                None,
                None,
                true,
                "of 63 features of an unknown network, but theirs.npz is of 64",
            ),
            (foreign(64), images(), Some(Squeezenet), None, false, "are not SqueezeNet's"),
            (foreign(512), foreign(512), Some(Squeezenet), None, true, "are not SqueezeNet's"),
            (foreign(100), foreign(100), Some(Inception), None, true, "768 or 2048 features, not 100"),
            (
                foreign(100),
                foreign(100),
                None,
                Some(64),
                true,
                "theirs.npz: statistics of 100 features of an unknown network, but --dims asks for 64",
            ),
            (
                ours(),
                images(),
                Some(Inception),
                None,
                true,
                "ours.npz: statistics of squeezenet 512, but --features asks for inception",
            ),
            (
                ours(),
                others(),
                None,
                None,
                false,
                "others.npz: of other squeezenet weights than ours.npz (--force",
            ),
        ] {
            let line = resolve(&[&a, &b], features, dims, force).unwrap_err().to_string();
            assert!(line.contains(wanted) && !line.contains('\n'), "{wanted}: {line}");
        }
        assert!(resolve(&[&ours(), &others()], None, None, true).is_ok());
    }
}
