//! Where the pictures of a shard came from, kept in an extended attribute of its file: copies of the same data give the same
//! bytes, so the bytes cannot tell. Where a file system has no such attributes, or a copy left them behind, nobody knows.

use std::fs::File;
use std::path::Path;

use sha2::{Digest, Sha256};
use xattr::FileExt;

use crate::source::{Source, hex};

/// The attribute: where each input is, as [`Source::origins`] says it, parted by zeros.
const ATTRIBUTE: &str = "user.gantools.inputs";
/// As much as it holds, in bytes; file systems have little room for it.
const ROOM: usize = 1024;

/// The attribute's value: the inputs, or the first one and a hash where they are too long together.
fn value(source: &Source) -> Vec<u8> {
    let all = source.origins().join("\0").into_bytes();
    if all.len() <= ROOM {
        return all;
    }
    let first = all.split(|&b| b == 0).next().unwrap_or_default();
    [&first[..first.len().min(ROOM)], hex(&Sha256::digest(&all)).as_bytes()].join(&0)
}

/// Records where the pictures of the shard `file` came from, where that can be recorded.
pub(super) fn record(file: &File, source: &Source) {
    let _ = file.set_xattr(ATTRIBUTE, &value(source));
}

/// Where the pictures of the shard at `path` came from (the first input), where they are known to be others than those of
/// `source`: other inputs, which are still there. (Where they are gone they may be the ones of `source`, moved.)
pub(super) fn of_others(path: &Path, source: &Source) -> Option<String> {
    let there = xattr::get(path, ATTRIBUTE).ok().flatten().filter(|there| *there != value(source))?;
    let first = there.split(|&b| b == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first).into_owned();
    (!first.starts_with('/') || Path::new(&first).exists()).then_some(first)
}
