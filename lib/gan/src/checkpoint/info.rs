//! What a file is: for `--info`.

use std::path::Path;

use serde_json::{Value, json};

use super::{CheckpointKind, CheckpointMeta, Opened, open};
use crate::Result;
use crate::checkpoint::foreign::{LayoutHints, ModelSummary};
use crate::data::shard::Shard;

/// What a file is.
pub struct Info {
    /// A short table for people: a name and a value in each line.
    pub text: String,
    /// The same as one JSON object, with `path` and `kind`.
    pub json: Value,
}

/// Describes the file `path`: a shard, a generator (of gantools or another program), a discriminator or the
/// state of a run. `hints` are what the file of another program does not contain. Reads headers only.
///
/// # Errors
/// It is none of them; one line says why.
pub fn info(path: &Path, hints: &LayoutHints) -> Result<Info> {
    let (mut info, elements) = match open(path)? {
        Opened::Shard => {
            let (text, mut json) = Shard::open(path)?.header_info();
            json["kind"] = "shard".into();
            return Ok(Info { text, json });
        }
        Opened::Ours(weights, meta) => (ours(path, &meta, weights.num_elements()), weights.num_elements()),
        Opened::Foreign(weights) => {
            let found = weights.find(path, hints)?;
            let elements = weights.num_elements();
            (others(path, &found.summary, elements), elements)
        }
    };
    info.json["path"] = path.display().to_string().into();
    info.json["elements"] = elements.into();
    Ok(info)
}

/// (name, value) pairs as a table.
fn table(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<13} {value}")).collect::<Vec<_>>().join("\n")
}

fn ours(path: &Path, meta: &CheckpointMeta, elements: usize) -> Info {
    let json = serde_json::to_value(meta).expect("a recipe's numbers are finite");
    let text = table(&[
        (json["kind"].as_str().unwrap_or_default(), path.display().to_string()),
        ("model", meta.model.describe()),
        ("elements", elements.to_string()),
        ("trained", format!("{} steps, to epoch {}", meta.step, meta.epoch)),
        ("recipe", format!("{} ({})", meta.recipe.name, meta.recipe.schedule.length())),
        ("seed", meta.recipe.seed.to_string()),
        ("shard", format!("{}, {} images", meta.shard.name, meta.shard.images)),
        ("shard sha256", meta.shard.hash.clone()),
        ("made by", format!("train {}", meta.tool)),
    ]);
    Info { text, json }
}

fn others(path: &Path, summary: &ModelSummary, elements: usize) -> Info {
    let mut rows = vec![
        ("generator", path.display().to_string()),
        ("model", summary.text()),
        ("elements", elements.to_string()),
        ("made by", "another program (the model is inferred from its names and shapes)".to_string()),
    ];
    if !summary.prefix.is_empty() {
        rows.push(("prefix", summary.prefix.clone()));
    }
    if !summary.assumed.is_empty() {
        let hints = summary.hints.join(", ");
        let hints = if hints.is_empty() { hints } else { format!(" (hints: {hints})") };
        rows.push(("assumed", format!("{}{hints}", summary.assumed)));
    }
    Info { text: table(&rows), json: json!({ "kind": CheckpointKind::Generator, "model": summary }) }
}
