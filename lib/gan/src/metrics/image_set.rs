//! The images of one side of a comparison: a folder, a zip or a shard.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::data::image::{Image, Notes, SixteenBit};
use crate::data::shard::Shard;
use crate::data::source::{InputPaths, Recursion, SkippedFiles, Source};
use crate::metrics::stats::Partition;
use crate::{Error, Result};

/// A listed set of images, each read by its number from any thread.
pub struct ImageSet {
    path: PathBuf,
    kind: Kind,
    part: Option<Partition>,
}

enum Kind {
    Source(Source),
    Shard(Box<Shard>),
}

impl ImageSet {
    /// Lists the images of a folder (one level, the extensions that pytorch-fid reads), a zip, or a shard.
    ///
    /// # Errors
    /// None of these; no images in it.
    pub fn open(path: &Path) -> Result<ImageSet> {
        let kind = match is_safetensors(path)? {
            true => Kind::Shard(Box::new(Shard::open(path)?)),
            false => Kind::Source(Source::open(&[path.to_path_buf()], Recursion::OneLevel)?),
        };
        let images = ImageSet { path: path.to_path_buf(), kind, part: None };
        match images.is_empty() {
            true => Err(Error::file(path, "no images in it")),
            false => Ok(images),
        }
    }

    /// One part of these images.
    ///
    /// # Errors
    /// Too few images: the part would be empty.
    pub fn part(mut self, part: Partition) -> Result<ImageSet> {
        let all = self.len();
        self.part = Some(part);
        match self.is_empty() {
            true => Err(Error::file(&self.path, format!("{all} images have no part {part}"))),
            false => Ok(self),
        }
    }

    /// The images among all that were listed.
    fn range(&self) -> std::ops::Range<usize> {
        let all = match &self.kind {
            Kind::Source(source) => source.len(),
            Kind::Shard(shard) => shard.len(),
        };
        self.part.map_or(0..all, |part| part.range(all))
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a shard, which stays mapped while it is read.
    pub fn is_shard(&self) -> bool {
        matches!(self.kind, Kind::Shard(_))
    }

    /// Image `i` in RGB, and what else there is to say of its file. 16-bit gray is clipped as Pillow does
    /// it; other gray is replicated.
    ///
    /// # Errors
    /// It cannot be read or decoded: leaving it out would change the number, so that is an error and names it.
    pub fn get(&self, i: usize) -> Result<(Image, Notes)> {
        let i = self.range().start + i;
        match &self.kind {
            Kind::Source(source) => {
                let raw = source.read(i)?;
                let about = |why| Error::file(source.name(i), format!("{why}; mend or remove it"));
                raw.decode_noting(SixteenBit::ClipAsPillow).map_err(about)
            }
            Kind::Shard(shard) => {
                let (width, height) = (shard.width(), shard.height());
                let mut pixels = vec![0; height * width * shard.channels()];
                shard.pixels(i, &mut pixels);
                let image = match shard.channels() {
                    1 => Image::from_gray(width, height, &pixels),
                    _ => Image { width, height, rgb: pixels },
                };
                Ok((image, Notes::default()))
            }
        }
    }

    /// Whether most are JPEGs by their names; `None` of a shard.
    pub fn mostly_jpeg(&self) -> Option<bool> {
        let Kind::Source(source) = &self.kind else { return None };
        let jpeg = |i: &usize| {
            let name = source.name(*i).to_ascii_lowercase();
            name.ends_with(".jpg") || name.ends_with(".jpeg")
        };
        Some(2 * self.range().filter(jpeg).count() > self.len())
    }

    /// How a shard's images were cropped and resized; `None` of others.
    pub fn prepared(&self) -> Option<String> {
        let Kind::Shard(shard) = &self.kind else { return None };
        let meta = shard.meta();
        let crop = meta.crop.map_or("no crop".to_string(), |crop| format!("crop {crop}"));
        let size = meta.size.map_or("native size".to_string(), |size| format!("size {size}"));
        let filter = meta.filter.as_ref().map_or(String::new(), |filter| format!(", {filter}"));
        Some(format!("{crop}, {size}{filter}"))
    }

    /// What tells these images from others, and when a file last changed where that would miss it.
    ///
    /// # Errors
    /// A file that has gone since it was listed.
    pub fn content(&self) -> Result<(String, Option<SystemTime>)> {
        let (whole, changed) = match &self.kind {
            Kind::Source(source) => {
                let print = source.fingerprint()?;
                (format!("listing {}", print.digest), print.changed)
            }
            Kind::Shard(shard) => (format!("shard {}", shard.meta().content_hash), None),
        };
        Ok((self.part.map_or(whole.clone(), |part| part.content(&whole)), changed))
    }

    /// What lies beside the images and is not among them; `None` of a shard.
    pub fn passed_over(&self) -> Option<&SkippedFiles> {
        match &self.kind {
            Kind::Source(source) => Some(source.skipped()),
            Kind::Shard(_) => None,
        }
    }

    /// The files that were chosen of several in the input (IDX).
    pub fn taken(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Source(source) => source.chosen(),
            Kind::Shard(_) => Vec::new(),
        }
    }

    /// Where the images are; `None` of a shard, which is known by its content.
    pub fn origin(&self) -> Option<InputPaths> {
        match &self.kind {
            Kind::Source(source) => Some(source.input_paths()),
            Kind::Shard(_) => None,
        }
    }

    /// What the images are, for people.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Source(source) => source.description().to_string(),
            Kind::Shard(_) => {
                self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

/// Whether a file begins as safetensors do: the length of a JSON header, then the header.
fn is_safetensors(path: &Path) -> Result<bool> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.is_dir() {
        return Ok(false);
    }
    let mut start = [0; 9];
    // A file too short for it is none; what it is instead, the other reader tells.
    Ok(file.read_exact(&mut start).is_ok() && start[8] == b'{')
}
