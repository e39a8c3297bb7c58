//! The operations of feature networks. A network is a function over any [`Net`]: slices ([`super::cpu`]), a
//! device's tensors ([`super::device`]), or shapes alone ([`ShapeNet`]), which lists the weights that the
//! network needs.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::Result;
use crate::io::hash::Hasher;
use crate::io::weights::Tensors;
use gan_kernels::conv::ConvWindow;

/// A 3×3 maximum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxPool {
    pub stride: usize,
    /// On each edge; it is never the maximum.
    pub padding: usize,
    /// Whether a last window that extends beyond the edge counts.
    pub ceil: bool,
}

impl MaxPool {
    /// The height and width of each window.
    pub const WINDOW: usize = gan_kernels::pool::WINDOW;

    /// The height (or width) of the output for an input of height (or width) `n`.
    pub fn output(&self, n: usize) -> usize {
        let reach = n + 2 * self.padding - Self::WINDOW;
        1 + if self.ceil { reach.div_ceil(self.stride) } else { reach / self.stride }
    }
}

/// The operations of a network on maps, which are batches of `[height, width, channels]`.
pub(crate) trait Net {
    type Map;
    /// The convolution of this name and number of filters, with bias and ReLU.
    fn conv(&self, name: &str, conv: ConvWindow, filters: usize, x: &Self::Map) -> Result<Self::Map>;
    fn max_pool(&self, pool: MaxPool, x: &Self::Map) -> Result<Self::Map>;
    /// The 3×3 average of stride 1 with padding 1 that divides by the pixels inside the image.
    fn avg_pool(&self, x: &Self::Map) -> Result<Self::Map>;
    /// The channels of all parts, in order.
    fn concat(&self, parts: &[Self::Map]) -> Result<Self::Map>;
    /// The mean over all pixels, `[batch, channels]`.
    fn mean(&self, x: &Self::Map) -> Result<Vec<f32>>;
}

/// A convolution of stride 1 that keeps the size.
pub(crate) fn same(kh: usize, kw: usize) -> ConvWindow {
    ConvWindow { kernel: (kh, kw), stride: 1, padding: (kh / 2, kw / 2) }
}

/// A square convolution without padding.
pub(crate) fn valid(kernel: usize, stride: usize) -> ConvWindow {
    ConvWindow { kernel: (kernel, kernel), stride, padding: (0, 0) }
}

/// The shape of a convolution.
#[derive(Debug, Clone)]
pub(crate) struct ConvSpec {
    pub name: String,
    pub conv: ConvWindow,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub filters: usize,
}

impl ConvSpec {
    /// The weight's shape in PyTorch's files, `[out, in, kh, kw]`.
    pub fn oihw(&self) -> [usize; 4] {
        [self.filters, self.channels, self.conv.kernel.0, self.conv.kernel.1]
    }

    /// A weight `[out, in, kh, kw]` as `[kh, kw, in, out]`.
    pub fn hwio(&self, oihw: &[f32]) -> Vec<f32> {
        let [filters, inputs, kh, kw] = self.oihw();
        let taps = kh * kw;
        let mut out = vec![0.0; oihw.len()];
        for (i, kernel) in oihw.chunks_exact(taps).enumerate() {
            let (filter, input) = (i / inputs, i % inputs);
            for (tap, &weight) in kernel.iter().enumerate() {
                out[(tap * inputs + input) * filters + filter] = weight;
            }
        }
        out
    }
}

/// A convolution's weight `[out, in, kh, kw]` and bias `[out]`.
pub(crate) struct ConvWeights {
    pub spec: ConvSpec,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// Reads the tensor of a convolution with a name, such as `bias`, and a shape.
pub(crate) type GetTensor<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// All convolutions of a network by their names.
pub(crate) type NetworkWeights = HashMap<String, ConvWeights>;

/// Reads the weights of a network, which `forward` runs over shapes from an input of this height and width.
/// `read` makes those of one convolution of its tensors. Also returns a hash of all tensors, which does not
/// depend on the file's format.
///
/// # Errors
/// A tensor is missing or has another shape.
pub(crate) fn load_weights(
    tensors: &Tensors,
    size: usize,
    forward: impl FnOnce(&ShapeNet, (usize, usize, usize)) -> Result<(usize, usize, usize)>,
    read: impl Fn(ConvSpec, &mut GetTensor) -> Result<ConvWeights>,
) -> Result<(NetworkWeights, String)> {
    let net = ShapeNet::default();
    forward(&net, (size, size, 3))?;
    let (mut weights, mut hash) = (NetworkWeights::new(), Hasher::default());
    for spec in net.0.into_inner() {
        let name = spec.name.clone();
        let mut get = |part: &str, shape: &[usize]| {
            let name = format!("{name}.{part}");
            let values = tensors.get(&name, shape)?;
            hash.update(format!("{name} {shape:?}\n").as_bytes());
            let mut bytes = Vec::with_capacity(4 * values.len());
            values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            hash.update(&bytes);
            Ok(values)
        };
        weights.insert(name.clone(), read(spec, &mut get)?);
    }
    Ok((weights, hash.finish()))
}

/// Runs over shapes alone and lists the convolutions, in order.
#[derive(Default)]
pub(crate) struct ShapeNet(RefCell<Vec<ConvSpec>>);

impl Net for ShapeNet {
    /// Height, width, channels.
    type Map = (usize, usize, usize);

    fn conv(
        &self,
        name: &str,
        conv: ConvWindow,
        filters: usize,
        &(h, w, c): &Self::Map,
    ) -> Result<Self::Map> {
        self.0.borrow_mut().push(ConvSpec { name: name.to_string(), conv, channels: c, filters });
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
