//! A network over slices of f32 or bf16, channels last, parallel over images.
//!
//! Maps are computed when they are needed. A concatenation then knows what its parts are: they are written
//! into their places, convolutions of the same map and shape run together, and an average before a 1×1
//! convolution is taken after it, of fewer channels: both are linear.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use gan_kernels::conv::{BatchShape, ConvPart, ConvWindow, PackedMatrix, convs2d, pack};
use gan_kernels::pool::{avg_pool, max_pool};
use gan_kernels::{Activation, Channels, Element, Isa};
use rayon::prelude::*;

use super::net::{ConvWeights, MaxPool, Net, NetworkWeights, same};
use crate::Result;

/// A batch of maps, `[b, h, w, c]`, that may not be computed yet.
pub(crate) struct FeatureMap<T>(Rc<Node<T>>);

impl<T> Clone for FeatureMap<T> {
    fn clone(&self) -> FeatureMap<T> {
        FeatureMap(self.0.clone())
    }
}

struct Node<T> {
    shape: BatchShape,
    value: RefCell<Value<T>>,
}

#[derive(Clone)]
enum Value<T> {
    Ready(Rc<Vec<T>>),
    Conv { name: String, conv: ConvWindow, x: FeatureMap<T> },
    Max(MaxPool, FeatureMap<T>),
    Average(FeatureMap<T>),
    Concat(Vec<FeatureMap<T>>),
}

impl<T: Element> FeatureMap<T> {
    /// A map with these elements.
    pub fn new(shape: BatchShape, data: Vec<T>) -> FeatureMap<T> {
        FeatureMap::of(shape, Value::Ready(Rc::new(data)))
    }

    fn of(shape: BatchShape, value: Value<T>) -> FeatureMap<T> {
        FeatureMap(Rc::new(Node { shape, value: RefCell::new(value) }))
    }

    /// Batch, height, width and channels.
    pub fn shape(&self) -> BatchShape {
        self.0.shape
    }

    fn pixels(&self) -> usize {
        let (b, h, w, _) = self.shape();
        b * h * w
    }

    fn value(&self) -> Value<T> {
        self.0.value.borrow().clone()
    }

    /// The elements, if they are computed.
    fn ready(&self) -> Option<Rc<Vec<T>>> {
        if let Value::Ready(data) = &*self.0.value.borrow() { Some(data.clone()) } else { None }
    }

    fn is(&self, other: &FeatureMap<T>) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The parts of a concatenation, those of its concatenations included, with their first channels.
    fn parts(&self, first: usize, parts: &mut Vec<(FeatureMap<T>, usize)>) {
        let Value::Concat(own) = self.value() else { return parts.push((self.clone(), first)) };
        let mut first = first;
        for part in own {
            part.parts(first, parts);
            first += part.shape().3;
        }
    }
}

/// Packed weights and biases by their names.
pub(crate) struct Cpu<T> {
    filters: HashMap<String, (PackedMatrix<T>, Vec<f32>)>,
}

/// A convolution that can be computed now, and where it goes.
struct Step<T> {
    map: FeatureMap<T>,
    name: String,
    conv: ConvWindow,
    x: FeatureMap<T>,
    /// Whether `map` is the average of the result.
    averaged: bool,
    /// The first channel in the concatenation, if it is a part.
    first: Option<usize>,
}

impl<T: Element> Cpu<T> {
    pub(crate) fn new(filters: NetworkWeights) -> Cpu<T> {
        let packed = |ConvWeights { spec, weight, bias }: ConvWeights| {
            (pack(Isa::best::<T>(), &spec.conv, &spec.hwio(&weight), spec.channels, spec.filters), bias)
        };
        Cpu { filters: filters.into_iter().map(|(name, filter)| (name, packed(filter))).collect() }
    }

    /// A batch of square inputs, `[n, size, size, 3]`.
    pub(crate) fn input(&self, data: Vec<f32>, size: usize) -> FeatureMap<T> {
        FeatureMap::new((data.len() / (size * size * 3), size, size, 3), T::from_floats(data))
    }

    /// The elements of a map.
    pub(crate) fn elements(&self, map: &FeatureMap<T>) -> Rc<Vec<T>> {
        if let Some(data) = map.ready() {
            return data;
        }
        // Any map is a concatenation, most of one part.
        let mut parts = Vec::new();
        map.parts(0, &mut parts);
        let mut to = Channels::new(map.pixels(), map.shape().3);
        while !parts.is_empty() {
            let mut steps: Vec<Step<T>> = Vec::new();
            parts.retain(|(part, first)| {
                let done = self.write(part, *first, &mut to);
                if !done && let Some(step) = self.step(part, Some(*first)) {
                    // Parts may share what they are computed from.
                    if step.first.is_some() || steps.iter().all(|other| !other.map.is(&step.map)) {
                        steps.push(step);
                    }
                }
                !done
            });
            while let Some(Step { conv, x, .. }) = steps.first() {
                let (conv, x) = (*conv, x.clone());
                let (group, rest) = steps.into_iter().partition(|s| s.conv == conv && s.x.is(&x));
                self.run(conv, &x, group, &mut to, &mut parts);
                steps = rest;
            }
        }
        let data = Rc::new(to.finish());
        *map.0.value.borrow_mut() = Value::Ready(data.clone());
        data
    }

