//! What two sets of features are compared by, and how the results are called.

use serde_json::{Value, json};

use super::features::Features;
use super::{FeatureSpec, FeatureStats, FidInput};
use crate::metrics::frechet;
use crate::metrics::kid;
use crate::metrics::prdc;
use crate::named::named_enum;
use crate::precision::Precision;
use crate::{Error, Result, counted};

named_enum! {
    /// A way to compare.
    pub enum Metric {
        /// The Fréchet distance.
        Fid = "fid",
        /// The kernel distance.
        Kid = "kid",
        /// Precision, recall, density and coverage; the first side is the real one.
        Prdc = "prdc",
    }
}

impl Metric {
    /// Whether it needs the features themselves and not their statistics alone.
    pub fn needs_features(self) -> bool {
        self != Metric::Fid
    }
}

/// Checks that `metrics` can be computed of these sides, before any feature is; `subset` is the number of
/// samples in each of KID's subsets.
///
/// # Errors
/// A side of statistics where features are needed; one of fewer images than a metric needs: 2 for a
/// covariance, KID's subset, one more than the most neighbors.
pub fn check(metrics: &[Metric], sides: &[&FidInput], subset: usize) -> Result<()> {
    let fewest = sides.iter().filter_map(|side| side.images()).map(|images| images.len()).min();
    for side in sides {
        let fails = |what: String| Err(Error::file(side.path(), what));
        let n = match side.images() {
            Some(images) => images.len(),
            None if metrics.iter().any(|metric| metric.needs_features()) => {
                let what = "statistics have no single images in them: KID and neighbors need the images \
                            themselves";
                return fails(what.into());
            }
            None => continue,
        };
        if n < 2 {
            return fails("a covariance needs at least two images".into());
        }
        for metric in metrics {
            match metric {
                Metric::Kid if n < subset => {
                    let flag = match fewest {
                        Some(fewest @ 3..) => format!(", or name --kid-subset-size 2 to {fewest}"),
                        Some(2) => ", or name --kid-subset-size 2".to_string(),
                        _ => String::new(),
                    };
                    return fails(format!(
                        "{} are fewer than a subset of KID has, {subset}: take more{flag}",
                        counted(n as u64, "image")
                    ));
                }
                Metric::Prdc if n <= prdc::MOST => {
                    return fails(format!(
                        "{} have no {} neighbors each: --metrics prdc needs {} on each side",
                        counted(n as u64, "image"),
                        prdc::MOST,
                        prdc::MOST + 1
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The results as one line, in the order of `metrics`, and as JSON; KID's of subsets of `subset`. What is not
/// as pytorch-fid (and torch-fidelity) computes it is called by a name of its own; alone, the FID needs none.
///
/// # Errors
/// Sides of other dims, of too few images, or without the features that a metric needs.
pub fn results(
    metrics: &[Metric],
    choice: FeatureSpec,
    sides: &[FeatureStats; 2],
    subset: usize,
) -> Result<(String, Value)> {
    let rounded = sides.iter().any(|side| side.precision == Some(Precision::Bf16));
    let precision = if rounded { Precision::Bf16 } else { Precision::F32 };
    let suffix = if rounded { "-bf16" } else { "" };
    let key = |inception: &'static str, squeezenet: &'static str, other: &'static str| match choice.features {
        Some(Features::Inception) => inception,
        Some(Features::Squeezenet) => squeezenet,
        None => other,
    };
    let weights = sides.each_ref().map(|side| side.weights.as_ref());
    let sizes = sides.each_ref().map(|side| side.look.as_ref().and_then(|look| look.sizes));
    let mut json = json!({
        "n": [sides[0].n, sides[1].n],
        "sizes": sizes,
        "dims": choice.dims,
        "features": choice.features,
        "weights": weights.into_iter().flatten().next(),
        "proved": weights[0].is_some() && weights[0] == weights[1],
        "precision": sides.iter().any(|side| side.precision.is_some()).then_some(precision),
        "seconds": sides[0].seconds + sides[1].seconds,
    });
    let features = || match sides.each_ref().map(|side| side.features.as_deref()) {
        [Some(a), Some(b)] => Ok([a, b]),
        _ => Err(Error::Invalid("the features were not kept".into())),
    };
    let mut texts = Vec::new();
    for metric in metrics {
        match metric {
            Metric::Fid => {
                let distance = frechet::distance(&sides[0].gaussian, &sides[1].gaussian)?;
                json[key("fid", "fd_squeezenet", "fd")] = distance.into();
                texts.push(match (metrics, choice.features, precision) {
                    ([_], Some(Features::Inception), Precision::F32) => format!("{distance:.6}"),
                    _ => format!("{}{suffix} {distance:.6}", choice.distance()),
                });
            }
            Metric::Kid => {
                let [a, b] = features()?;
                let kid = kid::kid(a, b, choice.dims, subset)?;
                json[key("kid", "kd_squeezenet", "kd")] = json!(kid);
                let of = if subset == kid::SUBSET { String::new() } else { format!("-subset-{subset}") };
                let name = choice.kernel_distance();
                texts.push(format!("{name}{of}{suffix} {:.6} ± {:.6}", kid.mean, kid.std));
            }
            Metric::Prdc => {
                let [real, fake] = features()?;
                let all = prdc::prdc(real, fake, choice.dims)?;
                json["prdc"] = json!(all);
                for prdc::Prdc { k, precision, recall, density, coverage } in all {
                    let named = [
                        ("precision", precision),
                        ("recall", recall),
                        ("density", density),
                        ("coverage", coverage),
                    ];
                    texts.extend(named.map(|(name, value)| format!("{name}-{k}{suffix} {value:.4}")));
                }
            }
        }
    }
    Ok((texts.join(" "), json))
}
