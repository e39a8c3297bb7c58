//! A plan and its weights → a network that does in evaluation mode what PyTorch's does.

use candle_core::{Device, Tensor};

use super::chain::{ConvShape, LayerKind, PlannedLayer};
use super::layers::{StoredOp, StoredWeight, shape};
use super::plan::GeneratorPlan;
use super::{OutputActivation, ReadTensor, TensorSpec};
use crate::Result;
use crate::nn::Network;
use crate::nn::layer::{BN_EPS, BatchNorm, Conv, ConvTranspose, Reshape};
use crate::nn::model::Layers;
use crate::nn::ops::{self, Activation, BatchStats, Weight};

/// The most elements that a layer gives at once: those of 64 images of 64 channels at 64×64.
const MAX_TOGETHER: usize = 1 << 24;

pub(super) fn network(plan: &GeneratorPlan, device: &Device, read: ReadTensor) -> Result<Network> {
    let mut layers = Layers::new();
    let last = plan.steps.len() - 1;
    // The bias of the convolution before, if the batch-norm that follows takes it into its mean.
    let mut pending_bias: Option<Vec<f32>> = None;
    for (i, step) in plan.steps.iter().enumerate() {
        let activation = match (i == last, plan.last) {
            (true, OutputActivation::Tanh | OutputActivation::Sigmoid) => Activation::Tanh,
            (false, _) if step.active => Activation::LeakyRelu(plan.slope as f32),
            _ => Activation::Identity,
        };
        // A sigmoid is half of a hyperbolic tangent of the half: 255·σ(x) = (tanh(x/2) + 1)·127.5.
        let half = i == last && plan.last == OutputActivation::Sigmoid;
        let scaled = |values: Vec<f32>| values.into_iter().map(|v| if half { v * 0.5 } else { v }).collect();
        if let Some((size, channels)) = step.reshape {
            layers.push(Box::new(Reshape([size, size, channels])));
        }
        let name = step.layer.name.to_string();
        let channel_values = |spec: &TensorSpec| read(&spec.name, &spec.shape).map(|v| by_pixels(step, v, 1));
        let vector = |values: Vec<f32>| Tensor::from_vec(values, step.output, device);
        let constant = |v: f64| vec![v as f32; step.output];
        let batch_norm = |[gamma, beta, mean, var]: [Vec<f32>; 4]| -> Result<Box<BatchNorm>> {
            let (name, gamma, beta) = (name.clone(), vector(gamma)?, vector(beta)?);
            let running = BatchStats { mean: vector(mean)?, var: vector(var)? };
            Ok(Box::new(BatchNorm { name, gamma, beta, running, activation }))
        };
        let bias: Option<Vec<f32>> = step.layer.bias.map(channel_values).transpose()?.map(scaled);
        match &step.layer.op {
            StoredOp::BatchNorm { scale, stats: [mean, var], .. } => {
                let gamma = scale.map(channel_values).transpose()?.unwrap_or(constant(1.0));
                let (mut mean, mut var) = (channel_values(mean)?, channel_values(var)?);
                for (mean, bias) in mean.iter_mut().zip(pending_bias.take().unwrap_or_default()) {
                    *mean -= bias;
                }
                // A batch-norm of this library adds PyTorch's default to the variance.
                var.iter_mut().for_each(|v| *v = (f64::from(*v) + step.eps - BN_EPS) as f32);
                let beta = bias.unwrap_or(constant(0.0));
                layers.push(batch_norm([scaled(gamma), beta, mean, var])?);
            }
            StoredOp::Linear { weight, .. } => {
                let values = scaled(by_pixels(step, effective(weight, step, read)?, step.input));
                let weight = Tensor::from_vec(values, (step.output, step.input), device)?;
                let weight = weight.t()?.force_contiguous()?.reshape((1, 1, step.input, step.output))?;
                let (weight, geometry) = (Weight::new(weight), ops::Geometry::K1S1P0);
                let bias = bias.map(vector).transpose()?;
                layers.push(Box::new(Conv { name, geometry, weight, bias, activation }));
            }
            StoredOp::Conv { weight, dims, .. } => {
                let shape = step.shape.expect("convolutions have one");
                let values = scaled(effective(weight, step, read)?);
                let (values, transposed, shape) = match shape.upsample {
                    1 => (values, step.kind == LayerKind::ConvTranspose, shape),
                    _ => upsampled(&values, *dims, shape),
                };
                let channels = if transposed { [step.input, step.output] } else { [step.output, step.input] };
                let dims = (channels[0], channels[1], shape.kernel, shape.kernel);
                let weight = Tensor::from_vec(values, dims, device)?.permute((2, 3, 1, 0))?;
                let (weight, geometry) = (Weight::new(weight.force_contiguous()?), geometry(shape));
                if !transposed {
                    let bias = bias.map(vector).transpose()?;
                    layers.push(Box::new(Conv { name, geometry, weight, bias, activation }));
                    continue;
                }
                let Some(bias) = bias else {
                    layers.push(Box::new(ConvTranspose { name, geometry, weight, activation }));
                    continue;
                };
                let (name, identity) = (name.clone(), Activation::Identity);
                layers.push(Box::new(ConvTranspose { name, geometry, weight, activation: identity }));
                let norm_next = plan.steps.get(i + 1).is_some_and(PlannedLayer::is_norm);
                if norm_next && !step.active {
                    pending_bias = Some(bias);
                    continue;
                }
                // A batch-norm of mean 0 and variance 1 adds a number to each channel.
                let bias = [constant(1.0), bias, constant(0.0), constant(1.0 - BN_EPS)];
                layers.push(batch_norm(bias)?);
            }
        }
    }
    if !plan.steps.iter().any(PlannedLayer::is_conv) {
        layers.push(Box::new(Reshape([plan.size, plan.size, plan.channels])));
    }
    let widest = plan.steps.iter().map(PlannedLayer::num_elements).max().unwrap_or(1).max(1);
    Ok(Network::new(layers, device).with_max_batch(MAX_TOGETHER / widest))
}

