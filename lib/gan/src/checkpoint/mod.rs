//! `G.safetensors`, `D.safetensors` and `state.safetensors`: atomic, self-describing, the same bytes every
//! time.
//!
//! Weights have PyTorch's names and layouts. The one metadata key, `gantools`, holds a [`CheckpointMeta`] as
//! JSON.

pub mod foreign;
mod info;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::io::safetensors::{self, Weights};
use crate::io::weights::{SavedContents, Tensors, is_torch};
use crate::nn::Network;
use crate::nn::model::ModelConfig;
use crate::recipe::Recipe;
use crate::{Error, Result};
use foreign::{FoundGenerator, LayoutHints, ModelSummary, TensorSpec};
pub use info::{Info, info};

/// The state before the last one, in a run folder.
pub const PREVIOUS: &str = "state.previous.safetensors";
/// The key in the metadata of a file's [`safetensors::SEAL`].
const SHA256: &str = "sha256";

/// What a file of weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointKind {
    /// A generator's weights.
    Generator,
    /// A discriminator's weights.
    Discriminator,
    /// Both, with the optimizers' moments: all that a run is.
    State,
}

impl CheckpointKind {
    /// Its file's name in a run folder.
    pub fn file_name(self) -> &'static str {
        match self {
            CheckpointKind::Generator => "G.safetensors",
            CheckpointKind::Discriminator => "D.safetensors",
            CheckpointKind::State => "state.safetensors",
        }
    }
}

/// The metadata of a file of gantools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// What it is.
    pub kind: CheckpointKind,
    /// The networks' architecture and sizes.
    pub model: ModelConfig,
    /// What it was trained with, the seed included.
    pub recipe: Recipe,
    /// The images that it was trained on.
    pub shard: ShardId,
    /// Steps that were taken.
    pub step: u64,
    /// The epoch of the last of them, from 1.
    pub epoch: u64,
    /// The version of gantools that wrote it.
    pub tool: String,
}

/// Identifies the images of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardId {
    /// The shard's file name.
    pub name: String,
    /// The hash of its images, as its header has it.
    pub hash: String,
    /// The number of images.
    #[serde(alias = "pictures")]
    pub images: usize,
}

/// Writes `tensors` (f32 or i64) with `meta` and a hash of the file to `path`, atomically; the same content
/// gives the same bytes.
///
/// # Errors
/// Those of the operating system.
pub fn write(path: &Path, meta: &CheckpointMeta, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut json = serde_json::to_value(meta).expect("a recipe's numbers are finite");
    json[SHA256] = safetensors::SEAL.into();
    // A `Value`'s keys are sorted.
    safetensors::write(path, &json.to_string(), tensors)
}

/// The state of a run: all that it needs to resume.
pub struct State {
    /// The run and its last step.
    pub meta: CheckpointMeta,
    /// The tensors of [`crate::train::Trainer::tensors`].
    pub tensors: HashMap<String, Tensor>,
}

/// [`write`] of a run's state, which keeps the old one as [`PREVIOUS`] beside it.
///
/// # Errors
/// Those of the operating system; then the old state is still there.
pub fn write_state(path: &Path, meta: &CheckpointMeta, tensors: &[(String, Tensor)]) -> Result<()> {
    if path.exists() {
        let previous = path.with_file_name(PREVIOUS);
        // There is always a state: the old one gets a second name before the new one replaces it.
        let part = path.with_file_name(".state.part");
        // A killed run may have left it.
        let _ = std::fs::remove_file(&part);
        let linked = std::fs::hard_link(path, &part).or_else(|_| std::fs::copy(path, &part).map(drop));
        let renamed = linked.and_then(|()| std::fs::rename(&part, &previous));
        // It still exists if the rename failed, or did nothing since both names are links to one file, as
        // after a kill at this point.
        let _ = std::fs::remove_file(&part);
        renamed.map_err(Error::io(&previous))?;
    }
    write(path, meta, tensors)
}

/// Reads the state of the run in `folder`: the last one, or the one before if the last one is damaged. The
/// second value is the error of a damaged last one.
///
/// # Errors
/// Both are missing or damaged: the error of the last one.
pub fn state(folder: &Path) -> Result<(State, Option<Error>)> {
    match read_state(&folder.join(CheckpointKind::State.file_name())) {
        Ok(state) => Ok((state, None)),
        Err(e) => {
            let Ok(state) = read_state(&folder.join(PREVIOUS)) else { return Err(e) };
            Ok((state, Some(e)))
        }
    }
}

