//! `G.safetensors`, `D.safetensors` and `state.safetensors`: atomic, self-describing, the same bytes every time.
//!
//! Weights have PyTorch's names and layouts. The one metadata key, `gantools`, holds a [`Meta`] as JSON.

pub(crate) mod file;
mod info;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::layer::Network;
use crate::model::ModelConfig;
use crate::recipe::Recipe;
use crate::{Error, Result};
use file::Weights;
pub use info::{Info, info};

/// The state before the last one, in a run folder.
pub const PREVIOUS: &str = "state.previous.safetensors";
/// The key in the metadata of a file's [`file::SEAL`].
const SHA256: &str = "sha256";

/// What a file of weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A generator's weights.
    Generator,
    /// A discriminator's weights.
    Discriminator,
    /// Both, with the optimisers' moments: all that a run is.
    State,
}

impl Kind {
    /// Its file's name in a run folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Kind::Generator => "G.safetensors",
            Kind::Discriminator => "D.safetensors",
            Kind::State => "state.safetensors",
        }
    }
}

/// What a file of ours says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// The networks' architecture and sizes.
    pub model: ModelConfig,
    /// What it was trained with, the seed included.
    pub recipe: Recipe,
    /// The pictures that it was trained on.
    pub shard: ShardId,
    /// Steps that were taken.
    pub step: u64,
    /// The epoch of the last of them, from 1.
    pub epoch: u64,
    /// The version of gantools that wrote it.
    pub tool: String,
}

/// Which pictures: enough to know them again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardId {
    /// The shard's file name.
    pub name: String,
    /// The hash of its pictures, as its header has it.
    pub hash: String,
    /// How many pictures.
    pub pictures: usize,
}

/// Writes `tensors` (f32 or i64) with `meta` and a hash of it all to `path`, whole or not at all; the same content gives the same
/// bytes.
///
/// # Errors
/// What the operating system refuses.
pub fn write(path: &Path, meta: &Meta, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut json = serde_json::to_value(meta).expect("a recipe's numbers are finite");
    json[SHA256] = file::SEAL.into();
    // A `Value`'s keys are sorted.
    file::write(path, &json.to_string(), tensors)
}

/// A run's state: all that it needs to go on.
pub struct State {
    /// What it is of.
    pub meta: Meta,
    /// The tensors of [`crate::train::Trainer::tensors`].
    pub tensors: HashMap<String, Tensor>,
}

/// [`write`] of a run's state, which keeps what was there as [`PREVIOUS`] beside it.
///
/// # Errors
/// What the operating system refuses; then what was there is there still.
pub fn write_state(path: &Path, meta: &Meta, tensors: &[(String, Tensor)]) -> Result<()> {
    if path.exists() {
        let previous = path.with_file_name(PREVIOUS);
        // At no moment is there no state: the old one gets a second name before the new one takes its first.
        let part = path.with_file_name(".state.part");
        // A killed run may have left it.
        let _ = std::fs::remove_file(&part);
        let linked = std::fs::hard_link(path, &part).or_else(|_| std::fs::copy(path, &part).map(drop));
        let renamed = linked.and_then(|()| std::fs::rename(&part, &previous));
        // It is there still if that failed; or if it did nothing, since both were one file, where a run was killed at this place.
        let _ = std::fs::remove_file(&part);
        renamed.map_err(Error::io(&previous))?;
    }
    write(path, meta, tensors)
}

/// Reads the state of the run in `folder`: the last one, or where that is damaged the one before. What is wrong with the last
/// one, if so, is told beside it.
///
/// # Errors
/// Neither is there and whole: what is wrong with the last.
pub fn state(folder: &Path) -> Result<(State, Option<Error>)> {
    let last = read_state(&folder.join(Kind::State.file_name()));
    match last {
        Ok(state) => Ok((state, None)),
        Err(e) => match read_state(&folder.join(PREVIOUS)) {
            Ok(state) => Ok((state, Some(e))),
            Err(_) => Err(e),
        },
    }
}

fn read_state(path: &Path) -> Result<State> {
    let weights = Weights::open(path)?;
    let Some(meta) = meta(path, &weights)?.filter(|meta| meta.kind == Kind::State) else {
        return Err(Error::file(path, "is not a run's state"));
    };
    let (tensors, _) = read_sealed(path, weights)?;
    Ok(State { meta, tensors })
}

/// Reads a file of ours, as [`write`] wrote it.
fn read_sealed(path: &Path, weights: Weights) -> Result<(HashMap<String, Tensor>, String)> {
    let stored = weights.metadata().and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let seal = stored.and_then(|json| json[SHA256].as_str().map(String::from));
    weights.read_sealed(path, &seal.unwrap_or_default())
}

/// Whether every float among `tensors` is finite.
///
/// # Errors
/// A tensor that cannot be read back.
pub fn is_finite(tensors: &[(String, Tensor)]) -> Result<bool> {
    for (_, tensor) in tensors {
        if tensor.dtype().is_float() && !file::is_finite(tensor)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A generator from a file, ready to sample from.
pub struct Generator {
    /// Its architecture.
    pub model: ModelConfig,
    /// The network with its weights.
    pub network: Network,
    /// What the file says about itself; `None` for a file that is not ours.
    pub meta: Option<Meta>,
    /// SHA-256 of the file, hexadecimal.
    pub hash: String,
}

/// Reads the generator in `path` to `device`: one of ours, or any other whose names and shapes are those of a DCGAN's
/// or an MLP's generator, such as the PyTorch tutorial's `state_dict` saved as safetensors.
///
/// # Errors
/// One line for each way in which the file is no such generator.
pub fn generator(path: &Path, device: &Device) -> Result<Generator> {
    let weights = Weights::open(path)?;
    let about = |e: Error| match e {
        Error::Invalid(what) => Error::file(path, what),
        other => other,
    };
    let meta = meta(path, &weights)?;
    let model = match &meta {
        Some(Meta { kind: Kind::Generator, model, .. }) => model.clone(),
        Some(Meta { kind, .. }) => {
            let is = if *kind == Kind::State { "a run's state" } else { "a discriminator" };
            let what = format!("is {is}, not a generator; that is {} beside it", Kind::Generator.file_name());
            return Err(Error::file(path, what));
        }
        None => ModelConfig::from_generator_weights(&weights.shapes()).map_err(about)?,
    };
    model.check().map_err(about)?;
    // A model is made before its weights are read: the file must be one of its size.
    if model.generator_numbers() > weights.numbers() {
        return Err(Error::file(path, "has fewer numbers than the generator that it says it is"));
    }
    let (tensors, hash) = match meta {
        Some(_) => read_sealed(path, weights)?,
        None => weights.read(path)?,
    };
    let mut network = model.blank_generator(device).map_err(about)?;
    network.load(&tensors).map_err(about)?;
    Ok(Generator { model, network, meta, hash })
}

/// What `weights` say about themselves; an error if that is not understood or if they are a shard or latents.
fn meta(path: &Path, weights: &Weights) -> Result<Option<Meta>> {
    let shapes = weights.shapes();
    if shapes.contains_key("images") {
        return Err(Error::file(path, "is a shard of pictures, not weights (`train` makes weights from it)"));
    }
    if shapes.contains_key("latents") {
        return Err(Error::file(
            path,
            "holds latents, not weights (`sample --latents` makes pictures of them)",
        ));
    }
    let parse = |json| {
        serde_json::from_str(json).map_err(|e| {
            Error::file(path, format!("its metadata is not understood ({e}); is it from another version?"))
        })
    };
    weights.metadata().map(parse).transpose()
}
