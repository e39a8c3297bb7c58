//! Images that are no files of their own: batches, arrays and tables, by themselves, in a folder, or in an archive.

use std::fs;
use std::path::{Path, PathBuf};

use super::array::Array;
use super::packed::Archived;
use super::span::Span;
use super::unzip::Entries;
use super::{Part, cifar, container, npy, parquet, tar};
use crate::{Error, Result};

/// How many files of a folder are looked at, and how deep.
const MOST: usize = 4096;
const DEPTH: usize = 4;

/// A part, and what is to be said of what was taken.
pub(super) type Found = (Box<dyn Part>, Option<String>);

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
pub(super) fn in_file(path: &Path) -> Result<Found> {
    let span = Span::whole(path)?;
    let head = span.head(8)?;
    if head.starts_with(npy::MAGIC) {
        return Ok((Box::new(npy::open(path, &span)?), None));
    }
    if head.starts_with(parquet::MAGIC) && span.tail(4)? == parquet::MAGIC {
        return Ok((Box::new(parquet::open(path, &[span])?), None));
    }
    if let Some(archived) = tar::open(&span)? {
        return in_tar(path, archived);
    }
    if let Some((batch, form)) = cifar::block(&span)? {
        return Ok((Box::new(Array::of_bytes(path, vec![batch], form)?), None));
    }
    Err(container::not_read(&span))
}

/// What a zip without images holds.
pub(super) fn in_zip(path: &Path) -> Result<Found> {
    let entries = Entries::open(&Span::whole(path)?)?;
    let names = entries.names()?;
    among(path, &Zipped(&entries, names))
}

/// The images in an `.npz`; `None` where a file is none.
pub(super) fn in_npz(path: &Path) -> Result<Option<Found>> {
    let span = Span::whole(path)?;
    if !npy::is_npz(&span)? {
        return Ok(None);
    }
    let (array, note) = npy::open_npz(&span)?;
    Ok(Some((Box::new(array), note)))
}

/// What a folder without images holds.
pub(super) fn in_folder(path: &Path) -> Result<Found> {
    let mut files = Vec::new();
    list(path, Path::new(""), DEPTH, &mut files);
    files.sort_unstable();
    among(path, &Dir(path.to_path_buf(), files))
}

fn list(root: &Path, below: &Path, depth: usize, files: &mut Vec<String>) {
    // What cannot be read is nothing that can be told of; the folder itself was read before.
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = below.join(entry.file_name());
        if super::folder::is_hidden(&entry.file_name().to_string_lossy()) || files.len() >= MOST {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(about) if about.is_dir() && depth > 0 => list(root, &name, depth - 1, files),
            Ok(about) if about.is_file() => files.extend(name.to_str().map(String::from)),
            _ => {}
        }
    }
}

fn in_tar(path: &Path, archived: Archived) -> Result<Found> {
    match archived.images() {
        Ok(images) => Ok((Box::new(images), None)),
        Err(others) => among(path, &others),
    }
}

/// Batches, an array or tables among files none of which is an image.
fn among(path: &Path, files: &dyn Files) -> Result<Found> {
    let names = files.names();
    if let Some((taken, note)) = cifar::batches(&names) {
        let spans = taken.into_iter().map(|i| files.open(i)).collect::<Result<Vec<_>>>()?;
        return Ok((Box::new(cifar::open(path, spans)?), Some(note)));
    }
    let ending = |end: &str| -> Vec<usize> {
        (0..names.len()).filter(|&i| names[i].to_lowercase().ends_with(end)).collect()
    };
    if let Some((taken, note)) = tables(&names, &ending(".parquet")) {
        let spans = taken.into_iter().map(|i| files.open(i)).collect::<Result<Vec<_>>>()?;
        return Ok((Box::new(parquet::open(path, &spans)?), note));
    }
    match *ending(".npy") {
        [] => {}
        [one] => {
            let (span, name) = (files.open(one)?, names[one]);
            return Ok((Box::new(npy::open(path, &span)?), Some(format!("its array {name}"))));
        }
        ref several => {
            let held: Vec<&str> = several.iter().take(8).map(|&i| names[i]).collect();
            let what = format!("{} arrays ({}): name one of them", several.len(), held.join(", "));
            return Err(Error::file(path, what));
        }
    }
    Err(container::nothing_in(path, &names, |i| files.head(i)))
}

/// Of parquet files the training ones, and what is to be said of them; all where no name tells of a split.
fn tables(names: &[&str], found: &[usize]) -> Option<(Vec<usize>, Option<String>)> {
    let word = |i: usize, words: &[&str]| {
        let name = names[i].to_lowercase();
        let parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
        words.iter().any(|word| parts.contains(word))
    };
    let train: Vec<usize> = found.iter().copied().filter(|&i| word(i, &["train", "training"])).collect();
    match (found, train.as_slice()) {
        ([], _) => None,
        (all, []) => Some((all.to_vec(), None)),
        (all, some) if some.len() == all.len() => Some((train, None)),
        (_, some) => {
            let note = format!("its {} training parquet files, not {} others", some.len(), found.len() - some.len());
            Some((train, Some(note)))
        }
    }
}
