//! What lies in an archive member by member, and its images as a part. Names of one order whatever the archive's.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::folder::{is_hidden, is_picture};
use super::span::Span;
use super::{MAX_ENCODED, Part, PassedOver, Raw, Walk};
use crate::{Error, Result};

/// A file in an archive.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its folders and name, parted by `/`.
    pub name: String,
    pub from: u64,
    pub len: u64,
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

    /// Its images, if there are any; the rest is passed over.
    pub fn images(self) -> Result<Packed, Archived> {
        let is_image =
            |name: &str| !name.split('/').any(is_hidden) && is_picture(Path::new(name), Walk::Recursive);
        if !self.members.iter().any(|member| is_image(&member.name)) {
            return Err(self);
        }
        let Archived { span, members, mut passed } = self;
        let (images, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| is_image(&member.name));
        for other in others.iter().filter(|other| !other.name.split('/').any(is_hidden)) {
            let extension = Path::new(&other.name).extension().map(|e| e.to_string_lossy().to_lowercase());
            let reason = extension.map_or("without extension".into(), |extension| format!(".{extension}"));
            passed.add(&reason, &other.name);
        }
        Ok(Packed { span, images, passed })
    }
}

/// Images that lie in one file as they are: a tar's, or what was unpacked of another archive.
pub(super) struct Packed {
    span: Span,
    images: Vec<Member>,
    passed: PassedOver,
}

impl Packed {
    pub fn new(span: Span, images: Vec<Member>, passed: PassedOver) -> Packed {
        Packed { span, images, passed }
    }
}

impl Part for Packed {
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

    fn passed_over(&self) -> &PassedOver {
        &self.passed
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.span.name.parent().unwrap_or(Path::new("")).to_path_buf())
    }
}
