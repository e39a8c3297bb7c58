//! Interpolation between latents.

use std::f64::consts::PI;

use serde_json::json;

use super::Latents;
use crate::{Error, Result};

/// For angles this near to 0 or π the sine is too small to divide by.
const PARALLEL: f64 = 1e-6;

/// A path from image to image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpolation {
    /// The indices of the images on the path, at least two.
    images: Vec<u32>,
    /// The number of latents on the path, both ends included; at least as many as images.
    frames: usize,
}

impl Interpolation {
    /// A path through `images`, of `frames` latents.
    ///
    /// # Errors
    /// Fewer than two images, or fewer frames than images.
    pub fn new(images: &[u32], frames: usize) -> Result<Interpolation> {
        if images.len() < 2 {
            return Err(Error::argument("interpolate", "name two or more images, such as 3,7"));
        }
        if frames < images.len() {
            let what = format!("{frames} is fewer than the {} images to interpolate", images.len());
            return Err(Error::argument("frames", what));
        }
        Ok(Interpolation { images: images.to_vec(), frames })
    }

    /// The latents on the path, evenly spread over its segments, each of which is a spherical interpolation.
    /// The images are indices of latents in `source`.
    ///
    /// # Errors
    /// `source` has no such latent.
    pub fn latents(&self, source: &Latents) -> Result<Latents> {
        let stops = self.images.iter().map(|&i| source.latent(i, "interpolate"));
        let stops = stops.collect::<Result<Vec<_>>>()?;
        let (segments, steps) = (stops.len() - 1, self.frames - 1);
        let mut rows = Vec::with_capacity(self.frames * source.nz);
        for frame in 0..self.frames {
            // In integers, so that a frame that falls on an image is that image.
            let segment = (frame * segments / steps).min(segments - 1);
            let t = (frame * segments - segment * steps) as f64 / steps as f64;
            rows.extend(slerp(&stops[segment], &stops[segment + 1], t));
        }
        let more = [("interpolate", json!(self.images)), ("frames", self.frames.into())];
        Ok(Latents::from_rows(rows, source.nz, source.provenance_with(more)))
    }

    /// The order of the frames in an animation that repeats: forward and back, each end once. Where the first
    /// image is also the last, forward only.
    pub fn order(&self) -> Vec<usize> {
        let last = self.frames - 1;
        match self.images.first() == self.images.last() {
            true => (0..last).collect(),
            false => (0..=last).chain((1..last).rev()).collect(),
        }
    }
}

/// The point at `t` in [0, 1] on the arc from `a` to `b`: `(sin((1 − t)Ω) a + sin(tΩ) b) / sin Ω`, Ω the
/// angle between them (Shoemake 1985; for latents White 2016). If both have the same norm, the point has it,
/// too. The line is straight where they are parallel, antiparallel or 0: no arc is the shortest there.
fn slerp(a: &[f32], b: &[f32], t: f64) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    // The angle to 0 is NaN, which is in no range.
    let (wa, wb) = match (PARALLEL..PI - PARALLEL).contains(&angle) {
        true => (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()),
        false => (1.0 - t, t),
    };
    a.iter().zip(b).map(|(&a, &b)| (wa * f64::from(a) + wb * f64::from(b)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm(v: &[f32]) -> f64 {
        v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
    }

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn an_arc_has_its_closed_forms() {
        let (x, y) = ([3.0, 0.0, 0.0], [0.0, 3.0, 0.0]);
        let half = 3.0 * 0.5f32.sqrt();
        assert!(near(&slerp(&x, &y, 0.5), &[half, half, 0.0]), "the middle of a right angle");
        let third = slerp(&x, &y, 1.0 / 3.0);
        assert!(near(&third, &[3.0 * 0.75f32.sqrt(), 1.5, 0.0]), "30°: {third:?}");
        let (a, b) = ([0.3, -1.2, 2.0], [1.7, 0.4, -0.6]);
        assert_eq!(slerp(&a, &b, 0.0), a);
        assert_eq!(slerp(&a, &b, 1.0), b);
        let scale = (norm(&a) / norm(&b)) as f32;
        let b = b.map(|v| v * scale);
        for t in 1..10 {
            let v = slerp(&a, &b, f64::from(t) / 10.0);
            assert!((norm(&v) - norm(&a)).abs() < 1e-6, "the norm at {t}: {} of {}", norm(&v), norm(&a));
            assert!(!near(&v, &slerp(&a, &b, f64::from(t + 1) / 10.0)));
        }
    }

    #[test]
    fn where_there_is_no_arc_the_line_is_straight() {
        let a = [1.0, 2.0];
        assert_eq!(slerp(&a, &a, 0.25), a);
        assert_eq!(slerp(&a, &[3.0, 6.0], 0.5), [2.0, 4.0]);
        assert_eq!(slerp(&a, &[-1.0, -2.0], 0.25), [0.5, 1.0]);
        assert_eq!(slerp(&a, &[0.0, 0.0], 0.5), [0.5, 1.0]);
    }

    #[test]
    fn frames_are_evenly_spread_and_hit_the_images() {
        let source = Latents::from_seed(3, 1, 5);
        let stop = |i| source.latent(i, "").unwrap();
        let frame =
            |interpolation: &Interpolation, i| interpolation.latents(&source).unwrap().latent(i, "").unwrap();
        let interpolation = Interpolation::new(&[4, 0, 9], 9).unwrap();
        assert_eq!(interpolation.latents(&source).unwrap().count(), 9);
        assert_eq!(
            [frame(&interpolation, 0), frame(&interpolation, 4), frame(&interpolation, 8)],
            [stop(4), stop(0), stop(9)]
        );
        assert_eq!(frame(&interpolation, 1), slerp(&stop(4), &stop(0), 0.25));
        assert_eq!(frame(&interpolation, 7), slerp(&stop(0), &stop(9), 0.75));
        // Six frames: the middle image lies between the third and the fourth.
        let interpolation = Interpolation::new(&[4, 0, 9], 6).unwrap();
        assert_eq!(frame(&interpolation, 2), slerp(&stop(4), &stop(0), 0.8));
        assert_eq!(frame(&interpolation, 3), slerp(&stop(0), &stop(9), 0.2));
        assert_eq!([frame(&interpolation, 0), frame(&interpolation, 5)], [stop(4), stop(9)]);
    }

    #[test]
    fn an_animation_goes_there_and_back_or_round() {
        let order = |images: &[u32], frames| Interpolation::new(images, frames).unwrap().order();
        assert_eq!(order(&[1, 2], 4), [0, 1, 2, 3, 2, 1]);
        assert_eq!(order(&[1, 2], 2), [0, 1]);
        assert_eq!(order(&[1, 2, 1], 5), [0, 1, 2, 3]);
        assert_eq!(order(&[1, 1], 2), [0]);
    }

    #[test]
    fn an_interpolation_needs_two_images_and_frames_for_them() {
        let line = |images: &[u32], frames| Interpolation::new(images, frames).unwrap_err().to_string();
        assert_eq!(line(&[3], 9), "interpolate: name two or more images, such as 3,7");
        assert_eq!(line(&[3, 4, 5], 2), "frames: 2 is fewer than the 3 images to interpolate");
    }
}