fn read_state(path: &Path) -> Result<State> {
    let weights = Weights::open(path)?;
    let Some(meta) = meta(path, &weights)?.filter(|meta| meta.kind == CheckpointKind::State) else {
        return Err(Error::file(path, "is not a run's state"));
    };
    let (tensors, _) = read_sealed(&weights)?;
    Ok(State { meta, tensors })
}

/// Reads the tensors that [`write`] wrote, and the hash of the file.
fn read_sealed(weights: &Weights) -> Result<(HashMap<String, Tensor>, String)> {
    let stored = weights.metadata().and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let seal = stored.and_then(|json| json[SHA256].as_str().map(String::from));
    weights.read_sealed(&seal.unwrap_or_default())
}

/// Whether every float among `tensors` is finite.
///
/// # Errors
/// A tensor that cannot be read back.
pub fn is_finite(tensors: &[(String, Tensor)]) -> Result<bool> {
    let mut floats = tensors.iter().map(|(_, tensor)| tensor).filter(|tensor| tensor.dtype().is_float());
    floats.try_fold(true, |all, tensor| Ok(all && safetensors::is_finite(tensor)?))
}

/// A generator from a file, ready to sample from.
pub struct Generator {
    /// The network with its weights.
    pub network: Network,
    /// The length of a latent vector.
    pub latent_size: usize,
    /// Height, width and channels of an image.
    pub image_shape: (usize, usize, usize),
    /// The metadata; `None` for a file of another program.
    pub meta: Option<CheckpointMeta>,
    /// How a file of another program was understood.
    pub summary: Option<ModelSummary>,
    /// SHA-256 of the file, hexadecimal.
    pub hash: String,
}

impl Generator {
    /// A generator of `model`.
    pub fn new(model: &ModelConfig, network: Network, meta: Option<CheckpointMeta>, hash: String) -> Self {
        let (latent_size, image_shape) = (model.latent_size(), model.image_shape());
        Generator { network, latent_size, image_shape, meta, summary: None, hash }
    }
}

/// Reads the generator in `path` to `device`: one of gantools, or of another program whose layers [`foreign`]
/// knows, as safetensors or as `torch.save` wrote it. `hints` are what the file of another program does not
/// contain.
///
/// # Errors
/// The file is no such generator; `hints` for a file of gantools, which contains everything.
pub fn generator(path: &Path, hints: &LayoutHints, device: &Device) -> Result<Generator> {
    let weights = match open(path)? {
        Opened::Shard => return Err(is_shard(path)),
        Opened::Ours(weights, meta) => {
            if let Some(hint) = hints.first() {
                let what = format!("is for generators of other programs; {} is none", path.display());
                return Err(Error::argument(hint, what));
            }
            return ours(path, weights, *meta, device);
        }
        Opened::Foreign(weights) => weights,
    };
    let found = weights.find(path, hints)?;
    let (network, hash) = match &weights.tensors {
        Stored::Torch(file) => (found.network(device, &|name, shape| file.get(name, shape)), file.hash()),
        Stored::Safetensors(weights) => {
            let (tensors, hash) = weights.read()?;
            (found.network(device, &|name, _| Ok(tensors[name].flatten_all()?.to_vec1()?)), hash)
        }
    };
    let (network, summary) = (network.map_err(|e| e.at(path))?, found.summary);
    let image_shape = (summary.size, summary.size, summary.channels);
    Ok(Generator { network, latent_size: summary.nz, image_shape, meta: None, summary: Some(summary), hash })
}

/// Reads a generator of gantools.
fn ours(path: &Path, weights: Weights, meta: CheckpointMeta, device: &Device) -> Result<Generator> {
    if meta.kind != CheckpointKind::Generator {
        let is = if meta.kind == CheckpointKind::State { "a run's state" } else { "a discriminator" };
        let file = CheckpointKind::Generator.file_name();
        return Err(Error::file(path, format!("is {is}, not a generator; that is {file} beside it")));
    }
    meta.model.check().map_err(|e| e.at(path))?;
    // A model is made before its weights are read: the file must be one of its size.
    if meta.model.min_generator_elements() > weights.num_elements() {
        return Err(Error::file(path, "has fewer elements than its generator"));
    }
    let (tensors, hash) = read_sealed(&weights)?;
    let mut network = meta.model.blank_generator(device).map_err(|e| e.at(path))?;
    network.load(&tensors).map_err(|e| e.at(path))?;
    Ok(Generator::new(&meta.model.clone(), network, Some(meta), hash))
}

