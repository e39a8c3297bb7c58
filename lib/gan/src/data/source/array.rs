//! Images that lie as numbers, one of one size after another: numpy's arrays, CIFAR's batches, STL-10. Read
//! by offset, never as a whole.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::span::Span;
use super::unpack::Room;
use super::{Input, PassedOver, Raw};
use crate::data::image::{Image, to_u8};
use crate::{Error, Result};

/// The longest side of an image, in pixels, and the most memory for its numbers, in bytes.
const MAX_SIDE: usize = 65_535;
const MAX_BYTES: usize = 512 << 20;
/// How much is read at once where all numbers are looked at.
const PIECE: usize = 1 << 20;
/// How far values may lie outside [0, 1] or [-1, 1] for rounding's sake.
const ROUNDING: f64 = 1e-3;
/// Numbers up to 255 are taken for bytes if one is larger than this: what overshoots 1 a little is not.
const BYTES_BEGIN: f64 = 64.0;

/// How an image's numbers follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Rows of pixels: `[H, W, C]`.
    ChannelsLast,
    /// Planes of rows: `[C, H, W]`.
    ChannelsFirst,
    /// Planes of columns: `[C, W, H]`, as STL-10 has them.
    ColumnsFirst,
}

/// The size of images and the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub width: usize,
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    pub order: Order,
}

impl Form {
    /// What the shape of an array of images says, and the number of them; three dimensions are gray images
    /// for sure where something else says that there are `several`.
    ///
    /// # Errors
    /// It is no shape of images, or of several kinds.
    pub fn of_shape(shape: &[usize], several: bool) -> Result<(usize, Form), String> {
        let told = shape_text(shape);
        let (n, height, width, channels, order) = match *shape {
            [n, h, w] if !several && (n == 3 || h != w && matches!(w, 1 | 3 | 4)) => {
                return Err(format!(
                    "its shape {told} may be gray images or the channels of one image: array[None] makes it \
                     one image, \
                     array[..., None] gray ones"
                ));
            }
            [n, h, w] => (n, h, w, 1, Order::ChannelsLast),
            [_, 1 | 3, _, 1 | 3] => {
                return Err(format!(
                    "its shape {told} may be channels first or last: give images another size"
                ));
            }
            [n, h, w, c @ (1 | 3)] => (n, h, w, c, Order::ChannelsLast),
            [n, c @ (1 | 3), h, w] => (n, h, w, c, Order::ChannelsFirst),
            [_, _, _, 4] | [_, 4, _, _] => {
                return Err(format!("its shape {told} has 4 channels: array[..., :3] drops alpha"));
            }
            [_, _] => {
                return Err(format!(
                    "its shape {told} is flat: array.reshape(-1, H, W) or array.reshape(-1, H, W, 3) gives \
                     images"
                ));
            }
            _ => {
                return Err(format!(
                    "its shape {told} is not of images: (N, H, W), (N, H, W, 3) or (N, 3, H, W)"
                ));
            }
        };
        let form = Form { width, height, channels, order };
        match n {
            0 => Err(format!("no images in it: its shape is {told}")),
            _ if height == 0 || width == 0 => Err(format!("its shape {told} has images without pixels")),
            _ if height.max(width) > MAX_SIDE || form.numbers().is_none() => {
                Err(format!("its shape {told} has images of more than {MAX_SIDE} pixels a side or 512 MiB"))
            }
            _ => Ok((n, form)),
        }
    }

    /// The numbers of an image; `None` where they would be too many.
    fn numbers(&self) -> Option<usize> {
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

/// The type of a number, and its order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    U8,
    Int { bytes: usize, signed: bool, big: bool },
    Float { bytes: usize, big: bool },
}

impl Number {
    pub fn bytes(self) -> usize {
        match self {
            Number::U8 => 1,
            Number::Int { bytes, .. } | Number::Float { bytes, .. } => bytes,
        }
    }

    /// A number of [`Number::bytes`] bytes.
    fn value(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        if let Number::Int { big: true, .. } | Number::Float { big: true, .. } = self {
            wide[..bytes.len()].reverse();
        }
        let bits = u64::from_le_bytes(wide);
        match self {
            Number::U8 => bits as f64,
            Number::Int { bytes, signed: true, .. } => {
                let unused = 64 - 8 * bytes as u32;
                ((bits << unused) as i64 >> unused) as f64
            }
            Number::Int { .. } => bits as f64,
            Number::Float { bytes: 2, .. } => half::f16::from_bits(bits as u16).to_f64(),
            Number::Float { bytes: 4, .. } => f64::from(f32::from_bits(bits as u32)),
            Number::Float { .. } => f64::from_bits(bits),
        }
    }
}

/// What values stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Bytes,
    Unit,
    Signed,
}

