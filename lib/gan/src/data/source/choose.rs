//! Which set of images is meant where an input holds several: the training images, or what the user names.

use std::path::Path;

use super::file_type::base_name;
use super::input::Recursion;
use super::skipped::SkippedFiles;
use super::split::Split;
use crate::error::counted;
use crate::{Error, Result};

/// The most names that an error lists.
const LISTED: usize = 12;

/// Files chosen from several.
pub(super) struct ChosenFiles {
    pub files: Vec<usize>,
    /// What they are called together: `train-0.parquet to train-9.parquet`.
    pub name: String,
    pub skipped: SkippedFiles,
}

impl ChosenFiles {
    /// `files`, which are not empty, of `names`. Of `found` the others are skipped, by the reason that `why`
    /// gives.
    pub fn new<'a>(
        names: &[&str],
        files: Vec<usize>,
        found: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> ChosenFiles {
        let mut skipped = SkippedFiles::new();
        for (i, reason) in found.into_iter().filter(|(i, _)| !files.contains(i)) {
            skipped.add(reason, names[i]);
        }
        let (first, last) = (base_name(names[files[0]]), base_name(names[files[files.len() - 1]]));
        let name = if files.len() == 1 { first.to_string() } else { format!("{first} to {last}") };
        ChosenFiles { files, name, skipped }
    }
}

/// Of `found` the files of the training split; all of them where no name means it.
pub(super) fn training(names: &[&str], found: Vec<usize>) -> ChosenFiles {
    let is_train = |i: &usize| Split::of_name(names[*i]) == Some(Split::Train);
    let train: Vec<usize> = found.iter().copied().filter(is_train).collect();
    let files = if train.is_empty() { found.clone() } else { train };
    ChosenFiles::new(names, files, found.into_iter().map(|i| (i, "in other splits")))
}

/// Of the IDX files `names` in `input` the one that is meant: the training images, or the only one; with
/// `wanted`, of those that it names. `None` where the `images` of other formats in `input` are meant. `same`
/// compares the content of two files.
///
/// # Errors
/// Several may be meant, or images of other formats, too; none is as `wanted`.
pub(super) fn idx_file(
    input: &Path,
    names: &[&str],
    images: usize,
    recursion: Recursion,
    wanted: Option<&str>,
    same: impl Fn(usize, usize) -> bool,
) -> Result<Option<usize>> {
    let list = |files: &[usize]| {
        let listed = files.iter().take(LISTED).map(|&i| names[i]).collect::<Vec<_>>().join(", ");
        match files.len().saturating_sub(LISTED) {
            0 => listed,
            more => format!("{listed} and {more} more"),
        }
    };
    let input_name = input.display();
    // A gzip beside its decompressed file is nothing new.
    let is_copy = |i: &usize| names[*i].strip_suffix(".gz").is_some_and(|name| names.contains(&name));
    let mut left: Vec<usize> = (0..names.len()).filter(|i| !is_copy(i)).collect();
    if let Some(wanted) = wanted {
        let matching = matching(names, wanted);
        let chosen: Vec<usize> = left.iter().copied().filter(|i| matching.contains(i)).collect();
        if chosen.is_empty() {
            let held = if left.is_empty() { String::new() } else { format!("; it holds {}", list(&left)) };
            let what = format!("{wanted}: no such IDX file of images in {input_name}{held}");
            return Err(Error::argument("idx", what));
        }
        left = chosen;
    } else if left.is_empty() || recursion == Recursion::OneLevel && images > 0 {
        return Ok(None);
    } else if images > 0 {
        let what = format!(
            "{input_name} holds {} ({}) and {} of other formats: choose the former by name, such as {}, or \
             name the images as inputs",
            counted(left.len() as u64, "IDX file"),
            list(&left),
            counted(images as u64, "image"),
            names[left[0]],
        );
        return Err(Error::argument("idx", what));
    }
    let is_train = |i: &usize| Split::of_name(names[*i]) == Some(Split::Train);
    if left.iter().any(is_train) {
        left.retain(is_train);
    }
    let mut distinct: Vec<usize> = Vec::new();
    for i in left {
        if !distinct.iter().any(|&j| plain(names[i]) == plain(names[j]) && same(i, j)) {
            distinct.push(i);
        }
    }
    let (n, held) = (distinct.len(), list(&distinct));
    match (&distinct[..], recursion) {
        (&[one], _) => Ok(Some(one)),
        (_, Recursion::Recursive) => Err(Error::argument(
            "idx",
            format!("{input_name} holds {n} sets of IDX images: choose one of {held}"),
        )),
        (_, Recursion::OneLevel) => {
            Err(Error::file(input, format!("{n} sets of IDX images in it: name one of {held}")))
        }
    }
}

/// The files that `wanted` names: by path or file name, by their split (`train`, `test`, `valid`), or by a
/// part of the name.
fn matching(names: &[&str], wanted: &str) -> Vec<usize> {
    let by = |is: &dyn Fn(&str) -> bool| (0..names.len()).filter(|&i| is(names[i])).collect::<Vec<_>>();
    let exact = by(&|name| name == wanted || base_name(name) == wanted);
    let lower = wanted.to_ascii_lowercase();
    let split = Split::of_word(&lower).map(|split| by(&|name| Split::of_name(name) == Some(split)));
    let part = || by(&|name| name.to_ascii_lowercase().contains(&lower));
    [Some(exact), split].into_iter().flatten().find(|found| !found.is_empty()).unwrap_or_else(part)
}

/// A file's name in the spelling of another publisher: `train-images.idx3-ubyte` and
/// `train-images-idx3-ubyte.gz` are the same.
fn plain(name: &str) -> String {
    let file = base_name(name).to_ascii_lowercase();
    file.strip_suffix(".gz").unwrap_or(&file).replace(|c: char| !c.is_alphanumeric(), "-")
}

#[cfg(test)]
mod tests;
