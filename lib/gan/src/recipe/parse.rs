//! TOML text to a [`Recipe`], with one-line errors that name the file, the line and the nearest key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Length, ModelPart, Optimizer, Output, Recipe, Schedule};
use crate::data::augment::Augment;
use crate::nn::loss::GeneratorLoss;
use crate::precision::Precision;
use crate::{Error, Result};

/// The keys of a table ("" is the top).
type Keys = [(&'static str, &'static [&'static str]); 6];

/// The keys of the one table that a recipe may lack.
const AUGMENT: &[&str] = &["flip", "brightness", "contrast", "saturation", "blur", "blur_sigma"];

/// Every key that a recipe of an architecture has. Of `epochs` and `steps` there is exactly one.
const fn keys(model: &'static [&'static str]) -> Keys {
    [
        ("", &["name", "about", "seed", "model", "optimizer", "schedule", "output", "augment"]),
        ("model", model),
        ("optimizer", &["lr_g", "lr_d", "beta1", "beta2", "eps"]),
        ("schedule", &["batch", "fresh_noise", "loss", "precision", "epochs", "steps"]),
        ("output", &["keep_at", "sample_every", "fid_every"]),
        ("augment", AUGMENT),
    ]
}

/// The architectures and their keys.
const ARCHITECTURES: [(&str, Keys); 2] = [
    ("dcgan", keys(&["arch", "nz", "ngf", "ndf", "leaky_slope", "init_std", "norm_init_std"])),
    ("mlp", keys(&["arch", "nz", "hidden_g", "hidden_d", "slope_g", "slope_d"])),
];

/// Parses and checks a recipe; `file` is for the errors.
pub fn recipe(text: &str, file: &Path) -> Result<Recipe> {
    let reader = Reader::new(text, file)?;
    let length = match (reader.has("epochs"), reader.has("steps")) {
        (true, false) => Length::Epochs(reader.whole("epochs")?),
        (false, true) => Length::Steps(reader.whole("steps")?),
        (true, true) => return Err(reader.wrong("steps", "there is `epochs` too; keep one of them")),
        (false, false) => return Err(reader.missing("epochs")),
    };
    let recipe = Recipe {
        name: reader.text("name")?,
        about: reader.text("about")?,
        seed: reader.whole("seed")?,
        model: model(&reader)?,
        optimizer: Optimizer {
            lr_g: reader.real("lr_g")?,
            lr_d: reader.real("lr_d")?,
            beta1: reader.real("beta1")?,
            beta2: reader.real("beta2")?,
            eps: reader.real("eps")?,
        },
        schedule: Schedule {
            batch: reader.whole("batch")? as usize,
            fresh_noise: reader.yes_or_no("fresh_noise")?,
            loss: reader.one_of("loss", &GeneratorLoss::NAMES)?,
            precision: reader.one_of("precision", &Precision::NAMES)?,
            length,
        },
        output: Output {
            keep_at: reader.wholes("keep_at")?,
            sample_every: reader.whole("sample_every")?,
            fid_every: reader.whole("fid_every")?,
        },
        augment: augment(&reader)?,
    };
    recipe.check().map_err(|(key, wrong)| reader.wrong(key, wrong))?;
    Ok(recipe)
}

fn augment(reader: &Reader) -> Result<Option<Augment>> {
    if !AUGMENT.iter().any(|key| reader.has(key)) {
        return Ok(None);
    }
    let [width, height] = reader.two(reader.wholes("blur")?, "blur")?;
    Ok(Some(Augment {
        flip: reader.real("flip")?,
        brightness: reader.real("brightness")?,
        contrast: reader.real("contrast")?,
        saturation: reader.real("saturation")?,
        blur: [width as usize, height as usize],
        blur_sigma: reader.two(reader.reals("blur_sigma")?, "blur_sigma")?,
    }))
}

fn model(reader: &Reader) -> Result<ModelPart> {
    let nz = reader.whole("nz")? as usize;
    let widths = |key| -> Result<Vec<usize>> {
        Ok(reader.wholes(key)?.into_iter().map(|width| width as usize).collect())
    };
    Ok(match reader.text("arch")?.as_str() {
        "mlp" => ModelPart::Mlp {
            nz,
            hidden_g: widths("hidden_g")?,
            hidden_d: widths("hidden_d")?,
            slope_g: reader.real("slope_g")?,
            slope_d: reader.real("slope_d")?,
        },
        _ => ModelPart::Dcgan {
            nz,
            ngf: reader.whole("ngf")? as usize,
            ndf: reader.whole("ndf")? as usize,
            leaky_slope: reader.real("leaky_slope")?,
            init_std: reader.real("init_std")?,
            norm_init_std: reader.real("norm_init_std")?,
        },
    })
}

/// The values of a file by key (no key is in two tables), each with its line.
struct Reader<'a> {
    file: &'a Path,
    keys: &'static Keys,
    values: BTreeMap<&'static str, (usize, DeValue<'a>)>,
}

