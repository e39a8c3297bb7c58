//! Tensors that depend on shapes only. Each is made once per device and cached.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation, Tensor};

use super::Geometry;
use crate::Result;

/// The index for which candle's `index_select` gives zeros.
const ZERO_INDEX: u32 = u32::MAX;

/// A cached tensor. Unless stated otherwise, small images have h×w pixels and large images 2h×2w. Tensors of
/// u32 list places in an image, counted row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    /// f32 `[1, n]`, all 1/n: a product with it is a mean.
    Mean(usize),
    /// `[1]` of this type: zero.
    Zero(DType),
    /// `[h·w·16]`: for each pixel of the small image, the pixels of the zero-padded large image under a 4×4
    /// kernel of stride 2.
    Patches(usize, usize),
    /// `[(h + 1)·(w + 1)·4]`: the 2×2 windows of the zero-padded small image, from (−1, −1), each in reverse
    /// order.
    Windows(usize, usize),
    /// `[2h·2w]`: the place of each pixel of the large image in the (h + 1)·(w + 1) blocks of 2×2 of it and
    /// its border.
    Blocks(usize, usize),
    /// `[small pixels·taps]`: for each pixel of the small image, the pixels of a zero-padded large image of
    /// h×w under the kernel.
    Under((usize, usize), Geometry),
    /// `[large pixels·taps]`: for each pixel of the large image, the pixels of a small image of h×w that
    /// contribute to it, tap by tap.
    Senders((usize, usize), Geometry),
}

static CACHE: Mutex<Option<HashMap<(DeviceLocation, Constant), Tensor>>> = Mutex::new(None);

impl Constant {
    /// The tensor, on `device`.
    pub(super) fn on(self, device: &Device) -> Result<Tensor> {
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = cache.get_or_insert_default();
        let key = (device.location(), self);
        match cache.get(&key) {
            // A reopened device has the same location but is another device.
            Some(tensor) if tensor.device().same_device(device) => Ok(tensor.clone()),
            _ => {
                let tensor = self.make(device)?;
                cache.insert(key, tensor.clone());
                Ok(tensor)
            }
        }
    }

    fn make(self, device: &Device) -> Result<Tensor> {
        let places = |places: Vec<u32>| {
            let n = places.len();
            Tensor::from_vec(places, n, device)
        };
        Ok(match self {
            Constant::Mean(n) => Tensor::from_vec(vec![1.0 / n as f32; n], (1, n), device)?,
            Constant::Zero(dtype) => Tensor::zeros(1, dtype, device)?,
            Constant::Patches(h, w) => places(patches(h, w))?,
            Constant::Windows(h, w) => places(windows(h, w))?,
            Constant::Blocks(h, w) => places(blocks(h, w))?,
            Constant::Under(sides, geometry) => places(under(sides, geometry))?,
            Constant::Senders(sides, geometry) => places(senders(sides, geometry))?,
        })
    }
}

/// The place of pixel (y, x), counted from 1, in an image of h×w, or [`ZERO_INDEX`] on its border.
fn place(y: usize, x: usize, h: usize, w: usize) -> u32 {
    match (1..=h).contains(&y) && (1..=w).contains(&x) {
        true => ((y - 1) * w + x - 1) as u32,
        false => ZERO_INDEX,
    }
}

fn patches(h: usize, w: usize) -> Vec<u32> {
    let mut all = Vec::with_capacity(16 * h * w);
    for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
        let taps = (0..4).flat_map(|k| (0..4).map(move |l| (k, l)));
        all.extend(taps.map(|(k, l)| place(2 * i + k, 2 * j + l, 2 * h, 2 * w)));
    }
    all
}

fn windows(h: usize, w: usize) -> Vec<u32> {
    let mut all = Vec::with_capacity(4 * (h + 1) * (w + 1));
    for (i, j) in (0..=h).flat_map(|i| (0..=w).map(move |j| (i, j))) {
        all.extend([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(p, q)| place(i + 1 - p, j + 1 - q, h, w)));
    }
    all
}

fn blocks(h: usize, w: usize) -> Vec<u32> {
    let pixels = (1..=2 * h).flat_map(|y| (1..=2 * w).map(move |x| (y, x)));
    pixels.map(|(y, x)| (4 * (y / 2 * (w + 1) + x / 2) + y % 2 * 2 + x % 2) as u32).collect()
}

/// All taps of a kernel for each pixel of h×w, row by row.
fn taps((h, w): (usize, usize), (kh, kw): (usize, usize)) -> impl Iterator<Item = [usize; 4]> {
    (0..h).flat_map(move |i| {
        (0..w).flat_map(move |j| (0..kh).flat_map(move |k| (0..kw).map(move |l| [i, j, k, l])))
    })
}

fn under((h, w): (usize, usize), geometry: Geometry) -> Vec<u32> {
    let conv = geometry.conv();
    let (top, left) = conv.padding;
    // `place` counts from 1.
    let at = |i: usize, tap: usize, padding: usize| (i * conv.stride + tap + 1).saturating_sub(padding);
    let all = taps(conv.output(h, w), conv.kernel);
    all.map(|[i, j, k, l]| place(at(i, k, top), at(j, l, left), h, w)).collect()
}

fn senders((h, w): (usize, usize), geometry: Geometry) -> Vec<u32> {
    let conv = geometry.conv();
    // Small pixel i sends to large pixel i·stride + tap − padding.
    let from = |to: usize, tap: usize, padding: usize| {
        let ahead = (to + padding).checked_sub(tap).filter(|n| n.is_multiple_of(conv.stride));
        ahead.map_or(0, |n| n / conv.stride + 1)
    };
    let all = taps((geometry.large(h), geometry.large(w)), conv.kernel);
    all.map(|[i, j, k, l]| place(from(i, k, conv.padding.0), from(j, l, conv.padding.1), h, w)).collect()
}
