//! The two containers of `torch.save`: a zip, and that of PyTorch before 1.6.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Objects, TorchObject};
use super::{SavedContents, View};
use crate::io::pickle::{Id, Pickle, PickleValue};
use crate::io::safetensors::is_float;
use crate::io::state_dict::{StateDict, TensorSpec, join};

/// The start of the older container: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The only version of the older container.
const LEGACY_VERSION: i64 = 1001;

const BIG_ENDIAN: &str = "written on a big-endian machine, which is not supported";

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(LEGACY_MAGIC)
}

/// What a container holds: a pickled object, and where the storages of its tensors lie in a file of `len`
/// bytes.
pub(super) struct Container {
    object: Pickle<TorchObject>,
    places: BTreeMap<String, Range<usize>>,
    len: usize,
}

/// Opens either container.
pub(super) fn open(bytes: &[u8], objects: Objects) -> Result<Container, String> {
    match is_legacy(bytes) {
        true => legacy(bytes, objects),
        false => zip(bytes, objects),
    }
}

/// The older container: magic number, version, a description of the system, the object, the list of the
/// storages' keys, each a pickle; then of each storage the number of its elements (i64) and its data.
fn legacy(bytes: &[u8], objects: Objects) -> Result<Container, String> {
    let mut at = LEGACY_MAGIC.len();
    let mut next = || {
        let pickle = Pickle::read(Cursor::new(&bytes[at..]), &objects)?;
        at += pickle.len as usize;
        Ok::<_, String>(pickle)
    };
    let version = next()?;
    if *version.values.get(version.root) != PickleValue::Int(LEGACY_VERSION) {
        return Err("an unknown version of the container of torch.save".to_string());
    }
    let system = next()?;
    if let PickleValue::Dict(items) = system.values.get(system.root) {
        let little = items.iter().find(|(key, _)| system.values.text(*key) == Some("little_endian"));
        if little.is_some_and(|&(_, value)| *system.values.get(value) == PickleValue::Bool(false)) {
            return Err(BIG_ENDIAN.to_string());
        }
    }
    let object = next()?;
    let keys = next()?;
    let PickleValue::List(ids) = keys.values.get(keys.root) else {
        return Err("damaged: no list of storages".to_string());
    };
    let sizes = storages(&object);
    let mut places = BTreeMap::new();
    for &id in ids {
        let key = keys.values.text(id).ok_or("damaged: a storage without a name")?;
        let (dtype, elements) = *sizes.get(key).ok_or("damaged: a storage that no tensor uses")?;
        let count = bytes.get(at..at + 8).ok_or("cut short; fetch it again")?;
        let count = i64::from_le_bytes(super::first(count));
        if usize::try_from(count) != Ok(elements) {
            return Err(format!("damaged: storage {key} has {count} elements, not {elements}"));
        }
        let end = elements.checked_mul(dtype.bitsize() / 8).and_then(|n| (at + 8).checked_add(n));
        let end = end.filter(|&end| end <= bytes.len()).ok_or("cut short; fetch it again")?;
        places.insert(key.to_string(), at + 8..end);
        at = end;
    }
    Ok(Container { object, places, len: bytes.len() })
}

/// The zip: `NAME/data.pkl` and a stored entry `NAME/data/KEY` for each storage.
fn zip(bytes: &[u8], objects: Objects) -> Result<Container, String> {
    let damaged = |e: zip::result::ZipError| format!("a damaged zip; fetch it again: {e}");
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let names: Vec<String> = zip.file_names_raw().map(|n| String::from_utf8_lossy(n).into_owned()).collect();
    if let Some(what) = not_of_tensors(&names) {
        return Err(what.to_string());
    }
    let root = names
        .iter()
        .find_map(|name| name.strip_suffix("data.pkl").filter(|root| root.matches('/').count() <= 1))
        .ok_or("a zip, but not one of torch.save: it has no data.pkl")?
        .to_string();
    let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut object = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name.strip_prefix(&root) else { continue };
        let entry = zip.by_index(index).map_err(damaged)?;
        match name.strip_prefix("data/") {
            Some(key) => {
                if entry.compression() != CompressionMethod::Stored {
                    return Err(format!("a zip whose `{name}` is compressed, as torch.save never does"));
                }
                let from = entry.data_start().and_then(|n| usize::try_from(n).ok());
                let range = from.zip(usize::try_from(entry.size()).ok()).and_then(|(from, size)| {
                    let to = from.checked_add(size)?;
                    (to <= bytes.len()).then_some(from..to)
                });
                places.insert(key.to_string(), range.ok_or("a damaged zip; fetch it again")?);
            }
            None if name == "data.pkl" => {
                entry.take(1 << 24).read_to_end(&mut object).map_err(|e| e.to_string())?;
            }
            None if name == "byteorder" => {
                let mut order = String::new();
                entry.take(16).read_to_string(&mut order).map_err(|e| e.to_string())?;
                if order != "little" {
                    return Err(BIG_ENDIAN.to_string());
                }
            }
            None => {}
        }
    }
    Ok(Container { object: Pickle::read(Cursor::new(object), &objects)?, places, len: bytes.len() })
}

/// Element type and count of every storage that a pickle names.
fn storages(object: &Pickle<TorchObject>) -> BTreeMap<&str, (Dtype, usize)> {
    let mut storages = BTreeMap::new();
    for value in object.values.iter() {
        if let PickleValue::Object(TorchObject::Storage { dtype, key, elements }) = value {
            storages.insert(key.as_str(), (*dtype, *elements));
        }
    }
    storages
}