impl<'a> Reader<'a> {
    /// Parses `text`; every key must be one of its architecture's and in its place.
    fn new(text: &'a str, file: &'a Path) -> Result<Reader<'a>> {
        let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
        let error = |at: usize, what: &str| Error::file(file, format!("line {at}: {what}"));
        let top = DeTable::parse(text)
            .map_err(|e| error(line(e.span().unwrap_or(0..0)), &e.message().replace('\n', ", ")))?;
        let arch = top.get_ref().get("model").and_then(|model| model.get_ref().get("arch"));
        let keys = match arch.and_then(|arch| Some((arch.get_ref().as_str()?, line(arch.span())))) {
            // An absent one, or one that is no string, is found missing or wrong with the other keys.
            None => &ARCHITECTURES[0].1,
            Some((arch, at)) => {
                let known = ARCHITECTURES.iter().find(|(name, _)| *name == arch);
                let names = ARCHITECTURES.map(|(name, _)| format!("`{name}`")).join(" and ");
                let unknown = || error(at, &format!("arch: `{arch}` is no architecture; there are {names}"));
                &known.ok_or_else(unknown)?.1
            }
        };
        let mut values = BTreeMap::new();
        let mut tables = vec![("", top.into_inner())];
        while let Some((table, content)) = tables.pop() {
            for (key, value) in content {
                let at = line(key.span());
                let known = known_key(keys, table, key.get_ref()).map_err(|what| error(at, &what))?;
                let is_table = table.is_empty() && keys.iter().any(|(name, _)| *name == known);
                match value.into_inner() {
                    DeValue::Table(inner) if is_table => tables.push((known, inner)),
                    other if is_table => {
                        let what = format!("`{known}` is {}, not a table ([{known}])", kind(&other));
                        return Err(error(at, &what));
                    }
                    other => {
                        values.insert(known, (at, other));
                    }
                }
            }
        }
        Ok(Reader { file, keys, values })
    }

    fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// An error about the value of `key`.
    fn wrong(&self, key: &str, what: impl AsRef<str>) -> Error {
        let line = self.values.get(key).map_or(1, |(line, _)| *line);
        Error::file(self.file, format!("line {line}: {key}: {}", what.as_ref()))
    }

    fn missing(&self, key: &str) -> Error {
        let (table, _) =
            self.keys.iter().find(|(_, keys)| keys.contains(&key)).expect("a key of the architecture's");
        let place = if table.is_empty() { "at the top".into() } else { format!("in [{table}]") };
        Error::file(
            self.file,
            format!("`{key}` is missing {place} (`train --dry-run` prints a whole recipe to start from)"),
        )
    }

    fn get(&self, key: &str) -> Result<&DeValue<'a>> {
        self.values.get(key).map(|(_, value)| value).ok_or_else(|| self.missing(key))
    }

    /// The error of a value that is not `wanted`.
    fn not_a(&self, key: &str, wanted: &str, value: &DeValue) -> Error {
        self.wrong(key, format!("{} where {wanted} should be", kind(value)))
    }

    fn text(&self, key: &str) -> Result<String> {
        match self.get(key)? {
            DeValue::String(s) => Ok(s.to_string()),
            other => Err(self.not_a(key, "a string", other)),
        }
    }

    fn yes_or_no(&self, key: &str) -> Result<bool> {
        match self.get(key)? {
            DeValue::Boolean(b) => Ok(*b),
            other => Err(self.not_a(key, "true or false", other)),
        }
    }

    fn whole(&self, key: &str) -> Result<u64> {
        self.to_whole(key, self.get(key)?)
    }

    /// A name among `names`, as what it names.
    fn one_of<T: std::str::FromStr>(&self, key: &str, names: &[&str]) -> Result<T> {
        let refuse = |_| self.wrong(key, format!("must be one of {}", names.join(", ")));
        self.text(key)?.parse().map_err(refuse)
    }

    fn list<T>(&self, key: &str, of: &str, each: impl Fn(&DeValue) -> Result<T>) -> Result<Vec<T>> {
        match self.get(key)? {
            DeValue::Array(all) => all.iter().map(|value| each(value.get_ref())).collect(),
            other => Err(self.not_a(key, &format!("a list of {of}"), other)),
        }
    }

    fn wholes(&self, key: &str) -> Result<Vec<u64>> {
        self.list(key, "whole numbers", |value| self.to_whole(key, value))
    }

    fn reals(&self, key: &str) -> Result<Vec<f64>> {
        self.list(key, "numbers", |value| self.to_real(key, value))
    }

    /// The two numbers that a list should have.
    fn two<T>(&self, list: Vec<T>, key: &str) -> Result<[T; 2]> {
        list.try_into().map_err(|list: Vec<T>| self.wrong(key, format!("{} numbers, not two", list.len())))
    }

    fn to_whole(&self, key: &str, value: &DeValue) -> Result<u64> {
        match value {
            DeValue::Integer(i) => u64::from_str_radix(i.as_str(), i.radix())
                .map_err(|_| self.wrong(key, format!("{i} is not a whole number of at most 64 bits"))),
            other => Err(self.not_a(key, "a whole number", other)),
        }
    }

    fn real(&self, key: &str) -> Result<f64> {
        self.to_real(key, self.get(key)?)
    }

    fn to_real(&self, key: &str, value: &DeValue) -> Result<f64> {
        let text = match value {
            DeValue::Float(f) => f.as_str().to_string(),
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().to_string(),
            other => return Err(self.not_a(key, "a number", other)),
        };
        text.parse().map_err(|_| self.wrong(key, format!("{text} is not a number")))
    }
}

