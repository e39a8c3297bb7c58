//! Layers in their order → the kind of each: a layer takes what the one before gives.

use super::layers::{StoredLayer, StoredOp, shape};
use crate::Error;

/// PyTorch's default of what batch-norm adds to the variance.
pub(super) const EPS: f64 = 1e-5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerKind {
    Linear,
    Conv,
    ConvTranspose,
    BatchNorm,
}

/// The shape of a convolution of square images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConvShape {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub output_padding: usize,
    /// How many times each pixel is repeated first, in both directions (`nn.Upsample`).
    pub upsample: usize,
    /// The size of its input and of its output, in pixels.
    pub before: usize,
    pub after: usize,
}

/// A layer in its place.
#[derive(Clone, Debug)]
pub(super) struct PlannedLayer<'a> {
    pub layer: StoredLayer<'a>,
    pub kind: LayerKind,
    /// The features or channels that it takes and gives.
    pub input: usize,
    pub output: usize,
    /// Its input becomes an image first, of this size and number of channels.
    pub reshape: Option<(usize, usize)>,
    /// Its output is such an image, channel by channel: a row of size² features for each.
    pub planes: Option<(usize, usize)>,
    /// Of convolutions.
    pub shape: Option<ConvShape>,
    /// Of batch-norms.
    pub eps: f64,
    /// Whether a hidden activation follows.
    pub active: bool,
    /// Modules without tensors between the layer before and this one, the activation not counted.
    pub extra: u64,
    /// Whether it takes as many channels as it gives, so that its shape does not show whether it is
    /// transposed.
    pub ambiguous: bool,
}

impl PlannedLayer<'_> {
    /// Whether it is a convolution of either kind.
    pub fn is_conv(&self) -> bool {
        matches!(self.kind, LayerKind::Conv | LayerKind::ConvTranspose)
    }

    pub fn is_norm(&self) -> bool {
        self.kind == LayerKind::BatchNorm
    }

    /// The number of elements that it gives of one image.
    pub fn num_elements(&self) -> usize {
        self.shape.map_or(self.output, |shape| shape.after * shape.after * self.output)
    }
}

/// Why a network is no generator, and how many of its layers fit.
pub(super) struct Mismatch {
    pub fitted: usize,
    pub error: Error,
}

/// What a layer gives to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flow {
    Start,
    Features(usize),
    Channels(usize),
}

/// The width of a square of `n` pixels.
pub(super) fn square(n: usize) -> Option<usize> {
    Some(n.isqrt()).filter(|size| size * size == n && n > 0)
}

/// Whether layers are a discriminator, or another network that takes images.
pub(super) fn is_discriminator(layers: &[StoredLayer]) -> bool {
    match layers.first().map(|layer| &layer.op) {
        Some(StoredOp::Conv { dims: [_, 1..=4 | 6], .. }) => {
            chain(layers, None).is_err() && chain(layers, Some(LayerKind::Conv)).is_ok()
        }
        Some(StoredOp::Linear { .. }) => chain(layers, None).is_ok_and(|steps| {
            let last = steps.iter().rfind(|step| !step.is_norm());
            last.is_some_and(|step| step.kind == LayerKind::Linear && step.output == 1)
        }),
        _ => false,
    }
}

