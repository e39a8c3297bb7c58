//! Layers → a generator, from the latents to an image.

use super::chain::{ConvShape, EPS, LayerKind, Mismatch, PlannedLayer, chain, square};
use super::geometry::{check_size, per_layer, set_conv_shapes};
use super::layers::StoredLayer;
use super::{ChannelOrder, LayoutHints, ModelSummary, OutputActivation};
use crate::{Error, Result};

/// The most elements that a layer gives of one image: those of 256 channels at 256×256.
const MAX_ELEMENTS: usize = 1 << 24;

/// All that a generator is but its weights.
#[derive(Clone, Debug)]
pub(super) struct GeneratorPlan<'a> {
    pub nz: usize,
    pub size: usize,
    pub channels: usize,
    pub steps: Vec<PlannedLayer<'a>>,
    /// The slope below zero of the hidden activations.
    pub slope: f64,
    pub last: OutputActivation,
}

/// The generator that layers are.
pub(super) fn plan<'a>(
    layers: &[StoredLayer<'a>],
    hints: &LayoutHints,
) -> Result<GeneratorPlan<'a>, Mismatch> {
    let steps = chain(layers, None)?;
    complete(steps, hints).map_err(|error| Mismatch { fitted: layers.len(), error })
}

fn complete<'a>(mut steps: Vec<PlannedLayer<'a>>, hints: &LayoutHints) -> Result<GeneratorPlan<'a>> {
    let Some(first) = steps.first() else { return Err(Error::Invalid("it holds no weights".into())) };
    let nz = first.input;
    let end = steps.iter().rfind(|step| !step.is_norm()).expect("no batch-norm is the first");
    let (spec, output) = (end.layer.spec(), end.output);
    let (size, channels) = if steps.iter().any(PlannedLayer::is_conv) {
        let size = set_conv_shapes(&mut steps, hints)?;
        if ![1, 3].contains(&output) {
            return spec.wrong(format!("gives {output} channels; images have 1 or 3"));
        }
        if hints.layout.is_some() {
            let what = "the generator has convolutions, which PyTorch keeps channels first";
            return Err(Error::argument("layout", what));
        }
        (size, output)
    } else {
        if let Some((hint, _)) = hints.of_convs().into_iter().find(|(_, given)| !given.is_empty()) {
            return Err(Error::argument(hint, "the generator has no convolutions"));
        }
        let color = || square(output / 3).filter(|_| output.is_multiple_of(3)).map(|size| (size, 3));
        let Some((size, channels)) = square(output).map(|size| (size, 1)).or_else(color) else {
            return spec.wrong(format!("gives {output} features, not size² or 3·size² of a square image"));
        };
        if output == 1 {
            return spec.wrong("gives one feature, as discriminators do");
        }
        if channels == 1 && hints.layout.is_some() {
            return Err(Error::argument("layout", "the generator makes gray images"));
        }
        if channels == 3 && hints.layout != Some(ChannelOrder::ChannelsLast) {
            set_planes(&mut steps, (size, channels));
        }
        (size, channels)
    };
    check_size(spec, size)?;
    for i in 0..steps.len() {
        if let Some(reshape) = steps[i].reshape {
            set_planes(&mut steps[..i], reshape);
        }
    }
    set_activations(&mut steps);
    if let Some(step) = steps.iter().find(|step| step.num_elements() > MAX_ELEMENTS) {
        let elements = step.num_elements();
        let what = format!("gives {elements} elements per image; {MAX_ELEMENTS} is the limit");
        return step.layer.spec().wrong(what);
    }
    let norms: Vec<&mut PlannedLayer> = steps.iter_mut().filter(|step| step.is_norm()).collect();
    let eps = per_layer("eps", "batch-norms", &hints.eps, norms.len())?;
    norms.into_iter().zip(eps).for_each(|(step, eps)| step.eps = eps.unwrap_or(EPS));
    let last = hints.last.unwrap_or(OutputActivation::Tanh);
    Ok(GeneratorPlan { nz, size, channels, steps, slope: hints.slope.unwrap_or(0.0), last })
}

/// Marks the last linear layer of `steps` and the layers after it as giving an image channel by channel.
fn set_planes(steps: &mut [PlannedLayer], image: (usize, usize)) {
    for step in steps.iter_mut().rev() {
        step.planes = Some(image);
        if step.kind == LayerKind::Linear {
            break;
        }
    }
}

