//! Where images came from, kept in an extended attribute of the file that was made of them: copies of the
//! same data give the same bytes, so the bytes cannot say it. On a file system without such attributes, and
//! of a plain copy of the file, it is not known.

use std::path::Path;

use crate::io::hash::Hasher;

/// The attribute of a file: the full path of each input, parted by zeros.
const ATTRIBUTE: &str = "user.gantools.inputs";
/// As much as it holds, in bytes; file systems have little room for it.
const ROOM: usize = 1024;

/// Where the images of a source are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Vec<u8>);

impl Origin {
    /// Of the full paths of the inputs; of many, the first one and a hash.
    pub(super) fn new(paths: &[String]) -> Origin {
        let all = paths.join("\0").into_bytes();
        if all.len() <= ROOM {
            return Origin(all);
        }
        let first = all.split(|&b| b == 0).next().unwrap_or_default();
        Origin([&first[..first.len().min(ROOM)], Hasher::of(&[&all]).as_bytes()].join(&0))
    }

    /// Records it beside the file at `path`, where that can be recorded.
    pub fn record(&self, path: &Path) {
        let _ = xattr::set(path, ATTRIBUTE, &self.0);
    }

    /// The first input that the file at `path` was made of, where it is known to be of others than these,
    /// which are still there. (Where they are gone they may be these, moved.)
    pub fn other(&self, path: &Path) -> Option<String> {
        let there = xattr::get(path, ATTRIBUTE).ok().flatten().filter(|there| *there != self.0)?;
        let first = there.split(|&b| b == 0).next().unwrap_or_default();
        let first = String::from_utf8_lossy(first).into_owned();
        (!first.starts_with('/') || Path::new(&first).exists()).then_some(first)
    }
}