/// The geometry of the operations. Those of DCGANs have code of their own.
fn geometry(shape: ConvShape) -> ops::Geometry {
    match (shape.kernel, shape.stride, shape.padding, shape.output_padding) {
        (4, 2, 1, 0) if shape.after == 2 * shape.before => ops::Geometry::K4S2P1,
        (4, 1, 0, 0) if shape.before == 1 => ops::Geometry::K4S1P0,
        (1, 1, 0, 0) => ops::Geometry::K1S1P0,
        (kernel, stride, padding, output_padding) => {
            ops::Geometry::Square { kernel, stride, padding, output_padding }
        }
    }
}

/// Rows of `width` elements, from channel by channel to pixel by pixel.
fn by_pixels(step: &PlannedLayer, rows: Vec<f32>, width: usize) -> Vec<f32> {
    let Some((size, channels)) = step.planes else { return rows };
    let pixels = size * size;
    if rows.len() != pixels * channels * width {
        return rows;
    }
    let order = (0..pixels).flat_map(|pixel| (0..channels).map(move |channel| channel * pixels + pixel));
    order.flat_map(|row| rows[row * width..][..width].iter().copied()).collect()
}

/// The weight in evaluation mode, in PyTorch's layout.
fn effective(weight: &StoredWeight, step: &PlannedLayer, read: ReadTensor) -> Result<Vec<f32>> {
    let get = |spec: &TensorSpec| read(&spec.name, &spec.shape);
    let dims = weight.spec().shape.as_slice();
    match *weight {
        StoredWeight::Plain(spec) => get(spec),
        // As a matrix, the weight of a transposed convolution has a row for each output.
        StoredWeight::Spectral(spec, u_spec, v_spec) => {
            let (mut values, u, v) = (get(spec)?, get(u_spec)?, get(v_spec)?);
            let rows = step.output;
            for (vector, spec, n) in [(&u, u_spec, rows), (&v, v_spec, values.len() / rows)] {
                if vector.len() != n {
                    return spec.wrong(format!("is {}, expected {n}", shape(&spec.shape)));
                }
            }
            let taps: usize = dims[2..].iter().product();
            let place = |row: usize, column: usize| match step.kind {
                LayerKind::ConvTranspose => ((column / taps) * rows + row) * taps + column % taps,
                _ => row * v.len() + column,
            };
            let product = |row: usize| {
                let term = |(i, &v): (usize, &f32)| f64::from(values[place(row, i)]) * f64::from(v);
                let terms = v.iter().enumerate().map(term);
                terms.sum::<f64>() * f64::from(u[row])
            };
            let sigma: f64 = (0..rows).map(product).sum();
            values.iter_mut().for_each(|w| *w = (f64::from(*w) / sigma) as f32);
            Ok(values)
        }
        // The lengths have a dimension of 1 for each that they are taken over.
        StoredWeight::Normed(g_spec, spec) => {
            let (g, mut values) = (get(g_spec)?, get(spec)?);
            let axis = g_spec.shape.iter().position(|&n| n > 1).unwrap_or(0);
            let fits = g_spec.shape.len() == dims.len() && g.len() == dims[axis] || g.len() == 1;
            if !fits {
                let (is, rows) = (shape(&g_spec.shape), shape(dims));
                return g_spec
                    .wrong(format!("is {is}, which does not give the lengths of the rows of {rows}"));
            }
            let inner: usize = dims[axis + 1..].iter().product();
            let row = |i: usize| if g.len() == 1 { 0 } else { i / inner % dims[axis] };
            let mut squares = vec![0.0f64; g.len()];
            values.iter().enumerate().for_each(|(i, &w)| squares[row(i)] += f64::from(w).powi(2));
            let factors: Vec<f64> = g.iter().zip(squares).map(|(&g, sq)| f64::from(g) / sq.sqrt()).collect();
            values.iter_mut().enumerate().for_each(|(i, w)| *w = (f64::from(*w) * factors[row(i)]) as f32);
            Ok(values)
        }
    }
}

/// A convolution `[out, in, k, k]` of images whose pixels are repeated n times, as a transposed one of stride
/// n. Its kernel `[in, out, k + n − 1, k + n − 1]` has the sums of the taps that see the same pixel.
fn upsampled(values: &[f32], [outputs, inputs]: [usize; 2], shape: ConvShape) -> (Vec<f32>, bool, ConvShape) {
    let (k, n) = (shape.kernel, shape.upsample);
    let wide = k + n - 1;
    let mut sums = vec![0.0; inputs * outputs * wide * wide];
    // Tap t of the convolution and place r of a repeated pixel meet in tap r + k − 1 − t.
    let meet = |t: usize| (0..n).map(move |r| r + k - 1 - t);
    for (at, &value) in values.iter().enumerate() {
        let (kernel, y, x) = (at / (k * k), at / k % k, at % k);
        let (output, input) = (kernel / inputs, kernel % inputs);
        for (y, x) in meet(y).flat_map(|y| meet(x).map(move |x| (y, x))) {
            sums[((input * outputs + output) * wide + y) * wide + x] += value;
        }
    }
    (sums, true, ConvShape { kernel: wide, stride: n, ..shape })
}