/// Sets after which layers an activation comes. An `nn.Sequential` numbers modules without tensors, too: two
/// layers with consecutive numbers have nothing between them. Elsewhere an activation comes before each layer
/// with weights.
fn set_activations(steps: &mut [PlannedLayer]) {
    let gap = |pair: &[PlannedLayer]| {
        let ((one, i), (other, j)) = pair[0].layer.number.zip(pair[1].layer.number)?;
        (one == other).then(|| (one.to_string(), j.saturating_sub(i + 1)))
    };
    let gaps: Vec<_> = steps.windows(2).map(gap).collect();
    // A list without any such module is no nn.Sequential: its activations are in the code.
    let is_sequential = |parent: &str| gaps.iter().flatten().any(|(other, n)| other == parent && *n > 0);
    let mut done = false;
    for (i, gap) in gaps.iter().enumerate() {
        done &= steps[i].is_norm();
        let next = &steps[i + 1];
        let (active, extra) = match gap.as_ref().filter(|(parent, _)| is_sequential(parent)) {
            None => (!next.is_norm() && !done, 0),
            Some((_, n)) => {
                // One of them makes an image of features (nn.Unflatten), and one repeats pixels
                // (nn.Upsample).
                let upsamples = next.shape.is_some_and(|shape| shape.upsample > 1);
                let n = n.saturating_sub(u64::from(next.reshape.is_some()) + u64::from(upsamples));
                let active = n > 0 && !done;
                (active, n - u64::from(active))
            }
        };
        done |= active;
        steps[i].active = active;
        steps[i + 1].extra = extra;
    }
}

impl GeneratorPlan<'_> {
    /// What the generator is. `prefix` is where it is in the file.
    pub fn summary(&self, prefix: String, hints: &LayoutHints) -> ModelSummary {
        let weights = self.steps.iter().filter(|step| !step.is_norm());
        let mut hidden: Vec<usize> = weights.map(|step| step.output).collect();
        hidden.pop();
        let arch = if self.steps.iter().any(PlannedLayer::is_conv) { "dcgan" } else { "mlp" };
        let (assumed, names) = self.assumptions(hints);
        let GeneratorPlan { nz, size, channels, .. } = *self;
        ModelSummary { arch, size, channels, nz, hidden, prefix, assumed, hints: names }
    }

    /// What the file does not contain, one line, and the names of the hints that change it.
    fn assumptions(&self, hints: &LayoutHints) -> (String, Vec<&'static str>) {
        let shapes: Vec<ConvShape> = self.steps.iter().filter_map(|step| step.shape).collect();
        let list = |name: &str, of: fn(&ConvShape) -> usize| {
            let values: Vec<String> = shapes.iter().map(|shape| of(shape).to_string()).collect();
            format!("{name} {}", values.join(","))
        };
        let any = |is: &dyn Fn(&PlannedLayer) -> bool| self.steps.iter().any(is);
        let (convs, color) = (!shapes.is_empty(), self.channels == 3);
        let norms = any(&|step| step.is_norm());
        let pads = shapes.iter().any(|shape| shape.output_padding > 0) && hints.output_padding.is_empty();
        let assumptions = [
            ("slope", hints.slope.is_none() && any(&|step| step.active), "ReLU".to_string()),
            ("last", hints.last.is_none(), "tanh at the end".to_string()),
            ("stride", hints.stride.is_empty() && convs, list("stride", |shape| shape.stride)),
            ("padding", hints.padding.is_empty() && convs, list("padding", |shape| shape.padding)),
            ("output_padding", pads, list("output padding", |shape| shape.output_padding)),
            ("eps", hints.eps.is_empty() && norms, "eps 1e-5".to_string()),
            ("layout", hints.layout.is_none() && color && !convs, "channels first".to_string()),
        ];
        let assumptions = assumptions.into_iter().filter(|(_, is_assumed, _)| *is_assumed);
        let (mut assumed, names): (Vec<_>, _) = assumptions.map(|(name, _, text)| (text, name)).unzip();
        for step in self.steps.iter().filter(|step| step.ambiguous) {
            let not = if step.kind == LayerKind::ConvTranspose { "" } else { "not " };
            assumed.push(format!("{} {not}transposed", step.layer.name));
        }
        let extra: u64 = self.steps.iter().map(|step| step.extra).sum();
        if extra > 0 {
            let modules = crate::error::counted(extra, "module");
            assumed.push(format!("{modules} without tensors as doing nothing (Dropout)"));
        }
        (assumed.join(", "), names)
    }
}
