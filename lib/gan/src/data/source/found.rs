//! Images that are no files of their own: batches, arrays and tables, by themselves, in a folder, or in an
//! archive.

use std::fs;
use std::path::{Path, PathBuf};

use super::array::Array;
use super::idx::{self, Idx};
use super::packed::{Archived, Chosen, Packed};
use super::span::Span;
use super::unzip::Entries;
use super::{Input, PassedOver, Recursion, cifar, container, npy, parquet, pickle, tar};
use crate::{Error, Result};

/// How many files of a folder are looked at, and how deep.
const MOST: usize = 4096;
const DEPTH: usize = 4;

/// Files by name, each of which can be opened.
trait Files {
    fn names(&self) -> Vec<&str>;
    fn open(&self, i: usize) -> Result<Span>;
    fn head(&self, i: usize) -> Result<Vec<u8>>;
}

impl Files for Archived {
    fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.name.as_str()).collect()
    }

    fn open(&self, i: usize) -> Result<Span> {
        Archived::open(self, &self.members[i])
    }

    fn head(&self, i: usize) -> Result<Vec<u8>> {
        Files::open(self, i)?.head(container::HEAD)
    }
}

/// A zip's entries.
struct Zipped<'a>(&'a Entries, Vec<(String, usize)>);

impl Files for Zipped<'_> {
    fn names(&self) -> Vec<&str> {
        self.1.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn open(&self, i: usize) -> Result<Span> {
        let (name, entry) = &self.1[i];
        Ok(self.0.open_entry(name, *entry)?.named(name))
    }

    fn head(&self, i: usize) -> Result<Vec<u8>> {
        self.0.head(self.1[i].1, container::HEAD)
    }
}

/// A folder's files, which do not begin with a dot.
struct Dir(PathBuf, Vec<String>);

impl Files for Dir {
    fn names(&self) -> Vec<&str> {
        self.1.iter().map(String::as_str).collect()
    }

    fn open(&self, i: usize) -> Result<Span> {
        Span::whole(&self.0.join(&self.1[i]))
    }

    fn head(&self, i: usize) -> Result<Vec<u8>> {
        self.open(i)?.head(container::HEAD)
    }
}

/// What a file that is no zip, IDX file or image is.
///
/// # Errors
/// It is broken, or nothing that is read: then a line says what it is and what to do.
pub(super) fn in_file(path: &Path, recursion: Recursion, wanted: Option<&str>) -> Result<Box<dyn Input>> {
    let span = Span::whole(path)?;
    let head = span.head(8)?;
    if head.starts_with(npy::MAGIC) {
        return Ok(Box::new(npy::open(path, &span)?));
    }
    if head.starts_with(parquet::MAGIC) && span.tail(4)? == parquet::MAGIC {
        return Ok(Box::new(parquet::open(path, &[span])?));
    }
    if let Some(archived) = tar::open(&span)? {
        return in_tar(path, archived, recursion, wanted);
    }
    if let Some((batch, form)) = cifar::block(&span)? {
        return Ok(Box::new(Array::of_bytes(path, vec![batch], form)?));
    }
    Err(container::not_read(&span))
}

/// What a zip without images holds.
///
/// # Errors
/// Nothing that is read: a line says what it is and what to do.
pub(super) fn in_zip(path: &Path, passed: PassedOver) -> Result<Box<dyn Input>> {
    let entries = Entries::open(&Span::whole(path)?)?;
    let names = entries.names()?;
    let zipped = Zipped(&entries, names);
    match among(path, &zipped)? {
        Some(found) => Ok(found),
        None => Err(container::nothing_in(path, &zipped.names(), true, &passed, |i| zipped.head(i))),
    }
}

/// The images in an `.npz`; `None` where a file is none.
pub(super) fn in_npz(path: &Path) -> Result<Option<Box<dyn Input>>> {
    let span = Span::whole(path)?;
    if !npy::is_npz(&span)? {
        return Ok(None);
    }
    Ok(Some(Box::new(npy::open_npz(&span)?)))
}

/// See [`super::holds_images`].
///
/// # Errors
/// A broken file.
pub(super) fn holds_images(path: &Path) -> Result<bool> {
    if !fs::metadata(path).is_ok_and(|about| about.is_file()) {
        return Ok(false);
    }
    let span = Span::whole(path)?;
    match npy::is_npz(&span)? {
        true => npy::is_of_images(&span),
        false => Ok(pickle::is_pickle(&span.head(8)?) && cifar::block(&span)?.is_some()),
    }
}

