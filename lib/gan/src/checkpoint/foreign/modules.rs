//! Names of tensors → modules, in the order in which they follow one another.

use std::collections::HashMap;

use super::TensorSpec;

/// A module's tensors, by what they are to it.
#[derive(Debug)]
pub(super) struct Module<'a> {
    /// Its name: what its tensors' names begin with. Empty for a lone layer.
    pub name: &'a str,
    /// (what follows in the name, tensor), in the file's order.
    pub parts: Vec<(&'a str, &'a TensorSpec)>,
}

impl<'a> Module<'a> {
    pub fn part(&self, part: &str) -> Option<&'a TensorSpec> {
        self.parts.iter().find(|(name, _)| *name == part).map(|(_, item)| *item)
    }

    /// The module's parent and number, where it is one of an `nn.Sequential`.
    pub fn number(&self) -> Option<(&'a str, u64)> {
        let (parent, last) = self.name.rsplit_once('.').unwrap_or(("", self.name));
        Some((parent, number(last)?))
    }
}

/// What stands between a module's name and what a parametrization (`torch.nn.utils.parametrizations`) keeps
/// of its weight.
const PARAMETRIZED: &str = "parametrizations.weight.";

/// A tensor's module, and what it is to it.
fn split(name: &str) -> (&str, &str) {
    match name.find(PARAMETRIZED).filter(|&at| at == 0 || name.as_bytes()[at - 1] == b'.') {
        Some(at) => (name[..at].trim_end_matches('.'), &name[at..]),
        None => name.rsplit_once('.').unwrap_or(("", name)),
    }
}

/// Whether a tensor is a counter beside the weights: `num_batches_tracked`, an average's `n_averaged`, a
/// saved epoch.
pub(super) fn is_counter(item: &TensorSpec) -> bool {
    // Whoever converts all tensors makes floats of them.
    let named = ["num_batches_tracked", "n_averaged"].iter().any(|name| item.name.ends_with(name));
    item.shape.iter().product::<usize>() == 1 && (named || !item.float)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Where one component of a name comes among its siblings: numbers in their order; names by their first
/// appearance, or where the file has lost that, with the numbers in them as numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Number(u64),
    Appeared(usize),
    Natural(Vec<(String, u64)>),
}

/// Text with the numbers in it: `deconv10_bn` is `deconv` 10, `_bn`.
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

/// The modules of tensors that belong to one network, counters left out.
pub(super) fn modules<'a>(items: &[&'a TensorSpec], ordered: bool) -> Vec<Module<'a>> {
    let mut modules: Vec<Module<'a>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for &item in items.iter().filter(|item| !is_counter(item)) {
        let (name, part) = split(&item.name);
        let at = *known.entry(name).or_insert_with(|| {
            modules.push(Module { name, parts: Vec::new() });
            modules.len() - 1
        });
        modules[at].parts.push((part, item));
    }
    let mut appeared: HashMap<&str, usize> = HashMap::new();
    let mut target = |name: &'a str| -> Vec<Target> {
        let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
        let mut start = 0;
        let mut places = Vec::new();
        for end in ends {
            let component = &name[start..end];
            let next = appeared.len();
            places.push(match number(component) {
                Some(n) => Target::Number(n),
                None if ordered => Target::Appeared(*appeared.entry(&name[..end]).or_insert(next)),
                None => Target::Natural(natural(component)),
            });
            start = end + 1;
        }
        places
    };
    let places: HashMap<&str, Vec<Target>> = modules.iter().map(|m| (m.name, target(m.name))).collect();
    modules.sort_by(|a, b| places[a.name].cmp(&places[b.name]));
    modules
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
