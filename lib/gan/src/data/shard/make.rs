//! From images to a shard: decode, resize and append, in windows, so that memory does not grow with the data.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

use super::header::Header;
use super::write::{ShardCounts, ShardWriter};
use super::{Dtype, Shard, ShardMeta};
use crate::data::image::{NoteCounts, Notes, SixteenBit, Transform, resize_and_crop};
use crate::data::source::{Source, Split};
use crate::error::counted;
use crate::io::check_overwrite;
use crate::progress::Progress;
use crate::{Error, Result};

/// The most images of a window, and the most bytes of their prepared pixels. Two windows are in memory at
/// once.
const WINDOW: usize = 512;
const WINDOW_BYTES: usize = 32 << 20;
/// The most broken images that are named; the others are counted.
const MAX_NAMED: u64 = 10;

/// How images become a shard.
#[derive(Debug, Clone, Default)]
pub struct ShardOptions {
    /// Crop and size. Without a size all images must have one native size (IDX, arrays).
    pub fit: Transform,
    /// One channel instead of three.
    pub gray: bool,
    /// How a value is stored.
    pub dtype: Dtype,
    /// The number of bits that 16-bit gray uses, 8 to 16. The highest eight of these are kept. `None`: 16.
    pub depth: Option<u8>,
    /// The split that the source was reduced to, for the metadata.
    pub split: Option<Split>,
    /// Whether a broken image is an error instead of a warning.
    pub strict: bool,
}

/// The result of [`make`].
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
            _ => return Err(Error::argument("size", "needed, since the images differ in size")),
        };
        Ok([height, width, self.channels()])
    }

    /// The size of the shard's images as a part of a file name: `64`, or `28x20` (height, width).
    ///
    /// # Errors
    /// The images differ in size, and `fit` has none.
    pub fn side(&self, source: &Source) -> Result<String> {
        let [height, width, _] = self.shape(source)?;
        Ok(if height == width { height.to_string() } else { format!("{height}x{width}") })
    }

    /// The metadata that are known before the images are decoded.
    fn meta(&self, source: &Source, inputs: String) -> ShardMeta {
        ShardMeta {
            crop: self.fit.crop,
            depth: self.depth,
            filter: self.fit.size.map(|_| self.fit.filter.to_string()),
            idx: source.idx().map(str::to_string),
            inputs,
            passed_over: source.skipped().clone(),
            size: self.fit.size,
            source: source.description().to_string(),
            split: self.split.map(|split| split.to_string()),
            tool: "prep".to_string(),
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
            ..ShardMeta::default()
        }
    }
}

/// Whether `path` is the shard that [`make`] would make now: complete, of the same listing, options and
/// version, and newer than all files of the source. (The time of a shard is that of its listing. Names and
/// sizes are compared by a digest in the metadata, so copies of the same data still give the same bytes.)
///
/// # Errors
/// An image has vanished since it was listed.
pub fn is_up_to_date(path: &Path, source: &Source, options: &ShardOptions) -> Result<bool> {
    let Ok(shard) = Shard::open(path) else { return Ok(false) };
    let Ok(listed) = fs::metadata(path).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    let now = source.fingerprint()?;
    let there = shard.meta();
    let expected = ShardMeta {
        broken: there.broken.clone(),
        content_hash: there.content_hash.clone(),
        count: there.count,
        // Files beside the images may have changed; the images are the same.
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

/// Checks that a shard of `source` may be written to `path`: nothing is there, or `force`, or a shard
/// that is not known to be made from other inputs.
///
/// # Errors
/// Another file is there.
pub fn check_replaceable(path: &Path, source: &Source, force: bool) -> Result<()> {
    check_overwrite(path, force, || {
        let file = fs::File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        if metadata.is_dir() {
            return Err(Error::file(path, "is a folder: name a file"));
        }
        if Header::read(&file, metadata.len()).is_err() {
            return Ok(Some("is not a shard".into()));
        }
        Ok(source.input_paths().other(path).map(|other| format!("was made from other images ({other})")))
    })
}

/// Describes the shard at `path`: `the shard of 5 images of cats`. `None` where there is none.
pub fn describe(path: &Path) -> Option<String> {
    let file = fs::File::open(path).ok()?;
    let ShardMeta { count, source, split, .. } = Header::read(&file, file.metadata().ok()?.len()).ok()?.meta;
    let split = split.map_or(String::new(), |split| format!(", split {split}"));
    Some(format!("the shard of {} of {source}{split}", counted(count, "image")))
}

/// Makes a shard of `source` at `path`, replacing an existing file. It decodes on the threads of the current
/// pool and keeps the order; the bytes do not depend on the number of threads. It stops soon after `stop` is
/// set, and leaves nothing then.
///
/// # Errors
/// [`Error::Stopped`]; the file system refuses; with `options.strict` the first broken image; no image could
/// be decoded.
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
    let mut writer = ShardWriter::create(path, options.dtype, shape, source.len(), meta)?;
    let bytes = shape.iter().product::<usize>();
    let window = (WINDOW_BYTES / bytes).clamp(1, WINDOW);
    let (mut counts, mut first_rejected, mut tally) = (ShardCounts::default(), None, NoteCounts::default());
    let decoded = |window: Range<usize>| -> Vec<(usize, Result<PreparedImage>)> {
        let image = |i| match stop.load(Ordering::Relaxed) {
            true => (i, Err(Error::Stopped)),
            false => (i, load_image(source, i, options)),
        };
        window.into_par_iter().map(image).collect()
    };
    let mut append = |images: Vec<(usize, Result<PreparedImage>)>| {
        for (i, image) in images {
            match image {
                Ok(PreparedImage { pixels, is_small, notes }) => {
                    counts.smaller_than_crop += u64::from(is_small);
                    writer.append(&pixels)?;
                    tally.add(notes);
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(broken) if options.strict => return Err(broken),
                Err(broken) => {
                    if counts.broken.total() < MAX_NAMED {
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
    if rejected > MAX_NAMED {
        let reasons = counts.broken.counts();
        progress.warn(&format!(
            "{rejected} broken images were skipped, the first {MAX_NAMED} by name: {reasons}"
        ));
    }
    if let Some(crop) = options.fit.crop.filter(|_| smaller > 0) {
        let all = source.len();
        progress.warn(&format!(
            "{smaller} of {all} images are smaller than the crop of {crop}: their largest centered square \
             was used"
        ));
    }
    source.input_paths().record(writer.temporary());
    Ok(ShardSummary { meta: writer.finish(counts, listed)?, shape })
}

/// An image with the size and channels of the shard.
struct PreparedImage {
    pixels: Vec<u8>,
    /// Whether the original is smaller than the crop.
    is_small: bool,
    notes: Notes,
}

fn load_image(source: &Source, i: usize, options: &ShardOptions) -> Result<PreparedImage> {
    let sixteen = options.depth.map_or(SixteenBit::HighByte, SixteenBit::Bits);
    let decoded = source.read(i)?.decode_noting(sixteen);
    let (image, notes) = decoded.map_err(|what| Error::file(source.name(i), what))?;
    let is_small = options.fit.crop.is_some_and(|crop| crop > image.width.min(image.height));
    let image = resize_and_crop(&image, &options.fit);
    Ok(PreparedImage { pixels: if options.gray { image.to_gray() } else { image.rgb }, is_small, notes })
}

/// Why an image is broken, without its name and numbers, so that images share reasons.
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
