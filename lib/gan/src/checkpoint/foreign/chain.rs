//! Layers → a generator: each takes what the one before gives, from the latents to an image.

use super::geometry::{Geometry, geometries};
use super::layers::{Layer, What, shape};
use super::{Last, Layout, LayoutHints, Outline};

/// The most numbers that a layer gives of an image: those of 256 channels at 256×256.
const MOST_NUMBERS: usize = 1 << 24;
/// The largest side of an image.
pub(super) const MOST_SIDE: usize = 256;
/// PyTorch's default of what batch-norm adds to the variance.
const EPS: f64 = 1e-5;

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Linear,
    Conv,
    Transposed,
    Norm,
}

/// A layer in its place.
#[derive(Clone, Debug)]
pub(super) struct Step<'a> {
    pub layer: Layer<'a>,
    pub kind: Kind,
    /// Numbers or channels that it takes and gives.
    pub input: usize,
    pub output: usize,
    /// What it takes becomes an image first, of this side and so many channels.
    pub reshape: Option<(usize, usize)>,
    /// What it gives is such an image, channel by channel: a row of numbers of side² for each.
    pub planes: Option<(usize, usize)>,
    /// How many times pixels are repeated before it.
    pub upsample: usize,
    /// Of convolutions.
    pub geometry: Option<Geometry>,
    /// Of batch-norms.
    pub eps: f64,
    /// Whether a hidden activation follows.
    pub active: bool,
    /// Modules without tensors, beside the activation, between the layer before and this one.
    pub extra: u64,
    /// Whether it takes as many channels as it gives, so that nothing shows whether it is transposed.
    pub either: bool,
}

/// A whole generator.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub nz: usize,
    pub size: usize,
    pub channels: usize,
    pub steps: Vec<Step<'a>>,
    pub last: Last,
}

/// What flows between two layers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flow {
    Start,
    Numbers(usize),
    Channels(usize),
}

/// The side of a square of `n` pixels.
fn side(n: usize) -> Option<usize> {
    Some(n.isqrt()).filter(|side| side * side == n && n > 0)
}

/// The side and the channels of the image that `n` numbers are.
fn image(n: usize) -> Option<(usize, usize)> {
    side(n).map(|s| (s, 1)).or_else(|| side(n / 3).filter(|_| n.is_multiple_of(3)).map(|s| (s, 3)))
}

/// What of a network does not fit, and how many of its layers did.
pub(super) struct Wrong {
    pub fitted: usize,
    pub what: String,
}

/// What a network is that is no generator.
pub(super) fn is_discriminator(layers: &[Layer]) -> bool {
    let first = layers.first().map(|layer| &layer.what);
    match first {
        Some(What::Kernel { dims: [_, 1..=4 | 6], .. }) => {
            walk(layers, None).is_err() && walk(layers, Some(Kind::Conv)).is_ok()
        }
        Some(What::Linear { .. }) => walk(layers, None).is_ok_and(|steps| {
            let last = steps.iter().rfind(|step| step.kind != Kind::Norm);
            last.is_some_and(|step| step.kind == Kind::Linear && step.output == 1)
        }),
        _ => false,
    }
}

