//! What makes a comparison mean less than it seems to, a line each.

use super::{FeatureSpec, FeatureStats, FidInput};
use crate::data::image::rotation;

/// The fewest images that compare with published numbers: as many as the FID has features.
const PUBLISHED: u64 = 2048;
/// The ratio of images of both inputs from which on a warning is given.
const UNEVEN: u64 = 10;

/// Why a distance between these inputs means less than it seems to: a line for each reason.
pub fn comparability_warnings(inputs: &[FeatureStats; 2], spec: FeatureSpec) -> Vec<String> {
    let mut lines = Vec::new();
    let names = inputs.each_ref().map(|input| input.path.display().to_string());
    let metas = inputs.each_ref().map(|input| input.stats.meta.as_ref());
    for (name, meta) in names.iter().zip(metas) {
        let Some(meta) = meta else { continue };
        lines.extend(few_images_warning(name, meta.n, spec));
        let Some(dataset) = &meta.dataset else { continue };
        for (n, gray) in [
            (dataset.clipped, "16-bit gray is clipped to 255"),
            (dataset.clamped, "signed, 32-bit or floating-point gray is clamped to 0 to 255"),
        ] {
            lines.extend((n > 0).then(|| format!("{name}: {gray} in {n} images, as in Pillow")));
        }
        lines.extend(rotation(dataset.rotated as u64).map(|line| format!("{name}: {line}")));
    }
    let ([left, right], [Some(a), Some(b)]) = (&names, metas) else { return lines };
    let (n, m, (p, q)) = (a.n, b.n, (a.precision, b.precision));
    let mut warn = |is_so: bool, line: String| lines.extend(is_so.then_some(line));
    let uneven = n.max(m) / n.min(m).max(1) >= UNEVEN;
    warn(uneven, format!("{n} images against {m}: the smaller set decides how near 0 the distance can come"));
    warn(p != q, format!("{left} has features in {p}, {right} in {q}; use one precision for both"));
    let what = "have features of different weights: their distance means nothing";
    warn(a.weights != b.weights, format!("{left} and {right} {what}"));
    let (Some(a), Some(b)) = (&a.dataset, &b.dataset) else { return lines };
    for (one, other, jpegs, others) in [(a, b, left, right), (b, a, right, left)] {
        let what = "JPEG's changes to images count as a difference";
        let only_one = one.jpeg == Some(true) && other.jpeg == Some(false);
        lines.extend(only_one.then(|| format!("{jpegs} is JPEGs and {others} is not: {what}")));
    }
    let differ = |a: Option<String>, b: Option<String>| a.zip(b).filter(|(a, b)| a != b);
    lines.extend(differ(a.describe_sizes(), b.describe_sizes()).map(|(a, b)| {
        format!(
            "{left} is {a}, {right} is {b}: enlarging to the network's input counts as a difference; resize \
             both to one size first"
        )
    }));
    let prepared = differ(a.prepared.clone(), b.prepared.clone());
    lines.extend(prepared.map(|(a, b)| format!("{left} was made with {a}, {right} with {b}")));
    lines
}

/// A warning about a set that is too small, where it is.
pub fn few_images_warning(name: &str, n: u64, spec: FeatureSpec) -> Option<String> {
    match (n, spec.dims as u64) {
        (n, dims) if n <= dims => Some(format!(
            "{name}: {n} images are few for {dims} features: the distance is larger than that of more images"
        )),
        (n, _) if n < PUBLISHED => Some(format!(
            "{name}: {n} images: published numbers use {PUBLISHED} or more; more images give a lower distance"
        )),
        _ => None,
    }
}

