//! What lies in an archive member by member, and its images as a part. Names of one order whatever the
//! archive's.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::kind::HEAD;
use super::kind::{Kind, Sorter, is_hidden};
use super::span::Span;
use super::{Input, MAX_ENCODED, PassedOver, Raw};
use crate::{Error, Result};

/// A file in an archive.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its folders and name, parted by `/`.
    pub name: String,
    pub from: u64,
    pub len: u64,
}

/// What was chosen of the files in a folder or an archive.
pub(super) struct Chosen {
    pub taken: Vec<usize>,
    /// What it is called.
    pub name: String,
    /// What it was chosen from.
    pub passed: PassedOver,
}

/// Files that lie in one file as they are, by name.
pub(super) struct Archived {
    pub span: Span,
    pub members: Vec<Member>,
    pub passed: PassedOver,
}

impl Archived {
    pub fn new(span: Span) -> Archived {
        Archived { span, members: Vec::new(), passed: PassedOver::new() }
    }

    /// A member's bytes.
    ///
    /// # Errors
    /// They do not lie in the file.
    pub fn open(&self, member: &Member) -> Result<Span> {
        Ok(self.span.part(member.from, member.len)?.named(&member.name))
    }

    /// The images and the IDX files among its members; the rest is passed over.
    pub fn sorted(&mut self) -> (Vec<Member>, Vec<Member>) {
        let mut sorter = Sorter::default();
        let (mut images, mut sets) = (Vec::new(), Vec::new());
        for member in self.members.iter().filter(|member| !member.name.split('/').any(is_hidden)) {
            // What cannot be read is no image.
            let head = || self.open(member).and_then(|span| span.head(HEAD as u64)).unwrap_or_default();
            match sorter.kind(&member.name, head) {
                Kind::Image => images.push(member.clone()),
                Kind::Idx => sets.push(member.clone()),
                Kind::Archive => sorter.passed_over.add("archives", &member.name),
                Kind::Other => {}
            }
        }
        self.passed.merge(&sorter.passed_over);
        (images, sets)
    }
}

/// Images that lie in one file as they are: a tar's, or what was unpacked of another archive.
pub(super) struct Packed {
    span: Span,
    images: Vec<Member>,
    passed: PassedOver,
    taken: Option<String>,
}

impl Packed {
    pub fn new(span: Span, images: Vec<Member>, passed: PassedOver) -> Packed {
        Packed { span, images, passed, taken: None }
    }

    /// The same, chosen of several.
    pub fn chosen(mut self, name: String, passed: PassedOver) -> Packed {
        self.passed.merge(&passed);
        Packed { taken: Some(name), ..self }
    }
}

impl Input for Packed {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, i: usize) -> String {
        self.images[i].name.clone()
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{}", self.span.name.display(), self.images[i].name)
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let image = &self.images[i];
        if image.len > MAX_ENCODED {
            return Err(Error::file(self.full_name(i), "larger than 256 MiB"));
        }
        let mut bytes = vec![0; image.len as usize];
        self.span.read_exact_at(&mut bytes, image.from)?;
        Ok(Raw::Encoded(bytes))
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let (_, changed) = self.span.stamp;
        Ok((self.images[i].len.to_string(), Some(changed)))
    }

    fn taken(&self) -> Option<&str> {
        self.taken.as_deref()
    }

    fn passed_over(&self) -> &PassedOver {
        &self.passed
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.span.name.parent().unwrap_or(Path::new("")).to_path_buf())
    }
}