impl Scale {
    fn byte(self, value: f64) -> u8 {
        match self {
            Scale::Bytes => value.round() as u8,
            Scale::Unit => (255.0 * value).round() as u8,
            Scale::Signed => to_u8(value as f32),
        }
    }
}

/// Images in one stretch, each of `stride` bytes, of which the first `skip` are no pixels.
pub(super) struct Block {
    pub span: Span,
    pub count: usize,
    pub stride: u64,
    pub skip: u64,
    /// What it is called among several; empty where there is one.
    pub name: String,
}

/// Images as numbers.
pub(super) struct Array {
    input: PathBuf,
    blocks: Vec<Block>,
    len: usize,
    form: Form,
    number: Number,
    scale: Scale,
    taken: Option<String>,
    passed: PassedOver,
}

impl Array {
    fn new(input: &Path, blocks: Vec<Block>, form: Form, number: Number) -> Array {
        let len = blocks.iter().map(|block| block.count).sum();
        let (input, passed) = (input.to_path_buf(), PassedOver::new());
        Array { input, blocks, len, form, number, scale: Scale::Bytes, taken: None, passed }
    }

    /// The same, chosen of several.
    pub fn chosen(self, name: String, passed: PassedOver) -> Array {
        Array { taken: Some(name), passed, ..self }
    }

    /// Images of bytes; `input` is what was opened.
    ///
    /// # Errors
    /// A block that is shorter than its images.
    pub fn of_bytes(input: &Path, blocks: Vec<Block>, form: Form) -> Result<Array> {
        for block in &blocks {
            let needed = block.stride.checked_mul(block.count as u64);
            if needed.is_none_or(|needed| needed > block.span.len) {
                return Err(block.span.wrong("cut short: fetch it again"));
            }
        }
        Ok(Array::new(input, blocks, form, Number::U8))
    }

    /// The images of one array of numbers of any type; floats are looked at for what they mean.
    ///
    /// # Errors
    /// The file ends before the array does; values that are no colors, or are ambiguous.
    pub fn of_numbers(
        input: &Path,
        span: Span,
        (len, form): (usize, Form),
        number: Number,
        fortran: bool,
    ) -> Result<Array> {
        let numbers = form.numbers().expect("checked with the shape");
        let stride = (numbers * number.bytes()) as u64;
        let needed = stride.checked_mul(len as u64).filter(|&needed| needed <= span.len);
        let Some(needed) = needed else {
            return Err(span.wrong(format!("cut short: {len} images of {stride} bytes, but {}", span.len)));
        };
        let mut span = span.part(0, needed)?;
        if fortran {
            span = turned(&span, len, &form, number)?;
        }
        let block = Block { span, count: len, stride, skip: 0, name: String::new() };
        let mut array = Array::new(input, vec![block], form, number);
        if number != Number::U8 {
            array.scale = array.look()?;
        }
        Ok(array)
    }

    /// What the values mean, by their range.
    fn look(&self) -> Result<Scale> {
        let span = &self.blocks[0].span;
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let size = self.number.bytes();
        let mut piece = vec![0; PIECE.min(span.len as usize)];
        let mut at = 0;
        while at < span.len {
            let n = (piece.len() as u64).min(span.len - at) as usize;
            span.read_exact_at(&mut piece[..n], at)?;
            for bytes in piece[..n].chunks_exact(size) {
                let value = self.number.value(bytes);
                if !value.is_finite() {
                    return Err(span.wrong("values that are not finite: they are no colors"));
                }
                least = least.min(value);
                most = most.max(value);
            }
            at += n as u64;
        }
        let whole = matches!(self.number, Number::Int { .. });
        match () {
            _ if least >= 0.0 && most <= 255.0 && (most > BYTES_BEGIN || whole && most > 1.0) => {
                Ok(Scale::Bytes)
            }
            _ if whole => Err(span.wrong(format!(
                "whole numbers from {least} to {most}, not 0 to 255: save bytes (array.astype('uint8'))"
            ))),
            _ if least >= -ROUNDING && most <= 1.0 + ROUNDING => Ok(Scale::Unit),
            _ if least >= -1.0 - ROUNDING && most <= 1.0 + ROUNDING => Ok(Scale::Signed),
            _ => Err(span.wrong(format!(
                "values from {least:.4} to {most:.4}, which are neither 0 to 1 nor -1 to 1 nor 0 to 255: \
                 bring them to \
                 one of these, or save bytes (uint8)"
            ))),
        }
    }

