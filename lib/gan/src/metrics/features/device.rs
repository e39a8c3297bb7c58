//! A network over candle's tensors, `[batch, channels, height, width]`, for devices other than the CPU.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use gan_kernels::conv::ConvWindow;

use super::net::{ConvWeights, MaxPool, Net, NetworkWeights};
use crate::Result;

/// The weights, on the device.
pub(crate) struct DeviceNet {
    device: Device,
    /// Weight `[out, in, kh, kw]` and bias `[1, out, 1, 1]` by name.
    filters: HashMap<String, (Tensor, Tensor)>,
}

impl DeviceNet {
    pub(crate) fn new(filters: NetworkWeights, device: &Device) -> Result<DeviceNet> {
        let upload = |(name, ConvWeights { spec, weight, bias }): (String, ConvWeights)| {
            let [o, i, kh, kw] = spec.oihw();
            let weight = Tensor::from_vec(weight, (o, i, kh, kw), device)?;
            let bias = Tensor::from_vec(bias, (1, o, 1, 1), device)?;
            Ok((name, (weight, bias)))
        };
        let filters = filters.into_iter().map(upload).collect::<Result<_>>()?;
        Ok(DeviceNet { device: device.clone(), filters })
    }

    /// A batch of square inputs, `[n, size, size, 3]`.
    pub(crate) fn input(&self, data: Vec<f32>, size: usize) -> Result<Tensor> {
        let n = data.len() / (size * size * 3);
        let x = Tensor::from_vec(data, (n, size, size, 3), &self.device)?;
        Ok(x.permute((0, 3, 1, 2))?.contiguous()?)
    }
}

impl Net for DeviceNet {
    type Map = Tensor;

    fn conv(&self, name: &str, conv: ConvWindow, _: usize, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = &self.filters[name];
        let (ph, pw) = conv.padding;
        // candle has one padding for both directions.
        let both = ph.min(pw);
        let x = x.pad_with_zeros(2, ph - both, ph - both)?.pad_with_zeros(3, pw - both, pw - both)?;
        Ok(x.conv2d(weight, both, conv.stride, 1, 1)?.broadcast_add(bias)?.relu()?)
    }

    fn max_pool(&self, pool: MaxPool, x: &Tensor) -> Result<Tensor> {
        // After ReLU no value is below zero, so zeros as padding never exceed the maximum.
        let mut x = x.clone();
        for dim in [2, 3] {
            let n = x.dim(dim)?;
            let reached = (pool.output(n) - 1) * pool.stride + MaxPool::WINDOW;
            let after = reached.saturating_sub(n + pool.padding);
            x = x.pad_with_zeros(dim, pool.padding, after)?;
        }
        Ok(x.max_pool2d_with_stride(MaxPool::WINDOW, pool.stride)?)
    }

    fn avg_pool(&self, x: &Tensor) -> Result<Tensor> {
        let pad = |x: &Tensor| x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1);
        let mean = |x: &Tensor| pad(x)?.avg_pool2d_with_stride(3, 1);
        let (_, _, h, w) = x.dims4()?;
        let inside = mean(&Tensor::ones((1, 1, h, w), DType::F32, &self.device)?)?;
        Ok(mean(x)?.broadcast_div(&inside)?)
    }

    fn concat(&self, parts: &[Tensor]) -> Result<Tensor> {
        Ok(Tensor::cat(parts, 1)?)
    }

    fn mean(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(x.flatten_from(2)?.mean(2)?.flatten_all()?.to_vec1()?)
    }
}
