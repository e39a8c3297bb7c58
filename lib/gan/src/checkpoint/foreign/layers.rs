//! A module's tensors → which layer it is.

use super::TensorSpec;
use super::modules::Module;

/// How a layer's weight is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    /// As it is.
    Plain(&'a TensorSpec),
    /// Spectral norm: what is divided by uᵀ·W·v (Miyato et al. 2018), u and v.
    Spectral(&'a TensorSpec, &'a TensorSpec, &'a TensorSpec),
    /// Weight norm: lengths and directions (Salimans, Kingma 2016).
    Normed(&'a TensorSpec, &'a TensorSpec),
}

impl<'a> Stored<'a> {
    /// The tensor that has the weight's shape.
    pub fn item(&self) -> &'a TensorSpec {
        match *self {
            Stored::Plain(item) | Stored::Spectral(item, ..) | Stored::Normed(_, item) => item,
        }
    }
}

/// A layer that has tensors.
#[derive(Clone, Debug)]
pub(super) struct Layer<'a> {
    /// Its module's name.
    pub name: &'a str,
    /// The module's parent and number in it, where it is one of an `nn.Sequential`.
    pub number: Option<(&'a str, u64)>,
    pub what: What<'a>,
    pub bias: Option<&'a TensorSpec>,
}

#[derive(Clone, Debug)]
pub(super) enum What<'a> {
    /// `nn.Linear`, `[output, input]`.
    Linear { weight: Stored<'a>, output: usize, input: usize },
    /// A convolution `[output, input, k, k]`, or a transposed one `[input, output, k, k]`.
    Kernel { weight: Stored<'a>, dims: [usize; 2], side: usize },
    /// Batch-norm.
    Norm { channels: usize, scale: Option<&'a TensorSpec>, mean: &'a TensorSpec, var: &'a TensorSpec },
}

/// Weights' tensors, plain, of spectral norm and of weight norm, each as a hook and as a parametrization.
const FORMS: [&[&str]; 5] = [
    &["weight"],
    &["weight_orig", "weight_u", "weight_v"],
    &["parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"],
    &["weight_g", "weight_v"],
    &["parametrizations.weight.original0", "parametrizations.weight.original1"],
];

fn wrong<T>(item: &TensorSpec, what: &str) -> Result<T, String> {
    Err(format!("{}: {what}", item.name))
}

/// What is wrong with tensors that no layer here has.
const UNKNOWN: &str = "is no tensor of a linear layer, a convolution or a batch-norm, which alone are read";

/// The layer that a module is; the error names the tensor that is none of a known layer's.
pub(super) fn layer<'a>(module: &Module<'a>) -> Result<Layer<'a>, String> {
    let (name, number) = (module.name, module.number());
    for &(_, item) in &module.parts {
        if !item.float {
            return wrong(item, "holds integers, not weights (is it quantized?)");
        }
        if item.shape.contains(&0) {
            return wrong(item, "is empty");
        }
    }
    let bias = module.part("bias");
    let bias_of = |channels: usize| match bias {
        Some(item) if item.shape != [channels] => {
            wrong(item, &format!("is {}, its layer gives {channels}", shape(&item.shape)))
        }
        other => Ok(other),
    };
    let known = |parts: &[&str]| {
        let other = module.parts.iter().find(|(part, _)| *part != "bias" && !parts.contains(part));
        other.map_or(Ok(()), |(_, item)| wrong(item, UNKNOWN))
    };
    if let (Some(mean), Some(var)) = (module.part("running_mean"), module.part("running_var")) {
        known(&["weight", "running_mean", "running_var"])?;
        let &[channels] = mean.shape.as_slice() else { return wrong(mean, "has more than one dimension") };
        let scale = module.part("weight");
        if let Some(item) = [Some(var), scale].into_iter().flatten().find(|item| item.shape != [channels]) {
            return wrong(item, &format!("is {}, expected {channels}", shape(&item.shape)));
        }
        let bias = bias_of(channels)?;
        return Ok(Layer { name, number, what: What::Norm { channels, scale, mean, var }, bias });
    }
    let form = FORMS.iter().find(|form| form.iter().all(|part| module.part(part).is_some()));
    let Some(form) = form else {
        let (_, item) = module.parts.iter().find(|(part, _)| *part != "bias").unwrap_or(&module.parts[0]);
        return wrong(item, UNKNOWN);
    };
    known(form)?;
    let part = |i: usize| module.part(form[i]).expect("found above");
    let weight = match form.len() {
        1 => Stored::Plain(part(0)),
        3 => Stored::Spectral(part(0), part(1), part(2)),
        _ => Stored::Normed(part(0), part(1)),
    };
    let item = weight.item();
    let what = match *item.shape.as_slice() {
        [output, input] => What::Linear { weight, output, input },
        [a, b, side, other] if side == other => What::Kernel { weight, dims: [a, b], side },
        [_, _, h, w] => return wrong(item, &format!("has a kernel of {h}×{w}; square ones are read")),
        [_] if bias.is_some() => {
            return wrong(
                item,
                "is of a norm without running statistics (InstanceNorm, GroupNorm, LayerNorm); batch-norm is read",
            );
        }
        [_] => return wrong(item, "is of a PReLU, which is not read"),
        [_, _, _] => return wrong(item, "is of a convolution in one dimension: no images"),
        _ => return wrong(item, &format!("is {}: no layer that makes images", shape(&item.shape))),
    };
    let bias = match what {
        What::Linear { output, .. } => bias_of(output)?,
        // Which of the two it gives is seen in the chain.
        _ => bias,
    };
    Ok(Layer { name, number, what, bias })
}