/// What a folder without images holds; `None` where it is `archives` that are named by themselves.
///
/// # Errors
/// Nothing that is read: a line says what it is and what to do.
pub(super) fn in_folder(
    path: &Path,
    archives: &[String],
    passed: &PassedOver,
) -> Result<Option<Box<dyn Input>>> {
    let mut files = Vec::new();
    list(path, Path::new(""), DEPTH, &mut files);
    files.sort_unstable();
    let dir = Dir(path.to_path_buf(), files);
    if let Some(found) = among(path, &dir)? {
        return Ok(Some(found));
    }
    let is_read = |name: &String| {
        let span = Span::whole(&path.join(name));
        span.is_ok_and(|span| container::is_readable(&span))
    };
    match archives.iter().any(is_read) {
        true => Ok(None),
        false => Err(container::nothing_in(path, &dir.names(), false, passed, |i| dir.head(i))),
    }
}

fn list(root: &Path, below: &Path, depth: usize, files: &mut Vec<String>) {
    // What cannot be read is nothing that can be told of; the folder itself was read before.
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = below.join(entry.file_name());
        if super::kind::is_hidden(&entry.file_name().to_string_lossy()) || files.len() >= MOST {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(about) if about.is_dir() && depth > 0 => list(root, &name, depth - 1, files),
            Ok(about) if about.is_file() => files.extend(name.to_str().map(String::from)),
            _ => {}
        }
    }
}

fn in_tar(
    path: &Path,
    mut archived: Archived,
    recursion: Recursion,
    wanted: Option<&str>,
) -> Result<Box<dyn Input>> {
    let (images, sets) = archived.sorted();
    let names: Vec<String> = sets.iter().map(|set| set.name.clone()).collect();
    let same = |a: usize, b: usize| sets[a].from == sets[b].from;
    if let Some(set) = idx::choose(path, &names, images.len(), recursion, wanted, same)? {
        let span = archived.open(&sets[set])?;
        images.iter().for_each(|image| archived.passed.add("images beside it", &image.name));
        let version = span.stamp.0.to_string();
        let idx = Idx::unpack(&span.name, span.reader(), version)?;
        return Ok(Box::new(idx.found(names[set].clone(), archived.passed)));
    }
    if !images.is_empty() {
        sets.iter().for_each(|set| archived.passed.add("IDX files", &set.name));
        return Ok(Box::new(Packed::new(archived.span, images, archived.passed)));
    }
    let others = archived;
    if let Some(found) = among(path, &others)? {
        return Ok(found);
    }
    Err(container::nothing_in(path, &others.names(), true, &others.passed, |i| others.head(i)))
}

/// Batches, an array or tables among files none of which is an image.
fn among(path: &Path, files: &dyn Files) -> Result<Option<Box<dyn Input>>> {
    let names = files.names();
    let open = |taken: Vec<usize>| taken.into_iter().map(|i| files.open(i)).collect::<Result<Vec<_>>>();
    if let Some(Chosen { taken, name, passed }) = cifar::batches(path, &names) {
        return Ok(Some(Box::new(cifar::open(path, open(taken)?)?.chosen(name, passed))));
    }
    let ending = |end: &str| -> Vec<usize> {
        (0..names.len()).filter(|&i| names[i].to_lowercase().ends_with(end)).collect()
    };
    if let Some(Chosen { taken, name, passed }) = tables(&names, &ending(".parquet")) {
        return Ok(Some(Box::new(parquet::open(path, &open(taken)?)?.chosen(name, passed))));
    }
    match *ending(".npy") {
        [] => Ok(None),
        [one] => {
            let array = npy::open(path, &files.open(one)?)?;
            Ok(Some(Box::new(array.chosen(names[one].to_string(), PassedOver::new()))))
        }
        ref several => {
            let held: Vec<&str> = several.iter().take(8).map(|&i| names[i]).collect();
            let what = format!(
                "no images in it, but {} arrays: name one of them ({})",
                several.len(),
                held.join(", ")
            );
            Err(Error::file(path, what))
        }
    }
}

/// Of parquet files the training ones; all where no name tells of a split.
fn tables(names: &[&str], found: &[usize]) -> Option<Chosen> {
    let is_train = |i: &usize| {
        let name = names[*i].to_lowercase();
        let mut words = name.split(|c: char| !c.is_alphanumeric());
        words.any(|word| matches!(word, "train" | "training"))
    };
    let train: Vec<usize> = found.iter().copied().filter(is_train).collect();
    let taken = if train.is_empty() { found.to_vec() } else { train };
    let base = |i: usize| names[i].rsplit('/').next().unwrap_or(names[i]);
    let name = match taken.as_slice() {
        [] => return None,
        [one] => base(*one).to_string(),
        [first, .., last] => format!("{} to {}", base(*first), base(*last)),
    };
    let mut passed = PassedOver::new();
    found.iter().filter(|i| !taken.contains(i)).for_each(|&i| passed.add("in other splits", names[i]));
    Some(Chosen { taken, name, passed })
}

#[cfg(test)]
mod tests;
