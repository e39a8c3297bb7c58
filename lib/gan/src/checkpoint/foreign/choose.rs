//! Which of the networks in a file is the generator.

use super::chain::{Mismatch, is_discriminator};
use super::layers::{StoredLayer, layer, reordered};
use super::modules::{is_counter, modules};
use super::plan::{GeneratorPlan, plan};
use super::{FoundGenerator, LayoutHints, StateDict, TensorSpec};
use crate::{Error, Result};

/// How many levels of prefixes may separate networks.
const MAX_DEPTH: usize = 3;
/// The most networks of one level.
const MAX_NETWORKS: usize = 64;

/// What some tensors of a file are.
enum NetworkRole<'a> {
    /// Generators, each with its prefix.
    Generators(Vec<(String, GeneratorPlan<'a>)>),
    Discriminator,
    Unknown(Mismatch),
}

/// Finds the one generator in the dictionaries of a file.
///
/// # Errors
/// No generator, or several: what is there instead, and which tensor does not fit; a hint that does not fit.
pub fn find<'a>(dicts: &'a [StateDict], hints: &LayoutHints) -> Result<FoundGenerator<'a>> {
    let (mut found, mut discriminators, mut mismatches) = (Vec::new(), 0, Vec::new());
    for dict in dicts {
        let specs: Vec<&TensorSpec> = dict.tensors.iter().filter(|spec| !is_counter(spec)).collect();
        if !specs.iter().any(|spec| spec.float && spec.shape.len() > 1) {
            continue;
        }
        match role(&specs, dict, "", hints, MAX_DEPTH) {
            NetworkRole::Generators(plans) => {
                found.extend(plans.into_iter().map(|(prefix, plan)| (dict.full_name(&prefix), dict, plan)));
            }
            NetworkRole::Discriminator => discriminators += 1,
            NetworkRole::Unknown(mismatch) => {
                let size = mismatch.fitted.min(1) * specs.len();
                mismatches.push((names_generator(&dict.path), size, mismatch.error));
            }
        }
    }
    if found.is_empty() {
        // The one with a generator's name, or else the largest.
        mismatches.sort_by_key(|(named, size, _)| (*named, *size));
        return Err(match mismatches.pop() {
            // An argument is a hint.
            Some((named, size, error))
                if discriminators == 0 || named || size > 0 || matches!(error, Error::Argument { .. }) =>
            {
                error.within("not a generator that is known: ")
            }
            _ if discriminators > 0 => Error::Invalid(
                "a discriminator (or another network that takes images), not a generator".into(),
            ),
            _ => Error::Invalid("it holds no network".into()),
        });
    }
    let is_averaged = found.iter().any(|(prefix, ..)| names_average(prefix));
    found.retain(|(prefix, ..)| !is_averaged || names_average(prefix));
    if found.iter().filter(|(prefix, ..)| names_generator(prefix)).count() == 1 {
        found.retain(|(prefix, ..)| names_generator(prefix));
    }
    if found.len() > 1 {
        let prefixes: Vec<&str> = found.iter().map(|(prefix, ..)| prefix.as_str()).collect();
        let (n, all) = (prefixes.len(), prefixes.join(" and "));
        return Err(Error::Invalid(format!("it holds {n} generators, {all}: save only one of them")));
    }
    let (prefix, dict, plan) = found.pop().expect("one is left");
    let mut summary = plan.summary(prefix, hints);
    if is_averaged && !summary.prefix.is_empty() {
        let separator = if summary.assumed.is_empty() { "" } else { "; " };
        let average = format!("{}, the average (EMA) of its weights{separator}", summary.prefix);
        summary.assumed.insert_str(0, &average);
    }
    Ok(FoundGenerator { summary, dict, plan })
}

