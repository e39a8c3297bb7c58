//! torchvision's `Resize(size)` and `CenterCrop(size)` on 8-bit RGB, in Pillow's arithmetic.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::U8x3;
use fir::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::rgb::Image;
use crate::named::named_enum;

/// An image more times longer than wide (or the reverse) is resized only where the crop keeps it.
const MAX_ASPECT: usize = 4;

named_enum! {
    /// The resampling filters of Pillow, by Pillow's names. All but `nearest` widen when they shrink
    /// (antialiasing).
    #[derive(Default)]
    pub enum Filter {
        /// A triangle, as wide as 2 pixels; torchvision's default.
        #[default]
        Bilinear = "bilinear",
        /// Catmull-Rom's cubic (a = −0.5), 4 pixels.
        Bicubic = "bicubic",
        /// Lanczos' windowed sinc, 6 pixels.
        Lanczos = "lanczos",
        /// The average of the pixels covered.
        Box = "box",
        /// Hamming's windowed sinc, 2 pixels.
        Hamming = "hamming",
        /// One pixel, the nearest.
        Nearest = "nearest",
    }
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
            Filter::Box => ResizeAlg::Convolution(FilterType::Box),
            Filter::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
            Filter::Nearest => ResizeAlg::Nearest,
        }
    }
}

/// How an image is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transform {
    /// First cut the centered square of this side, in pixels of the original (or of its shorter side where
    /// that is less: nothing is padded).
    pub crop: Option<usize>,
    /// Then bring the shorter side to this many pixels and cut the centered square; `None` leaves the image
    /// as it is.
    pub size: Option<usize>,
    /// With this filter.
    pub filter: Filter,
}

/// torchvision's `Resize(size)` then `CenterCrop(size)` (the DCGAN tutorial's), after an optional centered
/// square crop.
///
/// The result is `size × size`; without `size` it is what the crop left. Smaller images are enlarged, as
/// torchvision does.
///
/// # Panics
/// If a side of `image`, `fit.crop` or `fit.size` is 0.
pub fn resize_and_crop(image: &Image, fit: &Transform) -> Image {
    let cropped;
    let mut image = image;
    if let Some(side) = fit.crop {
        let side = side.min(image.width).min(image.height);
        cropped = center_crop(image, side);
        image = &cropped;
    }
    match fit.size {
        Some(size) => resize_shorter_side(image, size, fit.filter),
        None => image.clone(),
    }
}

/// Where a centered window of `inner` pixels begins: Python's `int(round((outer − inner) / 2.0))`, which
/// rounds halves to even.
fn centered(outer: usize, inner: usize) -> usize {
    let twice = outer - inner;
    let half = twice / 2;
    half + usize::from(twice % 2 == 1 && half % 2 == 1)
}

fn center_crop(image: &Image, side: usize) -> Image {
    let (left, top) = (centered(image.width, side), centered(image.height, side));
    let rows = image.rgb.chunks_exact(image.width * 3).skip(top).take(side);
    let mut rgb = Vec::with_capacity(side * side * 3);
    rows.for_each(|row| rgb.extend_from_slice(&row[left * 3..(left + side) * 3]));
    Image { width: side, height: side, rgb }
}

fn resize_shorter_side(image: &Image, size: usize, filter: Filter) -> Image {
    let (w, h) = (image.width, image.height);
    // torchvision's `int(size · long / short)`.
    let (full_w, full_h) = if w <= h { (size, size * h / w) } else { (size * w / h, size) };
    if (full_w, full_h) == (w, h) {
        return center_crop(image, size);
    }
    let (left, top) = (centered(full_w, size), centered(full_h, size));
    if filter == Filter::Nearest {
        return nearest(image, (full_w, full_h), (left, top), size);
    }
    // Of a strip, only the window that the center crop keeps is computed: the complete strip could have any
    // size. (Each pixel has the same inputs as in the complete strip, but the hard edge of the box filter may
    // fall to the other side of a pixel.)
    let whole = full_w.max(full_h) <= MAX_ASPECT * size;
    let (left, top) = if whole { (0, 0) } else { (left, top) };
    let (keep_w, keep_h) = if whole { (full_w, full_h) } else { (size, size) };
    let span = |from: usize, keep: usize, full: usize, len: usize| {
        let scale = len as f64 / full as f64;
        let start = from as f64 * scale;
        (start, if keep == full { len as f64 } else { (keep as f64 * scale).min(len as f64 - start) })
    };
    let ((x, across), (y, down)) = (span(left, keep_w, full_w, w), span(top, keep_h, full_h, h));
    // Across first, then down, rounded to bytes in between, as Pillow does (from version 13 on it turns that
    // round for tall images, which differs by 1 in 255 here and there). In one go the resizer goes down
    // first, which shows where a filter overshoots.
    let algorithm = ResizeOptions::new().resize_alg(filter.algorithm());
    let mut resizer = Resizer::new();
    let across = algorithm.crop(x, 0.0, across, h as f64);
    let narrow = resize(&mut resizer, image, (keep_w, h), &across);
    let down = algorithm.crop(0.0, y, keep_w as f64, down);
    let resized = resize(&mut resizer, &narrow, (keep_w, keep_h), &down);
    center_crop(&resized, size)
}

/// `image` in another size, by the window and the filter of `options`.
fn resize(resizer: &mut Resizer, image: &Image, (w, h): (usize, usize), options: &ResizeOptions) -> Image {
    // `Resizer::resize` chooses among thirteen types of pixels at run time: a third of this library's code.
    let (from_w, from_h) = (image.width as u32, image.height as u32);
    let source = TypedImageRef::<U8x3>::from_buffer(from_w, from_h, &image.rgb).expect("w · h · 3 bytes");
    let mut rgb = vec![0; w * h * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(w as u32, h as u32, &mut rgb).expect("w · h · 3 bytes");
    resizer.resize_typed(&source, &mut target, options).expect("the window lies within the image");
    Image { width: w, height: h, rgb }
}

/// Pillow's nearest: the pixel under the center, `floor((x + ½) · scale)`.
fn nearest(image: &Image, full: (usize, usize), corner: (usize, usize), size: usize) -> Image {
    let under = |i: usize, len: usize, full: usize| {
        let at = (i as f64 + 0.5) * (len as f64 / full as f64);
        (at as usize).min(len - 1)
    };
    let columns: Vec<usize> = (0..size).map(|x| under(corner.0 + x, image.width, full.0)).collect();
    let mut rgb = Vec::with_capacity(size * size * 3);
    for y in 0..size {
        let row = under(corner.1 + y, image.height, full.1) * image.width;
        for &x in &columns {
            rgb.extend_from_slice(&image.rgb[(row + x) * 3..(row + x) * 3 + 3]);
        }
    }
    Image { width: size, height: size, rgb }
}
