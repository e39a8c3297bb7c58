//! All inputs of a command together.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::demo::Demo;
use super::file_type::is_image_name;
use super::input::{Input, OpenedInput, RawImage, Recursion};
use super::input_paths::InputPaths;
use super::open::{is_single_image, open};
use super::skipped::SkippedFiles;
use super::split::{LISTS, Split, SplitList};
use crate::io::atomic;
use crate::io::hash::hex;
use crate::{Error, Result};

/// A list of images, in the order of the inputs and by name within each. Threads may share it.
pub struct Source {
    inputs: Vec<Box<dyn Input>>,
    /// The input of each image, and the image's number within it.
    order: Vec<(u32, u32)>,
    title: String,
    description: String,
    skipped: SkippedFiles,
    chosen: Vec<String>,
    /// The full path of each input; of single images that of their folder.
    paths: Vec<String>,
    /// The IDX files that were requested by name.
    idx: Option<String>,
}

/// The version of a [`Source`]'s images when they were listed: see [`Source::fingerprint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 over names and versions, in order, in hexadecimal. Equal for copies of the same data.
    pub digest: String,
    /// When a file of the source last changed, where the digest might miss it.
    pub changed: Option<SystemTime>,
}

impl Source {
    /// Lists the images of `paths`: folders, archives, arrays, IDX files (gzipped or not) or images. A folder
    /// or archive without images but with IDX files, as MNIST is published, gives its training images.
    ///
    /// # Errors
    /// An input is missing, unreadable or without images; it holds several sets of IDX images, or IDX files
    /// and others.
    pub fn open(paths: &[PathBuf], recursion: Recursion) -> Result<Source> {
        Source::open_idx(paths, recursion, None)
    }

    /// [`Source::open`], and of the IDX files in folders and archives the one that `idx` names: by its path
    /// or name, by `train`, `test` or `valid`, or by a part of its name.
    ///
    /// # Errors
    /// Those of [`Source::open`]; no such IDX file, or several.
    pub fn open_idx(paths: &[PathBuf], recursion: Recursion, idx: Option<&str>) -> Result<Source> {
        let [first, ..] = paths else {
            return Err(Error::Invalid("no input: name a folder, a zip, an IDX file or images".into()));
        };
        let (mut inputs, mut full_paths): (Vec<OpenedInput>, Vec<String>) = (Vec::new(), Vec::new());
        for (i, path) in paths.iter().enumerate() {
            let input = open(path, recursion, idx)?;
            if idx.is_some() && input.chosen.is_none() {
                let what = "it chooses among the IDX files of a folder or an archive";
                return Err(Error::argument("idx", format!("{what}; {} is neither", path.display())));
            }
            inputs.push(input);
            // Many images of one folder come one after another.
            let before = i.checked_sub(1).map(|before| &paths[before]);
            if !before.is_some_and(|before| before.parent() == path.parent() && both_images(before, path)) {
                full_paths.push(full_path(path)?);
            }
        }
        full_paths.dedup();
        let names: Vec<String> = paths.iter().take(3).map(|path| file_name(path)).collect();
        let more = match paths.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let mut source = Source::of(inputs, title(first), names.join(", ") + &more, full_paths);
        source.idx = idx.map(|_| source.chosen.join(", "));
        Ok(source)
    }

    /// `count` faces drawn from `seed`, 178×218 with CelebA's framing. Face `i` depends on the seed and `i`
    /// alone.
    pub fn demo(count: usize, seed: u64) -> Source {
        let input = OpenedInput::all(Demo { count, seed });
        Source::of(vec![input], "demo".into(), format!("demo faces, seed {seed}"), vec!["demo faces".into()])
    }

    fn of(opened: Vec<OpenedInput>, title: String, description: String, paths: Vec<String>) -> Source {
        let (mut skipped, mut order) = (SkippedFiles::new(), Vec::new());
        let (mut chosen, mut inputs) = (Vec::new(), Vec::new());
        for (p, input) in opened.into_iter().enumerate() {
            order.extend((0..input.images.len()).map(|i| (p as u32, i as u32)));
            skipped.merge(&input.skipped);
            chosen.extend(input.chosen);
            inputs.push(input.images);
        }
        Source { inputs, order, title, description, skipped, chosen, paths, idx: None }
    }