/// What the tensors are whose names begin with `prefix`.
fn role<'a>(
    specs: &[&'a TensorSpec],
    dict: &'a StateDict,
    prefix: &str,
    hints: &LayoutHints,
    depth: usize,
) -> NetworkRole<'a> {
    let prefix = shared_prefix(specs, prefix);
    let generator = |plan| NetworkRole::Generators(vec![(prefix.trim_end_matches('.').to_string(), plan)]);
    let layers = modules(specs, dict.ordered).into_iter().enumerate();
    let layers = layers.map(|(fitted, module)| layer(&module).map_err(|error| Mismatch { fitted, error }));
    let mismatch = match layers.collect::<Result<Vec<_>, _>>() {
        Err(mismatch) => mismatch,
        Ok(layers) => match plan(&layers, hints) {
            Ok(plan) => return generator(plan),
            Err(_) if is_discriminator(&layers) => return NetworkRole::Discriminator,
            Err(mismatch) => match reordered(&layers).map(|layers| plan(&layers, hints)) {
                Some(Ok(plan)) => return generator(plan),
                _ => suspect_order(mismatch, &layers, dict),
            },
        },
    };
    let error = class_embedding(specs).unwrap_or(mismatch.error);
    let mismatch = Mismatch { error, ..mismatch };
    let networks = by_component(specs, &prefix);
    if depth == 0 || !(2..=MAX_NETWORKS).contains(&networks.len()) {
        return NetworkRole::Unknown(mismatch);
    }
    let role = |name: &str, specs: &[_]| role(specs, dict, &format!("{prefix}{name}."), hints, depth - 1);
    let roles: Vec<_> = networks.iter().map(|(name, specs)| (*name, role(name, specs))).collect();
    // Two halves of one network must not count as two: the others are networks, too, or this one has a
    // generator's name.
    let all_known = roles.iter().all(|(_, role)| !matches!(role, NetworkRole::Unknown(_)));
    let (mut found, mut named) = (Vec::new(), None);
    for (name, role) in roles {
        match role {
            NetworkRole::Generators(plans) if all_known || names_generator(name) => found.extend(plans),
            NetworkRole::Unknown(mismatch) if names_generator(name) => named = Some(mismatch),
            _ => {}
        }
    }
    match found.is_empty() {
        false => NetworkRole::Generators(found),
        true => NetworkRole::Unknown(named.unwrap_or(mismatch)),
    }
}

/// Adds that the order of the layers may be wrong, where only the names give it.
fn suspect_order(mismatch: Mismatch, layers: &[StoredLayer], dict: &StateDict) -> Mismatch {
    match mismatch.error {
        Error::Invalid(what) if !dict.ordered && layers.iter().any(|layer| layer.number.is_none()) => {
            let why = "a safetensors file sorts its names; torch.save keeps the order of the layers";
            Mismatch { error: Error::Invalid(format!("{what} ({why})")), ..mismatch }
        }
        error => Mismatch { error, ..mismatch },
    }
}

/// What the name of a class's embedding shows.
fn class_embedding(specs: &[&TensorSpec]) -> Option<Error> {
    let is_class = |name: &str| ["emb", "label"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    let spec = specs.iter().find(|spec| is_class(&spec.name))?;
    spec.wrong::<()>("it looks like the embedding of classes; generators with classes are not supported")
        .err()
}

/// The component of a tensor's name after `prefix`; `None` if that is its last one.
fn component<'a>(spec: &'a TensorSpec, prefix: &str) -> Option<&'a str> {
    Some(spec.name.get(prefix.len()..)?.split_once('.')?.0)
}

/// `prefix` with the further components that all names share, each with its point. The name of a module is
/// none.
fn shared_prefix(specs: &[&TensorSpec], prefix: &str) -> String {
    let mut prefix = prefix.to_string();
    loop {
        let Some(first) = specs.first().and_then(|spec| component(spec, &prefix)) else { return prefix };
        if specs.iter().any(|spec| component(spec, &prefix) != Some(first)) {
            return prefix;
        }
        prefix = format!("{prefix}{first}.");
    }
}

/// The tensors by the first component of their names after `prefix`, in the order of the file. None if these
/// are layers.
fn by_component<'a>(specs: &[&'a TensorSpec], prefix: &str) -> Vec<(&'a str, Vec<&'a TensorSpec>)> {
    let mut parts: Vec<(&str, Vec<&TensorSpec>)> = Vec::new();
    for &spec in specs {
        let first = component(spec, prefix).filter(|first| !first.bytes().all(|b| b.is_ascii_digit()));
        let Some(first) = first else { return Vec::new() };
        match parts.iter().position(|(name, _)| *name == first) {
            Some(at) => parts[at].1.push(spec),
            None if parts.len() > MAX_NETWORKS => return parts,
            None => parts.push((first, vec![spec])),
        }
    }
    parts
}

/// The words of a name: `g_ema.module` is g, ema and module; `netG` is net and g.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

fn names_generator(name: &str) -> bool {
    let names = ["g", "netg", "modelg", "gnet", "decoder"];
    words(name).iter().any(|word| word.starts_with("gen") || names.contains(&word.as_str()))
}

fn names_average(name: &str) -> bool {
    let begins = |word: &str| word.starts_with("ema") || word.starts_with("averag");
    words(name).iter().any(|word| begins(word) || ["avg", "shadow", "swa"].contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        for name in
            ["netG", "G", "generator", "g_ema", "gen", "modelG_state_dict", "state_dict.generator", "G_ema"]
        {
            assert!(names_generator(name), "{name}");
        }
        for name in ["netD", "D", "discriminator", "model", "state_dict", "image", "lpips"] {
            assert!(!names_generator(name), "{name}");
        }
        assert!(["g_ema", "ema", "G_avg", "averaged_model", "emaG"].iter().all(|name| names_average(name)));
        assert!(!["g", "schema", "netG"].iter().any(|name| names_average(name)));
    }
}
