//! CelebA's published split: `list_eval_partition.txt`, a line `000001.jpg 0` a picture; 0 train, 1 valid, 2 test.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, Result};

/// The list's name, as published.
pub(super) const LIST: &str = "list_eval_partition.txt";

/// A part of CelebA's published split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// 162,770 pictures.
    Train,
    /// 19,867 pictures.
    Valid,
    /// 19,962 pictures.
    Test,
}

impl Split {
    /// The names that [`Split::from_str`] takes.
    pub const NAMES: [&str; 3] = ["train", "valid", "test"];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Split::NAMES[*self as usize])
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Split, String> {
        match name {
            "train" => Ok(Split::Train),
            "valid" => Ok(Split::Valid),
            "test" => Ok(Split::Test),
            _ => Err(format!("{name}: no such split; {}", Split::NAMES.join(", "))),
        }
    }
}

/// A picture's name without folders and extension: the aligned pictures are published as PNG, too, under the same list.
pub(super) fn stem(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// The stems of the pictures in `split`, from the list in `home`, above it, or in `Eval/` of either (as published).
pub(super) fn read_list(home: &Path, split: Split) -> Result<HashSet<String>> {
    let home = fs::canonicalize(if home.as_os_str().is_empty() { Path::new(".") } else { home })
        .map_err(Error::io(home))?;
    let above = home.parent().map(Path::to_path_buf);
    let folders = [Some(home.clone()), above].into_iter().flatten();
    let candidates: Vec<PathBuf> = folders.flat_map(|f| [f.join(LIST), f.join("Eval").join(LIST)]).collect();
    for path in &candidates {
        match fs::read_to_string(path) {
            Ok(text) => return parse(&text, split).map_err(|what| Error::file(path, what)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(path)(e)),
        }
    }
    Err(Error::file(
        home,
        format!("--split needs CelebA's {LIST} here, one folder up, or in Eval/ of either"),
    ))
}

fn parse(text: &str, split: Split) -> Result<HashSet<String>, String> {
    let mut keep = HashSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let part = match fields[..] {
            [_, part] => part.parse().ok().filter(|&part: &usize| part < 3),
            _ => None,
        };
        let part = part.ok_or_else(|| format!("line {}: not `000001.jpg 0` (0, 1 or 2)", number + 1))?;
        if part == split as usize {
            keep.insert(stem(fields[0]).to_string());
        }
    }
    Ok(keep)
}
