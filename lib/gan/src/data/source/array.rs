//! Images stored as numbers of one layout, one after another: numpy's arrays, IDX, CIFAR's batches, STL-10.
//! Each image is read by its offset.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::compression::TempFile;
use super::file_slice::FileSlice;
use super::input::{Input, RawImage};
use crate::Result;
use crate::data::image::{Image, to_u8};

/// The largest width and height of an image, in pixels, and the most memory for its numbers, in bytes.
const MAX_SIZE: usize = 65_535;
const MAX_BYTES: usize = 512 << 20;
/// The number of bytes that are read at once to find the range of the values.
const CHUNK: usize = 1 << 20;
/// The tolerance of the ranges [0, 1] and [-1, 1], for rounding.
const ROUNDING: f64 = 1e-3;
/// Values up to 255 are bytes if one is larger than this: values that overshoot 1 a little are not.
const MIN_BYTE_RANGE: f64 = 64.0;

/// The order of an image's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AxisOrder {
    /// `[H, W, C]`.
    ChannelsLast,
    /// `[C, H, W]`.
    ChannelsFirst,
    /// `[C, W, H]`, as in STL-10.
    ColumnsFirst,
}

/// The size of the images and the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArrayLayout {
    pub width: usize,
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    pub order: AxisOrder,
}

impl ArrayLayout {
    /// Reads the shape of an array of images: their number and layout. Three dimensions are ambiguous, unless
    /// something else says that there are `several` images.
    ///
    /// # Errors
    /// The shape is not of images, or ambiguous.
    pub fn of_shape(shape: &[usize], several: bool) -> Result<(usize, ArrayLayout), String> {
        let text = shape_text(shape);
        let refused = |what: &str| format!("its shape {text} {what}");
        let axes = match *shape {
            [n, h, w] if !several && (n == 3 || h != w && matches!(w, 1 | 3 | 4)) => {
                Err("may be gray images or the channels of one image: array[None] makes it one image, \
                 array[..., None] gray ones")
            }
            [n, h, w] => Ok((n, h, w, 1, AxisOrder::ChannelsLast)),
            [_, 1 | 3, _, 1 | 3] => Err("may be channels first or last: give images another size"),
            [n, h, w, c @ (1 | 3)] => Ok((n, h, w, c, AxisOrder::ChannelsLast)),
            [n, c @ (1 | 3), h, w] => Ok((n, h, w, c, AxisOrder::ChannelsFirst)),
            [_, _, _, 4] | [_, 4, _, _] => Err("has 4 channels: array[..., :3] drops alpha"),
            [_, _] => Err("is flat: array.reshape(-1, H, W) or array.reshape(-1, H, W, 3) gives images"),
            _ => Err("is not of images: (N, H, W), (N, H, W, 3) or (N, 3, H, W)"),
        };
        let (n, height, width, channels, order) = axes.map_err(refused)?;
        let layout = ArrayLayout { width, height, channels, order };
        match n {
            0 => Err(format!("no images in it: its shape is {text}")),
            _ if height == 0 || width == 0 => Err(refused("has images without pixels")),
            _ if height.max(width) > MAX_SIZE || layout.elements().is_none() => Err(refused(
                "has images of more than 65535 pixels in width or height, or of more than 512 MiB",
            )),
            _ => Ok((n, layout)),
        }
    }

    /// The numbers of one image; `None` where they would be too many.
    fn elements(&self) -> Option<usize> {
        let n = self.width.checked_mul(self.height)?.checked_mul(self.channels)?;
        (n <= MAX_BYTES / 8).then_some(n)
    }
}

/// A shape as numpy writes it.
pub(super) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The type of a number, and its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    U8,
    Int { bytes: usize, signed: bool, big: bool },
    Float { bytes: usize, big: bool },
}

impl NumberType {
    pub fn bytes(self) -> usize {
        match self {
            NumberType::U8 => 1,
            NumberType::Int { bytes, .. } | NumberType::Float { bytes, .. } => bytes,
        }
    }

