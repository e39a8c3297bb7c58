//! Names of tensors → modules, in the order in which they follow one another.

use std::collections::HashMap;

use super::TensorSpec;

/// The tensors of a module.
#[derive(Debug)]
pub(super) struct Module<'a> {
    /// Its name: the start of its tensors' names. Empty for a single layer.
    pub name: &'a str,
    /// (the rest of the name, tensor), in the order of the file.
    pub parts: Vec<(&'a str, &'a TensorSpec)>,
}

impl<'a> Module<'a> {
    pub fn part(&self, part: &str) -> Option<&'a TensorSpec> {
        self.parts.iter().find(|(name, _)| *name == part).map(|(_, spec)| *spec)
    }

    /// The parent of the module and its number, if it is in an `nn.Sequential`.
    pub fn number(&self) -> Option<(&'a str, u64)> {
        let (parent, last) = self.name.rsplit_once('.').unwrap_or(("", self.name));
        Some((parent, number(last)?))
    }
}

/// What follows the module's name in the tensors of a parametrized weight
/// (`torch.nn.utils.parametrizations`).
const PARAMETRIZED: &str = "parametrizations.weight.";

/// The name of a tensor as that of its module and the rest.
fn split(name: &str) -> (&str, &str) {
    match name.find(PARAMETRIZED).filter(|&at| at == 0 || name.as_bytes()[at - 1] == b'.') {
        Some(at) => (name[..at].trim_end_matches('.'), &name[at..]),
        None => name.rsplit_once('.').unwrap_or(("", name)),
    }
}

/// Whether a tensor is a counter beside the weights: `num_batches_tracked`, an average's `n_averaged`, a
/// saved epoch.
pub(super) fn is_counter(spec: &TensorSpec) -> bool {
    // A conversion of all tensors makes floats of them.
    let named = ["num_batches_tracked", "n_averaged"].iter().any(|name| spec.name.ends_with(name));
    spec.shape.iter().product::<usize>() == 1 && (named || !spec.float)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The order of one component of a name among its siblings: numbers by value; names by their first
/// appearance, or in a file that sorts its names, by the numbers in them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(u64),
    Appearance(usize),
    Natural(Vec<(String, u64)>),
}

/// A text with the numbers in it: `deconv10_bn` is `deconv` 10, `_bn`.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        all.push((word.to_string(), tail[..end].parse().unwrap_or(0)));
        rest = &tail[end..];
    }
    all
}

/// The modules of the tensors of one network, without counters.
pub(super) fn modules<'a>(specs: &[&'a TensorSpec], ordered: bool) -> Vec<Module<'a>> {
    let mut modules: Vec<Module<'a>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for &spec in specs.iter().filter(|spec| !is_counter(spec)) {
        let (name, part) = split(&spec.name);
        let at = *known.entry(name).or_insert(modules.len());
        if at == modules.len() {
            modules.push(Module { name, parts: Vec::new() });
        }
        modules[at].parts.push((part, spec));
    }
    let mut appeared: HashMap<&str, usize> = HashMap::new();
    let mut keys = |name: &'a str| -> Vec<SortKey> {
        let mut start = 0;
        let mut key = |end: usize| {
            let (component, next) = (&name[start..end], appeared.len());
            start = end + 1;
            match number(component) {
                Some(n) => SortKey::Number(n),
                None if ordered => SortKey::Appearance(*appeared.entry(&name[..end]).or_insert(next)),
                None => SortKey::Natural(natural(component)),
            }
        };
        name.match_indices('.').map(|(at, _)| at).chain([name.len()]).map(&mut key).collect()
    };
    let mut keyed: Vec<_> = modules.into_iter().map(|module| (keys(module.name), module)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, module)| module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> TensorSpec {
        TensorSpec { name: name.into(), shape: vec![2], float: true }
    }

    fn order(names: &[&str], ordered: bool) -> Vec<String> {
        let items: Vec<TensorSpec> = names.iter().map(|name| item(&format!("{name}.weight"))).collect();
        let items: Vec<&TensorSpec> = items.iter().collect();
        modules(&items, ordered).iter().map(|m| m.name.to_string()).collect()
    }

    #[test]
    fn numbers_are_in_their_order_and_names_in_the_files() {
        let names = ["main.10", "main.2", "main.2.0", "fc", "bn", "main.1"];
        assert_eq!(order(&names, true), ["main.1", "main.2", "main.2.0", "main.10", "fc", "bn"]);
        let names = ["deconv10", "deconv2", "deconv1_bn", "deconv1", "out"];
        assert_eq!(order(&names, false), ["deconv1", "deconv1_bn", "deconv2", "deconv10", "out"]);
    }

    #[test]
    fn a_modules_tensors_are_found_under_it() {
        let counter = TensorSpec { name: "0.num_batches_tracked".into(), shape: vec![], float: false };
        let items =
            [item("a.0.weight_orig"), item("a.0.bias"), item("parametrizations.weight.original"), counter];
        let items: Vec<&TensorSpec> = items.iter().collect();
        let modules = modules(&items, true);
        let names: Vec<_> = modules.iter().map(|m| (m.name, m.parts.len())).collect();
        assert_eq!(names, [("a.0", 2), ("", 1)]);
        assert_eq!(modules[0].number(), Some(("a", 0)));
        assert!(modules[1].part("parametrizations.weight.original").is_some());
    }
}
