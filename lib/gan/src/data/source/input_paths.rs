//! Records in an extended attribute of a file which inputs it was made from. The bytes of the file cannot say
//! it, since copies of the same data give the same bytes. A file system without such attributes, or a plain
//! copy, loses the record.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::io::hash::hex;

/// The attribute: the full path of each input, separated by zeros.
const ATTRIBUTE: &str = "user.gantools.inputs";
/// The largest value, in bytes. File systems limit it.
const MAX_VALUE: usize = 1024;

/// The full paths of a source's inputs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPaths(Vec<u8>);

impl InputPaths {
    /// Of many `paths` it keeps the first one and a hash.
    pub(super) fn new(paths: &[String]) -> InputPaths {
        let all = paths.join("\0").into_bytes();
        if all.len() <= MAX_VALUE {
            return InputPaths(all);
        }
        let first = all.split(|&b| b == 0).next().unwrap_or_default();
        InputPaths([&first[..first.len().min(MAX_VALUE)], hex(&Sha256::digest(&all)).as_bytes()].join(&0))
    }

    /// Records the paths with the file at `path`, where the file system can.
    pub fn record(&self, path: &Path) {
        let _ = xattr::set(path, ATTRIBUTE, &self.0);
    }

    /// The first input of the file at `path`, where other inputs are recorded there and still exist. (Inputs
    /// that are gone may be these, moved.)
    pub fn other(&self, path: &Path) -> Option<String> {
        let recorded = xattr::get(path, ATTRIBUTE).ok().flatten().filter(|recorded| *recorded != self.0)?;
        let first = recorded.split(|&b| b == 0).next().unwrap_or_default();
        let first = String::from_utf8_lossy(first).into_owned();
        (!first.starts_with('/') || Path::new(&first).exists()).then_some(first)
    }
}
