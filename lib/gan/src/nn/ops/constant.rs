//! Tensors that depend on shapes alone: made once for each device, and kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, DeviceLocation, Tensor};

use super::Geometry;
use crate::Result;

/// What candle's `index_select` makes zeros of.
const NOTHING: u32 = u32::MAX;

/// Which tensor. Images are small ones of h×w pixels and large ones of 2h×2w; `[…]` of them are places in an image, row by
/// row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Constant {
    /// f32 `[1, n]`, each 1/n: a product with it is a mean.
    Mean(usize),
    /// Of a type, `[1]`: zero.
    Zero(DType),
    /// `[h·w·16]`: the pixels of the large image, with a border of zeros, that a 4×4 kernel of stride 2 sees at each pixel of
    /// the small one.
    Patches(usize, usize),
    /// `[(h + 1)·(w + 1)·4]`: the 2×2 pixels of the small image, with a border of zeros, from (−1, −1) on; the last one first.
    Windows(usize, usize),
    /// `[2h·2w]`: where each pixel of the large image is in (h + 1)·(w + 1) blocks of 2×2 of it and its border.
    Blocks(usize, usize),
    /// `[small pixels·taps]`: the pixels of a large image of h×w, with its border of zeros, that the kernel
    /// of a geometry sees at each pixel of the small one.
    Under((usize, usize), Geometry),
    /// `[large pixels·taps]`: the pixels of a small image of h×w that each pixel of the large one gets
    /// something from, tap by tap.
    Senders((usize, usize), Geometry),
}

static MADE: Mutex<Option<HashMap<(DeviceLocation, Constant), Tensor>>> = Mutex::new(None);

impl Constant {
    /// The tensor, on `device`.
    pub(super) fn on(self, device: &Device) -> Result<Tensor> {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.get_or_insert_default();
        let key = (device.location(), self);
        match made.get(&key) {
            // A device that was opened anew is another one, at the same place.
            Some(tensor) if tensor.device().same_device(device) => Ok(tensor.clone()),
            _ => {
                let tensor = self.make(device)?;
                made.insert(key, tensor.clone());
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

/// Pixel (y, x) of an image of h×w whose numbers begin at 1, or nothing on its border.
fn place(y: usize, x: usize, h: usize, w: usize) -> u32 {
    match (1..=h).contains(&y) && (1..=w).contains(&x) {
        true => ((y - 1) * w + x - 1) as u32,
        false => NOTHING,
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

/// All pixels of h×w, row by row, and for each all taps of a kernel.
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
