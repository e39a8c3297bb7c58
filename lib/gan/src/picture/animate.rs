//! Animated pictures.

use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

/// A GIF that repeats for ever, of frames of `height · width · channels` bytes, `channels` 1 (grey) or 3 (RGB); `delay` is how
/// long each frame is shown, and how long the last one. Each frame has 256 colours of its own.
///
/// # Panics
/// If a frame has another length.
pub fn encode_gif(
    frames: &[&[u8]],
    width: usize,
    height: usize,
    channels: usize,
    delay: [Duration; 2],
) -> Vec<u8> {
    let mut file = Vec::new();
    // Of 1 (best) to 30 (fast), what the GIF format's own tools use.
    let mut encoder = GifEncoder::new_with_speed(&mut file, 10);
    encoder.set_repeat(Repeat::Infinite).expect("a Vec takes every write");
    for (i, bytes) in frames.iter().enumerate() {
        assert_eq!(bytes.len(), width * height * channels, "frame {i}: {width}×{height}×{channels} bytes");
        let rgba = bytes.chunks_exact(channels).flat_map(|p| [p[0], p[channels / 2], p[channels - 1], 255]);
        let picture =
            RgbaImage::from_raw(width as u32, height as u32, rgba.collect()).expect("as many bytes");
        let shown = Delay::from_saturating_duration(delay[usize::from(i + 1 == frames.len())]);
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, shown)).expect("a Vec takes every write");
    }
    drop(encoder);
    file
}
