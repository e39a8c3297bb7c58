//! Animations of frames of one size: GIF, and PNG as all browsers animate it. Both go round for ever.

use std::iter::repeat_n;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

use super::encode::png_encoder;

/// About how many pixels of a frame its palette is learnt from: of small frames all, of large ones one in up
/// to [`MAX_STEP`].
const LEARNT_FROM: usize = 1 << 13;
/// The most pixels of which one is learnt from; beyond, palettes become poor.
const MAX_STEP: usize = 10;

/// How long each frame is shown, of `count`: the first of two durations, and for the last one the second.
fn shown(delay: [Duration; 2], count: usize) -> impl Iterator<Item = Duration> {
    repeat_n(delay[0], count - 1).chain([delay[1]])
}

/// An animated GIF of frames of `height · width · channels` bytes each, `channels` 1 (gray) or 3 (RGB);
/// `delay` is how long each frame is shown, and how long the last one, in the format to hundredths of a
/// second. Each frame has a palette of its own: exact up to 256 colors, so that gray is, else the 256 that a
/// small neural net finds (Dekker 1994). The same input gives the same bytes.
///
/// # Panics
/// If there are no frames, one has another length, `channels` is neither 1 nor 3, or a side is above 65,535
/// pixels.
pub fn encode_gif(
    frames: &[&[u8]],
    width: usize,
    height: usize,
    channels: usize,
    delay: [Duration; 2],
) -> Vec<u8> {
    check(frames, width, height, channels);
    assert!(width.max(height) <= usize::from(u16::MAX), "{width}×{height}: more than a GIF can be");
    let mut file = Vec::new();
    let step = (width * height / LEARNT_FROM).clamp(1, MAX_STEP);
    let mut encoder = GifEncoder::new_with_speed(&mut file, step as i32);
    encoder.set_repeat(Repeat::Infinite).expect("a Vec takes every write");
    for (frame, delay) in frames.iter().zip(shown(delay, frames.len())) {
        let rgba = match channels {
            1 => frame.iter().flat_map(|&v| [v, v, v, 255]).collect(),
            _ => frame.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect(),
        };
        let rgba = RgbaImage::from_raw(width as u32, height as u32, rgba).expect("its length was checked");
        let delay = Delay::from_saturating_duration(delay);
        encoder.encode_frame(Frame::from_parts(rgba, 0, 0, delay)).expect("a Vec takes every write");
    }
    // Writes the end of the file.
    drop(encoder);
    file
}

/// An animated PNG of frames of `height · width · channels` bytes each, `channels` 1 (gray) or 3 (RGB),
/// without loss; a viewer that knows PNG alone shows the first. `delay` is as in [`encode_gif`], to
/// milliseconds and 65 s. `text` is as in [`encode_png`](super::encode_png). The same input gives the same
/// bytes.
///
/// # Panics
/// If there are no frames, one has another length, `channels` is neither 1 nor 3, or a keyword is not 1 to 79
/// characters of Latin-1.
pub fn encode_apng(
    frames: &[&[u8]],
    width: usize,
    height: usize,
    channels: usize,
    delay: [Duration; 2],
    text: &[(&str, &str)],
) -> Vec<u8> {
    check(frames, width, height, channels);
    let mut file = Vec::new();
    let mut encoder = png_encoder(&mut file, width, height, channels, text);
    encoder.set_animated(frames.len() as u32, 0).expect("there are frames");
    let mut writer = encoder.write_header().expect("a Vec takes every write");
    for (frame, delay) in frames.iter().zip(shown(delay, frames.len())) {
        let milliseconds = delay.as_millis().min(u16::MAX.into()) as u16;
        writer.set_frame_delay(milliseconds, 1000).expect("an animation");
        writer.write_image_data(frame).expect("a Vec takes every write");
    }
    writer.finish().expect("a Vec takes every write");
    file
}

