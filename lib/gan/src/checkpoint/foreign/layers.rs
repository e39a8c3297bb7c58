//! The tensors of a module → the layer that they are.

use super::TensorSpec;
use super::modules::Module;
use crate::Result;

/// How the weight of a layer is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoredWeight<'a> {
    /// As it is.
    Plain(&'a TensorSpec),
    /// Spectral norm (Miyato et al. 2018): the weight is W / (uᵀ·W·v). W, u and v.
    Spectral(&'a TensorSpec, &'a TensorSpec, &'a TensorSpec),
    /// Weight norm (Salimans, Kingma 2016): lengths and directions.
    Normed(&'a TensorSpec, &'a TensorSpec),
}

impl<'a> StoredWeight<'a> {
    /// The tensor that has the shape of the weight.
    pub fn spec(self) -> &'a TensorSpec {
        let (StoredWeight::Plain(spec) | StoredWeight::Spectral(spec, ..) | StoredWeight::Normed(_, spec)) =
            self;
        spec
    }
}

/// A layer that has tensors.
#[derive(Clone, Debug)]
pub(super) struct StoredLayer<'a> {
    /// The name of its module.
    pub name: &'a str,
    /// The parent of the module and its number, if it is in an `nn.Sequential`.
    pub number: Option<(&'a str, u64)>,
    pub op: StoredOp<'a>,
    pub bias: Option<&'a TensorSpec>,
}

#[derive(Clone, Debug)]
pub(super) enum StoredOp<'a> {
    /// `nn.Linear`, `[output, input]`.
    Linear { weight: StoredWeight<'a>, output: usize, input: usize },
    /// A convolution `[output, input, k, k]`, or a transposed one `[input, output, k, k]`.
    Conv { weight: StoredWeight<'a>, dims: [usize; 2], kernel: usize },
    /// Its scale, mean and variance.
    BatchNorm { channels: usize, scale: Option<&'a TensorSpec>, stats: [&'a TensorSpec; 2] },
}

/// The tensors of a weight: plain; of spectral norm and of weight norm, each as a hook and as a
/// parametrization.
const WEIGHTS: [&[&str]; 5] = [
    &["weight"],
    &["weight_orig", "weight_u", "weight_v"],
    &["parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"],
    &["weight_g", "weight_v"],
    &["parametrizations.weight.original0", "parametrizations.weight.original1"],
];

const UNKNOWN: &str =
    "is no tensor of a linear layer, a convolution or a batch-norm; no others are supported";

