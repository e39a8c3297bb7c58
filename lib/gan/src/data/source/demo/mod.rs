//! Drawn faces, to try everything without a data set. Face `i` is a function of the seed and `i` alone.

mod face;
mod hair;
mod pen;
mod traits;

use std::time::SystemTime;

use super::input::{Input, RawImage};
use crate::Result;
use crate::data::image::Image;
use pen::Pen;
use traits::Traits;

/// The size of the faces, in pixels. Size and framing are those of CelebA's aligned images (eyes near (69,
/// 112) and (109, 112)).
const WIDTH: u32 = 178;
const HEIGHT: u32 = 218;

pub(super) struct Demo {
    pub(super) count: usize,
    pub(super) seed: u64,
}

/// Face `i` of `seed`.
fn draw(seed: u64, i: usize) -> Image {
    let traits = Traits::roll(seed, i as u64);
    let mut pen = Pen::new(WIDTH, HEIGHT);
    face::paint(&mut pen, &traits);
    Image { width: WIDTH as usize, height: HEIGHT as usize, rgb: pen.into_rgb() }
}

impl Input for Demo {
    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, i: usize) -> String {
        format!("{i:06}")
    }

    fn full_name(&self, i: usize) -> String {
        format!("demo/{i:06}")
    }

    fn read(&self, i: usize) -> Result<RawImage> {
        Ok(RawImage::Pixels(draw(self.seed, i)))
    }

    fn version(&self, _: usize) -> Result<(String, Option<SystemTime>)> {
        // The tool's version, which a shard records, covers the drawing.
        Ok((format!("seed {}", self.seed), None))
    }
}
