//! PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing, from bytes to floats.

use crate::data::image::Image;

/// For each output position: the two input positions, and the weight of the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    // In f64: rounding the positions to f32 would change a feature by 3e-4.
    let scale = from as f64 / to as f64;
    let tap = |i: usize| {
        let at = (scale * (i as f64 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), (at - first as f64) as f32)
    };
    (0..to).map(tap).collect()
}

/// Resizes to `size`×`size`; `out` is `[size, size, 3]`, `level(byte)` interpolated.
pub(crate) fn bilinear(image: &Image, size: usize, level: impl Fn(u8) -> f32, out: &mut [f32]) {
    let levels: [f32; 256] = std::array::from_fn(|byte| level(byte as u8));
    let row = |y: usize| &image.rgb[y * image.width * 3..][..image.width * 3];
    let columns = taps(image.width, size);
    for (out, (y0, y1, v)) in out.chunks_exact_mut(size * 3).zip(taps(image.height, size)) {
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
