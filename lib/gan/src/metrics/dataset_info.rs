//! What two sets of images look like beside their features, and what of it spoils a comparison.

use serde::{Deserialize, Serialize};

use super::{FeatureSpec, FeatureStats, ImageSet};
use crate::data::image::{Image, Notes, rotation};

/// Fewer images than this are not compared with published numbers: as many as the FID has features.
const ENOUGH: u64 = 2048;
/// A side with so many times the other's images.
const UNEVEN: u64 = 10;

/// How images came, as far as that changes a distance (Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in
/// GAN Evaluation").
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Least and largest width and height; `None` where no image was looked at.
    pub sizes: Option<[[usize; 2]; 2]>,
    /// Whether most are JPEGs; `None` of a shard, which does not tell.
    pub jpeg: Option<bool>,
    /// How a shard's images were cropped and resized.
    pub prepared: Option<String>,
    /// Images of 16-bit gray, whose values above 255 are clipped.
    #[serde(default)]
    pub clipped: usize,
    /// Images of signed, 32-bit or floating-point gray, which is cut off to 0 to 255.
    #[serde(default)]
    pub clamped: usize,
    /// Images with an EXIF rotation, which is ignored.
    #[serde(default)]
    pub rotated: usize,
}

impl DatasetInfo {
    /// What is known of images before they are read.
    pub fn of(images: &ImageSet) -> DatasetInfo {
        DatasetInfo { jpeg: images.mostly_jpeg(), prepared: images.prepared(), ..DatasetInfo::default() }
    }

    /// Takes in the size of an image, and what there is to say of its file.
    pub fn update(&mut self, image: &Image, notes: Notes) {
        self.clipped += usize::from(notes.gray_bits.is_some());
        self.clamped += usize::from(notes.clamped);
        self.rotated += usize::from(notes.rotated);
        let size = [image.width, image.height];
        let [least, largest] = self.sizes.get_or_insert([size, size]);
        (0..2).for_each(|i| {
            least[i] = least[i].min(size[i]);
            largest[i] = largest[i].max(size[i]);
        });
    }

    /// The sizes, for people.
    pub fn describe(&self) -> Option<String> {
        self.sizes.map(|[least, largest]| match least == largest {
            true => format!("{}×{}", least[0], least[1]),
            false => format!("{}×{} to {}×{}", least[0], least[1], largest[0], largest[1]),
        })
    }
}

/// What makes the number of these two sides mean less than it seems: a line each.
pub fn comparability_warnings(
    names: [&str; 2],
    sides: &[FeatureStats; 2],
    choice: FeatureSpec,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, side) in names.iter().zip(sides) {
        lines.extend(side.n.and_then(|n| few(name, n, choice)));
        lines.extend(side.look.as_ref().map(|look| look.clipped).filter(|&n| n > 0).map(|n| {
            format!("{name}: 16-bit gray is clipped to 255 in {n} images, as Pillow does it: nearly white to the network")
        }));
        if let Some(n) = side.look.as_ref().map(|look| look.clamped).filter(|&n| n > 0) {
            lines.push(format!("{name}: signed, 32-bit or floating-point gray is cut off to 0 to 255 in {n} images, as Pillow does it"));
        }
        let rotated = side.look.as_ref().and_then(|look| rotation(look.rotated as u64));
        lines.extend(rotated.map(|line| format!("{name}: {line}")));
    }
    if let [Some(a), Some(b)] = sides.each_ref().map(|side| side.n)
        && a.max(b) / a.min(b).max(1) >= UNEVEN
    {
        lines.push(format!("{a} images against {b}: the fewer ones decide how near 0 the number can come"));
    }
    let [left, right] = names;
    if let [Some(a), Some(b)] = sides.each_ref().map(|side| side.precision)
        && a != b
    {
        lines.push(format!(
            "{left} is of features in {a}, {right} in {b}: compare like with like (--precision)"
        ));
    }
    if let [Some(a), Some(b)] = sides.each_ref().map(|side| side.weights.as_ref())
        && a != b
    {
        lines.push(format!(
            "{left} and {right} are of features of other weights: their distance means nothing"
        ));
    }
    let [Some(a), Some(b)] = sides.each_ref().map(|side| side.look.as_ref()) else { return lines };
    match (a.jpeg, b.jpeg) {
        (Some(true), Some(false)) => lines.push(lossy(left, right)),
        (Some(false), Some(true)) => lines.push(lossy(right, left)),
        _ => {}
    }
    if let [Some(one), Some(other)] = [a, b].map(DatasetInfo::describe)
        && one != other
    {
        lines.push(format!(
            "{left} is {one}, {right} is {other}: the network sees how each was enlarged; bring both to one size (prep --size)"
        ));
    }
    if let [Some(one), Some(other)] = [&a.prepared, &b.prepared]
        && one != other
    {
        lines.push(format!("{left} was made with {one}, {right} with {other}"));
    }
    lines
}

