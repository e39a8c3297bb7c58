//! The metrics by their names, and their results as a line and as JSON.

use serde_json::{Value, json};

use super::stats::StatsMeta;
use super::{Comparison, FidInput, Metric, MetricOptions, Need, fid, kid, prdc};
use crate::precision::Precision;
use crate::{Error, Result, counted};

/// All metrics. A new one is its own file and one line here.
pub const METRICS: &[Metric] = &[fid::FID, kid::KID, prdc::PRDC];

/// The metric of a name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<&'static Metric, String> {
    METRICS.iter().find(|metric| metric.name == name).ok_or(format!("{name}: no such metric"))
}

/// Checks that `metrics` can be computed of these inputs, before any feature is.
///
/// # Errors
/// Statistics where a metric needs features; fewer images than a metric needs.
pub fn check(metrics: &[&Metric], inputs: &[&FidInput], options: &MetricOptions) -> Result<()> {
    for Metric { name, needs, min_images, min_images_option, .. } in metrics {
        for (input, need) in inputs.iter().zip(needs) {
            if *need == Need::Features && input.images().is_none() {
                let what = format!("statistics without images; {name} needs images");
                return Err(Error::file(input.path(), what));
            }
        }
        let images = inputs.iter().filter_map(|input| input.images()).min_by_key(|images| images.len());
        let min = min_images(options);
        let Some(images) = images.filter(|images| images.len() < min) else { continue };
        let (path, n) = (&images.path, images.len());
        let few = format!("{name} needs at least {} in each input", counted(min as u64, "image"));
        return Err(match min_images_option {
            Some(option) if n >= 2 => {
                let what = format!("{few}, but {} has {n}; use 2 to {n}, or more images", path.display());
                Error::argument(*option, what)
            }
            _ => Error::file(path, format!("{}; {few}", counted(n as u64, "image"))),
        });
    }
    Ok(())
}

/// The results as one line, in the order of `metrics`, and as JSON. Results that pytorch-fid (or
/// torch-fidelity) would not give have names of their own. The FID alone is a bare number.
///
/// # Errors
/// As [`Metric::compute`].
pub fn results(metrics: &[&Metric], comparison: &Comparison) -> Result<(String, Value)> {
    let Comparison { inputs, spec, .. } = comparison;
    let metas = inputs.each_ref().map(|input| input.stats.meta.as_ref());
    let rounded = metas.iter().flatten().any(|meta| meta.precision == Precision::Bf16);
    let (precision, suffix) = if rounded { (Precision::Bf16, "-bf16") } else { (Precision::F32, "") };
    let weights = metas.map(|meta| meta.map(|meta| &meta.weights));
    let sizes = |meta: &StatsMeta| meta.dataset.as_ref().and_then(|dataset| dataset.sizes);
    let mut json = json!({
        "n": metas.map(|meta| meta.map(|meta| meta.n)),
        "sizes": metas.map(|meta| meta.and_then(sizes)),
        "dims": spec.dims,
        "features": spec.features,
        "weights": weights.into_iter().flatten().next(),
        "proved": weights[0].is_some() && weights[0] == weights[1],
        "precision": metas.iter().any(Option::is_some).then_some(precision),
        "seconds": inputs[0].seconds + inputs[1].seconds,
    });
    let mut texts = Vec::new();
    for metric in metrics {
        let scores = (metric.compute)(comparison)?;
        json[scores.key] = scores.json;
        texts.extend(scores.printed.into_iter().map(|(name, value)| format!("{name}{suffix} {value}")));
    }
    let text = texts.join(" ");
    let bare = text.strip_prefix("FID ").filter(|_| texts.len() == 1);
    Ok((bare.unwrap_or(&text).to_string(), json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::tests::golden;
    use crate::metrics::features::{Extractor, Features};
    use crate::metrics::frechet::Gaussian;
    use crate::metrics::stats::{Stats, StatsFile};
    use crate::metrics::{FeatureSpec, ImageSet, Scores, measure};
    use crate::progress::Silent;

    /// A metric of the second input alone, which needs its features: the mean of their lengths.
    const MEAN_NORM: Metric = Metric {
        name: "mean-norm",
        help: "mean length of the features",
        needs: [Need::Nothing, Need::Features],
        min_images: |_| 1,
        min_images_option: None,
        compute: |comparison| {
            let rows = comparison.features(1)?.chunks_exact(comparison.spec.dims);
            let n = rows.len() as f64;
            let norm = rows.map(|row| row.iter().map(|v| v * v).sum::<f32>().sqrt() as f64).sum::<f64>() / n;
            let printed = vec![("mean-norm".into(), format!("{norm:.3}"))];
            Ok(Scores { key: "mean_norm".into(), json: norm.into(), printed })
        },
    };

    #[test]
    fn a_metric_may_be_of_one_input() {
        let metrics = [&MEAN_NORM, find("fid").unwrap()];
        let gaussian = Gaussian { mu: vec![0.0; 512], sigma: vec![0.0; 512 * 512] };
        let statistics = || FidInput::of_stats("s.npz", Stats { gaussian: gaussian.clone(), meta: None });
        let images = || FidInput::Images(Box::new(ImageSet::open(&golden("odd")).unwrap()));
        let options = MetricOptions::default();
        check(&metrics, &[&statistics(), &images()], &options).unwrap();
        let refused = check(&metrics, &[&images(), &statistics()], &options).unwrap_err().to_string();
        assert_eq!(refused, "s.npz: statistics without images; mean-norm needs images");

        let network = Extractor::squeezenet(Precision::F32, &candle_core::Device::Cpu).unwrap();
        let FidInput::Images(images) = images() else { unreachable!() };
        let inputs = [
            StatsFile { path: "s.npz".into(), stats: Stats { gaussian: gaussian.clone(), meta: None } }
                .into(),
            measure(&images, &network, 8, true, &Silent).unwrap(),
        ];
        let spec = FeatureSpec { features: Some(Features::Squeezenet), dims: 512 };
        let (text, json) = results(&metrics, &Comparison { inputs: &inputs, spec, options }).unwrap();
        let (norm, distance) = (json["mean_norm"].as_f64().unwrap(), json["fd_squeezenet"].as_f64().unwrap());
        assert!(norm > 1.0 && distance > 1.0, "{json}");
        assert_eq!(text, format!("mean-norm {norm:.3} FD-SqueezeNet {distance:.6}"));
        // The features of the other input are not there.
        let [a, b] = inputs;
        assert!(results(&metrics, &Comparison { inputs: &[b, a], spec, options }).is_err());
    }

    #[test]
    fn names_are_unique_and_found() {
        for metric in METRICS {
            assert_eq!(find(metric.name).unwrap().help, metric.help);
        }
        assert!(find("is").is_err());
    }
}