    fn at(&self, i: usize) -> (&Block, usize) {
        let mut i = i;
        for block in &self.blocks {
            match i.checked_sub(block.count) {
                None => return (block, i),
                Some(left) => i = left,
            }
        }
        panic!("image {i} past the last");
    }
}

/// An array in Fortran's order (the first axis fastest) in C's order, in a temporary file.
fn turned(span: &Span, len: usize, form: &Form, number: Number) -> Result<Span> {
    let numbers = form.numbers().expect("checked with the shape");
    let size = number.bytes();
    let axes = match (form.order, form.channels) {
        (Order::ChannelsFirst, c) => [c, form.height, form.width],
        (_, c) => [form.height, form.width, c],
    };
    let mut room = Room::new(span)?;
    // As many images at once as 32 MiB hold: of each number that many lie side by side.
    let many = ((32 << 20) / (numbers * size)).clamp(1, len);
    let mut images = vec![0; many * numbers * size];
    let mut row = vec![0; many * size];
    for first in (0..len).step_by(many) {
        let count = many.min(len - first);
        for k in 0..numbers {
            // Number k of C's order, whose last axis is fastest, in Fortran's, whose first one is.
            let (a, b, c) = (k / (axes[1] * axes[2]), k / axes[2] % axes[1], k % axes[2]);
            let place = (a + axes[0] * (b + axes[1] * c)) as u64;
            let row = &mut row[..count * size];
            span.read_exact_at(row, (place * len as u64 + first as u64) * size as u64)?;
            for (i, value) in row.chunks_exact(size).enumerate() {
                images[(i * numbers + k) * size..][..size].copy_from_slice(value);
            }
        }
        room.write(span, &images[..count * numbers * size])?;
    }
    Ok(room.into_span(span))
}

impl Input for Array {
    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, i: usize) -> String {
        match self.at(i) {
            (block, i) if block.name.is_empty() => format!("{i:06}"),
            (block, i) => format!("{}/{i:06}", block.name),
        }
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.input.display(), self.name(i))
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let Form { width, height, channels, order } = self.form;
        let (block, k) = self.at(i);
        let size = self.number.bytes();
        let mut bytes = vec![0; width * height * channels * size];
        block.span.read_exact_at(&mut bytes, k as u64 * block.stride + block.skip)?;
        if self.number != Number::U8 {
            bytes = bytes.chunks_exact(size).map(|v| self.scale.byte(self.number.value(v))).collect();
        }
        if channels == 1 && order != Order::ColumnsFirst {
            return Ok(Raw::Pixels(Image::from_gray(width, height, &bytes)));
        }
        let rgb = match order {
            Order::ChannelsLast => bytes,
            Order::ChannelsFirst | Order::ColumnsFirst => {
                let plane = width * height;
                let mut rgb = Vec::with_capacity(3 * plane);
                for at in 0..plane {
                    let at = match order {
                        Order::ColumnsFirst => at % width * height + at / width,
                        _ => at,
                    };
                    rgb.extend((0..3).map(|c| bytes[c.min(channels - 1) * plane + at]));
                }
                rgb
            }
        };
        Ok(Raw::Pixels(Image { width, height, rgb }))
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let (size, changed) = self.at(i).0.span.stamp;
        Ok((size.to_string(), Some(changed)))
    }

    fn native(&self) -> Option<(usize, usize)> {
        Some((self.form.width, self.form.height))
    }

    fn gray(&self) -> bool {
        self.form.channels == 1
    }

    fn taken(&self) -> Option<&str> {
        self.taken.as_deref()
    }

    fn passed_over(&self) -> &PassedOver {
        &self.passed
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}

/// Errors of arrays name the input and, in it, the array.
pub(super) fn wrong(span: &Span, array: &str, what: impl std::fmt::Display) -> Error {
    match array {
        "" => span.wrong(what.to_string()),
        array => span.wrong(format!("array `{array}`: {what}")),
    }
}