/// What a zip without tensors is, by the names of its entries.
fn not_of_tensors(names: &[String]) -> Option<&'static str> {
    let has = |what: &str| names.iter().any(|name| name.ends_with(what));
    Some(match () {
        _ if has("/constants.pkl") || names.iter().any(|name| name.contains("/code/")) => {
            "a TorchScript archive (torch.jit.save), which is a program; save the weights: \
             torch.save(torch.jit.load(F).state_dict(), \"G.pth\")"
        }
        _ if has("model.weights.h5") || has("saved_model.pb") => {
            "a model of Keras or TensorFlow; PyTorch's weights are read"
        }
        _ if has("archive_format") || has("models/model.json") => {
            "an exported program (torch.export.save); save the weights: torch.save(netG.state_dict(), \
             \"G.pth\")"
        }
        _ if has(".npy") => "a zip of numpy arrays (.npz), not what torch.save writes",
        _ => return None,
    })
}

impl Container {
    /// The tensors of the dictionary that the object is.
    pub(super) fn views(&self) -> Result<BTreeMap<String, View>, String> {
        let PickleValue::Dict(items) = self.object.values.get(self.object.root) else {
            return Err("not a dictionary of tensors; save the model's state_dict()".to_string());
        };
        let tensors = items.iter().filter_map(|&(key, value)| Some((key, self.view(value)?)));
        let named = |(key, view): (Id, Result<View, &str>)| {
            let name = self.object.values.text(key).ok_or("damaged: a tensor without a name")?;
            Ok((name.to_string(), view.map_err(|what| format!("tensor `{name}`{what}"))?))
        };
        tensors.map(named).collect()
    }

    /// The tensor that a value is, or what is wrong with it. `None` if it is no tensor.
    fn view(&self, value: Id) -> Option<Result<View, &'static str>> {
        let PickleValue::Object(TorchObject::Tensor { storage, offset, shape, strides }) =
            self.object.values.get(value)
        else {
            return None;
        };
        let PickleValue::Object(TorchObject::Storage { dtype, key, .. }) = self.object.values.get(*storage)
        else {
            return None;
        };
        let Some(place) = self.places.get(key) else { return Some(Err(": its data is missing")) };
        let from = offset.checked_mul(dtype.bitsize() / 8).and_then(|offset| place.start.checked_add(offset));
        let (dtype, shape, strides) = (*dtype, shape.clone(), strides.clone());
        let view = from
            .filter(|&from| from <= place.end)
            .and_then(|from| View { dtype, shape, strides, bytes: from..place.end }.checked(self.len));
        Some(view.ok_or(" lies outside its storage"))
    }

    /// All dictionaries of tensors at any depth.
    pub(super) fn saved(&self) -> Result<(SavedContents, BTreeMap<String, View>), String> {
        let (values, root) = (&self.object.values, self.object.root);
        let (mut saved, mut views) = (SavedContents::default(), BTreeMap::new());
        // Each is visited once: references may form a circle, or be many.
        let mut seen = vec![false; values.len()];
        seen[root] = true;
        let (mut ahead, mut visited) = (vec![(root, String::new())], 0);
        while let Some((id, path)) = ahead.pop() {
            visited += 1;
            if visited + views.len() > MAX_NAMES {
                return Err("it holds more than a checkpoint does".to_string());
            }
            let mut deeper = Vec::new();
            let mut visit = |id: Id, name: &str| {
                use PickleValue::{Int, Other, Text};
                let holds = !matches!(values.get(id), Int(_) | Other | Text(..));
                if holds && path.len() + name.len() < MAX_NAME && !std::mem::replace(&mut seen[id], true) {
                    deeper.push((id, join(&path, name)));
                }
            };
            match values.get(id) {
                PickleValue::Object(TorchObject::Foreign(class)) => saved.objects.push((path, class.clone())),
                PickleValue::List(ids) | PickleValue::Tuple(ids) => {
                    ids.iter().enumerate().for_each(|(i, &id)| visit(id, &i.to_string()));
                }
                PickleValue::Dict(items) => {
                    if items.iter().any(|(key, _)| values.text(*key) == Some("param_groups")) {
                        saved.optimizer = true;
                        continue;
                    }
                    let mut tensors = Vec::new();
                    for &(key, value) in items {
                        let name = match values.get(key) {
                            PickleValue::Text(Some(name), _) => name.clone(),
                            PickleValue::Int(n) => n.to_string(),
                            _ => continue,
                        };
                        let Some(view) = self.view(value) else {
                            visit(value, &name);
                            continue;
                        };
                        let full = join(&path, &name);
                        let view = view.map_err(|what| format!("tensor `{full}`{what}"))?;
                        let spec =
                            TensorSpec { name, shape: view.shape.clone(), float: is_float(view.dtype) };
                        if views.insert(full, view).is_none() {
                            tensors.push(spec);
                        }
                        if visited + views.len() > MAX_NAMES {
                            break;
                        }
                    }
                    if !tensors.is_empty() {
                        saved.dictionaries.push(StateDict { path: path.clone(), tensors, ordered: true });
                    }
                }
                _ => {}
            }
            ahead.extend(deeper.into_iter().rev());
        }
        Ok((saved, views))
    }
}

/// The longest full name of a tensor, in bytes.
const MAX_NAME: usize = 1000;
/// The most tensors and other objects of a checkpoint.
const MAX_NAMES: usize = 100_000;
