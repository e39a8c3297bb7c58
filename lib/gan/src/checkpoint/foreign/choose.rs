//! Which of the networks in a file is the generator.

use super::chain::{Plan, Wrong, is_discriminator, plan};
use super::layers::{Layer, layer, reordered};
use super::modules::{is_counter, modules};
use super::{Dict, Found, LayoutHints, TensorSpec};

/// How deep networks are looked for under names that others do not share.
const DEEPEST: usize = 3;
/// The most networks that are side by side.
const MOST: usize = 64;

/// What a part of a file is.
enum Role<'a> {
    /// It has generators: where each is, and what.
    Generators(Vec<(String, Plan<'a>)>),
    Discriminator,
    /// What does not fit, and how many layers did.
    Unknown(Wrong),
}

pub(super) fn choose<'a>(dicts: &'a [Dict], hints: &'a LayoutHints) -> Result<Found<'a>, String> {
    let (mut found, mut discriminators) = (Vec::new(), 0);
    let mut wrongs: Vec<(bool, usize, String)> = Vec::new();
    for dict in dicts {
        let items: Vec<&TensorSpec> = dict.items.iter().filter(|item| !is_counter(item)).collect();
        if !items.iter().any(|item| item.float && item.shape.len() > 1) {
            continue;
        }
        match role(&items, dict, "", hints, DEEPEST) {
            Role::Generators(plans) => {
                found.extend(plans.into_iter().map(|(prefix, plan)| (join(&dict.path, &prefix), dict, plan)));
            }
            Role::Discriminator => discriminators += 1,
            Role::Unknown(wrong) => {
                wrongs.push((is_generators(&dict.path), wrong.fitted.min(1) * items.len(), wrong.what));
            }
        }
    }
    if found.is_empty() {
        // The one that is called a generator's, or else the largest.
        wrongs.sort_by_key(|(named, size, _)| (*named, *size));
        return Err(match wrongs.pop() {
            Some((.., what)) if what.starts_with("--") => what,
            Some((named, size, what)) if discriminators == 0 || named || size > 0 => {
                format!("not a generator that is known: {what}")
            }
            _ if discriminators > 0 => {
                "a discriminator (or another network that takes images), not a generator".into()
            }
            _ => "it holds no network".into(),
        });
    }
    let averaged = found.iter().filter(|(part, ..)| is_averaged(part)).count();
    if averaged > 0 {
        found.retain(|(part, ..)| is_averaged(part));
    }
    if found.len() > 1 && found.iter().filter(|(part, ..)| is_generators(part)).count() == 1 {
        found.retain(|(part, ..)| is_generators(part));
    }
    if found.len() > 1 {
        let parts: Vec<&str> = found.iter().map(|(part, ..)| part.as_str()).collect();
        let what = format!(
            "it holds {} generators, {}: save the one that is meant alone",
            parts.len(),
            parts.join(" and ")
        );
        return Err(what);
    }
    let (part, dict, plan) = found.pop().expect("one is left");
    let mut outline = plan.outline(part, hints);
    if averaged > 0 && !outline.part.is_empty() {
        let average = format!("{}, the average (EMA) of its weights, is taken", outline.part);
        outline.taken = match outline.taken.is_empty() {
            true => average,
            false => format!("{average}; {}", outline.taken),
        };
    }
    Ok(Found { outline, dict, plan, hints })
}

/// What the tensors whose names begin with `prefix` are.
fn role<'a>(
    items: &[&'a TensorSpec],
    dict: &'a Dict,
    prefix: &str,
    hints: &LayoutHints,
    depth: usize,
) -> Role<'a> {
    let prefix = shared_prefix(items, prefix);
    let all = modules(items, dict.ordered);
    let layers: Result<Vec<Layer<'a>>, (usize, String)> =
        all.iter().enumerate().map(|(i, module)| layer(module).map_err(|what| (i, what))).collect();
    let wrong = match layers {
        Ok(layers) => match plan(&layers, hints) {
            Ok(plan) => return Role::Generators(vec![(prefix.trim_end_matches('.').to_string(), plan)]),
            Err(_) if is_discriminator(&layers) => return Role::Discriminator,
            Err(wrong) => match reordered(&layers).map(|layers| plan(&layers, hints)) {
                Some(Ok(plan)) => {
                    return Role::Generators(vec![(prefix.trim_end_matches('.').to_string(), plan)]);
                }
                _ => unordered(wrong, &layers, dict),
            },
        },
        Err((fitted, what)) => Wrong { fitted, what },
    };
    let wrong = Wrong { what: conditional(items).unwrap_or(wrong.what), ..wrong };
    let parts = parts(items, &prefix);
    if depth == 0 || !(2..=MOST).contains(&parts.len()) {
        return Role::Unknown(wrong);
    }
    let roles: Vec<(&str, Role)> = parts
        .iter()
        .map(|(name, items)| (*name, role(items, dict, &format!("{prefix}{name}."), hints, depth - 1)))
        .collect();
    // Two halves of one network must not be taken for two: the others are networks, too, or this one is
    // called a generator.
    let unknown = roles.iter().filter(|(_, role)| matches!(role, Role::Unknown(_))).count();
    let mut found = Vec::new();
    let mut named = None;
    for (name, role) in roles {
        match role {
            Role::Generators(plans) if unknown == 0 || is_generators(name) => found.extend(plans),
            Role::Unknown(wrong) if is_generators(name) => named = Some(wrong),
            _ => {}
        }
    }
    match (found.is_empty(), named) {
        (false, _) => Role::Generators(found),
        (true, Some(wrong)) => Role::Unknown(wrong),
        (true, None) => Role::Unknown(wrong),
    }
}

