//! Opens an input by what it is. Only this file knows all formats.

use std::fs;
use std::path::Path;

use super::array::ImageArray;
use super::file_set::FileSet;
use super::file_slice::FileSlice;
use super::file_type::{self, Classifier, FileType, dotted, is_image_name};
use super::folder::ImageFolder;
use super::input::{OpenedInput, Recursion};
use super::skipped::SkippedFiles;
use super::tar::Tar;
use super::zip::{Zip, is_zip};
use super::{choose, cifar, idx, npy, parquet, pickle, unsupported};
use crate::data::image::sniff;
use crate::error::counted;
use crate::io::npz::NPY_MAGIC;
use crate::{Error, Result};

/// Opens a folder or a file. Of the IDX files of a folder or an archive it takes the one that `idx` names.
///
/// # Errors
/// It is broken, or holds no images that are read; one line says what it is and what to do.
pub(super) fn open(path: &Path, recursion: Recursion, idx: Option<&str>) -> Result<OpenedInput> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    if metadata.is_dir() {
        let folder = ImageFolder::open(path, recursion)?;
        return open_container(path, Box::new(folder), SkippedFiles::new(), recursion, idx);
    }
    if !metadata.is_file() {
        return Err(Error::file(path, "neither a file nor a folder"));
    }
    let file = FileSlice::open(path)?;
    let head = file.head(8)?;
    if is_zip(&head) {
        let zip = Zip::open(&file)?;
        return match zip.is_npz() {
            true => npy::open_npz(path, &zip),
            false => open_container(path, Box::new(zip), SkippedFiles::new(), recursion, idx),
        };
    }
    if idx::is_idx(&file)? {
        return Ok(OpenedInput::all(idx::open(&file)?));
    }
    if is_image(&file) {
        return Ok(OpenedInput::all(ImageFolder::single(path)));
    }
    if head.starts_with(NPY_MAGIC) {
        return Ok(OpenedInput::all(npy::open(path, &file)?));
    }
    if head.starts_with(file_type::PARQUET_MAGIC) && file.tail(4)? == file_type::PARQUET_MAGIC {
        return parquet::open(path, &[file]);
    }
    if let Some((tar, skipped)) = Tar::open(&file)? {
        return open_container(path, Box::new(tar), skipped, recursion, idx);
    }
    match cifar::block(&file)? {
        Some((batch, layout)) => Ok(OpenedInput::all(ImageArray::of_bytes(path, vec![batch], layout)?)),
        None => Err(unsupported::file(&file)),
    }
}

/// Whether a file is an image by its extension or its first bytes.
fn is_image(file: &FileSlice) -> bool {
    let head = || file.head(file_type::HEAD).unwrap_or_default();
    is_image_name(&file.name.to_string_lossy()) || sniff(&head()).is_some_and(|format| format.is_read())
}

/// Whether an input is a single image. A zip or an IDX file may have any extension.
pub(super) fn is_single_image(path: &Path) -> bool {
    let is_image = |file: FileSlice| {
        is_image(&file) && !is_zip(&file.head(4).unwrap_or_default()) && !idx::is_idx(&file).unwrap_or(false)
    };
    path.is_file() && FileSlice::open(path).is_ok_and(is_image)
}

/// Whether `path` holds images in a format that may also hold statistics: an `.npz` with an array of three or
/// four dimensions and no covariance, or a pickled batch.
pub(crate) fn holds_images(path: &Path) -> bool {
    let holds_images = || -> Result<bool> {
        let file = FileSlice::open(path)?;
        let head = file.head(8)?;
        if is_zip(&head) {
            let zip = Zip::open(&file)?;
            return Ok(zip.is_npz() && npy::is_of_images(path, &zip)?);
        }
        Ok(pickle::is_pickle(&head) && cifar::block(&file)?.is_some())
    };
    path.is_file() && holds_images().unwrap_or(false)
}

