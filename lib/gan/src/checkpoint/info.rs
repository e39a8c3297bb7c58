//! What a file is: for `--info`.

use std::path::Path;

use serde_json::{Value, json};

use super::file::Weights;
use super::{Kind, Meta, meta};
use crate::model::ModelConfig;
use crate::shard::Shard;
use crate::{Error, Result};

/// What a file is.
pub struct Info {
    /// A short table for people: a name and a value in each line.
    pub text: String,
    /// The same as one JSON object, with `path` and `kind`.
    pub json: Value,
}

/// Tells what `path` is: a shard, a generator (ours or not), a discriminator or a run's state. Reads headers only.
///
/// # Errors
/// One line for each way in which it is none of them.
pub fn info(path: &Path) -> Result<Info> {
    let weights = Weights::open(path)?;
    let shapes = weights.shapes();
    if shapes.contains_key("images") {
        let (text, mut json) = Shard::open(path)?.header_info();
        json["kind"] = "shard".into();
        return Ok(Info { text, json });
    }
    let numbers = weights.numbers();
    let mut info = match meta(path, &weights)? {
        Some(meta) => ours(path, &meta, numbers),
        None => match ModelConfig::from_generator_weights(&shapes) {
            Ok(model) => foreign(path, &model, numbers),
            Err(e) => {
                return Err(Error::file(
                    path,
                    format!("neither a shard nor weights that gantools knows ({e})"),
                ));
            }
        },
    };
    info.json["path"] = path.display().to_string().into();
    info.json["numbers"] = numbers.into();
    Ok(info)
}

/// (name, value) pairs as a table.
fn table(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<13} {value}")).collect::<Vec<_>>().join("\n")
}

fn ours(path: &Path, meta: &Meta, numbers: usize) -> Info {
    let name = match meta.kind {
        Kind::Generator => "generator",
        Kind::Discriminator => "discriminator",
        Kind::State => "state",
    };
    let text = table(&[
        (name, path.display().to_string()),
        ("model", model(&meta.model)),
        ("numbers", numbers.to_string()),
        ("trained", format!("{} steps, to epoch {}", meta.step, meta.epoch)),
        ("recipe", format!("{} ({})", meta.recipe.name, meta.recipe.schedule.length)),
        ("seed", meta.recipe.seed.to_string()),
        ("shard", format!("{}, {} pictures", meta.shard.name, meta.shard.pictures)),
        ("shard sha256", meta.shard.hash.clone()),
        ("made by", format!("train {}", meta.tool)),
    ]);
    Info { text, json: serde_json::to_value(meta).expect("a recipe's numbers are finite") }
}

fn foreign(path: &Path, config: &ModelConfig, numbers: usize) -> Info {
    let text = table(&[
        ("generator", path.display().to_string()),
        ("model", model(config)),
        ("numbers", numbers.to_string()),
        ("made by", "another program: what it is, its shapes tell".to_string()),
    ]);
    Info { text, json: json!({ "kind": Kind::Generator, "model": config }) }
}

/// One line about a model.
fn model(config: &ModelConfig) -> String {
    let (h, w, c) = config.image_shape();
    match config {
        ModelConfig::Dcgan(m) => format!("DCGAN {h}×{w}×{c}, nz {}, ngf {}, ndf {}", m.nz, m.ngf, m.ndf),
        ModelConfig::Mlp(m) => {
            format!("MLP {h}×{w}×{c}, nz {}, hidden G {:?}, D {:?}", m.nz, m.hidden_g, m.hidden_d)
        }
    }
}
