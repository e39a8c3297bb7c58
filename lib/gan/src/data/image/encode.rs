//! PNG and JPEG files, and grids of images.

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// The width of the black lines of a grid, in pixels; torchvision's default.
pub const PADDING: usize = 2;

/// A PNG file of `height · width · channels` bytes of data, `channels` 1 (gray) or 3 (RGB). Each pair of
/// `text` becomes a text chunk: tEXt where its value is Latin-1, iTXt elsewhere. The same input gives the
/// same bytes; compression is the fast kind.
///
/// # Panics
/// If `data` has another length, `channels` is neither 1 nor 3, or a keyword is not 1 to 79 characters of
/// Latin-1.
pub fn encode_png(
    width: usize,
    height: usize,
    channels: usize,
    data: &[u8],
    text: &[(&str, &str)],
) -> Vec<u8> {
    assert_eq!(data.len(), width * height * channels, "{width}×{height}×{channels} bytes");
    let mut file = Vec::new();
    let encoder = png_encoder(&mut file, width, height, channels, text);
    let mut writer = encoder.write_header().expect("a Vec takes every write");
    writer.write_image_data(data).expect("a Vec takes every write");
    writer.finish().expect("a Vec takes every write");
    file
}

/// What [`encode_png`] and the animated kind begin with.
pub(super) fn png_encoder<'a>(
    file: &'a mut Vec<u8>,
    width: usize,
    height: usize,
    channels: usize,
    text: &[(&str, &str)],
) -> png::Encoder<'a, &'a mut Vec<u8>> {
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        n => panic!("{n} channels"),
    });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    for &(keyword, value) in text {
        let (keyword, value, latin1) =
            (keyword.to_string(), value.to_string(), value.chars().all(|c| c <= 'ÿ'));
        if latin1 { encoder.add_text_chunk(keyword, value) } else { encoder.add_itxt_chunk(keyword, value) }
            .expect("the header is not yet written");
    }
    encoder
}

/// A JPEG file of `height · width · channels` bytes of data, `channels` 1 (gray) or 3 (RGB); `quality` is 1
/// to 100.
///
/// # Panics
/// If `data` has another length, or `channels` is neither 1 nor 3.
pub fn encode_jpeg(width: usize, height: usize, channels: usize, data: &[u8], quality: u8) -> Vec<u8> {
    assert_eq!(data.len(), width * height * channels, "{width}×{height}×{channels} bytes");
    let color = match channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        n => panic!("{n} channels"),
    };
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(data, width as u32, height as u32, color)
        .expect("a Vec takes every write");
    file
}

/// Sets images of `height · width · channels` bytes each in rows of `columns`, with 2 black pixels around
/// each, as torchvision's `make_grid` does (one image alone gets none). Returns the grid's width, height and
/// bytes.
///
/// # Panics
/// If there are no images or no columns, or an image has another length.
pub fn grid(
    images: &[&[u8]],
    width: usize,
    height: usize,
    channels: usize,
    columns: usize,
) -> (usize, usize, Vec<u8>) {
    assert!(!images.is_empty() && columns > 0, "a grid of something");
    if let [alone] = images {
        return (width, height, alone.to_vec());
    }
    let columns = columns.min(images.len());
    let rows = images.len().div_ceil(columns);
    let (cell_w, cell_h) = (width + PADDING, height + PADDING);
    let (full_w, full_h) = (columns * cell_w + PADDING, rows * cell_h + PADDING);
    let mut data = vec![0; full_w * full_h * channels];
    for (i, image) in images.iter().enumerate() {
        assert_eq!(image.len(), width * height * channels, "image {i}: {width}×{height}×{channels} bytes");
        let (x, y) = (i % columns * cell_w + PADDING, i / columns * cell_h + PADDING);
        for (r, row) in image.chunks_exact(width * channels).enumerate() {
            let at = ((y + r) * full_w + x) * channels;
            data[at..at + row.len()].copy_from_slice(row);
        }
    }
    (full_w, full_h, data)
}
