//! From images to a shard: decode, fit and append, in windows, so that memory does not grow with the data.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

use super::header::Header;
use super::write::{Counts, Writer};
use super::{Dtype, Shard, ShardMeta};
use crate::data::image::{Notes, SixteenBit, Tally, Transform, resize_and_crop};
use crate::data::source::{SkippedFiles, Source, Split};
use crate::progress::Progress;
use crate::{Error, Result};

/// The most images of a window, and the most bytes that they take once load_image; two windows are in memory
/// at once.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 32 << 20;
/// So many broken images are named; the others are counted.
const NAMED: u64 = 10;

/// How a shard is made of its images.
#[derive(Debug, Clone, Default)]
pub struct ShardOptions {
    /// Crop and size; without a size the source must be of one native size (IDX).
    pub fit: Transform,
    /// One channel instead of three.
    pub gray: bool,
    /// How a value is stored.
    pub dtype: Dtype,
    /// How many bits the values of 16-bit gray use, 8 to 16: the highest eight of these are kept. `None`: all
    /// 16.
    pub depth: Option<u8>,
    /// The split that the source was cut to, for the metadata.
    pub split: Option<Split>,
    /// A broken image is an error instead of a warning.
    pub strict: bool,
}

/// What [`make`] made.
#[derive(Debug, Clone)]
pub struct ShardSummary {
    /// The shard's metadata.
    pub meta: ShardMeta,
    /// Height, width, channels.
    pub shape: [usize; 3],
}

impl ShardOptions {
    fn channels(&self) -> usize {
        if self.gray { 1 } else { 3 }
    }

    /// Height, width and channels of each image of the shard.
    fn shape(&self, source: &Source) -> Result<[usize; 3]> {
        let (width, height) = match (self.fit.size, source.native_size(), self.fit.crop) {
            (Some(size), _, _) => (size, size),
            (None, Some((w, h)), Some(crop)) => (crop.min(w).min(h), crop.min(w).min(h)),
            (None, Some(native), None) => native,
            (None, None, _) => {
                return Err(Error::Invalid("the images have no one size: give --size".into()));
            }
        };
        Ok([height, width, self.channels()])
    }

    /// The side of the shard's images as a name tells it: `64`, or `28x20` where they are not square.
    ///
    /// # Errors
    /// Images of no one size, and none asked for.
    pub fn side(&self, source: &Source) -> Result<String> {
        let [height, width, _] = self.shape(source)?;
        Ok(if height == width { height.to_string() } else { format!("{height}x{width}") })
    }