/// The images in a folder or an archive: those of an IDX file that is meant; else all images; else batches,
/// an array or tables.
fn open_container(
    path: &Path,
    files: Box<dyn FileSet>,
    mut skipped: SkippedFiles,
    recursion: Recursion,
    idx: Option<&str>,
) -> Result<OpenedInput> {
    let names = files.names();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let mut classifier = Classifier::default();
    let (mut images, mut sets, mut archives, mut below) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, name) in names.iter().enumerate() {
        let head = || files.head(i, file_type::HEAD).unwrap_or_default();
        match classifier.classify(name, head) {
            FileType::Image => match files.excludes(name) {
                None => images.push(i),
                Some(reason) => {
                    skipped.add(&reason, name);
                    below.extend(name.split_once('/').map(|(folder, _)| folder));
                }
            },
            FileType::Idx => sets.push(i),
            FileType::Archive => archives.push(i),
            FileType::Other => {}
        }
    }
    skipped.merge(&classifier.skipped);
    let set_names: Vec<&str> = sets.iter().map(|&i| names[i]).collect();
    let same = |a: usize, b: usize| match (files.open(sets[a]), files.open(sets[b])) {
        (Ok(a), Ok(b)) => idx::is_same(&a, &b),
        _ => false,
    };
    if let Some(set) = choose::idx_file(path, &set_names, images.len(), recursion, idx, same)? {
        let mut file = files.open(sets[set])?;
        file.version = files.version(sets[set]).unwrap_or(file.version);
        images.iter().for_each(|&i| skipped.add("beside the IDX file", names[i]));
        let chosen = Some(set_names[set].to_string());
        return Ok(OpenedInput { chosen, skipped, ..OpenedInput::all(idx::open(&file)?) });
    }
    if !images.is_empty() {
        set_names.iter().for_each(|name| skipped.add("IDX", name));
        archives.iter().for_each(|&i| skipped.add(&dotted(names[i]), names[i]));
        let images = files.into_images(images)?;
        return Ok(OpenedInput { images, chosen: None, skipped });
    }
    if !below.is_empty() {
        return Err(Error::file(path, in_subfolders(below)));
    }
    if let Some(found) = open_set(path, &*files, &names)? {
        return Ok(found);
    }
    if !files.is_archive()
        && archives.iter().any(|&i| files.open(i).is_ok_and(|file| unsupported::is_readable(&file)))
    {
        let what = match archives[..] {
            [one] => format!("no images in it, but it holds {}: name that", names[one]),
            _ => format!(
                "no images in it, but it holds {} archives: name one of them, such as {}",
                archives.len(),
                names[archives[0]]
            ),
        };
        return Err(Error::file(path, what));
    }
    Err(unsupported::container(path, &names, &*files, &skipped))
}

/// Where the images are that pytorch-fid would not find. `folders` has the subfolder of each.
fn in_subfolders(mut folders: Vec<&str>) -> String {
    let images = folders.len();
    folders.dedup();
    let lie = if images == 1 { "its only image lies".into() } else { format!("its {images} images lie") };
    let count =
        if folders.len() == 1 { "a subfolder".into() } else { counted(folders.len() as u64, "subfolder") };
    let more = if folders.len() > 3 { ", …" } else { "" };
    let first = folders[..folders.len().min(3)].join(", ");
    format!("{lie} in {count} ({first}{more}); pytorch-fid reads one level: name one, or a zip of all")
}

/// Batches, tables or an array among files none of which is an image.
fn open_set(path: &Path, files: &dyn FileSet, names: &[&str]) -> Result<Option<OpenedInput>> {
    let with_extension = |extension: &str| -> Vec<usize> {
        (0..names.len()).filter(|&i| names[i].to_lowercase().ends_with(extension)).collect()
    };
    let open = |taken: &[usize]| taken.iter().map(|&i| files.open(i)).collect::<Result<Vec<_>>>();
    if let Some(chosen) = cifar::batches(path, names) {
        let images = cifar::open(path, &open(&chosen.files)?)?;
        let (name, skipped) = (Some(chosen.name), chosen.skipped);
        return Ok(Some(OpenedInput { chosen: name, skipped, ..OpenedInput::all(images) }));
    }
    let tables = with_extension(".parquet");
    if !tables.is_empty() {
        let chosen = choose::training(names, tables);
        let mut opened = parquet::open(path, &open(&chosen.files)?)?;
        opened.skipped.merge(&chosen.skipped);
        return Ok(Some(OpenedInput { chosen: Some(chosen.name), ..opened }));
    }
    let arrays = with_extension(".npy");
    match arrays[..] {
        [] => Ok(None),
        [one] => {
            let opened = OpenedInput::all(npy::open(path, &files.open(one)?)?);
            Ok(Some(OpenedInput { chosen: Some(names[one].to_string()), ..opened }))
        }
        _ => {
            let listed: Vec<&str> = arrays.iter().take(8).map(|&i| names[i]).collect();
            let (n, listed) = (arrays.len(), listed.join(", "));
            Err(Error::file(path, format!("no images in it, but {n} arrays: name one of them ({listed})")))
        }
    }
}

#[cfg(test)]
mod tests;
