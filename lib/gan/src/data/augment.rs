//! Random augmentation of training images: flip, color jitter and blur, drawn anew each time.
//!
//! It changes the bytes after crop and resize, as torchvision changes Pillow's images
//! (`transforms.RandomHorizontalFlip`, `ColorJitter`, `GaussianBlur`). The tests compare with torchvision.

use rand_chacha::rand_core::RngCore;

use crate::config::{Wrong, table};
use crate::data::image::luma;
use crate::rng::{Stream, chacha, open_unit};
use crate::{Error, Result};

table! {
    /// Random changes. All draws are uniform.
    pub struct Augment {
        /// Probability that an image is mirrored.
        flip: f64 = 0.0, UpToOne;
        /// Largest difference of the brightness factor from 1.
        brightness: f64 = 0.0, UpToOne;
        /// Largest difference of the contrast factor from 1.
        contrast: f64 = 0.0, UpToOne;
        /// Largest difference of the saturation factor from 1.
        saturation: f64 = 0.0, UpToOne;
        /// Width and height of the blur in pixels, odd, 1 to 31; 1×1 blurs nothing.
        blur: [usize; 2] = [1, 1];
        /// Least and largest standard deviation of the blur in pixels, above 0 and at most 100.
        blur_sigma: [f64; 2] = [0.1, 2.0];
    }
}

/// A change of colors by a factor, as in Pillow's ImageEnhance: `other + factor · (image − other)`. A factor
/// of 1 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enhance {
    /// The other image is black.
    Brightness,
    /// The other image is the mean luma.
    Contrast,
    /// The other image is the luma.
    Saturation,
}

impl Augment {
    /// The first value that is out of range, as (key, what is wrong).
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        self.check_ranges()?;
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

    /// Checks that images are large enough for the blur, which mirrors them at their edges.
    ///
    /// # Errors
    /// They are too small.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let [w, h] = self.blur;
        if w / 2 >= width || h / 2 >= height {
            return Err(Error::Invalid(format!(
                "images of {width}×{height} are too small for a blur of {w}×{h}: choose a smaller blur"
            )));
        }
        Ok(())
    }

    /// Changes the image `pixels` `[height, width, channels]` at `place` (from 0) in the batch of `step`.
    ///
    /// # Panics
    /// If [`Augment::check_size`] refuses the image's size, or `place` is not below 2^16.
    pub fn apply(
        &self,
        seed: u64,
        step: u64,
        place: usize,
        (height, width, channels): (usize, usize, usize),
        pixels: &mut [u8],
    ) {
        assert!(place < 1 << 16 && pixels.len() == height * width * channels);
        let mut rng = chacha(seed, Stream::Augment, step << 16 | place as u64);
        // All numbers are drawn, used or not, so that a changed range affects nothing else.
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

/// Changes the colors of an image of 1 or 3 channels. A gray image has no saturation.
pub fn enhance(what: Enhance, factor: f32, channels: usize, pixels: &mut [u8]) {
    // As in Pillow's `Image.blend`, the fraction is truncated.
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

/// Blurs an image `[height, width, channels]` with a Gaussian of standard deviation `sigma` in a window of
/// `size` (width, height; odd), scaled to a sum of 1. Beyond its edges the image is mirrored without
/// repeating the edge.
///
/// # Panics
/// If half of `size` is not less than the image's size.
pub fn gaussian_blur(
    size: [usize; 2],
    sigma: f64,
    (height, width, channels): (usize, usize, usize),
    pixels: &mut [u8],
) {
    assert!(size[0] / 2 < width && size[1] / 2 < height, "a blur of less than twice the image");
    let [across, down] = size.map(|n| kernel(n, sigma));
    let row = width * channels;
    let (left, above) = (size[0] / 2, size[1] / 2);
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

/// A Gaussian at the `n` integers around 0, scaled to a sum of 1.
fn kernel(n: usize, sigma: f64) -> Vec<f32> {
    let at = |i: usize| (-0.5 * ((i as f64 - (n / 2) as f64) / sigma).powi(2)).exp();
    let sum: f64 = (0..n).map(at).sum();
    (0..n).map(|i| (at(i) / sum) as f32).collect()
}

/// The mirror image of `i` in `0..n`. `i` is less than `n` outside.
fn mirrored(i: isize, n: usize) -> usize {
    let i = i.unsigned_abs();
    if i < n { i } else { 2 * (n - 1) - i }
}

#[cfg(test)]
mod tests;
