//! Random changes of a training image, new ones each time that it is drawn: flip, color jitter and blur.
//!
//! On bytes, after crop and resize, and as torchvision does them on Pillow's images
//! (`transforms.RandomHorizontalFlip`, `ColorJitter`, `GaussianBlur`), which the tests compare with.

use rand_chacha::rand_core::RngCore;
use serde::{Deserialize, Serialize};

use crate::data::image::luma;
use crate::rng::{Stream, generator, open_unit};
use crate::{Error, Result};

/// What is drawn how. All ranges are uniform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// The probability that an image is mirrored, 0 to 1.
    pub flip: f64,
    /// The brightness factor is within so much of 1; 0 to 1.
    pub brightness: f64,
    /// The same of the contrast factor.
    pub contrast: f64,
    /// The same of the saturation factor.
    pub saturation: f64,
    /// Width and height of the blur in pixels, odd, 1 to 31; 1×1 blurs nothing.
    pub blur: [usize; 2],
    /// Least and largest standard deviation of the blur in pixels, above 0 and at most 100.
    pub blur_sigma: [f64; 2],
}

/// A change of colors by a factor, as Pillow's ImageEnhance makes it: the image is mixed with one that lacks
/// something altogether, and the factor is the image's own share. 1 changes nothing, above 1 exaggerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enhance {
    /// Mixed with black.
    Brightness,
    /// Mixed with its mean luma.
    Contrast,
    /// Mixed with its own luma.
    Saturation,
}

impl Augment {
    /// The first value out of its range, as (key, what is wrong with it).
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let shares = [
            ("flip", self.flip),
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ];
        if let Some((key, value)) = shares.into_iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Err((key, format!("{value} is not in 0 to 1")));
        }
        if let Some(side) = self.blur.iter().find(|side| *side % 2 == 0 || !(1..=31).contains(*side)) {
            return Err(("blur", format!("{side} is not an odd number in 1 to 31")));
        }
        let [least, largest] = self.blur_sigma;
        if !(least > 0.0 && least <= largest && largest <= 100.0) {
            let what = format!("[{least}, {largest}] is not a range above 0 and up to 100");
            return Err(("blur_sigma", what));
        }
        Ok(())
    }

    /// Checks that images are large enough: the blur mirrors them at their edges.
    ///
    /// # Errors
    /// They are not.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let [w, h] = self.blur;
        if w / 2 >= width || h / 2 >= height {
            return Err(Error::Invalid(format!(
                "images of {width}×{height} are too small for a blur of {w}×{h} (recipe, [augment])"
            )));
        }
        Ok(())
    }

    /// Changes the image `pixels` `[height, width, channels]`, the `place`-th of the batch of `step`, from 0.
    ///
    /// # Panics
    /// If the image's size is not what [`Augment::check_size`] allows, or `place` is not below 2^16.
    pub fn apply(
        &self,
        seed: u64,
        step: u64,
        place: usize,
        (height, width, channels): (usize, usize, usize),
        pixels: &mut [u8],
    ) {
        assert!(place < 1 << 16 && pixels.len() == height * width * channels);
        let mut rng = generator(seed, Stream::Augment, step << 16 | place as u64);
        // Every number is drawn, used or not: a changed recipe changes its own part alone.
        let mut within = |least: f64, largest: f64| least + (largest - least) * open_unit(&mut rng);
        let flipped = within(0.0, 1.0) < self.flip;
        let mut factor = |share: f64| within(1.0 - share, 1.0 + share) as f32;
        let mut changes = [
            (Enhance::Brightness, factor(self.brightness), self.brightness),
            (Enhance::Contrast, factor(self.contrast), self.contrast),
            (Enhance::Saturation, factor(self.saturation), self.saturation),
        ];
        let sigma = within(self.blur_sigma[0], self.blur_sigma[1]);
        for i in (1..changes.len()).rev() {
            changes.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        if flipped {
            flip(width, channels, pixels);
        }
        for (what, factor, _) in changes.iter().filter(|(_, _, share)| *share > 0.0) {
            enhance(*what, *factor, channels, pixels);
        }
        if self.blur != [1, 1] {
            gaussian_blur(self.blur, sigma, (height, width, channels), pixels);
        }
    }
}

