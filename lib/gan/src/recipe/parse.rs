//! TOML text to a [`Recipe`], with one-line errors that name the file, the line, the key and the nearest key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::tables::{DEFAULT_EPOCHS, Length, Optimizer, Output, Recipe, Schedule};
use crate::config::Key;
use crate::data::augment::Augment;
use crate::named::nearest;
use crate::nn::model::Arch;
use crate::{Error, Result};

/// The longest recipe that is read, in bytes.
const MAX_TOML: u64 = 1 << 20;

/// The default recipe.
pub const DEFAULT: &str = "celeba";

/// The built-in recipes: name and TOML.
pub(super) const BUILT_IN: [(&str, &str); 6] = [
    ("celeba", include_str!("../../../../pipelines/celeba.toml")),
    ("cats", include_str!("../../../../pipelines/cats.toml")),
    ("mnist", include_str!("../../../../pipelines/mnist.toml")),
    ("fashion", include_str!("../../../../pipelines/fashion.toml")),
    ("mnist-fixed", include_str!("../../../../pipelines/mnist-fixed.toml")),
    ("demo", include_str!("../../../../pipelines/demo.toml")),
];

/// Values that replace a recipe's own, by key.
pub type Overrides = Vec<(&'static str, Value)>;

/// The built-in recipes.
pub fn built_in() -> Vec<Recipe> {
    let parse = |(name, text): &(&str, &str)| {
        recipe(text, Path::new(name)).expect("the tests parse every built-in recipe")
    };
    BUILT_IN.iter().map(parse).collect()
}

impl Recipe {
    /// The recipe called `name`: a built-in one, or a file where `name` ends in `.toml` or contains a `/`.
    ///
    /// # Errors
    /// No such recipe (the nearest name is given), an unreadable file, or one with a wrong key or value.
    pub fn load(name: &str) -> Result<Recipe> {
        if name.ends_with(".toml") || name.contains('/') {
            let mut text = String::new();
            let file = File::open(name).map_err(Error::io(name))?;
            file.take(MAX_TOML + 1).read_to_string(&mut text).map_err(Error::io(name))?;
            if text.len() as u64 > MAX_TOML {
                return Err(Error::file(name, "too long to be a recipe"));
            }
            return recipe(&text, Path::new(name));
        }
        let names = BUILT_IN.map(|(n, _)| n);
        built_in().into_iter().find(|r| r.name == name).ok_or_else(|| {
            let what = format!(
                "there is no recipe {name}; did you mean `{}`? (there are {}; or name a FILE.toml)",
                nearest(name, &names),
                names.join(", ")
            );
            Error::argument("recipe", what)
        })
    }

    /// This recipe with other values for some keys.
    ///
    /// # Errors
    /// A key that the recipe's architecture does not have, or a value out of its range.
    pub fn with(&self, overrides: &[(&'static str, Value)]) -> Result<Recipe> {
        let mut tree = Tree::of(self);
        for (key, value) in overrides {
            tree.override_value(key, value.clone()).map_err(|what| Error::argument(*key, what))?;
        }
        let recipe = tree.recipe().map_err(Error::Invalid)?;
        recipe.check().map_err(|(key, what)| Error::argument(key, what))?;
        Ok(recipe)
    }
}

/// Parses and checks a recipe; errors call it `file`.
pub(super) fn recipe(text: &str, file: &Path) -> Result<Recipe> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let error = |at: usize, what: String| Error::file(file, format!("line {}: {what}", line_of(at)));
    let top = DeTable::parse(text)
        .map_err(|e| error(e.span().unwrap_or(0..0).start, e.message().replace('\n', ", ")))?;
    let mut tree = Tree::of(&Recipe::default());
    let mut lines = Vec::new();
    // `arch` decides the other keys of its table.
    let arch = top.get_ref().get("model").and_then(|model| model.get_ref().get("arch"));
    if let Some(arch) = arch {
        tree.set_arch(arch.get_ref()).map_err(|what| error(arch.span().start, format!("arch: {what}")))?;
    }
    for (key, value) in top.into_inner() {
        let at = key.span().start;
        let name = tree.known("", key.get_ref()).map_err(|what| error(at, what))?;
        if lines.iter().any(|(known, _)| *known == name) {
            return Err(error(at, format!("{name}: is set twice, also by a former name")));
        }
        lines.push((name, at));
        if !tree.is_table(name) {
            tree.set("", name, value.get_ref()).map_err(|what| error(at, format!("{name}: {what}")))?;
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(error(at, format!("`{name}` is {}, not a table ([{name}])", kind(value.get_ref()))));
        };
        tree.open(name);
        for (key, value) in table {
            let at = key.span().start;
            let key = tree.known(name, key.get_ref()).map_err(|what| error(at, what))?;
            if lines.iter().any(|(known, _)| *known == key) {
                return Err(error(at, format!("{key}: is set twice, also by a former name")));
            }
            lines.push((key, at));
            if key != "arch" {
                tree.set(name, key, value.get_ref()).map_err(|what| error(at, format!("{key}: {what}")))?;
            }
        }
    }
    let place = |key: &str| lines.iter().find(|(known, _)| *known == key).map_or(0, |(_, at)| *at);
    let recipe = tree.recipe().map_err(|what| Error::file(file, what))?;
    recipe.check().map_err(|(key, what)| error(place(key), format!("{key}: {what}")))?;
    Ok(recipe)
}

/// A recipe as JSON: an object of values, and of one object for each table.
struct Tree(Map<String, Value>);

impl Tree {
    fn of(recipe: &Recipe) -> Tree {
        match serde_json::to_value(recipe) {
            Ok(Value::Object(tree)) => Tree(tree),
            _ => unreachable!("a recipe is an object of finite numbers"),
        }
    }

    fn recipe(&self) -> Result<Recipe, String> {
        let mut recipe: Recipe =
            serde_json::from_value(Value::Object(self.0.clone())).map_err(|e| e.to_string())?;
        if recipe.schedule.steps.is_none() {
            recipe.schedule.epochs.get_or_insert(DEFAULT_EPOCHS);
        }
        Ok(recipe)
    }

    /// The keys of a table; "" is the top.
    fn keys(&self, table: &str) -> &'static [Key] {
        match table {
            "" => Recipe::KEYS,
            "model" => arch_keys(self.0["model"]["arch"].as_str().unwrap_or_default()),
            "optimizer" => Optimizer::KEYS,
            "schedule" => Schedule::KEYS,
            "output" => Output::KEYS,
            _ => Augment::KEYS,
        }
    }

    fn is_table(&self, key: &str) -> bool {
        TABLES.contains(&key)
    }

    /// Makes room for the values of a table that a recipe may lack.
    fn open(&mut self, table: &str) {
        if table.is_empty() {
            return;
        }
        let defaults = || serde_json::to_value(Augment::default()).expect("finite numbers");
        self.0.entry(table).or_insert_with(defaults);
    }

    /// The present name of `key` in `table`, or what is wrong with it.
    fn known(&self, table: &str, key: &str) -> Result<&'static str, String> {
        if table == "model" && key == "arch" {
            return Ok("arch");
        }
        let is = |known: &&Key| known.name == key || known.former == Some(key);
        if let Some(known) = self.keys(table).iter().find(is) {
            return Ok(known.name);
        }
        let place = |table: &str| match table {
            "" => "at the top".to_string(),
            _ => format!("in [{table}]"),
        };
        let unknown = format!("unknown key `{key}` {}", place(table));
        let homes = std::iter::once("").chain(TABLES);
        if let Some(home) = homes.into_iter().find(|home| self.keys(home).iter().any(|known| is(&known))) {
            return Err(format!("{unknown}: it belongs {}", place(home)));
        }
        if let Some((arch, _)) = Arch::ALL.iter().find(|(_, keys)| keys.iter().any(|known| is(&known))) {
            return Err(format!("{unknown}: it belongs to arch = \"{arch}\""));
        }
        let names: Vec<&str> = self.keys(table).iter().map(|known| known.name).collect();
        Err(format!("{unknown}; did you mean `{}`?", nearest(key, &names)))
    }

    /// Takes the architecture `arch` with its defaults.
    fn set_arch(&mut self, arch: &DeValue) -> Result<(), String> {
        let DeValue::String(name) = arch else {
            return Err(format!("{} where a string should be", kind(arch)));
        };
        if !Arch::ALL.iter().any(|(known, _)| known == name) {
            let names: Vec<_> = Arch::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(format!("`{name}` is not an architecture; there are {}", names.join(" and ")));
        }
        let arch: Arch =
            serde_json::from_value(serde_json::json!({ "arch": name })).map_err(|e| e.to_string())?;
        self.0["model"] = serde_json::to_value(arch).map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Sets a known key.
    fn set(&mut self, table: &str, key: &str, value: &DeValue) -> Result<(), String> {
        self.set_json(table, key, json(value)?)
    }

    fn set_json(&mut self, table: &str, key: &str, value: Value) -> Result<(), String> {
        let values = match table {
            "" => &mut self.0,
            _ => self.0[table].as_object_mut().expect("an open table"),
        };
        values.insert(key.into(), value);
        self.recipe().map(drop).map_err(|e| plain(&e))
    }

    /// Replaces the value of `key`, in whatever table it is.
    fn override_value(&mut self, key: &str, value: Value) -> Result<(), String> {
        let mut homes = std::iter::once("").chain(TABLES);
        let has = |table: &&str| self.keys(table).iter().any(|known| known.name == key);
        let Some(table) = homes.find(has) else {
            let arch = self.0["model"]["arch"].as_str().unwrap_or_default();
            let names: Vec<&str> = self.keys("model").iter().map(|key| key.name).collect();
            return Err(format!("the architecture {arch} has no such setting; it has {}", names.join(", ")));
        };
        match key {
            // Of the two there is one.
            "epochs" => drop(self.0["schedule"].as_object_mut().map(|s| s.remove("steps"))),
            "steps" => drop(self.0["schedule"].as_object_mut().map(|s| s.remove("epochs"))),
            _ => {}
        }
        self.open(table);
        self.set_json(table, key, value)?;
        // A shorter run keeps those of its recipe's snapshots that it reaches.
        let mut recipe = self.recipe()?;
        if let (true, Length::Epochs(last)) = (key == "epochs", recipe.schedule.length()) {
            recipe.output.snapshot_epochs.retain(|&epoch| epoch <= last);
            *self = Tree::of(&recipe);
        }
        Ok(())
    }
}

/// The keys that are tables.
pub(super) const TABLES: [&str; 5] = ["model", "optimizer", "schedule", "output", "augment"];

fn arch_keys(name: &str) -> &'static [Key] {
    Arch::ALL.iter().find(|(arch, _)| *arch == name).map_or(&[], |(_, keys)| keys)
}

/// A TOML value as JSON.
fn json(value: &DeValue) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Integer(i) => u64::from_str_radix(i.as_str(), i.radix())
            .map_err(|_| format!("{i} is not a whole number of at most 64 bits"))?
            .into(),
        DeValue::Float(f) => {
            let number = f.as_str().parse::<f64>().map_err(|_| format!("{} is not a number", f.as_str()))?;
            serde_json::Number::from_f64(number).ok_or(format!("{number} is not a finite number"))?.into()
        }
        DeValue::Array(all) => all.iter().map(|value| json(value.get_ref())).collect::<Result<_, _>>()?,
        other => return Err(format!("{} where a value should be", kind(other))),
    })
}

/// serde's message in the words of TOML.
fn plain(message: &str) -> String {
    [
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
        ("expected a boolean", "expected true or false"),
    ]
    .iter()
    .fold(message.to_string(), |text, (from, to)| text.replace(from, to))
}

/// The type of a value, with its article.
fn kind(value: &DeValue) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}
