//! The images of an input: a folder, a zip or a shard.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{DatasetInfo, Partition};
use crate::data::image::{Image, Notes, SixteenBit};
use crate::data::shard::Shard;
use crate::data::source::{Recursion, Source};
use crate::{Error, Result};

/// A listed set of images. Any thread can read any image.
pub struct ImageSet {
    /// The path that was opened.
    pub path: PathBuf,
    reader: ImageReader,
    part: Option<Partition>,
}

enum ImageReader {
    Source(Source),
    Shard(Box<Shard>),
}

impl ImageSet {
    /// Lists the images of a folder (one level, the extensions that pytorch-fid reads), a zip, or a shard.
    ///
    /// # Errors
    /// It is none of these; it has no images.
    pub fn open(path: &Path) -> Result<ImageSet> {
        let reader = match is_safetensors(path)? {
            true => ImageReader::Shard(Box::new(Shard::open(path)?)),
            false => ImageReader::Source(Source::open(&[path.to_path_buf()], Recursion::OneLevel)?),
        };
        let images = ImageSet { path: path.to_path_buf(), reader, part: None };
        images.unless_empty("no images in it".into())
    }

    fn unless_empty(self, what: String) -> Result<ImageSet> {
        if self.is_empty() { Err(Error::file(&self.path, what)) } else { Ok(self) }
    }

    /// One part of these images.
    ///
    /// # Errors
    /// The part is empty, since there are too few images.
    pub fn part(mut self, part: Partition) -> Result<ImageSet> {
        let all = self.len();
        self.part = Some(part);
        self.unless_empty(format!("{all} images have no part {part}"))
    }

    /// The indices of the images among all that were listed.
    fn range(&self) -> std::ops::Range<usize> {
        let all = match &self.reader {
            ImageReader::Source(source) => source.len(),
            ImageReader::Shard(shard) => shard.len(),
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

    /// Where the images are read from; `None` of a shard, which is mapped into memory.
    pub fn source(&self) -> Option<&Source> {
        let ImageReader::Source(source) = &self.reader else { return None };
        Some(source)
    }

    /// Image `i` in RGB, and the notes on its file. 16-bit gray is clipped as in Pillow; other gray is
    /// replicated.
    ///
    /// # Errors
    /// It cannot be read or decoded. It is not skipped, since that would change the result.
    pub(crate) fn get(&self, i: usize) -> Result<(Image, Notes)> {
        let i = self.range().start + i;
        match &self.reader {
            ImageReader::Source(source) => {
                let with_name = |why| Error::file(source.name(i), format!("{why}; fix or remove it"));
                source.read(i)?.decode_noting(SixteenBit::ClipAsPillow).map_err(with_name)
            }
            ImageReader::Shard(shard) => {
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

    /// What is known about the images before any is read.
    pub(super) fn info(&self) -> DatasetInfo {
        let (jpeg, prepared) = match &self.reader {
            ImageReader::Source(source) => {
                let ends = |i: usize, end: &str| source.name(i).to_ascii_lowercase().ends_with(end);
                let is_jpeg = |&i: &usize| ends(i, ".jpg") || ends(i, ".jpeg");
                (Some(2 * self.range().filter(is_jpeg).count() > self.len()), None)
            }
            ImageReader::Shard(shard) => {
                let meta = shard.meta();
                let crop = meta.crop.map_or("no crop".to_string(), |crop| format!("crop {crop}"));
                let size = meta.size.map_or("native size".to_string(), |size| format!("size {size}"));
                let filter = meta.filter.as_ref().map_or(String::new(), |filter| format!(", {filter}"));
                (None, Some(format!("{crop}, {size}{filter}")))
            }
        };
        DatasetInfo { jpeg, prepared, ..DatasetInfo::default() }
    }

    /// A text that identifies the images ([`super::stats::StatsMeta::content`]), and the time at which a file
    /// last changed where the text might miss that.
    ///
    /// # Errors
    /// A file was removed after it was listed.
    pub fn content(&self) -> Result<(String, Option<SystemTime>)> {
        let (all, changed) = match &self.reader {
            ImageReader::Source(source) => {
                let print = source.fingerprint()?;
                (format!("listing {}", print.digest), print.changed)
            }
            ImageReader::Shard(shard) => (format!("shard {}", shard.meta().content_hash), None),
        };
        Ok((self.part.map_or(all.clone(), |part| part.content(&all)), changed))
    }

    /// The name of the images, without their folder.
    pub(super) fn describe(&self) -> String {
        match &self.reader {
            ImageReader::Source(source) => source.description().to_string(),
            ImageReader::Shard(_) => self.path.file_name().unwrap_or_default().display().to_string(),
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
    // A file that is too short is not one; `Source` describes what it is instead.
    Ok(file.read_exact(&mut start).is_ok() && start[8] == b'{')
}
