//! RGB images in memory, and bytes as the networks see them.

/// An RGB image of 8 bits a channel, rows from top to bottom, `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height · width · 3` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// An image whose three channels are all `gray` (`height · width` bytes).
    pub fn from_gray(width: usize, height: usize, gray: &[u8]) -> Image {
        assert_eq!(gray.len(), width * height, "one byte a pixel");
        Image { width, height, rgb: gray.iter().flat_map(|&v| [v; 3]).collect() }
    }

    /// Luma, `height · width` bytes. It inverts [`Image::from_gray`] exactly.
    pub fn to_gray(&self) -> Vec<u8> {
        self.rgb.chunks_exact(3).map(luma).collect()
    }
}

/// The luma of an RGB pixel: ITU-R 601 in Pillow's fixed point, `(19595 R + 38470 G + 7471 B + 2¹⁵) >> 16`.
/// The weights add up to 2¹⁶.
#[inline]
pub fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8
}

/// A byte as the networks' input: `x / 127.5 − 1`, in [-1, 1].
#[inline]
pub fn to_unit(x: u8) -> f32 {
    f32::from(x) / 127.5 - 1.0
}

/// A network's output as a byte: `round((x + 1) · 127.5)`, clamped to 0..=255; the inverse of [`to_unit`].
/// NaN gives 0.
#[inline]
pub fn to_u8(x: f32) -> u8 {
    let x = (x + 1.0) * 127.5;
    // `f32::round` is a call, which prevents vectorization. `as` saturates and truncates exactly.
    let low = x as u8;
    low.saturating_add(u8::from(x - f32::from(low) >= 0.5))
}