    /// Writes a part that is no convolution; whether it is written.
    fn write(&self, part: &FeatureMap<T>, first: usize, to: &mut Channels<T>) -> bool {
        match part.value() {
            Value::Ready(data) => to.copy(first, &data, part.shape().3),
            Value::Max(pool, x) => {
                let (_, h, w, _) = part.shape();
                max_pool(&self.elements(&x), x.shape(), pool.stride, pool.padding, (h, w), to, first);
            }
            Value::Average(x) => {
                avg_pool(&self.elements(&x), x.shape(), None, Activation::Identity, to, first);
            }
            Value::Conv { .. } | Value::Concat(_) => return false,
        }
        true
    }

    /// The first convolution that is missing for `map`, a part of a concatenation if `first` is its place.
    fn step(&self, map: &FeatureMap<T>, first: Option<usize>) -> Option<Step<T>> {
        let Value::Conv { name, conv, x } = map.value() else { return None };
        if let (Value::Average(y), true) = (x.value(), conv == same(1, 1)) {
            self.elements(&y);
            return Some(Step { map: map.clone(), name, conv, x: y, averaged: true, first });
        }
        self.step(&x, None).or_else(|| {
            self.elements(&x);
            Some(Step { map: map.clone(), name, conv, x, averaged: false, first })
        })
    }

    /// Runs convolutions of `x`. Those that are parts of the concatenation are written to it and removed from
    /// `parts`; the others are kept by their maps.
    fn run(
        &self,
        conv: ConvWindow,
        x: &FeatureMap<T>,
        steps: Vec<Step<T>>,
        to: &mut Channels<T>,
        parts: &mut Vec<(FeatureMap<T>, usize)>,
    ) {
        let pixels = steps[0].map.pixels();
        let mut outputs = vec![std::mem::replace(to, Channels::new(0, 0))];
        let mut convs = Vec::new();
        for step in &steps {
            let (weight, bias) = &self.filters[&step.name];
            let in_place = step.first.filter(|_| !step.averaged);
            if in_place.is_none() {
                outputs.push(Channels::new(pixels, weight.n()));
            }
            let (to, first) = in_place.map_or((outputs.len() - 1, 0), |first| (0, first));
            let (bias, activation) = match step.averaged {
                false => (Some(&bias[..]), Activation::RELU),
                true => (None, Activation::Identity),
            };
            convs.push(ConvPart { weight, bias, activation, to, first });
        }
        convs2d(&conv, &self.elements(x), x.shape(), &convs, &mut outputs);
        let mut outputs = outputs.into_iter();
        *to = outputs.next().expect("the concatenation");
        for step in steps {
            let Step { map, name, averaged, first, .. } = step;
            if averaged {
                let data = outputs.next().expect("one for each that is not in place").finish();
                let bias = Some(&self.filters[&name].1[..]);
                let mut own = first.is_none().then(|| Channels::new(pixels, map.shape().3));
                let (to, first) = (own.as_mut().unwrap_or(to), first.unwrap_or(0));
                avg_pool(&data, map.shape(), bias, Activation::RELU, to, first);
                if let Some(own) = own {
                    *map.0.value.borrow_mut() = Value::Ready(Rc::new(own.finish()));
                }
            } else if first.is_none() {
                let data = outputs.next().expect("one for each that is not in place").finish();
                *map.0.value.borrow_mut() = Value::Ready(Rc::new(data));
            }
            if let Some(first) = first {
                parts.retain(|(_, other)| *other != first);
            }
        }
    }
}

impl<T: Element> Net for Cpu<T> {
    type Map = FeatureMap<T>;

    fn conv(&self, name: &str, conv: ConvWindow, filters: usize, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        let (b, h, w, _) = x.shape();
        let (oh, ow) = conv.output(h, w);
        let value = Value::Conv { name: name.to_string(), conv, x: x.clone() };
        Ok(FeatureMap::of((b, oh, ow, filters), value))
    }

    fn max_pool(&self, pool: MaxPool, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        let (b, h, w, c) = x.shape();
        Ok(FeatureMap::of((b, pool.output(h), pool.output(w), c), Value::Max(pool, x.clone())))
    }

    fn avg_pool(&self, x: &FeatureMap<T>) -> Result<FeatureMap<T>> {
        Ok(FeatureMap::of(x.shape(), Value::Average(x.clone())))
    }

    fn concat(&self, parts: &[FeatureMap<T>]) -> Result<FeatureMap<T>> {
        let (b, h, w, _) = parts[0].shape();
        let channels = parts.iter().map(|part| part.shape().3).sum();
        Ok(FeatureMap::of((b, h, w, channels), Value::Concat(parts.to_vec())))
    }

    fn mean(&self, x: &FeatureMap<T>) -> Result<Vec<f32>> {
        let (b, h, w, c) = x.shape();
        let mut means = vec![0.0; b * c];
        means.par_chunks_mut(c).zip(self.elements(x).par_chunks(h * w * c)).for_each(|(means, x)| {
            let mut sums = vec![0f64; c];
            for pixel in x.chunks_exact(c) {
                sums.iter_mut().zip(pixel).for_each(|(s, v)| *s += f64::from(v.to_f32()));
            }
            means.iter_mut().zip(&sums).for_each(|(m, s)| *m = (s / (h * w) as f64) as f32);
        });
        Ok(means)
    }
}