/// Mirrors an image left to right.
pub fn flip(width: usize, channels: usize, pixels: &mut [u8]) {
    for row in pixels.chunks_exact_mut(width * channels) {
        row.reverse();
        row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
    }
}

/// Changes the colors of an image of 1 or 3 channels. A gray one has no saturation to change.
pub fn enhance(what: Enhance, factor: f32, channels: usize, pixels: &mut [u8]) {
    // As Pillow's `Image.blend`: the fraction is cut off.
    let mix = |low: u8, x: u8| (f32::from(low) + factor * (f32::from(x) - f32::from(low))) as u8;
    match (what, channels) {
        (Enhance::Brightness, _) => pixels.iter_mut().for_each(|x| *x = mix(0, *x)),
        (Enhance::Contrast, _) => {
            let gray = |pixel: &[u8]| if channels == 3 { luma(pixel) } else { pixel[0] };
            let sum: u64 = pixels.chunks_exact(channels).map(|pixel| u64::from(gray(pixel))).sum();
            let mean = (sum as f64 / (pixels.len() / channels) as f64 + 0.5) as u8;
            pixels.iter_mut().for_each(|x| *x = mix(mean, *x));
        }
        (Enhance::Saturation, 3) => pixels.chunks_exact_mut(3).for_each(|pixel| {
            let gray = luma(pixel);
            pixel.iter_mut().for_each(|x| *x = mix(gray, *x));
        }),
        (Enhance::Saturation, _) => {}
    }
}

/// Blurs an image `[height, width, channels]` with a Gaussian of standard deviation `sigma`, cut off at
/// `side` (width, height; odd) and scaled to a sum of 1. Beyond an edge the image is mirrored, the edge
/// itself not repeated.
///
/// # Panics
/// If half of `side` is not less than the image's.
pub fn gaussian_blur(
    side: [usize; 2],
    sigma: f64,
    (height, width, channels): (usize, usize, usize),
    pixels: &mut [u8],
) {
    assert!(side[0] / 2 < width && side[1] / 2 < height, "a blur of less than twice the image");
    let [across, down] = side.map(|n| kernel(n, sigma));
    let row = width * channels;
    let (left, above) = (side[0] / 2, side[1] / 2);
    let mut wide = vec![0.0; (width + 2 * left) * channels];
    let mut blurred = vec![0.0; pixels.len()];
    for (source, out) in pixels.chunks_exact(row).zip(blurred.chunks_exact_mut(row)) {
        for (i, pixel) in wide.chunks_exact_mut(channels).enumerate() {
            let from = mirrored(i as isize - left as isize, width) * channels;
            pixel.iter_mut().zip(&source[from..]).for_each(|(o, &x)| *o = f32::from(x));
        }
        for (i, &weight) in across.iter().enumerate() {
            out.iter_mut().zip(&wide[i * channels..]).for_each(|(o, x)| *o += weight * x);
        }
    }
    let mut sum = vec![0.0; row];
    for (y, out) in pixels.chunks_exact_mut(row).enumerate() {
        sum.fill(0.0);
        for (i, &weight) in down.iter().enumerate() {
            let from = mirrored((y + i) as isize - above as isize, height) * row;
            sum.iter_mut().zip(&blurred[from..]).for_each(|(o, x)| *o += weight * x);
        }
        out.iter_mut().zip(&sum).for_each(|(o, x)| *o = x.round_ties_even() as u8);
    }
}

/// A Gaussian at the `n` whole numbers around 0, scaled to a sum of 1.
fn kernel(n: usize, sigma: f64) -> Vec<f32> {
    let at = |i: usize| (-0.5 * ((i as f64 - (n / 2) as f64) / sigma).powi(2)).exp();
    let sum: f64 = (0..n).map(at).sum();
    (0..n).map(|i| (at(i) / sum) as f32).collect()
}

/// The place in `0..n` that is the mirror image of `i`, which is less than `n` outside.
fn mirrored(i: isize, n: usize) -> usize {
    let i = i.unsigned_abs();
    if i < n { i } else { 2 * (n - 1) - i }
}

#[cfg(test)]
mod tests;
