//! What a file is: for `--info`.

use std::path::Path;

use serde_json::{Value, json};

use super::file::Weights;
use super::{Kind, Meta, meta};
use crate::model::ModelConfig;
use crate::shard::Shard;
use crate::{Error, Result};

/// What a file is, in lines for people and in JSON for programs.
pub struct Info {
    /// (name, value) pairs in reading order.
    pub lines: Vec<(&'static str, String)>,
    /// The same as one object.
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
        return shard(path);
    }
    let numbers: usize = shapes.values().map(|s| s.iter().product::<usize>()).sum();
    match meta(path, &weights)? {
        Some(meta) => Ok(ours(&meta, numbers)),
        None => match ModelConfig::from_generator_weights(&shapes) {
            Ok(model) => Ok(foreign(&model, numbers)),
            Err(e) => Err(Error::file(path, format!("neither a shard nor weights that gantools knows ({e})"))),
        },
    }
}

fn ours(meta: &Meta, numbers: usize) -> Info {
    let kind = match meta.kind {
        Kind::Generator => "a generator",
        Kind::Discriminator => "a discriminator",
        Kind::State => "a run's state: generator, discriminator, Adam's moments",
    };
    let lines = vec![
        ("file", kind.to_string()),
        ("model", model(&meta.model)),
        ("numbers", numbers.to_string()),
        ("trained", format!("{} steps, to epoch {}", meta.step, meta.epoch)),
        ("recipe", format!("{}: {}", meta.recipe.name, meta.recipe.schedule.length)),
        ("seed", meta.recipe.seed.to_string()),
        ("shard", format!("{} ({} pictures, {})", meta.shard.name, meta.shard.pictures, meta.shard.hash)),
        ("written by", format!("gantools {}", meta.tool)),
    ];
    let mut json = serde_json::to_value(meta).expect("a recipe's numbers are finite");
    json["numbers"] = numbers.into();
    Info { lines, json }
}

fn foreign(config: &ModelConfig, numbers: usize) -> Info {
    let lines = vec![
        ("file", "a generator, by its shapes; not written by gantools".to_string()),
        ("model", model(config)),
        ("numbers", numbers.to_string()),
    ];
    Info { lines, json: json!({ "kind": Kind::Generator, "model": config, "numbers": numbers }) }
}

/// One line about a model.
fn model(config: &ModelConfig) -> String {
    let (h, w, c) = config.image_shape();
    match config {
        ModelConfig::Dcgan(m) => {
            format!("DCGAN {w}×{h}×{c}, nz {}, ngf {}, ndf {}, leaky slope {}", m.nz, m.ngf, m.ndf, m.leaky_slope)
        }
    }
}
