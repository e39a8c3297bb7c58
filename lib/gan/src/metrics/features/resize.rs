//! PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing, from bytes to floats.

use crate::data::image::Image;

/// For every output position: the two input positions, and the weight of the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    // In f64: positions rounded to f32 alone would move a feature by 3e-4.
    let scale = from as f64 / to as f64;
    let tap = |i: usize| {
        let at = (scale * (i as f64 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), (at - first as f64) as f32)
    };
    (0..to).map(tap).collect()
}

/// Resizes to `side`×`side`; `out` is [side, side, 3], each value `level(byte)` interpolated.
pub(crate) fn bilinear(image: &Image, side: usize, level: impl Fn(u8) -> f32, out: &mut [f32]) {
    let levels: [f32; 256] = std::array::from_fn(|byte| level(byte as u8));
    let row = |y: usize| &image.rgb[y * image.width * 3..][..image.width * 3];
    let columns = taps(image.width, side);
    for (out, (y0, y1, v)) in out.chunks_exact_mut(side * 3).zip(taps(image.height, side)) {
        let (upper, lower) = (row(y0), row(y1));
        for (out, &(x0, x1, u)) in out.chunks_exact_mut(3).zip(&columns) {
            for (channel, out) in out.iter_mut().enumerate() {
                let at = |row: &[u8], x: usize| levels[usize::from(row[x * 3 + channel])];
                let mix = |row| (1.0 - u) * at(row, x0) + u * at(row, x1);
                *out = (1.0 - v) * mix(upper) + v * mix(lower);
            }
        }
    }
}