/// What sort of value it is, with its article.
fn kind(value: &DeValue) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// The key among `all` that `key` in `table` is, or what is wrong with it.
fn known_key(all: &'static Keys, table: &str, key: &str) -> Result<&'static str, String> {
    let place = |table: &str| match table {
        "" => "at the top".to_string(),
        _ => format!("in [{table}]"),
    };
    let (_, keys) = all.iter().find(|(name, _)| *name == table).expect("a table of a recipe");
    if let Some(known) = keys.iter().find(|known| **known == key) {
        return Ok(known);
    }
    let unknown = format!("unknown key `{key}` {}", place(table));
    if let Some((home, _)) = all.iter().find(|(_, keys)| keys.contains(&key)) {
        return Err(format!("{unknown}: it belongs {}", place(home)));
    }
    let has =
        |(_, keys): &&(&str, Keys)| keys.iter().any(|(name, keys)| *name == table && keys.contains(&key));
    if let Some((arch, _)) = ARCHITECTURES.iter().find(has) {
        return Err(format!("{unknown}: it belongs to arch = \"{arch}\""));
    }
    Err(format!("{unknown}; did you mean `{}`?", nearest(key, keys)))
}

/// The candidate that takes the fewest insertions, deletions and replacements (Levenshtein 1966); the first of equals.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> &'a str {
    let word: Vec<char> = word.chars().collect();
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=word.len()).collect();
        for (i, b) in other.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, &a) in word.iter().enumerate() {
                let replaced = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
            }
        }
        row[word.len()]
    };
    candidates.iter().min_by_key(|c| distance(c)).expect("at least one candidate")
}