/// Gives each layer its kind. `first` is that of a convolution which comes first; only a transposed one takes
/// latents.
fn walk<'a>(layers: &[Layer<'a>], first: Option<Kind>) -> Result<Vec<Step<'a>>, Wrong> {
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut flow = Flow::Start;
    for (i, layer) in layers.iter().enumerate() {
        let item = layer.item();
        let wrong = |what: String| Wrong { fitted: i, what: format!("{}: {what}", item.name) };
        let before = steps.last().map_or(String::new(), |step| match flow {
            Flow::Numbers(n) => format!("{} gives {n} numbers", step.layer.name),
            Flow::Channels(n) => format!("{} gives {n} channels", step.layer.name),
            Flow::Start => String::new(),
        });
        let (mut reshape, mut either) = (None, false);
        let (kind, input, output) = match (&layer.what, flow) {
            (&What::Linear { output, input, .. }, Flow::Start) => (Kind::Linear, input, output),
            (&What::Linear { output, input, .. }, Flow::Numbers(n)) if n == input => {
                (Kind::Linear, input, output)
            }
            (&What::Linear { output, input, .. }, Flow::Channels(n))
                if first == Some(Kind::Conv) && input.is_multiple_of(n) =>
            {
                (Kind::Linear, input, output)
            }
            (What::Linear { .. }, Flow::Channels(_)) => {
                return Err(wrong("a linear layer after convolutions, as discriminators have it".into()));
            }
            (What::Linear { input, .. }, _) => {
                return Err(wrong(format!("takes {input} numbers, but {before}")));
            }
            (What::Norm { .. }, Flow::Start) => {
                return Err(wrong(
                    "a batch-norm comes first: what latents go through before is not there".into(),
                ));
            }
            (What::Norm { .. }, _) if steps.last().is_some_and(|step| step.kind == Kind::Norm) => {
                return Err(wrong(
                    "a batch-norm follows another: the names are not in the order of the layers".into(),
                ));
            }
            (&What::Norm { channels, .. }, Flow::Numbers(n) | Flow::Channels(n)) if n == channels => {
                (Kind::Norm, n, n)
            }
            (&What::Norm { channels, .. }, Flow::Numbers(n)) => {
                let side = side(n / channels).filter(|_| n.is_multiple_of(channels));
                reshape = side.map(|side| (side, channels));
                (Kind::Norm, channels, channels)
            }
            (&What::Norm { channels, .. }, _) => {
                return Err(wrong(format!("a batch-norm of {channels}, but {before}")));
            }
            (&What::Kernel { dims: [a, b], side: k, .. }, flow) => {
                let transposed = (Kind::Transposed, a, b);
                let conv = (Kind::Conv, b, a);
                let fits = |&(_, input, _): &(Kind, usize, usize)| match flow {
                    Flow::Start => true,
                    Flow::Channels(n) => input == n,
                    Flow::Numbers(n) => n.is_multiple_of(input) && side(n / input).is_some(),
                };
                // A bias and a batch-norm tell what it gives.
                let gives =
                    layer.bias.map(|bias| bias.shape.clone()).or_else(|| match layers.get(i + 1)?.what {
                        What::Norm { channels, .. } => Some(vec![channels]),
                        _ => None,
                    });
                let gives = |&(_, _, output): &(Kind, usize, usize)| {
                    gives.as_ref().is_none_or(|shape| *shape == [output])
                };
                let choice = match flow {
                    Flow::Start => vec![if first == Some(Kind::Conv) { conv } else { transposed }],
                    _ => vec![transposed, conv],
                };
                let choice: Vec<_> = choice.into_iter().filter(|one| fits(one) && gives(one)).collect();
                either = a == b && choice.len() == 2;
                let chosen = match choice.as_slice() {
                    [] if flow == Flow::Start => {
                        let what = "its bias or batch-norm is not of what it gives as a transposed convolution, \
                                    which alone takes latents";
                        return Err(wrong(what.into()));
                    }
                    [] => {
                        let what = format!("a kernel of {}, but {before}", shape(&item.shape));
                        return Err(wrong(what));
                    }
                    [_, conv] if either && !is_transposed(layers, layer, k) => *conv,
                    [one, ..] => *one,
                };
                if let Flow::Numbers(n) = flow {
                    reshape = side(n / chosen.1).map(|side| (side, chosen.1));
                }
                chosen
            }
        };
        if kind == Kind::Norm && matches!(flow, Flow::Numbers(n) if n != output) && reshape.is_none() {
            return Err(wrong(format!("a batch-norm of {output}, but {before}")));
        }
        flow = match (kind, flow, reshape) {
            (Kind::Linear, ..) => Flow::Numbers(output),
            (Kind::Norm, Flow::Numbers(n), None) => Flow::Numbers(n),
            _ => Flow::Channels(output),
        };
        let layer = layer.clone();
        steps.push(Step {
            layer,
            kind,
            input,
            output,
            reshape,
            either,
            planes: None,
            upsample: 1,
            geometry: None,
            eps: EPS,
            active: false,
            extra: 0,
        });
    }
    Ok(steps)
}

/// Whether a convolution of as many channels as it takes is taken for a transposed one: an even kernel, whose
/// plain convolution would change the side by one; a name that says so; and where all kernels are odd, since
/// some have to enlarge.
fn is_transposed(layers: &[Layer], layer: &Layer, k: usize) -> bool {
    let name = layer.name.to_ascii_lowercase();
    let says = ["deconv", "trans", "convt", "up"].iter().any(|word| name.contains(word));
    let others = layers.iter().any(
        |other| matches!(other.what, What::Kernel { dims: [a, b], side, .. } if a != b && side == k && a > b),
    );
    let even = layers.iter().any(|other| matches!(other.what, What::Kernel { side, .. } if side % 2 == 0));
    k.is_multiple_of(2) || says || (k > 1 && !even && others && all_fit_transposed(layers))
}

/// Whether all kernels of other channels than they take fit as transposed ones.
fn all_fit_transposed(layers: &[Layer]) -> bool {
    let mut channels = None;
    layers.iter().all(|layer| match layer.what {
        What::Kernel { dims: [a, b], .. } => {
            let fits = channels.is_none_or(|n| n == a);
            channels = Some(b);
            fits
        }
        _ => true,
    })
}