/// A file of weights, whose elements are not read yet.
enum Opened {
    Shard,
    Ours(Weights, Box<CheckpointMeta>),
    Foreign(Foreign),
}

/// Another program's weights.
struct Foreign {
    tensors: Stored,
    contents: SavedContents,
}

enum Stored {
    Safetensors(Weights),
    Torch(Tensors),
}

impl Foreign {
    /// The number of elements of all tensors.
    fn num_elements(&self) -> usize {
        let tensors = self.contents.dictionaries.iter().flat_map(|dict| &dict.tensors);
        tensors.map(|spec| spec.shape.iter().product::<usize>()).sum()
    }

    /// The generator in the file `path`.
    fn find(&self, path: &Path, hints: &LayoutHints) -> Result<FoundGenerator<'_>> {
        foreign::find(&self.contents.dictionaries, hints).map_err(|e| match e {
            Error::Invalid(what) => Error::file(path, self.explain(what)),
            other => other,
        })
    }

    /// Why no generator is in the file: `what`, or without weights the contents of the file.
    fn explain(&self, what: String) -> String {
        let SavedContents { dictionaries, objects, optimizer } = &self.contents;
        let is_weight = |spec: &TensorSpec| spec.float && spec.name.contains("weight");
        let weights = dictionaries.iter().any(|dict| dict.tensors.iter().any(is_weight));
        match (weights, objects.first()) {
            (true, _) => what,
            (false, Some((_, class))) if class.starts_with("numpy") => {
                "it holds numpy arrays, not tensors: make tensors of them (torch.from_numpy) and save those"
                    .to_string()
            }
            (false, Some((part, class))) => {
                let part = if part.is_empty() { String::new() } else { format!("[\"{part}\"]") };
                format!(
                    "a pickled object of the Python class {class}, not its tensors, and code is never run; \
                     in Python: torch.save(torch.load(F, weights_only=False){part}.state_dict(), \"G.pth\")"
                )
            }
            (false, None) if *optimizer => "an optimizer's state, not a generator".to_string(),
            (false, None) if dictionaries.is_empty() => "it holds no tensors".to_string(),
            (false, None) => what,
        }
    }
}

fn open(path: &Path) -> Result<Opened> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.is_dir() {
        return Err(Error::file(path, "is a folder, not a file of weights"));
    }
    file.take(START).read_to_end(&mut start).map_err(Error::io(path))?;
    let is_safetensors = start.get(8) == Some(&b'{');
    if !is_safetensors && is_torch(&start) {
        let (tensors, contents) = Tensors::read_saved(path)?;
        return Ok(Opened::Foreign(Foreign { tensors: Stored::Torch(tensors), contents }));
    }
    if let Some(what) = foreign::describe(path).filter(|_| !is_safetensors) {
        return Err(Error::file(path, what));
    }
    if !is_safetensors && !start.is_empty() {
        return Err(Error::file(path, "is neither a safetensors file nor what torch.save writes"));
    }
    let weights = Weights::open(path)?;
    if weights.shapes().contains_key("images") {
        return Ok(Opened::Shard);
    }
    if let Some(meta) = meta(path, &weights)? {
        return Ok(Opened::Ours(weights, Box::new(meta)));
    }
    let contents = SavedContents { dictionaries: vec![weights.state_dict()], ..Default::default() };
    Ok(Opened::Foreign(Foreign { tensors: Stored::Safetensors(weights), contents }))
}

/// Bytes at the beginning of a file that identify it.
const START: u64 = 64;

fn is_shard(path: &Path) -> Error {
    Error::file(path, "is a shard of images, not weights (`train` makes weights from it)")
}

/// The metadata of `weights`; an error if it is not understood, or for a shard or latents.
fn meta(path: &Path, weights: &Weights) -> Result<Option<CheckpointMeta>> {
    let shapes = weights.shapes();
    if shapes.contains_key("images") {
        return Err(is_shard(path));
    }
    if shapes.contains_key("latents") {
        let what = "holds latents, not weights (`sample --latents` makes images of them)";
        return Err(Error::file(path, what));
    }
    weights.metadata().map(serde_json::from_str).transpose().map_err(|e| {
        Error::file(path, format!("its metadata is not understood ({e}); is it from another version?"))
    })
}