    /// The files of the inputs that are not among the images, by reason. [`Source::slice`] does not count.
    pub fn skipped(&self) -> &SkippedFiles {
        &self.skipped
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn at(&self, i: usize) -> (&dyn Input, usize) {
        let (input, item) = self.order[i];
        (&*self.inputs[input as usize], item as usize)
    }

    /// The name of image `i` with its input, for messages: `celeba/000001.jpg`, `celeba.zip/000001.jpg`.
    pub fn name(&self, i: usize) -> String {
        let (input, item) = self.at(i);
        input.full_name(item)
    }

    /// Image `i`, not yet decoded.
    ///
    /// # Errors
    /// The image cannot be read; the error names it.
    pub fn read(&self, i: usize) -> Result<RawImage> {
        let (input, item) = self.at(i);
        input.read(item)
    }

    /// A short name for files made from this source: that of the first input, without its extension.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The names of the inputs without their folders, or the seed of drawn faces. Equal for copies of the
    /// same data.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The full paths of the inputs on this machine.
    pub fn input_paths(&self) -> InputPaths {
        InputPaths::new(&self.paths)
    }

    /// What was chosen from several sets in the inputs: the path of an IDX file within its folder or archive,
    /// an array's name, CIFAR's batches.
    pub fn chosen(&self) -> Vec<&str> {
        self.chosen.iter().map(String::as_str).collect()
    }

    /// The IDX file that was requested by name, if any.
    pub(crate) fn idx(&self) -> Option<&str> {
        self.idx.as_deref()
    }

    /// The name of image `i` within its input: equal for copies of the same data.
    pub(crate) fn short_name(&self, i: usize) -> String {
        let (input, item) = self.at(i);
        input.name(item)
    }

    /// Width and height, in pixels, where the formats give all images one size (IDX, arrays, batches).
    pub fn native_size(&self) -> Option<(usize, usize)> {
        let mut sizes = self.inputs.iter().map(|input| input.native_size());
        let first = sizes.next()??;
        sizes.all(|size| size == Some(first)).then_some(first)
    }

    /// Whether the formats make all images gray (IDX, gray arrays).
    pub fn is_gray(&self) -> bool {
        self.inputs.iter().all(|input| input.is_gray())
    }

    /// Drops the first `skip` images and keeps at most `limit` of the others.
    pub fn slice(&mut self, skip: usize, limit: usize) {
        self.order.drain(..skip.min(self.order.len()));
        self.order.truncate(limit);
    }

    /// Keeps the images that CelebA's `list_eval_partition.txt`, or `.csv`, assigns to `split`. Images that
    /// are not in the list count as skipped.
    ///
    /// # Errors
    /// No such list in or beside the images; a broken list; no image is left.
    pub fn keep_split(&mut self, split: Split) -> Result<()> {
        let mut lists = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let home = input.home().ok_or_else(|| Error::argument("split", "only for CelebA's images"))?;
            lists.push(match input.enclosed_list()? {
                Some((path, bytes)) => SplitList::parse(&path, &bytes)?,
                None => SplitList::find(&home)?,
            });
        }
        self.order.retain(|&(input, item)| {
            let name = self.inputs[input as usize].name(item as usize);
            let list = &lists[input as usize];
            let of = list.split(&name);
            if of.is_none() {
                self.skipped.add(&format!("not in {}", list.name), &name);
            }
            of == Some(split)
        });
        if self.order.is_empty() {
            let list = lists.first().map_or(LISTS[0], |list| list.name);
            let what = format!("no image is in the {split} split of {list}");
            return Err(Error::file(&self.description, what));
        }
        Ok(())
    }

    /// A digest of names, sizes and, in zips, checksums. A file in a folder may change without changing its
    /// size, so the time of the last change comes with it, as in `make`.
    ///
    /// # Errors
    /// A file has vanished since it was listed.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let (mut digest, mut changed) = (Sha256::new(), None);
        for i in 0..self.len() {
            let (input, item) = self.at(i);
            let (version, time) = input.version(item)?;
            digest.update(format!("{}\0{version}\n", input.name(item)));
            changed = changed.max(time);
        }
        Ok(Fingerprint { digest: hex(&digest.finalize()), changed })
    }
}

/// Whether the names of two inputs are those of images.
fn both_images(a: &Path, b: &Path) -> bool {
    [a, b].iter().all(|path| is_image_name(&path.to_string_lossy()) && !path.is_dir())
}

/// The full path of an input, with links resolved; of an image that of its folder.
fn full_path(input: &Path) -> Result<String> {
    let of = if is_single_image(input) { atomic::folder_of(input) } else { input };
    Ok(fs::canonicalize(of).map_err(Error::io(of))?.to_string_lossy().into_owned())
}

/// The last part of a path. `.` has a name, too.
fn file_name(input: &Path) -> String {
    let named = match input.file_name() {
        Some(name) => Some(name.to_os_string()),
        None => fs::canonicalize(input).ok().and_then(|full| Some(full.file_name()?.to_os_string())),
    };
    named.map_or_else(|| "images".to_string(), |name| name.to_string_lossy().into_owned())
}

/// The name of a folder, of an archive without its extension, or of an image's folder. Control characters are
/// replaced, so that it can be part of a file's name and of a line.
fn title(input: &Path) -> String {
    name_of(input).replace(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER, "_")
}

fn name_of(input: &Path) -> String {
    let name = file_name(input);
    if input.is_dir() {
        return name;
    }
    if is_single_image(input) {
        return file_name(atomic::folder_of(input));
    }
    let stem = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|end| name.strip_suffix(end));
    let name = stem.unwrap_or(&name);
    Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy().into_owned())
}
