//! Properties of a set of images that change a distance.

use serde::{Deserialize, Serialize};

use crate::data::image::{Image, Notes};

/// Properties of images that change a distance (Parmar et al. 2022, "On Aliased Resizing and Surprising
/// Subtleties in GAN Evaluation").
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The smallest and the largest width and height; `None` before the first image.
    pub sizes: Option<[[usize; 2]; 2]>,
    /// Whether most are JPEGs by their names; `None` of a shard, which does not record it.
    pub jpeg: Option<bool>,
    /// How a shard's images were cropped and resized; `None` of other images.
    pub prepared: Option<String>,
    /// The number of images of 16-bit gray, whose values above 255 are clipped.
    #[serde(default)]
    pub clipped: usize,
    /// The number of images of signed, 32-bit or floating-point gray, which is clamped to 0 to 255.
    #[serde(default)]
    pub clamped: usize,
    /// The number of images with an EXIF rotation, which is ignored.
    #[serde(default)]
    pub rotated: usize,
}

impl DatasetInfo {
    /// Adds the size of an image, and the notes on its file.
    pub(super) fn update(&mut self, image: &Image, notes: Notes) {
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

    /// The sizes, such as `64×64` or `48×64 to 80×64`.
    pub fn describe_sizes(&self) -> Option<String> {
        self.sizes.map(|[least, largest]| match least == largest {
            true => format!("{}×{}", least[0], least[1]),
            false => format!("{}×{} to {}×{}", least[0], least[1], largest[0], largest[1]),
        })
    }
}
