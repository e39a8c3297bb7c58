//! JPEG to RGB: the pixels of libjpeg-turbo, so of Pillow, to the byte.
//!
//! The crate `libjpeg-turbo-rs` has libjpeg's arithmetic (the accurate integer DCT, the "fancy" upsampling,
//! the color tables, the smoothing of progressive images without their last scans) in pure Rust. It reads
//! nearly all files by itself. Of the rare ones it gives the coefficients, and [`rebuild`] has the same
//! arithmetic for any sampling: luma sampled less than chroma, four channels, sequential scans of some of the
//! components. Whatever libjpeg would only read with a warning that data are missing or wrong is refused: a
//! damaged image is no image.

mod layout;
mod rebuild;
#[cfg(test)]
mod tests;

use libjpeg_turbo_rs::{Decoder, JpegCoefficients, JpegError, PixelFormat, read_coefficients};

use self::layout::{Frame, JpegLayout, Process};
use self::rebuild::{Plane, to_rgb};
use super::limits::{line, pixels, too_large};
use super::samples::{Decoded, Samples};

/// Decodes a JPEG. EXIF orientation and color profiles are ignored.
///
/// # Errors
/// One line that says what is wrong: damaged, cut short, too large, or of a kind that libjpeg does not read.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let layout = JpegLayout::read(bytes)?;
    let frame = &layout.frame;
    frame.check()?;
    let (width, height) = (frame.width, frame.height);
    pixels(width, height, 24)?;
    layout.check_length()?;
    let samples = if frame.is_usual() && layout.scans_are_usual() {
        usual(bytes, frame)?
    } else {
        Samples::Rgb(to_rgb(&planes(bytes, &layout)?, layout.coding(), width, height))
    };
    Ok(Decoded { rotated: layout.rotated, ..Decoded::new(width, height, samples) })
}

/// Whole images, as nearly all files are.
fn usual(bytes: &[u8], frame: &Frame) -> Result<Samples, String> {
    let mut decoder = Decoder::new(bytes).map_err(reason)?;
    decoder.set_block_smoothing(true);
    let gray = frame.components.len() == 1;
    decoder.set_output_format(if gray { PixelFormat::Grayscale } else { PixelFormat::Rgb });
    let data = decoder.decode_image().map_err(reason)?.data;
    Ok(if gray { Samples::Gray(data) } else { Samples::Rgb(data) })
}

/// The samples of each component, enlarged to the image's size, by way of the coefficients.
fn planes(bytes: &[u8], layout: &JpegLayout) -> Result<Vec<Vec<u8>>, String> {
    let frame = &layout.frame;
    let mut planes = vec![Vec::new(); frame.components.len()];
    let mut rebuild = |component: usize, from: &JpegCoefficients, i: usize| {
        let coefficients = &from.components[i];
        let quant = from.quant_tables.get(usize::from(coefficients.quant_table_index));
        let plane = Plane {
            blocks: &coefficients.blocks,
            blocks_per_row: coefficients.blocks_x,
            quant: quant.ok_or("a component without a quantization table")?,
        };
        let (width, height) = frame.component_size(component);
        let samples = plane.samples(width, height);
        planes[component] = samples.enlarged(frame.factors(component), frame.width, frame.height);
        Ok::<(), String>(())
    };
    if frame.process == Process::Progressive {
        if layout.is_incomplete() {
            return Err("progressive, and its last scans are missing".into());
        }
        let all = read_coefficients(bytes).map_err(reason)?;
        (0..frame.components.len()).try_for_each(|i| rebuild(i, &all, i))?;
    } else {
        // Each scan is complete in itself, and is read as an image of its own.
        for scan in &layout.scans {
            let of_scan = read_coefficients(&layout.image_of(scan, bytes)).map_err(reason)?;
            scan.components.iter().enumerate().try_for_each(|(i, &c)| rebuild(c, &of_scan, i))?;
        }
    }
    Ok(planes)
}

/// The decoder's complaint as one line.
fn reason(error: JpegError) -> String {
    match error {
        JpegError::UnexpectedEof => "damaged or cut short: image data are missing".into(),
        JpegError::LimitExceeded { .. } => too_large(),
        other => format!("damaged: {}", line(other)),
    }
}
