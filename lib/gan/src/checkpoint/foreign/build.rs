//! A plan and its numbers → a network that does in evaluation mode what PyTorch's does.

use candle_core::{Device, Tensor};

use super::chain::{Kind, Plan, Step};
use super::geometry::Geometry;
use super::layers::{Stored, What, shape};
use super::{Last, LayoutHints, Numbers, TensorSpec};
use crate::nn::layer::{BN_EPS, Layer, Network};
use crate::nn::ops::{self, Activation, BatchStats, Weight};
use crate::{Error, Result};

pub(super) fn network(plan: &Plan, hints: &LayoutHints, device: &Device, read: Numbers) -> Result<Network> {
    let mut layers = Vec::new();
    let hidden = Activation::LeakyRelu(hints.slope.unwrap_or(0.0) as f32);
    let last = plan.steps.len() - 1;
    // What the convolution before adds, where a batch-norm comes next and takes it into its mean.
    let mut added: Option<Vec<f32>> = None;
    for (i, step) in plan.steps.iter().enumerate() {
        let activation = match (i == last, plan.last) {
            (true, Last::Tanh | Last::Sigmoid) => Activation::Tanh,
            (false, _) if step.active => hidden,
            _ => Activation::Identity,
        };
        // A sigmoid is half of a hyperbolic tangent of the half: 255·σ(x) = (tanh(x/2) + 1)·127.5.
        let half = i == last && plan.last == Last::Sigmoid;
        if let Some((side, channels)) = step.reshape {
            layers.push(Layer::Reshape([side, side, channels]));
        }
        let norm_next = plan.steps.get(i + 1).is_some_and(|next| next.kind == Kind::Norm);
        let name = step.layer.name.to_string();
        let vector = |values: Vec<f32>| Tensor::from_vec(values, step.output, device);
        let bias = step.layer.bias.map(|item| read(&item.name, &item.shape)).transpose()?;
        let bias = bias.map(|bias| scaled(by_pixels(step, bias, 1), half));
        match &step.layer.what {
            What::Norm { scale, mean, var, .. } => {
                let scale = scale.map(|item| read(&item.name, &item.shape)).transpose()?;
                let scale = scaled(by_pixels(step, scale.unwrap_or(vec![1.0; step.output]), 1), half);
                let mut mean = by_pixels(step, read(&mean.name, &mean.shape)?, 1);
                if let Some(added) = added.take() {
                    mean.iter_mut().zip(added).for_each(|(mean, added)| *mean -= added);
                }
                let mut var = by_pixels(step, read(&var.name, &var.shape)?, 1);
                // Batch-norm here adds what PyTorch's does unless hints otherwise.
                var.iter_mut().for_each(|v| *v = (f64::from(*v) + step.eps - BN_EPS) as f32);
                let beta = vector(bias.unwrap_or(vec![0.0; step.output]))?;
                let running = BatchStats { mean: vector(mean)?, var: vector(var)? };
                layers.push(Layer::BatchNorm { name, gamma: vector(scale)?, beta, running, activation });
            }
            What::Linear { weight, .. } => {
                let values = scaled(by_pixels(step, effective(weight, step, read)?, step.input), half);
                let weight = Tensor::from_vec(values, (step.output, step.input), device)?;
                let weight = weight.t()?.force_contiguous()?.reshape((1, 1, step.input, step.output))?;
                let geometry = ops::Geometry::K1S1P0;
                let bias = bias.map(vector).transpose()?;
                layers.push(Layer::Conv { name, geometry, weight: Weight::new(weight), bias, activation });
            }
            What::Kernel { weight, dims, side } => {
                let geometry = step.geometry.expect("convolutions have one");
                let values = scaled(effective(weight, step, read)?, half);
                let (values, transposed, geometry) = match geometry.upsample {
                    1 => (values, step.kind == Kind::Transposed, geometry),
                    _ => upsampled(&values, *dims, geometry),
                };
                let k = geometry.kernel;
                let dims = if transposed {
                    (step.input, step.output, k, k)
                } else {
                    (step.output, step.input, k, k)
                };
                debug_assert!(geometry.upsample > 1 || k == *side);
                let weight =
                    Tensor::from_vec(values, dims, device)?.permute((2, 3, 1, 0))?.force_contiguous()?;
                let (weight, geometry) = (Weight::new(weight), known(geometry));
                if !transposed {
                    let bias = bias.map(vector).transpose()?;
                    layers.push(Layer::Conv { name, geometry, weight, bias, activation });
                    continue;
                }
                let Some(bias) = bias else {
                    layers.push(Layer::ConvTranspose { name, geometry, weight, activation });
                    continue;
                };
                let own = Activation::Identity;
                layers.push(Layer::ConvTranspose { name: name.clone(), geometry, weight, activation: own });
                match norm_next && !step.active {
                    true => added = Some(bias),
                    // Batch-norm of mean 0 and variance 1 adds a number to each channel.
                    false => {
                        let constant = |v: f64| vector(vec![v as f32; step.output]);
                        let running = BatchStats { mean: constant(0.0)?, var: constant(1.0 - BN_EPS)? };
                        let (gamma, beta) = (constant(1.0)?, vector(bias)?);
                        layers.push(Layer::BatchNorm { name, gamma, beta, running, activation });
                    }
                }
            }
        }
    }
    if plan.steps.iter().all(|step| step.geometry.is_none()) {
        layers.push(Layer::Reshape([plan.size, plan.size, plan.channels]));
    }
    let widest = plan.steps.iter().map(Step::numbers).max().unwrap_or(1).max(1);
    Ok(Network::new(layers, device).with_together(TOGETHER / widest))
}