/// The layer that a module is. The error names the tensor that belongs to no known layer.
pub(super) fn layer<'a>(module: &Module<'a>) -> Result<StoredLayer<'a>> {
    for &(_, spec) in &module.parts {
        if !spec.float {
            return spec.wrong("holds integers, not weights (is it quantized?)");
        }
        if spec.shape.contains(&0) {
            return spec.wrong("is empty");
        }
    }
    let bias = module.part("bias");
    let check_bias = |channels: usize| match bias {
        Some(bias) if bias.shape != [channels] => {
            bias.wrong(format!("is {}, its layer gives {channels}", shape(&bias.shape)))
        }
        _ => Ok(()),
    };
    let check_parts = |parts: &[&str]| {
        let other = module.parts.iter().find(|(part, _)| *part != "bias" && !parts.contains(part));
        other.map_or(Ok(()), |(_, spec)| spec.wrong(UNKNOWN))
    };
    let found = |op| Ok(StoredLayer { name: module.name, number: module.number(), op, bias });
    if let (Some(mean), Some(var)) = (module.part("running_mean"), module.part("running_var")) {
        check_parts(&["weight", "running_mean", "running_var"])?;
        let &[channels] = mean.shape.as_slice() else { return mean.wrong("has more than one dimension") };
        let scale = module.part("weight");
        if let Some(spec) = [Some(var), scale].into_iter().flatten().find(|spec| spec.shape != [channels]) {
            return spec.wrong(format!("is {}, expected {channels}", shape(&spec.shape)));
        }
        check_bias(channels)?;
        return found(StoredOp::BatchNorm { channels, scale, stats: [mean, var] });
    }
    let stored = WEIGHTS.iter().find(|parts| parts.iter().all(|part| module.part(part).is_some()));
    let Some(stored) = stored else {
        let (_, spec) = module.parts.iter().find(|(part, _)| *part != "bias").unwrap_or(&module.parts[0]);
        return spec.wrong(UNKNOWN);
    };
    check_parts(stored)?;
    let specs: Vec<_> = stored.iter().filter_map(|part| module.part(part)).collect();
    let weight = match specs[..] {
        [weight, u, v] => StoredWeight::Spectral(weight, u, v),
        [lengths, directions] => StoredWeight::Normed(lengths, directions),
        _ => StoredWeight::Plain(specs[0]),
    };
    let spec = weight.spec();
    match *spec.shape.as_slice() {
        [output, input] => {
            check_bias(output)?;
            found(StoredOp::Linear { weight, output, input })
        }
        // The chain of layers decides which of the two it gives, and so what bias fits.
        [a, b, kernel, other] if kernel == other => found(StoredOp::Conv { weight, dims: [a, b], kernel }),
        [_, _, h, w] => spec.wrong(format!("has a kernel of {h}×{w}; only square ones are supported")),
        [_] if bias.is_some() => spec.wrong(
            "is of a norm without running statistics (InstanceNorm, GroupNorm, LayerNorm); only batch-norm \
             is supported",
        ),
        [_] => spec.wrong("is of a PReLU, which is not supported"),
        [_, _, _] => spec.wrong("is of a convolution in one dimension: no images"),
        ref dims => spec.wrong(format!("is {}: no layer that makes images", shape(dims))),
    }
}

/// 3×4.
pub(super) fn shape(dims: &[usize]) -> String {
    match dims {
        [] => "one number".into(),
        _ => dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×"),
    }
}

impl<'a> StoredLayer<'a> {
    /// The tensor to name where the layer does not fit.
    pub fn spec(&self) -> &'a TensorSpec {
        match &self.op {
            StoredOp::Linear { weight, .. } | StoredOp::Conv { weight, .. } => weight.spec(),
            StoredOp::BatchNorm { stats: [mean, _], .. } => mean,
        }
    }
}

/// The layers in another order than that of their names: first linear layers, then convolutions, each before
/// the batch-norm whose name starts with its own (`fc`, `fc_bn`) or has its number (`conv1`, `bn1`). `None`
/// if a batch-norm belongs to none, or two to one.
pub(super) fn reordered<'a>(layers: &[StoredLayer<'a>]) -> Option<Vec<StoredLayer<'a>>> {
    let (norms, mut weights): (Vec<&StoredLayer>, Vec<&StoredLayer>) =
        layers.iter().partition(|layer| matches!(layer.op, StoredOp::BatchNorm { .. }));
    // A convolution without a number among numbered ones is the last (`out`).
    weights.sort_by_key(|layer| match layer.op {
        StoredOp::Linear { .. } => 0,
        _ => 1 + usize::from(ending(layer.name).1.is_none()),
    });
    // The layer of each batch-norm.
    let mut owners = Vec::new();
    for norm in &norms {
        let end = ending(norm.name);
        let numbered = |layer: &&StoredLayer| end.1.is_some() && ending(layer.name) == end;
        let owner = weights.iter().position(|layer| norm.name.starts_with(layer.name));
        let owner = owner.or_else(|| weights.iter().position(numbered))?;
        if owners.contains(&owner) {
            return None;
        }
        owners.push(owner);
    }
    let mut all = Vec::new();
    for (i, layer) in weights.into_iter().enumerate() {
        all.push(layer.clone());
        if let Some(norm) = owners.iter().position(|&owner| owner == i) {
            all.push(norms[norm].clone());
        }
    }
    Some(all)
}

/// The parent of a name, and the digits that the name ends with.
fn ending(name: &str) -> (&str, Option<&str>) {
    let (parent, last) = name.rsplit_once('.').unwrap_or(("", name));
    let digits = last.trim_start_matches(|c: char| !c.is_ascii_digit());
    (parent, Some(digits).filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())))
}