    /// The number that these [`NumberType::bytes`] bytes store.
    fn value(self, bytes: &[u8]) -> f64 {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        if let NumberType::Int { big: true, .. } | NumberType::Float { big: true, .. } = self {
            word[..bytes.len()].reverse();
        }
        let bits = u64::from_le_bytes(word);
        match self {
            NumberType::U8 => bits as f64,
            NumberType::Int { bytes, signed: true, .. } => {
                let unused = 64 - 8 * bytes as u32;
                ((bits << unused) as i64 >> unused) as f64
            }
            NumberType::Int { .. } => bits as f64,
            NumberType::Float { bytes: 2, .. } => half::f16::from_bits(bits as u16).to_f64(),
            NumberType::Float { bytes: 4, .. } => f64::from(f32::from_bits(bits as u32)),
            NumberType::Float { .. } => f64::from_bits(bits),
        }
    }
}

/// The values of black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ValueRange {
    Bytes,
    Unit,
    Signed,
}

impl ValueRange {
    fn to_byte(self, value: f64) -> u8 {
        match self {
            ValueRange::Bytes => value.round() as u8,
            ValueRange::Unit => (255.0 * value).round() as u8,
            ValueRange::Signed => to_u8(value as f32),
        }
    }
}

/// A run of images of `stride` bytes each, of which the first `skip` are not pixels.
pub(super) struct ArrayBlock {
    pub file: FileSlice,
    pub count: usize,
    pub stride: u64,
    pub skip: u64,
    /// Its name among several; empty where there is one.
    pub name: String,
}

impl ArrayBlock {
    pub fn new(file: FileSlice, count: usize, stride: u64) -> ArrayBlock {
        ArrayBlock { file, count, stride, skip: 0, name: String::new() }
    }
}

/// Images stored as numbers.
pub(super) struct ImageArray {
    input: PathBuf,
    blocks: Vec<ArrayBlock>,
    layout: ArrayLayout,
    number: NumberType,
    range: ValueRange,
}

impl ImageArray {
    /// Images of bytes in the input `input`.
    ///
    /// # Errors
    /// A block is shorter than its images.
    pub fn of_bytes(input: &Path, blocks: Vec<ArrayBlock>, layout: ArrayLayout) -> Result<ImageArray> {
        for ArrayBlock { file, count, stride, .. } in &blocks {
            if stride.checked_mul(*count as u64).is_none_or(|needed| needed > file.len) {
                return Err(file.error("cut short: fetch it again"));
            }
        }
        let input = input.to_path_buf();
        Ok(ImageArray { input, blocks, layout, number: NumberType::U8, range: ValueRange::Bytes })
    }

    /// The `count` images of one array of any type. Floats are read once to find their range.
    ///
    /// # Errors
    /// The file ends before the array does; the values are not colors, or ambiguous.
    pub fn of_numbers(
        input: &Path,
        file: FileSlice,
        (count, layout): (usize, ArrayLayout),
        number: NumberType,
        fortran: bool,
    ) -> Result<ImageArray> {
        let elements = layout.elements().expect("checked with the shape");
        let stride = (elements * number.bytes()) as u64;
        let needed = stride.checked_mul(count as u64).filter(|&needed| needed <= file.len);
        let Some(needed) = needed else {
            return Err(file.error(format!("cut short: {count} images of {stride} bytes, but {}", file.len)));
        };
        let mut file = file.slice(0, needed)?;
        if fortran {
            file = to_c_order(&file, count, &layout, number)?;
        }
        let range = value_range(&file, number)?;
        let (input, blocks) = (input.to_path_buf(), vec![ArrayBlock::new(file, count, stride)]);
        Ok(ImageArray { input, blocks, layout, number, range })
    }

    /// The block of image `i`, and its number in it.
    fn locate(&self, mut i: usize) -> (&ArrayBlock, usize) {
        for block in &self.blocks {
            match i.checked_sub(block.count) {
                None => return (block, i),
                Some(left) => i = left,
            }
        }
        panic!("image {i} past the last");
    }
}