fn check(frames: &[&[u8]], width: usize, height: usize, channels: usize) {
    assert!(!frames.is_empty(), "an animation of something");
    assert!(matches!(channels, 1 | 3), "{channels} channels");
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(frame.len(), width * height * channels, "frame {i}: {width}×{height}×{channels} bytes");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;

    use super::super::decode;
    use super::*;

    const DELAY: [Duration; 2] = [Duration::from_millis(80), Duration::from_secs(2)];

    /// Each frame of a GIF as RGB, with its delay in hundredths of a second.
    fn gif_frames(gif: &[u8]) -> Vec<(Vec<u8>, u32)> {
        let frames = GifDecoder::new(Cursor::new(gif)).unwrap().into_frames().collect_frames().unwrap();
        let rgb = |f: &Frame| f.buffer().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        frames.iter().map(|f| (rgb(f), f.delay().numer_denom_ms().0 / 10)).collect()
    }

    fn rgb_of_gray(gray: &[u8]) -> Vec<u8> {
        gray.iter().flat_map(|&v| [v; 3]).collect()
    }

    #[test]
    fn grays_come_back_exactly_from_a_gif() {
        let rising: Vec<u8> = (0..=255).collect();
        let falling: Vec<u8> = rising.iter().rev().copied().collect();
        let gif = encode_gif(&[&rising, &falling, &[7; 256]], 16, 16, 1, DELAY);
        let expected = [(&rising[..], 8), (&falling, 8), (&[7; 256], 200)];
        assert_eq!(gif_frames(&gif), expected.map(|(gray, delay)| (rgb_of_gray(gray), delay)));
        assert!(gif.windows(11).any(|w| w == b"NETSCAPE2.0"), "goes round");
        assert_eq!(gif, encode_gif(&[&rising, &falling, &[7; 256]], 16, 16, 1, DELAY), "the same bytes");
    }

    #[test]
    fn colors_come_back_from_a_gif() {
        // 256 colors are exact; of 1,024 that lie on a plane each is near one of the palette.
        let few: Vec<u8> = (0..=255).flat_map(|i: u8| [i, i.wrapping_mul(3), i.wrapping_mul(7)]).collect();
        assert_eq!(gif_frames(&encode_gif(&[&few], 16, 16, 3, DELAY)), [(few, 200)]);
        let many: Vec<u8> = (0..1024).flat_map(|i| [(i % 32 * 8) as u8, (i / 32 * 8) as u8, 99]).collect();
        let (back, _) = gif_frames(&encode_gif(&[&many], 32, 32, 3, DELAY)).remove(0);
        let off: f64 = many.iter().zip(&back).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        println!("off by {} on average", off / many.len() as f64);
        assert!(off / many.len() as f64 <= 6.0, "{} on average", off / many.len() as f64);
    }

    #[test]
    fn frames_come_back_from_an_animated_png() {
        for channels in [1, 3] {
            let frames: Vec<Vec<u8>> =
                (0..3).map(|f| (0..6 * channels).map(|i| (i * 40 + f) as u8).collect()).collect();
            let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let file = encode_apng(&slices, 3, 2, channels, DELAY, &[("gantools", "a walk")]);
            let mut reader = png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
            let control = reader.info().animation_control().unwrap();
            assert_eq!((control.num_frames, control.num_plays), (3, 0), "for ever");
            for (frame, delay) in frames.iter().zip([80, 80, 2000]) {
                let mut back = vec![0; frame.len()];
                reader.next_frame(&mut back).unwrap();
                assert_eq!(back, *frame);
                let control = reader.info().frame_control().unwrap();
                assert_eq!((control.delay_num, control.delay_den), (delay, 1000));
            }
            reader.finish().unwrap();
            assert_eq!(reader.info().uncompressed_latin1_text[0].text, "a walk");
            let first = if channels == 1 { rgb_of_gray(&frames[0]) } else { frames[0].clone() };
            assert_eq!(decode(&file).unwrap().rgb, first, "to other viewers it is its first frame");
        }
    }
}
