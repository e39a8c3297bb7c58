//! Tars: plain ones are read in place, packed ones are unpacked once. WebDataset's shards are tars, too.

use std::collections::BTreeMap;
use std::io::BufReader;

use ::tar::{Archive, EntryType};

use super::packed::{Archived, Member};
use super::span::Span;
use super::unpack::Packing;
use crate::Result;

/// The bytes of a header.
const BLOCK: usize = 512;

/// Whether this is how a tar begins: a header whose checksum is right.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..BLOCK) else { return false };
    let mut header = ::tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let blank = |at: usize| (148..156).contains(&at);
    let sum: u32 =
        block.iter().enumerate().map(|(at, &byte)| if blank(at) { 32 } else { u32::from(byte) }).sum();
    block[0] != 0 && header.cksum().is_ok_and(|told| told == sum)
}

/// A tar, packed or not; `None` where it is something else.
///
/// # Errors
/// A broken tar, or no room for it unpacked.
pub(super) fn open(span: &Span) -> Result<Option<Archived>> {
    let head = span.head(BLOCK as u64)?;
    if is_tar(&head) {
        return list(span.clone()).map(Some);
    }
    match Packing::of(&head) {
        Some(packing) if is_tar(&packing.head(span, BLOCK as u64)) => list(packing.unpack(span)?).map(Some),
        _ => Ok(None),
    }
}

/// Lists the files in a tar. Of several of one name the last counts, as it does in unpacking; links lead to
/// what they name.
fn list(span: Span) -> Result<Archived> {
    let broken = |e: std::io::Error| span.wrong(format!("a broken or incomplete tar ({e}): fetch it again"));
    let mut archive = Archive::new(BufReader::new(span.reader()));
    let mut files: BTreeMap<String, Member> = BTreeMap::new();
    let mut links = Vec::new();
    let mut sparse = Vec::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = clean(&entry.path_bytes());
        let kind = entry.header().entry_type();
        let in_pieces = kind == EntryType::GNUSparse || has_pax_sparse(&mut entry).map_err(broken)?;
        match kind {
            _ if in_pieces => sparse.push(name),
            EntryType::Regular | EntryType::Continuous => {
                let (from, len) = (entry.raw_file_position(), entry.size());
                span.part(from, len)
                    .map_err(|_| span.wrong(format!("cut short within {name}: fetch it again")))?;
                files.insert(name.clone(), Member { name, from, len });
            }
            EntryType::Link | EntryType::Symlink => {
                let to = entry.link_name_bytes().map(|to| to.into_owned()).unwrap_or_default();
                let to = match kind {
                    // A hard link's name is from the tar's root, a symbolic one's from the folder that it
                    // lies in.
                    EntryType::Link => clean(&to),
                    _ => clean(
                        &[name.rsplit_once('/').map_or("", |(folder, _)| folder).as_bytes(), b"/", &to]
                            .concat(),
                    ),
                };
                links.push((name, to));
            }
            _ => {}
        }
    }
    let mut archived = Archived::new(span);
    for (name, to) in links {
        match files.get(&to).cloned() {
            Some(file) => drop(files.insert(name.clone(), Member { name, ..file })),
            None => archived.passed.add("leading out of it (links)", &name),
        }
    }
    sparse.iter().for_each(|name| archived.passed.add("sparse (not read)", name));
    archived.members = files.into_values().collect();
    Ok(archived)
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
