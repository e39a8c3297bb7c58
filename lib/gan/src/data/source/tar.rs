//! Tars, WebDataset's shards among them. Plain ones are read in place; compressed ones are decompressed once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufReader;

use ::tar::{Archive, EntryType};

use super::compression::Compression;
use super::file_set::{FileSet, Member, StoredImages};
use super::file_slice::FileSlice;
use super::file_type::is_hidden;
use super::input::Input;
use super::skipped::SkippedFiles;
use crate::Result;

/// The size of a header in bytes.
const BLOCK: usize = 512;

/// Whether `head` begins with the header of a tar, by its checksum.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK) else { return false };
    let mut header = ::tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    // The checksum itself counts as spaces.
    let byte = |(at, &byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) };
    let sum: u32 = block.iter().enumerate().map(byte).sum();
    block[0] != 0 && header.cksum().is_ok_and(|stored| stored == sum)
}

/// The files in a tar.
pub(super) struct Tar {
    file: FileSlice,
    members: Vec<Member>,
}

impl Tar {
    /// Opens a tar, compressed or not, and lists what is left out of it; `None` where `file` is something
    /// else.
    ///
    /// # Errors
    /// A broken tar; a full disk.
    pub fn open(file: &FileSlice) -> Result<Option<(Tar, SkippedFiles)>> {
        let head = file.head(BLOCK as u64)?;
        match Compression::of(&head) {
            _ if is_tar(&head) => Tar::list(file.clone()).map(Some),
            Some(compression) if is_tar(&compression.head(file, BLOCK as u64)) => {
                Tar::list(compression.decompress(file)?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Of several members of one name the last counts, as in `tar -x`. Links are replaced by their targets.
    fn list(file: FileSlice) -> Result<(Tar, SkippedFiles)> {
        let broken =
            |e: std::io::Error| file.error(format!("a broken or incomplete tar ({e}): fetch it again"));
        let mut archive = Archive::new(BufReader::new(file.reader()));
        let mut members: BTreeMap<String, Member> = BTreeMap::new();
        let (mut links, mut skipped) = (Vec::new(), SkippedFiles::new());
        for entry in archive.entries_with_seek().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = clean(&entry.path_bytes());
            let kind = entry.header().entry_type();
            match kind {
                _ if kind == EntryType::GNUSparse || has_pax_sparse(&mut entry).map_err(broken)? => {
                    skipped.add("sparse (not read)", &name);
                }
                EntryType::Regular | EntryType::Continuous => {
                    let (from, len) = (entry.raw_file_position(), entry.size());
                    file.slice(from, len)
                        .map_err(|_| file.error(format!("cut short in {name}: fetch it again")))?;
                    members.insert(name.clone(), Member { name, from, len });
                }
                EntryType::Link | EntryType::Symlink => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    // A hard link starts at the tar's root, a symbolic one at its own folder.
                    let folder = match kind {
                        EntryType::Link => "",
                        _ => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                    };
                    let target = clean(&[folder.as_bytes(), b"/", &target].concat());
                    links.push((name, target));
                }
                _ => {}
            }
        }
        for (name, target) in links {
            match members.get(&target).cloned() {
                Some(member) => drop(members.insert(name.clone(), Member { name, ..member })),
                None => skipped.add("leading out of it (links)", &name),
            }
        }
        let members = members.into_values().filter(|member| !member.name.split('/').any(is_hidden)).collect();
        Ok((Tar { file, members }, skipped))
    }
}

impl FileSet for Tar {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.members.iter().map(|member| Cow::from(&member.name)).collect()
    }

    fn open(&self, i: usize) -> Result<FileSlice> {
        let Member { name, from, len } = &self.members[i];
        Ok(self.file.slice(*from, *len)?.named(name))
    }

    fn into_images(self: Box<Self>, images: Vec<usize>) -> Result<Box<dyn Input>> {
        let images = images.into_iter().map(|i| self.members[i].clone()).collect();
        Ok(Box::new(StoredImages { file: self.file, images }))
    }
}

fn has_pax_sparse(entry: &mut ::tar::Entry<impl std::io::Read>) -> std::io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
    Ok(extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse.")))
}

/// A member's name without `.`, `..` and empty parts.
fn clean(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
