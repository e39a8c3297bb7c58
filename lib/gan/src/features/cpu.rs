//! A network over slices of f32 or bf16, channels last, parallel over pictures.

use std::collections::HashMap;

use gan_kernels::conv::{Conv, Packed, conv2d, pack};
use gan_kernels::{Activation, Element, Isa};
use rayon::prelude::*;

use super::net::{Filter, Filters, MaxPool, Net};
use crate::Result;

/// A batch of maps, [b, h, w, c].
pub(crate) struct Map<T> {
    pub shape: (usize, usize, usize, usize),
    pub data: Vec<T>,
}

impl<T: Element> Map<T> {
    fn zeros(b: usize, h: usize, w: usize, c: usize) -> Map<T> {
        Map { shape: (b, h, w, c), data: vec![T::default(); b * h * w * c] }
    }
}

/// The weights, packed, and the biases.
pub(crate) struct Cpu<T> {
    filters: HashMap<String, (Packed<T>, Vec<f32>)>,
}

impl<T: Element> Cpu<T> {
    pub(crate) fn new(filters: Filters) -> Cpu<T> {
        let packed = |Filter { layer, weight, bias }: Filter| {
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
        let (oh, ow) = (pool.output(h), pool.output(w));
        let mut y = Map::zeros(b, oh, ow, c);
        // One output row at a time; windows are cut at the picture's edge.
        let window = |o: usize, n: usize| {
            let from = (o * pool.stride).saturating_sub(pool.padding);
            from..(o * pool.stride + MaxPool::WINDOW - pool.padding).min(n)
        };
        y.data.par_chunks_mut(ow * c).enumerate().for_each(|(row, y)| {
            let (picture, oy) = (row / oh, row % oh);
            for (ox, y) in y.chunks_exact_mut(c).enumerate() {
                y.fill(T::from_f32(f32::NEG_INFINITY));
                for iy in window(oy, h) {
                    for ix in window(ox, w) {
                        let x = &x.data[((picture * h + iy) * w + ix) * c..][..c];
                        let larger = |y: T, x: T| if x.to_f32() > y.to_f32() { x } else { y };
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y = larger(*y, x));
                    }
                }
            }
        });
        Ok(y)
    }

    fn avg_pool(&self, x: &Map<T>) -> Result<Map<T>> {
        let (b, h, w, c) = x.shape;
        let mut y = Map::zeros(b, h, w, c);
        let window = |o: usize, n: usize| o.saturating_sub(1)..(o + 2).min(n);
        y.data.par_chunks_mut(w * c).enumerate().for_each(|(row, y)| {
            let (picture, oy) = (row / h, row % h);
            let mut sums = vec![0f32; c];
            for (ox, y) in y.chunks_exact_mut(c).enumerate() {
                let (rows, columns) = (window(oy, h), window(ox, w));
                let inside = (rows.len() * columns.len()) as f32;
                sums.fill(0.0);
                for iy in rows {
                    for ix in columns.clone() {
                        let x = &x.data[((picture * h + iy) * w + ix) * c..][..c];
                        sums.iter_mut().zip(x).for_each(|(s, x)| *s += x.to_f32());
                    }
                }
                y.iter_mut().zip(&sums).for_each(|(y, s)| *y = T::from_f32(s / inside));
            }
        });
        Ok(y)
    }

    fn concat(&self, parts: &[Map<T>]) -> Result<Map<T>> {
        let (b, h, w, _) = parts[0].shape;
        let c = parts.iter().map(|p| p.shape.3).sum();
        let mut y = Map::zeros(b, h, w, c);
        y.data.par_chunks_mut(w * c).enumerate().for_each(|(row, y)| {
            let mut at = 0;
            for part in parts {
                let n = part.shape.3;
                let x = &part.data[row * w * n..][..w * n];
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(n)) {
                    y[at..at + n].copy_from_slice(x);
                }
                at += n;
            }
        });
        Ok(y)
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