    /// The metadata as far as they are known before an image is decoded.
    fn meta(&self, source: &Source, inputs: String) -> ShardMeta {
        ShardMeta {
            broken: SkippedFiles::new(),
            content_hash: String::new(),
            count: 0,
            crop: self.fit.crop,
            depth: self.depth,
            filter: self.fit.size.map(|_| self.fit.filter.to_string()),
            idx: source.idx().map(str::to_string),
            inputs,
            passed_over: source.skipped().clone(),
            rejected: 0,
            size: self.fit.size,
            smaller_than_crop: 0,
            source: source.description().to_string(),
            split: self.split.map(|split| split.to_string()),
            tool: "prep".to_string(),
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// Whether `path` is the shard that [`make`] would make now: the same listing, the same options and version,
/// whole, and no file of the source changed since. (A shard's own time is that of the listing. Names and
/// sizes are compared by a digest in the metadata, so copies of the same data still give the same bytes.)
///
/// # Errors
/// An image that has gone since it was listed.
pub fn is_up_to_date(path: &Path, source: &Source, options: &ShardOptions) -> Result<bool> {
    let Ok(shard) = Shard::open(path) else { return Ok(false) };
    let Ok(listed) = fs::metadata(path).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    let now = source.fingerprint()?;
    let there = shard.meta();
    let expected = ShardMeta {
        broken: there.broken.clone(),
        content_hash: there.content_hash.clone(),
        count: there.count,
        // What lies beside the images may have changed: they are the same.
        passed_over: there.passed_over.clone(),
        rejected: there.rejected,
        smaller_than_crop: there.smaller_than_crop,
        ..options.meta(source, now.digest)
    };
    let shape = [shard.height(), shard.width(), shard.channels()];
    Ok(*there == expected
        && shard.dtype() == options.dtype
        && shape == options.shape(source)?
        && source.input_paths().other(path).is_none()
        && !(options.strict && there.rejected > 0)
        && now.changed.is_none_or(|changed| changed <= listed))
}

/// Whether a shard of `source` may be written to `path`: nothing is there, or a shard of ours, whole or not,
/// that is not known to be of other inputs.
///
/// # Errors
/// What is there is something else; a folder above it that is not there.
pub fn may_replace(path: &Path, source: &Source) -> Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let metadata = file.metadata().map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder: name another file with -o"));
    }
    if Header::read(&file, metadata.len()).is_err() {
        return Err(Error::file(path, "is there and is not a shard: name another file with -o, or --force"));
    }
    match source.input_paths().other(path) {
        None => Ok(()),
        Some(other) => {
            let what =
                format!("is there and is of other images ({other}): name another file with -o, or --force");
            Err(Error::file(path, what))
        }
    }
}

/// What the shard at `path` is of, for people: `the shard of 5 images of cats`. `None` where there is none.
pub fn describe(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let ShardMeta { count, source, split, .. } = Header::read(&file, file.metadata().ok()?.len()).ok()?.meta;
    let images = if count == 1 { "image" } else { "images" };
    let split = split.map_or(String::new(), |split| format!(", split {split}"));
    Some(format!("the shard of {count} {images} of {source}{split}"))
}

/// Makes a shard of `source` at `path`: decodes on the current pool's threads, keeps the order, replaces what
/// is there. The same bytes for any number of threads. Stops, leaving nothing, soon after `stop` is set.
///
/// # Errors
/// [`Error::Stopped`]; what the file system says; with `options.strict` the first broken image; no image that
/// could be decoded.
pub fn make(
    path: &Path,
    source: &Source,
    options: &ShardOptions,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<ShardSummary> {
    let listed = SystemTime::now();
    let shape = options.shape(source)?;
    let meta = options.meta(source, source.fingerprint()?.digest);
    let mut writer = Writer::create(path, options.dtype, shape, source.len(), meta)?;
    let bytes = shape.iter().product::<usize>();
    let window = (WINDOW_BYTES / bytes).clamp(1, WINDOW);
    let (mut counts, mut first_rejected, mut tally) = (Counts::default(), None, Tally::default());
    let decoded = |window: Range<usize>| -> Vec<(usize, Result<Fitted>)> {
        let image = |i| match stop.load(Ordering::Relaxed) {
            true => (i, Err(Error::Stopped)),
            false => (i, load_image(source, i, options)),
        };
        window.into_par_iter().map(image).collect()
    };
    let mut append = |images: Vec<(usize, Result<Fitted>)>| {
        for (i, image) in images {
            match image {
                Ok(Fitted { pixels, is_small, notes }) => {
                    counts.smaller_than_crop += u64::from(is_small);
                    writer.append(&pixels)?;
                    tally.add(notes);
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(broken) if options.strict => return Err(broken),
                Err(broken) => {
                    if counts.broken.total() < NAMED {
                        progress.warn(&format!("skipped {broken}"));
                    }
                    counts.broken.add(&reason(&broken), &source.short_name(i));
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
        progress.update(end as u64, source.len() as u64, "images");
    }
    append(waiting)?;
    tally.lines(options.depth).iter().for_each(|line| progress.warn(line));
    let (rejected, smaller) = (counts.broken.total(), counts.smaller_than_crop);
    if let Some(first) = first_rejected.filter(|_| rejected == source.len() as u64) {
        let what = format!("none of {rejected} images could be read; the first: {first}");
        return Err(Error::file(source.description(), what));
    }
    if rejected > NAMED {
        let by_reason = counts.broken.counts();
        progress
            .warn(&format!("{rejected} broken images were skipped, the first {NAMED} by name: {by_reason}"));
    }
    if let Some(crop) = options.fit.crop.filter(|_| smaller > 0) {
        let all = source.len();
        progress.warn(&format!(
            "{smaller} of {all} images are smaller than --crop {crop}: of these the largest centered square was cut"
        ));
    }
    source.input_paths().record(writer.temporary());
    Ok(ShardSummary { meta: writer.finish(counts, listed)?, shape })
}

/// A shard's row.
struct Fitted {
    pixels: Vec<u8>,
    /// Whether the image has a side that is shorter than the crop.
    is_small: bool,
    notes: Notes,
}

/// Image `i`, decoded and load_image.
fn load_image(source: &Source, i: usize, options: &ShardOptions) -> Result<Fitted> {
    let sixteen = options.depth.map_or(SixteenBit::HighByte, SixteenBit::Bits);
    let decoded = source.read(i)?.decode_noting(sixteen);
    let (image, notes) = decoded.map_err(|what| Error::file(source.name(i), what))?;
    let is_small = options.fit.crop.is_some_and(|crop| crop > image.width.min(image.height));
    let load_image = resize_and_crop(&image, &options.fit);
    Ok(Fitted { pixels: if options.gray { load_image.to_gray() } else { load_image.rgb }, is_small, notes })
}

/// Why an image is broken, without its name and numbers, so that many have the same reason.
fn reason(broken: &Error) -> String {
    let what = match broken {
        Error::File { what, .. } => what.clone(),
        Error::Io { reason, .. } => reason.to_string(),
        other => other.to_string(),
    };
    let what = what.split([':', ';', '(']).next().unwrap_or_default().trim();
    let mut text = String::new();
    for c in what.chars() {
        match c {
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            c => text.push(c),
        }
    }
    if text.is_empty() { "broken".to_string() } else { text }
}