/// 3×4.
pub(super) fn shape(dims: &[usize]) -> String {
    match dims {
        [] => "one number".into(),
        _ => dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
    }
}

impl<'a> Layer<'a> {
    /// The tensor to name where the layer does not fit.
    pub fn item(&self) -> &'a TensorSpec {
        match &self.what {
            What::Linear { weight, .. } | What::Kernel { weight, .. } => weight.item(),
            What::Norm { mean, .. } => mean,
        }
    }
}

/// Layers in another order than that of their names, where that is not the one in which they follow one
/// another: linear layers first, then convolutions, each with the batch-norm that is called like it (`fc_bn`
/// like `fc`) or has its number (`bn1`, `conv1`). `None` where not each has a place.
pub(super) fn reordered<'a>(layers: &[Layer<'a>]) -> Option<Vec<Layer<'a>>> {
    let is_norm = |layer: &&Layer| matches!(layer.what, What::Norm { .. });
    let is_linear = |layer: &&Layer| matches!(layer.what, What::Linear { .. });
    let (norms, weights): (Vec<&Layer>, Vec<&Layer>) = layers.iter().partition(is_norm);
    let (linears, mut kernels): (Vec<&Layer>, Vec<&Layer>) = weights.into_iter().partition(is_linear);
    // What has no number among numbered ones is the last (`out`).
    kernels.sort_by_key(|layer| ending(layer.name).1.is_none());
    let mut all: Vec<(&Layer, Option<&Layer>)> =
        linears.into_iter().chain(kernels).map(|l| (l, None)).collect();
    for norm in norms {
        let called = |layer: &Layer| norm.name.starts_with(layer.name);
        let numbered = |layer: &Layer| match (ending(layer.name), ending(norm.name)) {
            ((one, Some(i)), (other, Some(j))) => one == other && i == j,
            _ => false,
        };
        let place = all.iter().position(|(layer, _)| called(layer));
        let place = place.or_else(|| all.iter().position(|(layer, _)| numbered(layer)))?;
        if all[place].1.replace(norm).is_some() {
            return None;
        }
    }
    Some(all.into_iter().flat_map(|(layer, norm)| [Some(layer), norm]).flatten().cloned().collect())
}

/// A name's parent, and the digits that the name ends with.
fn ending(name: &str) -> (&str, Option<&str>) {
    let (parent, last) = name.rsplit_once('.').unwrap_or(("", name));
    let digits = last.trim_start_matches(|c: char| !c.is_ascii_digit());
    (parent, Some(digits).filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())))
}
