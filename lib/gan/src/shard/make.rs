//! From pictures to a shard: decode, fit and append, in windows, so that memory does not grow with the data.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

use super::header::Header;
use super::write::Writer;
use super::{Dtype, Meta, Shard};
use crate::picture::{Fit, Notes, SixteenBit, Tally, resize_and_crop};
use crate::progress::Progress;
use crate::source::{Source, Split};
use crate::{Error, Result};

/// The most pictures of a window, and the most bytes that they take once fitted; two windows are in memory at once.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 32 << 20;

/// How a shard is made of its pictures.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Crop and size; without a size the source must be of one native size (IDX).
    pub fit: Fit,
    /// One channel instead of three.
    pub grey: bool,
    /// How a value is stored.
    pub dtype: Dtype,
    /// How many bits the values of 16-bit grey use, 8 to 16: the highest eight of these are kept. `None`: all 16.
    pub depth: Option<u8>,
    /// The split that the source was cut to, for the metadata.
    pub split: Option<Split>,
    /// A broken picture is an error instead of a warning.
    pub strict: bool,
}

/// What [`make`] made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The shard's metadata.
    pub meta: Meta,
    /// Height, width, channels.
    pub shape: [usize; 3],
}

impl Options {
    fn channels(&self) -> usize {
        if self.grey { 1 } else { 3 }
    }

    /// Height, width and channels of each picture of the shard.
    fn shape(&self, source: &Source) -> Result<[usize; 3]> {
        let (width, height) = match (self.fit.size, source.native(), self.fit.crop) {
            (Some(size), _, _) => (size, size),
            (None, Some((w, h)), Some(crop)) => (crop.min(w).min(h), crop.min(w).min(h)),
            (None, Some(native), None) => native,
            (None, None, _) => {
                return Err(Error::Invalid("the pictures have no one size: give --size".into()));
            }
        };
        Ok([height, width, self.channels()])
    }

    /// The side of the shard's pictures as a name tells it: `64`, or `28x20` where they are not square.
    ///
    /// # Errors
    /// Pictures of no one size, and none asked for.
    pub fn side(&self, source: &Source) -> Result<String> {
        let [height, width, _] = self.shape(source)?;
        Ok(if height == width { height.to_string() } else { format!("{height}x{width}") })
    }

    /// The metadata as far as they are known before a picture is decoded.
    fn meta(&self, source: &Source, inputs: String) -> Meta {
        Meta {
            content_hash: String::new(),
            count: 0,
            crop: self.fit.crop,
            depth: self.depth,
            filter: self.fit.size.map(|_| self.fit.filter.to_string()),
            inputs,
            rejected: 0,
            size: self.fit.size,
            source: source.description().to_string(),
            split: self.split.map(|split| split.to_string()),
            tool: "prep".to_string(),
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// Whether `path` is the shard that [`make`] would make now: the same listing, the same options and version, whole, and
/// no file of the source changed since. (A shard's own time is that of the listing. Names and sizes are compared by a
/// digest in the metadata, so copies of the same data still give the same bytes.)
///
/// # Errors
/// A picture that has gone since it was listed.
pub fn is_up_to_date(path: &Path, source: &Source, options: &Options) -> Result<bool> {
    let Ok(shard) = Shard::open(path) else { return Ok(false) };
    let Ok(listed) = fs::metadata(path).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    let now = source.fingerprint()?;
    let there = shard.meta();
    let expected = Meta {
        content_hash: there.content_hash.clone(),
        count: there.count,
        rejected: there.rejected,
        ..options.meta(source, now.digest)
    };
    let shape = [shard.height(), shard.width(), shard.channels()];
    Ok(*there == expected
        && shard.dtype() == options.dtype
        && shape == options.shape(source)?
        && !(options.strict && there.rejected > 0)
        && now.changed.is_none_or(|changed| changed <= listed))
}

/// Whether a shard may be written to `path`: nothing is there, or a shard of ours, whole or not.
///
/// # Errors
/// What is there is something else; a folder above it that is not there.
pub fn may_replace(path: &Path) -> Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let metadata = file.metadata().map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder: name another file with -o"));
    }
    match Header::read(&file, metadata.len()) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Error::file(path, "is there and is not a shard: name another file with -o, or --force"))
        }
    }
}

/// Makes a shard of `source` at `path`: decodes on the current pool's threads, keeps the order, replaces what is there.
/// The same bytes for any number of threads. Stops, leaving nothing, soon after `stop` is set.
///
/// # Errors
/// [`Error::Stopped`]; what the file system says; with `options.strict` the first broken picture; no picture that could
/// be decoded.
pub fn make(
    path: &Path,
    source: &Source,
    options: &Options,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Made> {
    let listed = SystemTime::now();
    let shape = options.shape(source)?;
    let meta = options.meta(source, source.fingerprint()?.digest);
    let mut writer = Writer::create(path, options.dtype, shape, source.len(), meta)?;
    let bytes = shape.iter().product::<usize>();
    let window = (WINDOW_BYTES / bytes).clamp(1, WINDOW);
    let (mut rejected, mut first_rejected) = (0, None);
    let mut tally = Tally::default();
    let decoded = |window: Range<usize>| -> Vec<Result<(Vec<u8>, Notes)>> {
        let picture = |i| match stop.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => fitted(source, i, options),
        };
        window.into_par_iter().map(picture).collect()
    };
    let mut append = |pictures: Vec<Result<(Vec<u8>, Notes)>>| {
        for picture in pictures {
            match picture {
                Ok((pixels, notes)) => {
                    writer.append(&pixels)?;
                    tally.add(notes);
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(broken) if options.strict => return Err(broken),
                Err(broken) => {
                    progress.warn(&format!("skipped {broken}"));
                    rejected += 1;
                    first_rejected.get_or_insert(broken);
                }
            }
        }
        Ok(())
    };
    let mut waiting = Vec::new();
    for start in (0..source.len()).step_by(window) {
        let end = source.len().min(start + window);
        // One window is hashed and written while the next is decoded.
        let (next, appended) = rayon::join(|| decoded(start..end), || append(waiting));
        appended?;
        waiting = next;
        progress.at(end as u64, source.len() as u64, "pictures");
    }
    append(waiting)?;
    tally.lines(options.depth).iter().for_each(|line| progress.warn(line));
    match first_rejected {
        Some(first) if rejected == source.len() as u64 => {
            let what = format!("none of {rejected} pictures could be read; the first: {first}");
            Err(Error::file(source.description(), what))
        }
        _ => Ok(Made { meta: writer.finish(rejected, listed)?, shape }),
    }
}

/// Picture `i`, decoded and fitted: the bytes of a shard's row, and what else there is to say of it.
fn fitted(source: &Source, i: usize, options: &Options) -> Result<(Vec<u8>, Notes)> {
    let sixteen = options.depth.map_or(SixteenBit::HighByte, SixteenBit::Bits);
    let decoded = source.read(i)?.decode_noting(sixteen);
    let (picture, notes) = decoded.map_err(|what| Error::file(source.name(i), what))?;
    let fitted = resize_and_crop(&picture, &options.fit);
    Ok((if options.grey { fitted.to_grey() } else { fitted.rgb }, notes))
}
