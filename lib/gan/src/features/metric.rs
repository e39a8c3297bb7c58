//! What two sets of features are compared by, and how the results are called.

use serde_json::{Value, json};

use super::{Choice, Compared, Features};
use crate::layer::Precision;
use crate::{Error, Result, frechet, kid, prdc};

/// A way to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The Fréchet distance.
    Fid,
    /// The kernel distance.
    Kid,
    /// Precision, recall, density and coverage; the first side is the real one.
    Prdc,
}

impl Metric {
    /// What [`str::parse`] takes.
    pub const NAMES: [&'static str; 3] = ["fid", "kid", "prdc"];

    /// Whether it needs the features themselves and not their statistics alone.
    pub fn needs_features(self) -> bool {
        self != Metric::Fid
    }
}

impl std::str::FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Metric, String> {
        let all = [Metric::Fid, Metric::Kid, Metric::Prdc];
        let place = Metric::NAMES.iter().position(|known| *known == name);
        place.map(|i| all[i]).ok_or_else(|| format!("{name}: no such metric"))
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(Metric::NAMES[*self as usize])
    }
}

/// The results as one line, in the order of `metrics`, and as JSON. What is not as pytorch-fid computes it is called by a name of
/// its own; alone, the FID needs none.
///
/// # Errors
/// Sides of other dims, of too few pictures, or without the features that a metric needs.
pub fn results(metrics: &[Metric], choice: Choice, sides: &[Compared; 2]) -> Result<(String, Value)> {
    let rounded = sides.iter().any(|side| side.precision == Some(Precision::Bf16));
    let precision = if rounded { Precision::Bf16 } else { Precision::F32 };
    let suffix = if rounded { "-bf16" } else { "" };
    let inception = choice.features == Features::Inception;
    let sizes = sides.each_ref().map(|side| side.look.as_ref().and_then(|look| look.sizes));
    let mut json = json!({
        "n": [sides[0].n, sides[1].n],
        "sizes": sizes,
        "dims": choice.dims,
        "features": choice.features,
        "weights": sides.iter().find_map(|side| side.weights.clone()),
        "precision": precision,
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
                json[if inception { "fid" } else { "fd_squeezenet" }] = distance.into();
                texts.push(match (metrics, inception, precision) {
                    ([_], true, Precision::F32) => format!("{distance:.6}"),
                    _ => format!("{}{suffix} {distance:.6}", choice.features.distance()),
                });
            }
            Metric::Kid => {
                let [a, b] = features()?;
                let kid = kid::kid(a, b, choice.dims)?;
                json[if inception { "kid" } else { "kd_squeezenet" }] = json!(kid);
                let name = choice.features.kernel_distance();
                texts.push(format!("{name}{suffix} {:.6} ± {:.6}", kid.mean, kid.std));
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