/// The most numbers that a layer gives at once: those of 64 images of 64 channels at 64×64.
const TOGETHER: usize = 1 << 24;

fn scaled(mut values: Vec<f32>, half: bool) -> Vec<f32> {
    if half {
        values.iter_mut().for_each(|v| *v *= 0.5);
    }
    values
}

/// The geometry as the operations know it: that of DCGANs have code of their own.
fn known(g: Geometry) -> ops::Geometry {
    match (g.kernel, g.stride, g.padding, g.output_padding) {
        (4, 2, 1, 0) if g.after == 2 * g.before => ops::Geometry::K4S2P1,
        (4, 1, 0, 0) if g.before == 1 => ops::Geometry::K4S1P0,
        (1, 1, 0, 0) => ops::Geometry::K1S1P0,
        (kernel, stride, padding, output_padding) => {
            ops::Geometry::Square { kernel, stride, padding, output_padding }
        }
    }
}

/// Rows of `width` numbers that come channel by channel, pixel by pixel.
fn by_pixels(step: &Step, rows: Vec<f32>, width: usize) -> Vec<f32> {
    let Some((side, channels)) = step.planes else { return rows };
    let pixels = side * side;
    if rows.len() != pixels * channels * width {
        return rows;
    }
    let order = (0..pixels).flat_map(|pixel| (0..channels).map(move |channel| channel * pixels + pixel));
    order.flat_map(|row| rows[row * width..][..width].iter().copied()).collect()
}

/// The weight that PyTorch multiplies with in evaluation mode, in its layout.
fn effective(weight: &Stored, step: &Step, read: Numbers) -> Result<Vec<f32>> {
    let get = |item: &TensorSpec| read(&item.name, &item.shape);
    let item = weight.item();
    let wrong = |other: &TensorSpec, what: String| Error::Invalid(format!("{}: {what}", other.name));
    let dims = item.shape.as_slice();
    match *weight {
        Stored::Plain(item) => get(item),
        // As a matrix, a transposed convolution's weight has its outputs as rows.
        Stored::Spectral(item, u, v) => {
            let (u_item, v_item) = (u, v);
            let (mut values, u, v) = (get(item)?, get(u)?, get(v)?);
            let rows = step.output;
            for (vector, item, n) in [(&u, u_item, rows), (&v, v_item, values.len() / rows)] {
                if vector.len() != n {
                    return Err(wrong(item, format!("is {}, expected {n}", shape(&item.shape))));
                }
            }
            let taps: usize = dims[2..].iter().product();
            let place = |row: usize, column: usize| match step.kind {
                Kind::Transposed => ((column / taps) * rows + row) * taps + column % taps,
                _ => row * v.len() + column,
            };
            let sigma: f64 = (0..rows)
                .map(|row| {
                    let line = (0..v.len())
                        .map(|column| f64::from(values[place(row, column)]) * f64::from(v[column]));
                    line.sum::<f64>() * f64::from(u[row])
                })
                .sum();
            values.iter_mut().for_each(|w| *w = (f64::from(*w) / sigma) as f32);
            Ok(values)
        }
        // The lengths have a 1 for every dimension that they are taken over.
        Stored::Normed(g_item, item) => {
            let (g, mut values) = (get(g_item)?, get(item)?);
            let kept = g_item.shape.iter().position(|&n| n > 1);
            let axis = kept.unwrap_or(0);
            let fits = g_item.shape.len() == dims.len() && g.len() == dims[axis] || g.len() == 1;
            if !fits {
                let what =
                    format!("is {}, which is no length of each row of {}", shape(&g_item.shape), shape(dims));
                return Err(wrong(g_item, what));
            }
            let inner: usize = dims[axis + 1..].iter().product();
            let row = |i: usize| if g.len() == 1 { 0 } else { i / inner % dims[axis] };
            let mut squares = vec![0.0; g.len()];
            values.iter().enumerate().for_each(|(i, &w)| squares[row(i)] += f64::from(w).powi(2));
            let factors: Vec<f64> =
                g.iter().zip(squares).map(|(&g, sq): (_, f64)| f64::from(g) / sq.sqrt()).collect();
            values.iter_mut().enumerate().for_each(|(i, w)| *w = (f64::from(*w) * factors[row(i)]) as f32);
            Ok(values)
        }
    }
}

/// A convolution `[out, in, k, k]` of images whose pixels are repeated n times is a transposed one of stride
/// n, whose kernel `[in, out, k + n − 1, k + n − 1]` has the sums of the taps that see the same pixel.
fn upsampled(values: &[f32], [outputs, inputs]: [usize; 2], g: Geometry) -> (Vec<f32>, bool, Geometry) {
    let (k, n) = (g.kernel, g.upsample);
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
    (sums, true, Geometry { kernel: wide, stride: n, ..g })
}
