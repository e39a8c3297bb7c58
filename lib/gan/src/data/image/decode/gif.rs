//! GIF: the first image, on the screen that the file has.

use super::limits::{MAX_ALLOC, cut_short, line, pixels};
use super::samples::{Decoded, Samples, looked_up};

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    // The crate requires a palette. Without one the colors are grays.
    if bytes.len() > 13 && bytes[10] & 0x80 == 0 {
        let grays: Vec<u8> = (0..=255).flat_map(|gray| [gray; 3]).collect();
        let flags = [bytes[10] | 0x87];
        return with_palette(&[&bytes[..10], &flags, &bytes[11..13], &grays, &bytes[13..]].concat());
    }
    with_palette(bytes)
}

fn with_palette(bytes: &[u8]) -> Result<Decoded, String> {
    let mut options = ::gif::DecodeOptions::new();
    options.set_color_output(::gif::ColorOutput::Indexed);
    options.set_memory_limit(::gif::MemoryLimit::Bytes((MAX_ALLOC as u64).try_into().expect("not zero")));
    let mut decoder = options.read_info(bytes).map_err(reason)?;
    let screen = [decoder.width(), decoder.height()].map(usize::from);
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(reason)?.ok_or("broken: no image in it")?;
    let [left, top, w, h] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let (transparent, local, interlaced) = (frame.transparent, frame.palette.clone(), frame.interlaced);
    // An image beyond the screen makes it larger.
    let (width, height) = (screen[0].max(left + w), screen[1].max(top + h));
    pixels(width, height, 8)?;
    let mut there = vec![0; w * h];
    if !decoder.fill_buffer(&mut there).map_err(reason)? {
        return Err(cut_short());
    }
    // Around a smaller image is the transparent color, or else the first.
    let mut indices = vec![transparent.unwrap_or(0); width * height];
    if w > 0 {
        for (row, from) in rows(h, interlaced).zip(there.chunks_exact(w)) {
            let at = (top + row) * width + left;
            indices[at..at + w].copy_from_slice(from);
        }
    }
    // Colors that are all their own numbers mean gray, beyond their end, too. Of a local palette like that
    // Pillow takes the global one.
    let is_gray =
        |colors: &[[u8; 3]]| colors.iter().zip(0u8..=255).all(|(&color, number)| color == [number; 3]);
    let mut palettes = [&local, &global].into_iter().flatten().map(|palette| palette.as_chunks().0);
    let samples = match palettes.find(|palette| !is_gray(palette)) {
        Some(palette) => Samples::Rgb(looked_up(&indices, palette)),
        None => Samples::Gray(indices),
    };
    Ok(Decoded::new(width, height, samples))
}

/// The rows in the order of the file: every eighth, those in their middles, and so on, where it is
/// interlaced.
fn rows(height: usize, interlaced: bool) -> impl Iterator<Item = usize> {
    let passes: &[(usize, usize)] = if interlaced { &[(0, 8), (4, 8), (2, 4), (1, 2)] } else { &[(0, 1)] };
    passes.iter().flat_map(move |&(first, step)| (first..height).step_by(step))
}

fn reason(error: ::gif::DecodingError) -> String {
    match &error {
        ::gif::DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_short(),
        other => format!("broken: {}", line(other)),
    }
}