fn lossy(jpegs: &str, others: &str) -> String {
    format!("{jpegs} is JPEGs and {others} is not: what JPEG does to an image counts as a difference, too")
}

/// Where a set is too small, a line that says so.
pub fn few(name: &str, n: u64, choice: FeatureSpec) -> Option<String> {
    let dims = choice.dims as u64;
    match n {
        n if n <= dims => Some(format!(
            "{name}: {n} images are few for {dims} features: the number is higher than that of more images"
        )),
        n if n < ENOUGH => Some(format!(
            "{name}: {n} images: published numbers are of {ENOUGH} and more, and the number falls with them"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::features::Features;
    use crate::metrics::frechet::Gaussian;
    use crate::precision::Precision;

    fn side(n: u64, look: DatasetInfo) -> FeatureStats {
        let gaussian = Gaussian { mu: vec![0.0], sigma: vec![1.0] };
        let (weights, precision) = (None, Some(Precision::F32));
        FeatureStats {
            gaussian,
            n: Some(n),
            weights,
            precision,
            features: None,
            look: Some(look),
            seconds: 0.0,
        }
    }

    fn look(size: usize, jpeg: Option<bool>, prepared: Option<&str>) -> DatasetInfo {
        let mut look = DatasetInfo { jpeg, prepared: prepared.map(String::from), ..DatasetInfo::default() };
        look.update(&Image { width: size, height: size, rgb: vec![] }, Notes::default());
        look
    }

    fn said(a: FeatureStats, b: FeatureStats) -> Vec<String> {
        comparability_warnings(
            ["a", "b"],
            &[a, b],
            FeatureSpec { features: Some(Features::Squeezenet), dims: 512 },
        )
    }

    #[test]
    fn like_sides_need_no_advice() {
        let one = || side(3000, look(64, Some(false), None));
        assert!(said(one(), one()).is_empty());
        // What is not known is not held against anyone.
        assert!(said(one(), side(3000, DatasetInfo::default())).is_empty());
        let mut unknown = one();
        unknown.look = None;
        assert!(said(unknown, side(3000, look(32, Some(true), None))).is_empty());
    }

    #[test]
    fn each_difference_is_one_line() {
        let png = |n| side(n, look(64, Some(false), None));
        for (a, b, wanted) in [
            (png(100), png(900), "a: 100 images are few for 512 features"),
            (png(900), png(3000), "a: 900 images: published numbers are of 2048 and more"),
            (png(3000), png(30_000), "3000 images against 30000"),
            (png(3000), side(3000, look(64, Some(true), None)), "b is JPEGs and a is not"),
            (png(3000), side(3000, look(32, Some(false), None)), "a is 64×64, b is 32×32"),
            (
                side(3000, look(64, None, Some("crop 108"))),
                side(3000, look(64, None, Some("no crop"))),
                "a was made with crop 108, b with no crop",
            ),
        ] {
            let lines = said(a, b);
            assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:?}");
            assert!(lines.iter().all(|line| !line.contains('\n')));
        }
        let mut mixed = look(64, None, None);
        mixed.update(&Image { width: 80, height: 48, rgb: vec![] }, Notes::default());
        assert_eq!(mixed.describe().unwrap(), "64×48 to 80×64");
    }
}
