//! What a network is made of. A network is a function that walks over [`Net`]: over slices ([`super::cpu`]), over a
//! device's tensors ([`super::device`]), or over shapes alone ([`Plan`]), which tells the weights that it needs.

use std::cell::RefCell;
use std::collections::HashMap;

use gan_kernels::conv::Conv;

use crate::Result;
use crate::io::hash::Hasher;

/// A 3×3 maximum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxPool {
    pub stride: usize,
    /// On every side; what lies outside is never the maximum.
    pub padding: usize,
    /// Whether a last window that reaches over the edge counts.
    pub ceil: bool,
}

impl MaxPool {
    /// The side of every pool's window.
    pub const WINDOW: usize = gan_kernels::pool::WINDOW;

    /// The output's side for an input of side `n`.
    pub fn output(&self, n: usize) -> usize {
        let reach = n + 2 * self.padding - Self::WINDOW;
        1 + if self.ceil { reach.div_ceil(self.stride) } else { reach / self.stride }
    }
}

/// The steps of a network; maps are batches of `[height, width, channels]`.
pub(crate) trait Net {
    type Map;
    /// The convolution called `name`, which has `filters` of them, its bias and ReLU.
    fn conv(&self, name: &str, conv: Conv, filters: usize, x: &Self::Map) -> Result<Self::Map>;
    fn max_pool(&self, pool: MaxPool, x: &Self::Map) -> Result<Self::Map>;
    /// The 3×3 average of stride 1 with padding 1 that divides by the pixels inside the image.
    fn avg_pool(&self, x: &Self::Map) -> Result<Self::Map>;
    /// All channels of all parts, in order.
    fn concat(&self, parts: &[Self::Map]) -> Result<Self::Map>;
    /// The mean over all pixels, [batch, channels].
    fn mean(&self, x: &Self::Map) -> Result<Vec<f32>>;
}

/// A convolution of stride 1 that keeps the size.
pub(crate) fn same(kh: usize, kw: usize) -> Conv {
    Conv { kernel: (kh, kw), stride: 1, padding: (kh / 2, kw / 2) }
}

/// A square convolution without padding.
pub(crate) fn valid(kernel: usize, stride: usize) -> Conv {
    Conv { kernel: (kernel, kernel), stride, padding: (0, 0) }
}

/// One convolution's shape.
#[derive(Debug, Clone)]
pub(crate) struct ConvSpec {
    pub name: String,
    pub conv: Conv,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
}

impl ConvSpec {
    /// The weight's shape in PyTorch's files, [out, in, kh, kw].
    pub fn oihw(&self) -> [usize; 4] {
        [self.filters, self.channels, self.conv.kernel.0, self.conv.kernel.1]
    }

    /// A weight [out, in, kh, kw] as [kh, kw, in, out].
    pub fn hwio(&self, oihw: &[f32]) -> Vec<f32> {
        let [o, i, kh, kw] = self.oihw();
        let (inputs, taps) = (i, kh * kw);
        let mut out = vec![0.0; oihw.len()];
        for (filter, weights) in oihw.chunks_exact(inputs * taps).enumerate() {
            for (at, &w) in weights.iter().enumerate() {
                let (input, tap) = (at / taps, at % taps);
                out[(tap * inputs + input) * o + filter] = w;
            }
        }
        out
    }
}

/// A convolution's weight [kh, kw, in, out] and bias [out].
pub(crate) struct ConvWeights {
    pub layer: ConvSpec,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// All convolutions of a network by their names.
pub(crate) type NetworkWeights = HashMap<String, ConvWeights>;

/// Walks over shapes alone and writes down the convolutions that it meets.
#[derive(Default)]
pub(crate) struct Plan(RefCell<Vec<ConvSpec>>);

impl Plan {
    /// The convolutions met, in order.
    pub(crate) fn layers(self) -> Vec<ConvSpec> {
        self.0.into_inner()
    }
}

impl Net for Plan {
    /// Height, width, channels.
    type Map = (usize, usize, usize);

    fn conv(
        &self,
        name: &str,
        conv: Conv,
        filters: usize,
        &(h, w, channels): &Self::Map,
    ) -> Result<Self::Map> {
        self.0.borrow_mut().push(ConvSpec { name: name.to_string(), conv, channels, filters });
        let (h, w) = conv.output(h, w);
        Ok((h, w, filters))
    }

    fn max_pool(&self, pool: MaxPool, &(h, w, c): &Self::Map) -> Result<Self::Map> {
        Ok((pool.output(h), pool.output(w), c))
    }

    fn avg_pool(&self, x: &Self::Map) -> Result<Self::Map> {
        Ok(*x)
    }

    fn concat(&self, parts: &[Self::Map]) -> Result<Self::Map> {
        let (h, w, _) = parts[0];
        Ok((h, w, parts.iter().map(|p| p.2).sum()))
    }

    fn mean(&self, _: &Self::Map) -> Result<Vec<f32>> {
        Ok(Vec::new())
    }
}

/// A hash of named tensors that does not depend on the file that they came in.
#[derive(Default)]
pub(crate) struct WeightsHash(Hasher);

impl WeightsHash {
    pub(crate) fn add(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.0.update(format!("{name} {shape:?}\n").as_bytes());
        let mut bytes = Vec::with_capacity(values.len() * 4);
        values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        self.0.update(&bytes);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finish()
    }
}
