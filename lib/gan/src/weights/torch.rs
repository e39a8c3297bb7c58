//! The two containers of `torch.save`: a zip, and what it wrote before version 1.6.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{Pickle, Value};
use super::{DType, View};

/// A pickle of the number 0x1950a86a20f9469cfc6c: how the older container begins.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The version of the older container that was ever used.
const LEGACY_VERSION: i64 = 1001;

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(LEGACY_MAGIC)
}

/// The older container: magic number, version, a description of the system, the object, the list of the storages'
/// keys, each a pickle; then of each storage the number of its elements (i64) and its data.
pub(super) fn legacy_views(bytes: &[u8]) -> Result<BTreeMap<String, View>, String> {
    let mut at = LEGACY_MAGIC.len();
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok::<_, String>(pickle)
    };
    let version = next()?;
    if *version.get(version.root) != Value::Int(LEGACY_VERSION) {
        return Err("a version of torch's container that is not known".to_string());
    }
    let system = next()?;
    if let Value::Dict(items) = system.get(system.root) {
        let little = items.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
        if little.is_some_and(|&(_, value)| *system.get(value) == Value::Bool(false)) {
            return Err("written on a big-endian machine, which is not read".to_string());
        }
    }
    let object = next()?;
    let keys = next()?;
    let Value::List(ids) = keys.get(keys.root) else {
        return Err("damaged: no list of storages".to_string());
    };
    let sizes = storages(&object);
    let mut places = BTreeMap::new();
    for &id in ids {
        let key = keys.text(id).ok_or("damaged: a storage without a name")?;
        let (dtype, elements) = *sizes.get(key).ok_or("damaged: a storage that no tensor uses")?;
        let count = bytes.get(at..at + 8).ok_or("cut short; fetch it again")?;
        let count = i64::from_le_bytes(super::first(count));
        if usize::try_from(count) != Ok(elements) {
            return Err(format!("damaged: storage {key} has {count} elements, not {elements}"));
        }
        let end = elements.checked_mul(dtype.size()).and_then(|n| (at + 8).checked_add(n));
        let end = end.filter(|&end| end <= bytes.len()).ok_or("cut short; fetch it again")?;
        places.insert(key.to_string(), at + 8..end);
        at = end;
    }
    views(&object, &places, bytes.len())
}

/// The zip: `NAME/data.pkl` and a stored entry `NAME/data/KEY` for each storage.
pub(super) fn zip_views(bytes: &[u8]) -> Result<BTreeMap<String, View>, String> {
    let damaged = |e: zip::result::ZipError| format!("a damaged zip; fetch it again: {e}");
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let names: Vec<String> = zip.file_names_raw().map(|n| String::from_utf8_lossy(n).into_owned()).collect();
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
                    return Err("written on a big-endian machine, which is not read".to_string());
                }
            }
            None => {}
        }
    }
    views(&Pickle::read(&object)?, &places, bytes.len())
}

/// Element type and count of every storage that a pickle names.
fn storages(object: &Pickle) -> BTreeMap<&str, (DType, usize)> {
    let storage = |value| match value {
        &Value::Storage { dtype, ref key, elements } => Some((key.as_str(), (dtype, elements))),
        _ => None,
    };
    object.values.iter().filter_map(storage).collect()
}

/// The tensors of the dictionary that a pickle holds, given where the storages lie in a file of `len` bytes.
fn views(
    object: &Pickle,
    places: &BTreeMap<String, Range<usize>>,
    len: usize,
) -> Result<BTreeMap<String, View>, String> {
    let Value::Dict(items) = object.get(object.root) else {
        return Err("not a dictionary of tensors; save the model's state_dict()".to_string());
    };
    let mut views = BTreeMap::new();
    for &(key, value) in items {
        let (Some(name), Value::Tensor { storage, offset, shape, strides }) =
            (object.text(key), object.get(value))
        else {
            continue;
        };
        let Value::Storage { dtype, key, .. } = object.get(*storage) else { continue };
        let place = places.get(key).ok_or_else(|| format!("tensor `{name}`: its data is missing"))?;
        let view = offset
            .checked_mul(dtype.size())
            .and_then(|offset| place.start.checked_add(offset))
            .filter(|&start| start <= place.end)
            .and_then(|start| View::new(*dtype, shape.clone(), strides.clone(), start..place.end, len))
            .ok_or_else(|| format!("tensor `{name}` lies outside its storage"))?;
        views.insert(name.to_string(), view);
    }
    Ok(views)
}