/// The range of all numbers in `file`.
///
/// # Errors
/// It is none of the known ranges.
fn value_range(file: &FileSlice, number: NumberType) -> Result<ValueRange> {
    if number == NumberType::U8 {
        return Ok(ValueRange::Bytes);
    }
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut chunk = vec![0; CHUNK];
    for at in (0..file.len).step_by(CHUNK) {
        let chunk = &mut chunk[..(file.len - at).min(CHUNK as u64) as usize];
        file.read_exact_at(chunk, at)?;
        for bytes in chunk.chunks_exact(number.bytes()) {
            let value = number.value(bytes);
            if !value.is_finite() {
                return Err(file.error("values that are not finite: they are not colors"));
            }
            least = least.min(value);
            most = most.max(value);
        }
    }
    let is_integer = matches!(number, NumberType::Int { .. });
    match () {
        _ if least >= 0.0 && most <= 255.0 && (most > MIN_BYTE_RANGE || is_integer && most > 1.0) => {
            Ok(ValueRange::Bytes)
        }
        _ if is_integer => Err(file.error(format!(
            "integers from {least} to {most}, not 0 to 255: save bytes (array.astype('uint8'))"
        ))),
        _ if least >= -ROUNDING && most <= 1.0 + ROUNDING => Ok(ValueRange::Unit),
        _ if least >= -1.0 - ROUNDING && most <= 1.0 + ROUNDING => Ok(ValueRange::Signed),
        _ => Err(file.error(format!(
            "values from {least:.4} to {most:.4}, not 0 to 1, -1 to 1 or 0 to 255: scale them to one of \
             these ranges, or save bytes (uint8)"
        ))),
    }
}

/// Copies an array in Fortran order (the first axis is the fastest) into a temporary file in C order.
fn to_c_order(file: &FileSlice, count: usize, layout: &ArrayLayout, number: NumberType) -> Result<FileSlice> {
    let elements = layout.elements().expect("checked with the shape");
    let size = number.bytes();
    let axes = match (layout.order, layout.channels) {
        (AxisOrder::ChannelsFirst, c) => [c, layout.height, layout.width],
        (_, c) => [layout.height, layout.width, c],
    };
    let mut temporary = TempFile::new(file)?;
    // As many images at once as 32 MiB hold: the same element of all of them is contiguous.
    let at_once = ((32 << 20) / (elements * size)).clamp(1, count);
    let mut images = vec![0; at_once * elements * size];
    let mut row = vec![0; at_once * size];
    for first in (0..count).step_by(at_once) {
        let n = at_once.min(count - first);
        for k in 0..elements {
            // Element k of C order (last axis fastest) has this place in Fortran order.
            let (a, b, c) = (k / (axes[1] * axes[2]), k / axes[2] % axes[1], k % axes[2]);
            let place = (a + axes[0] * (b + axes[1] * c)) as u64;
            let row = &mut row[..n * size];
            file.read_exact_at(row, (place * count as u64 + first as u64) * size as u64)?;
            for (i, value) in row.chunks_exact(size).enumerate() {
                images[(i * elements + k) * size..][..size].copy_from_slice(value);
            }
        }
        temporary.write(&images[..n * elements * size])?;
    }
    Ok(temporary.finish())
}

impl Input for ImageArray {
    fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.count).sum()
    }

    fn name(&self, i: usize) -> String {
        match self.locate(i) {
            (block, i) if block.name.is_empty() => format!("{i:06}"),
            (block, i) => format!("{}/{i:06}", block.name),
        }
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.input.display(), self.name(i))
    }

    fn read(&self, i: usize) -> Result<RawImage> {
        let ArrayLayout { width, height, channels, order } = self.layout;
        let (block, k) = self.locate(i);
        let size = self.number.bytes();
        let mut bytes = vec![0; width * height * channels * size];
        block.file.read_exact_at(&mut bytes, k as u64 * block.stride + block.skip)?;
        if self.number != NumberType::U8 {
            bytes = bytes.chunks_exact(size).map(|v| self.range.to_byte(self.number.value(v))).collect();
        }
        if channels == 1 {
            return Ok(RawImage::Pixels(Image::from_gray(width, height, &bytes)));
        }
        let plane = width * height;
        let rgb = match order {
            AxisOrder::ChannelsLast => bytes,
            AxisOrder::ChannelsFirst => (0..3 * plane).map(|k| bytes[k % 3 * plane + k / 3]).collect(),
            AxisOrder::ColumnsFirst => (0..3 * plane)
                .map(|k| bytes[k % 3 * plane + k / 3 % width * height + k / 3 / width])
                .collect(),
        };
        Ok(RawImage::Pixels(Image { width, height, rgb }))
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        Ok(self.locate(i).0.file.version.text())
    }

    fn native_size(&self) -> Option<(usize, usize)> {
        Some((self.layout.width, self.layout.height))
    }

    fn is_gray(&self) -> bool {
        self.layout.channels == 1
    }
}
