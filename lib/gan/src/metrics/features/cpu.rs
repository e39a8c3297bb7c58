//! A network over slices of f32 or bf16, channels last, parallel over images.

use std::collections::HashMap;

use gan_kernels::conv::{Conv, PackedMatrix, conv2d, pack};
use gan_kernels::pool::{avg_pool, concat, max_pool};
use gan_kernels::{Activation, Element, Isa};
use rayon::prelude::*;

use super::net::{ConvWeights, MaxPool, Net, NetworkWeights};
use crate::Result;

/// A batch of maps, [b, h, w, c].
pub(crate) struct Map<T> {
    pub shape: (usize, usize, usize, usize),
    pub data: Vec<T>,
}

/// The weights, packed, and the biases.
pub(crate) struct Cpu<T> {
    filters: HashMap<String, (PackedMatrix<T>, Vec<f32>)>,
}

impl<T: Element> Cpu<T> {
    pub(crate) fn new(filters: NetworkWeights) -> Cpu<T> {
        let packed = |ConvWeights { layer, weight, bias }: ConvWeights| {
            (pack(Isa::best::<T>(), &layer.conv, &weight, layer.channels, layer.filters), bias)
        };
        Cpu { filters: filters.into_iter().map(|(name, filter)| (name, packed(filter))).collect() }
    }

    /// A batch of square inputs, [n, side, side, 3].
    pub(crate) fn input(&self, data: &[f32], side: usize) -> Map<T> {
        let data: Vec<T> = data.par_iter().map(|&v| T::from_f32(v)).collect();
        Map { shape: (data.len() / (side * side * 3), side, side, 3), data }
    }
}

impl<T: Element> Net for Cpu<T> {
    type Map = Map<T>;

    fn conv(&self, name: &str, conv: Conv, filters: usize, x: &Map<T>) -> Result<Map<T>> {
        let (weight, bias) = &self.filters[name];
        let (oh, ow) = conv.output(x.shape.1, x.shape.2);
        let data = conv2d(&conv, &x.data, x.shape, weight, Some(bias), Activation::RELU);
        Ok(Map { shape: (x.shape.0, oh, ow, filters), data })
    }

    fn max_pool(&self, pool: MaxPool, x: &Map<T>) -> Result<Map<T>> {
        let (b, h, w, c) = x.shape;
        let out = (pool.output(h), pool.output(w));
        Ok(Map {
            shape: (b, out.0, out.1, c),
            data: max_pool(&x.data, x.shape, pool.stride, pool.padding, out),
        })
    }

    fn avg_pool(&self, x: &Map<T>) -> Result<Map<T>> {
        Ok(Map { shape: x.shape, data: avg_pool(&x.data, x.shape) })
    }

    fn concat(&self, parts: &[Map<T>]) -> Result<Map<T>> {
        let (b, h, w, _) = parts[0].shape;
        let parts: Vec<(&[T], usize)> = parts.iter().map(|part| (&*part.data, part.shape.3)).collect();
        Ok(Map { shape: (b, h, w, parts.iter().map(|part| part.1).sum()), data: concat(&parts) })
    }

    fn mean(&self, x: &Map<T>) -> Result<Vec<f32>> {
        let (b, h, w, c) = x.shape;
        let mut means = vec![0.0; b * c];
        means.par_chunks_mut(c).zip(x.data.par_chunks(h * w * c)).for_each(|(means, x)| {
            let mut sums = vec![0f64; c];
            for pixel in x.chunks_exact(c) {
                sums.iter_mut().zip(pixel).for_each(|(s, v)| *s += f64::from(v.to_f32()));
            }
            means.iter_mut().zip(&sums).for_each(|(m, s)| *m = (s / (h * w) as f64) as f32);
        });
        Ok(means)
    }
}