/// Says besides that an order may be wrong, where the names alone give it.
fn unordered(wrong: Wrong, layers: &[Layer], dict: &Dict) -> Wrong {
    if dict.ordered || wrong.what.starts_with("--") || layers.iter().all(|layer| layer.number.is_some()) {
        return wrong;
    }
    let what = format!(
        "{} (a safetensors file has its names sorted; torch.save keeps the layers' order)",
        wrong.what
    );
    Wrong { what, ..wrong }
}

/// What names of a class's embedding show.
fn conditional(items: &[&TensorSpec]) -> Option<String> {
    let of_classes =
        |name: &str| ["emb", "label"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    let item = items.iter().find(|item| of_classes(&item.name))?;
    Some(format!(
        "{}: it looks like a class's embedding; generators that take classes are not read",
        item.name
    ))
}

/// `prefix` with the further components that all names share, each with its point; a module's own name is
/// none.
fn shared_prefix(items: &[&TensorSpec], prefix: &str) -> String {
    let mut prefix = prefix.to_string();
    loop {
        let component = |item: &TensorSpec| {
            item.name.get(prefix.len()..)?.split_once('.').map(|(first, _)| first.to_string())
        };
        let Some(first) = items.first().and_then(|item| component(item)) else { return prefix };
        if items.iter().any(|item| component(item).as_ref() != Some(&first)) {
            return prefix;
        }
        prefix = format!("{prefix}{first}.");
    }
}

/// The parts of a file by the first component of their names after `prefix`, in the file's order; none where
/// they are layers.
fn parts<'a, 'b>(items: &'b [&'a TensorSpec], prefix: &str) -> Vec<(&'b str, Vec<&'a TensorSpec>)> {
    let mut parts: Vec<(&str, Vec<&TensorSpec>)> = Vec::new();
    for item in items {
        let Some((first, _)) = item.name.get(prefix.len()..).and_then(|rest| rest.split_once('.')) else {
            return Vec::new();
        };
        if first.bytes().all(|b| b.is_ascii_digit()) {
            return Vec::new();
        }
        match parts.iter().position(|(name, _)| *name == first) {
            Some(at) => parts[at].1.push(item),
            None if parts.len() > MOST => return parts,
            None => parts.push((first, vec![item])),
        }
    }
    parts
}

fn join(path: &str, prefix: &str) -> String {
    match (path.is_empty(), prefix.is_empty()) {
        (false, false) => format!("{path}.{prefix}"),
        _ => format!("{path}{prefix}"),
    }
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

fn is_generators(name: &str) -> bool {
    words(name).iter().any(|word| {
        matches!(word.as_str(), "g" | "netg" | "modelg" | "gnet" | "decoder") || word.starts_with("gen")
    })
}

fn is_averaged(name: &str) -> bool {
    let is = |word: &String| {
        word.starts_with("ema")
            || word.starts_with("averag")
            || matches!(word.as_str(), "avg" | "shadow" | "swa")
    };
    words(name).iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        for name in
            ["netG", "G", "generator", "g_ema", "gen", "modelG_state_dict", "state_dict.generator", "G_ema"]
        {
            assert!(is_generators(name), "{name}");
        }
        for name in ["netD", "D", "discriminator", "model", "state_dict", "image", "lpips"] {
            assert!(!is_generators(name), "{name}");
        }
        assert!(["g_ema", "ema", "G_avg", "averaged_model", "emaG"].iter().all(|name| is_averaged(name)));
        assert!(!["g", "schema", "netG"].iter().any(|name| is_averaged(name)));
    }
}