/// The generator that layers are.
pub(super) fn plan<'a>(layers: &[Layer<'a>], hints: &LayoutHints) -> Result<Plan<'a>, Wrong> {
    let mut steps = walk(layers, None)?;
    let fitted = layers.len();
    let wrong = |what: String| Wrong { fitted, what };
    let Some(first) = steps.first() else { return Err(wrong("it holds no weights".into())) };
    let nz = first.input;
    let end = steps.iter().rfind(|step| step.kind != Kind::Norm).expect("a batch-norm is never the first");
    let (name, gives) = (end.layer.item().name.clone(), end.output);
    let convolutions = steps.iter().any(|step| step.is_convolution());
    let list = |flag: &str| wrong(format!("{flag}: there are no convolutions in it"));
    let count = steps.iter().filter(|step| step.is_convolution()).count();
    let upsample = one_for_each("--upsample", "convolutions", &hints.upsample, count).map_err(wrong)?;
    let all = steps.iter_mut().filter(|step| step.is_convolution());
    all.zip(upsample).for_each(|(step, upsample)| step.upsample = upsample.unwrap_or(1));
    activations(&mut steps);
    let (size, channels) = match convolutions {
        true => {
            let size = geometries(&mut steps, hints).map_err(wrong)?;
            let channels = steps.last().expect("not empty").output;
            if ![1, 3].contains(&channels) {
                return Err(wrong(format!("{name}: gives {channels} channels; images have 1 or 3")));
            }
            if hints.layout.is_some() {
                return Err(wrong(
                    "--layout: it is of convolutions, which PyTorch has channels first".into(),
                ));
            }
            (size, channels)
        }
        false => {
            for (flag, hints) in [
                ("--stride", hints.stride.is_empty()),
                ("--padding", hints.padding.is_empty()),
                ("--output-padding", hints.output_padding.is_empty()),
                ("--upsample", hints.upsample.is_empty()),
            ] {
                if !hints {
                    return Err(list(flag));
                }
            }
            let n = gives;
            let Some((size, channels)) = image(n) else {
                return Err(wrong(format!(
                    "{name}: gives {n} numbers, not size² or 3·size² of a square image"
                )));
            };
            if n == 1 {
                return Err(wrong(format!("{name}: gives one number, as discriminators do")));
            }
            if channels == 3 && hints.layout != Some(Layout::ChannelsLast) {
                planes(&mut steps, (size, channels));
            }
            if channels == 1 && hints.layout.is_some() {
                return Err(wrong("--layout: its images are gray".into()));
            }
            (size, channels)
        }
    };
    if size > MOST_SIDE {
        return Err(wrong(format!(
            "{name}: makes images of {size}×{size}; up to {MOST_SIDE}×{MOST_SIDE} are made"
        )));
    }
    let reshapes: Vec<_> = steps.iter().enumerate().filter_map(|(i, s)| Some((i, s.reshape?))).collect();
    for (i, reshape) in reshapes {
        planes(&mut steps[..i], reshape);
    }
    if let Some(step) = steps.iter().find(|step| step.numbers() > MOST_NUMBERS) {
        let (name, numbers) = (&step.layer.item().name, step.numbers());
        return Err(wrong(format!("{name}: gives {numbers} numbers an image; {MOST_NUMBERS} are the most")));
    }
    let norms = steps.iter().filter(|step| step.kind == Kind::Norm).count();
    let eps = one_for_each("--eps", "batch-norms", &hints.eps, norms).map_err(wrong)?;
    let all = steps.iter_mut().filter(|step| step.kind == Kind::Norm);
    all.zip(eps).for_each(|(step, eps)| step.eps = eps.unwrap_or(EPS));
    Ok(Plan { nz, size, channels, steps, last: hints.last.unwrap_or(Last::Tanh) })
}

/// A list of a flag: one number for all of `count`, or one for each; nothing, where the flag is not given.
pub(super) fn one_for_each<T: Copy>(
    flag: &str,
    what: &str,
    given: &[T],
    count: usize,
) -> Result<Vec<Option<T>>, String> {
    match given {
        [] => Ok(vec![None; count]),
        [one] if count > 0 => Ok(vec![Some(*one); count]),
        all if all.len() == count => Ok(all.iter().copied().map(Some).collect()),
        all => Err(format!(
            "{flag}: {} numbers for {count} {what}: give one for all, or one for each",
            all.len()
        )),
    }
}

/// Marks the last linear layer of `steps` and what follows it as giving an image channel by channel.
fn planes(steps: &mut [Step], shape: (usize, usize)) {
    for step in steps.iter_mut().rev() {
        step.planes = Some(shape);
        if step.kind == Kind::Linear {
            break;
        }
    }
}