/// A warning about statistics that do not name their network and weights; `None` where all do.
pub fn provenance_warning(inputs: &[&FidInput], spec: FeatureSpec) -> Option<String> {
    let files = inputs.iter().filter_map(|input| input.statistics()).filter(|file| file.stats.meta.is_none());
    let mut names: Vec<String> = files.map(|file| file.path.display().to_string()).collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let (names, dims) = (names.join(" and "), spec.dims);
    let others = if dims == 768 { "; DINOv2 and CLIP have 768 features, too" } else { "" };
    let only = match spec.features {
        Some(_) => format!(
            "the number is a FID only if they are pytorch-fid's (clean-fid, TTUR, ADM and EDM resize images \
             differently{others})"
        ),
        None => "the number means something only if they are the same for both inputs".into(),
    };
    Some(format!("{names}: the network, weights and resizing of the {dims} features are unknown: {only}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::{Image, Notes};
    use crate::metrics::DatasetInfo;
    use crate::metrics::features::Features;
    use crate::metrics::frechet::Gaussian;
    use crate::metrics::stats::{Stats, StatsFile, StatsMeta, tests::stats_meta};
    use crate::precision::Precision;

    fn input(n: u64, dataset: DatasetInfo) -> FeatureStats {
        let gaussian = Gaussian { mu: vec![0.0], sigma: vec![1.0] };
        let meta = StatsMeta { n, dataset: Some(dataset), ..stats_meta(Features::Squeezenet, 512) };
        StatsFile { path: "".into(), stats: Stats { gaussian, meta: Some(meta) } }.into()
    }

    fn dataset(size: usize, jpeg: Option<bool>, prepared: Option<&str>) -> DatasetInfo {
        let mut dataset =
            DatasetInfo { jpeg, prepared: prepared.map(String::from), ..DatasetInfo::default() };
        dataset.update(&Image { width: size, height: size, rgb: vec![] }, Notes::default());
        dataset
    }

    fn warnings(mut a: FeatureStats, mut b: FeatureStats) -> Vec<String> {
        (a.path, b.path) = ("a".into(), "b".into());
        let spec = FeatureSpec { features: Some(Features::Squeezenet), dims: 512 };
        comparability_warnings(&[a, b], spec)
    }

    #[test]
    fn like_inputs_have_no_warnings() {
        let one = || input(3000, dataset(64, Some(false), None));
        assert!(warnings(one(), one()).is_empty());
        // The unknown is not a difference.
        assert!(warnings(one(), input(3000, DatasetInfo::default())).is_empty());
        let mut unknown = one();
        unknown.stats.meta.as_mut().unwrap().dataset = None;
        assert!(warnings(unknown, input(3000, dataset(32, Some(true), None))).is_empty());
        let mut unknown = one();
        unknown.stats.meta = None;
        assert!(warnings(unknown, input(3000, dataset(32, Some(true), None))).is_empty());
    }

    #[test]
    fn each_difference_is_one_line() {
        let png = |n| input(n, dataset(64, Some(false), None));
        let changed = |change: fn(&mut StatsMeta)| {
            let mut input = png(3000);
            change(input.stats.meta.as_mut().unwrap());
            input
        };
        let gray = |meta: &mut StatsMeta| {
            let dataset = meta.dataset.as_mut().unwrap();
            (dataset.clipped, dataset.clamped) = (2, 3);
        };
        for (a, b, wanted) in [
            (png(100), png(900), "a: 100 images are few for 512 features"),
            (png(900), png(3000), "a: 900 images: published numbers use 2048 or more"),
            (png(3000), png(30_000), "3000 images against 30000"),
            (png(3000), changed(|meta| meta.precision = Precision::Bf16), "a has features in f32, b in bf16"),
            (
                png(3000),
                changed(|meta| meta.weights = "02".into()),
                "a and b have features of different weights",
            ),
            (png(3000), changed(gray), "b: 16-bit gray is clipped to 255 in 2 images"),
            (
                png(3000),
                changed(gray),
                "b: signed, 32-bit or floating-point gray is clamped to 0 to 255 in 3",
            ),
            (png(3000), input(3000, dataset(64, Some(true), None)), "b is JPEGs and a is not"),
            (png(3000), input(3000, dataset(32, Some(false), None)), "a is 64×64, b is 32×32"),
            (
                input(3000, dataset(64, None, Some("crop 108"))),
                input(3000, dataset(64, None, Some("no crop"))),
                "a was made with crop 108, b with no crop",
            ),
        ] {
            let lines = warnings(a, b);
            assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:?}");
            assert!(lines.iter().all(|line| !line.contains('\n')));
        }
        let mut mixed = dataset(64, None, None);
        mixed.update(&Image { width: 80, height: 48, rgb: vec![] }, Notes::default());
        assert_eq!(mixed.describe_sizes().unwrap(), "64×48 to 80×64");
    }
}