/// Gives each layer its kind. A convolution that comes first has the kind `first`, by default transposed: no
/// other takes latents.
pub(super) fn chain<'a>(
    layers: &[StoredLayer<'a>],
    first: Option<LayerKind>,
) -> Result<Vec<PlannedLayer<'a>>, Mismatch> {
    let mut steps: Vec<PlannedLayer<'a>> = Vec::new();
    let mut flow = Flow::Start;
    for (i, layer) in layers.iter().enumerate() {
        let spec = layer.spec();
        let wrong = |what: &str| spec.wrong(what).map_err(|error| Mismatch { fitted: i, error });
        let before = steps.last().map_or("", |step| step.layer.name);
        let before = match flow {
            Flow::Start => String::new(),
            Flow::Features(n) => format!("but {before} gives {n} features"),
            Flow::Channels(n) => format!("but {before} gives {n} channels"),
        };
        let (mut reshape, mut ambiguous) = (None, false);
        let (kind, input, output) = match (&layer.op, flow) {
            (&StoredOp::Linear { input, .. }, Flow::Channels(n))
                if first != Some(LayerKind::Conv) || !input.is_multiple_of(n) =>
            {
                return wrong("a linear layer after convolutions, as discriminators have it");
            }
            (&StoredOp::Linear { input, .. }, Flow::Features(n)) if n != input => {
                return wrong(&format!("takes {input} features, {before}"));
            }
            (&StoredOp::Linear { output, input, .. }, _) => (LayerKind::Linear, input, output),
            (StoredOp::BatchNorm { .. }, Flow::Start) => {
                let what = "a batch-norm comes first: the layers before it, which take latents, are missing";
                return wrong(what);
            }
            (StoredOp::BatchNorm { .. }, _) if steps.last().is_some_and(PlannedLayer::is_norm) => {
                let what = "a batch-norm follows another: the names are not in the order of the layers";
                return wrong(what);
            }
            (&StoredOp::BatchNorm { channels, .. }, Flow::Features(n) | Flow::Channels(n)) => {
                if n != channels {
                    let size = square(n / channels).filter(|_| n.is_multiple_of(channels));
                    reshape = size.filter(|_| matches!(flow, Flow::Features(_))).map(|size| (size, channels));
                    if reshape.is_none() {
                        return wrong(&format!("a batch-norm of {channels}, {before}"));
                    }
                }
                (LayerKind::BatchNorm, channels, channels)
            }
            (&StoredOp::Conv { dims: [a, b], kernel, .. }, _) => {
                let fits = |input: usize| match flow {
                    Flow::Start => true,
                    Flow::Channels(n) => input == n,
                    Flow::Features(n) => n.is_multiple_of(input) && square(n / input).is_some(),
                };
                // A bias or a batch-norm shows what it gives.
                let gives = |output| match (layer.bias, layers.get(i + 1).map(|next| &next.op)) {
                    (Some(bias), _) => bias.shape == [output],
                    (None, Some(StoredOp::BatchNorm { channels, .. })) => *channels == output,
                    _ => true,
                };
                let (transposed, conv) = ((LayerKind::ConvTranspose, a, b), (LayerKind::Conv, b, a));
                let possible = match (flow, first) {
                    (Flow::Start, Some(LayerKind::Conv)) => vec![conv],
                    (Flow::Start, _) => vec![transposed],
                    _ => vec![transposed, conv],
                };
                let fitting = possible.into_iter().filter(|&(_, input, output)| fits(input) && gives(output));
                let fitting: Vec<_> = fitting.collect();
                ambiguous = a == b && fitting.len() == 2;
                let chosen = match fitting[..] {
                    [] if flow == Flow::Start => {
                        let what = "its bias or batch-norm does not fit a transposed convolution, and no \
                                    other takes latents";
                        return wrong(what);
                    }
                    [] => return wrong(&format!("a kernel of {}, {before}", shape(&spec.shape))),
                    [_, conv] if ambiguous && !is_transposed(layers, layer, kernel) => conv,
                    [one, ..] => one,
                };
                if let Flow::Features(n) = flow {
                    reshape = square(n / chosen.1).map(|size| (size, chosen.1));
                }
                chosen
            }
        };
        flow = match (kind, flow, reshape) {
            (LayerKind::Linear, ..) => Flow::Features(output),
            (LayerKind::BatchNorm, Flow::Features(n), None) => Flow::Features(n),
            _ => Flow::Channels(output),
        };
        steps.push(PlannedLayer {
            layer: layer.clone(),
            kind,
            input,
            output,
            reshape,
            planes: None,
            shape: None,
            eps: EPS,
            active: false,
            extra: 0,
            ambiguous,
        });
    }
    Ok(steps)
}

/// Whether a convolution that gives as many channels as it takes is assumed to be transposed: its kernel is
/// even, so that a plain one would change the size by one; its name says so; or all kernels are odd, and some
/// have to enlarge.
fn is_transposed(layers: &[StoredLayer], layer: &StoredLayer, kernel: usize) -> bool {
    let name = layer.name.to_ascii_lowercase();
    let is_named = ["deconv", "trans", "convt", "up"].iter().any(|word| name.contains(word));
    let convs = || {
        layers.iter().filter_map(|layer| match layer.op {
            StoredOp::Conv { dims: [a, b], kernel, .. } => Some((a, b, kernel)),
            _ => None,
        })
    };
    let narrows = convs().any(|(a, b, other)| other == kernel && a > b);
    let all_odd = convs().all(|(.., other)| other % 2 == 1);
    // Each takes what the one before gives, as transposed ones.
    let all_fit = convs().zip(convs().skip(1)).all(|((_, given, _), (taken, ..))| given == taken);
    kernel.is_multiple_of(2) || is_named || kernel > 1 && all_odd && narrows && all_fit
}