/// Sets after which layers an activation comes. In an `nn.Sequential` modules without tensors have numbers,
/// too: where none is left out between two layers, nothing is between them. Elsewhere there is one before
/// each layer of weights.
fn activations(steps: &mut [Step]) {
    let gap = |a: &Step, b: &Step| match (a.layer.number, b.layer.number) {
        (Some((one, i)), Some((other, j))) if one == other => {
            Some((one.to_string(), j.saturating_sub(i + 1)))
        }
        _ => None,
    };
    let gaps: Vec<_> = steps.windows(2).map(|pair| gap(&pair[0], &pair[1])).collect();
    // A list of layers without any such module is no nn.Sequential: its activations are in the code.
    let counted = |parent: &str| gaps.iter().flatten().any(|(other, n)| other == parent && *n > 0);
    let mut done = false;
    for (i, gap) in gaps.iter().enumerate() {
        if steps[i].kind != Kind::Norm {
            done = false;
        }
        let next = &steps[i + 1];
        let (active, extra) = match gap.as_ref().filter(|(parent, _)| counted(parent)) {
            None => (next.kind != Kind::Norm && !done, 0),
            Some((_, n)) => {
                // One of them makes an image of numbers (nn.Unflatten), and one repeats pixels.
                let others = u64::from(next.reshape.is_some()) + u64::from(next.upsample > 1);
                let n = n.saturating_sub(others);
                let active = n > 0 && !done;
                (active, n - u64::from(active))
            }
        };
        done |= active;
        steps[i].active = active;
        steps[i + 1].extra = extra;
    }
}

impl Step<'_> {
    /// Whether it is a convolution of either kind.
    pub fn is_convolution(&self) -> bool {
        matches!(self.kind, Kind::Conv | Kind::Transposed)
    }

    /// Numbers that it gives of an image.
    pub fn numbers(&self) -> usize {
        self.geometry.map_or(self.output, |g| g.after * g.after * self.output)
    }
}

impl Plan<'_> {
    /// What the generator is; `part` is where.
    pub fn outline(&self, part: String, hints: &LayoutHints) -> Outline {
        let weights: Vec<&Step> = self.steps.iter().filter(|step| step.kind != Kind::Norm).collect();
        let hidden = weights[..weights.len() - 1].iter().map(|step| step.output).collect();
        let arch = if weights.iter().any(|step| step.is_convolution()) { "dcgan" } else { "mlp" };
        let Plan { nz, size, channels, .. } = *self;
        Outline { arch, size, channels, nz, hidden, part, taken: self.taken(hints) }
    }

    /// One line of what the file does not tell.
    fn taken(&self, hints: &LayoutHints) -> String {
        let (mut what, mut flags) = (Vec::new(), Vec::new());
        let mut take = |is: bool, text: String, flag: &'static str| {
            if is {
                what.push(text);
                flags.push(flag);
            }
        };
        let convolutions: Vec<&Geometry> = self.steps.iter().filter_map(|s| s.geometry.as_ref()).collect();
        let list = |of: &dyn Fn(&Geometry) -> usize| {
            convolutions.iter().map(|g| of(g).to_string()).collect::<Vec<_>>().join(",")
        };
        let any = !convolutions.is_empty();
        let activations = self.steps.iter().any(|step| step.active);
        take(activations && hints.slope.is_none(), "ReLU".into(), "--slope");
        take(hints.last.is_none(), "tanh at the end".into(), "--last");
        take(any && hints.stride.is_empty(), format!("stride {}", list(&|g| g.stride)), "--stride");
        take(any && hints.padding.is_empty(), format!("padding {}", list(&|g| g.padding)), "--padding");
        let adds = convolutions.iter().any(|g| g.output_padding > 0);
        let text = format!("output padding {}", list(&|g| g.output_padding));
        take(adds && hints.output_padding.is_empty(), text, "--output-padding");
        let norms = self.steps.iter().any(|step| step.kind == Kind::Norm);
        take(norms && hints.eps.is_empty(), "eps 1e-5".into(), "--eps");
        let color = !any && self.channels == 3;
        take(color && hints.layout.is_none(), "channels first".into(), "--layout");
        for step in self.steps.iter().filter(|step| step.either) {
            let is = if step.kind == Kind::Transposed { "transposed" } else { "not transposed" };
            what.push(format!("{} {is}", step.layer.name));
        }
        let extra: u64 = self.steps.iter().map(|step| step.extra).sum();
        if extra > 0 {
            let s = if extra == 1 { "" } else { "s" };
            what.push(format!("{extra} module{s} without tensors as doing nothing (Dropout)"));
        }
        match (what.is_empty(), flags.is_empty()) {
            (true, _) => String::new(),
            (_, true) => format!("taken for {}", what.join(", ")),
            _ => {
                let change = if flags.len() == 1 { "changes" } else { "change" };
                format!("taken for {} ({} {change} it)", what.join(", "), flags.join(", "))
            }
        }
    }
}
