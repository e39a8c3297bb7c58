//! A network over slices of f32 or bf16, channels last, parallel over images.

use std::collections::HashMap;

use gan_kernels::conv::{ConvWindow, PackedMatrix, conv2d, pack};
use gan_kernels::pool::{avg_pool, concat, max_pool};
use gan_kernels::{Activation, Element, Isa};
use rayon::prelude::*;

use super::net::{ConvWeights, MaxPool, Net, NetworkWeights};
use crate::Result;

/// A batch of maps, `[b, h, w, c]`.
pub(crate) struct FeatureMap<T> {
    pub shape: (usize, usize, usize, usize),
    pub data: Vec<T>,
}

/// Packed weights and biases by their names.
pub(crate) struct Cpu<T> {
    filters: HashMap<String, (PackedMatrix<T>, Vec<f32>)>,
}

impl<T: Element> Cpu<T> {
    pub(crate) fn new(filters: NetworkWeights) -> Cpu<T> {
        let packed = |ConvWeights { spec, weight, bias }: ConvWeights| {
            (pack(Isa::best::<T>(), &spec.conv, &spec.hwio(&weight), spec.channels, spec.filters), bias)
        };
        Cpu { filters: filters.into_iter().map(|(name, filter)| (name, packed(filter))).collect() }
    }

    /// A batch of square inputs, `[n, size, size, 3]`.
    pub(crate) fn input(&self, data: &[f32], size: usize) -> FeatureMap<T> {
        let data: Vec<T> = data.par_iter().map(|&v| T::from_f32(v)).collect();
        FeatureMap { shape: (data.len() / (size * size * 3), size, size, 3), data }
    }
}

impl<T: Element> Net for Cpu<T> {
    type Map = FeatureMap<T>;

    fn conv(&self, name: &str, conv: ConvWindow, filters: usize, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        let (weight, bias) = &self.filters[name];
        let (oh, ow) = conv.output(x.shape.1, x.shape.2);
        let data = conv2d(&conv, &x.data, x.shape, weight, Some(bias), Activation::RELU);
        Ok(FeatureMap { shape: (x.shape.0, oh, ow, filters), data })
    }

    fn max_pool(&self, pool: MaxPool, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        let (b, h, w, c) = x.shape;
        let (oh, ow) = (pool.output(h), pool.output(w));
        let data = max_pool(&x.data, x.shape, pool.stride, pool.padding, (oh, ow));
        Ok(FeatureMap { shape: (b, oh, ow, c), data })
    }

    fn avg_pool(&self, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        Ok(FeatureMap { shape: x.shape, data: avg_pool(&x.data, x.shape) })
    }

    fn concat(&self, parts: &[FeatureMap<T>]) -> Result<FeatureMap<T>> {
        let (b, h, w, _) = parts[0].shape;
        let parts: Vec<(&[T], usize)> = parts.iter().map(|part| (&*part.data, part.shape.3)).collect();
        Ok(FeatureMap { shape: (b, h, w, parts.iter().map(|part| part.1).sum()), data: concat(&parts) })
    }

    fn mean(&self, x: &FeatureMap<T>) -> Result<Vec<f32>> {
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
