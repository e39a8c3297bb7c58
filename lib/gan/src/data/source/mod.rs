//! What images there are: folders, zips, IDX files, single files and drawn faces, each opened as a [`Input`], and all of
//! them together as one [`Source`] that gives image `i` by its number, from any thread. Never resizes.

mod array;
mod cifar;
mod container;
mod demo;
mod folder;
mod found;
mod idx;
mod kind;
mod npy;
mod origin;
mod packed;
mod parquet;
mod passed_over;
mod pickle;
mod span;
mod split;
mod tar;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_found;
mod unpack;
mod unzip;
mod zip;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

pub use self::origin::Origin;
pub use self::passed_over::PassedOver;
use self::split::List;
pub use self::split::Split;
use self::{demo::Demo, folder::ImageFolder, idx::Idx, zip::Zip};
use crate::data::image::{Image, Notes, SixteenBit, decode_noting};
use crate::io::atomic;
use crate::io::hash::hex;
use crate::{Error, Result};

/// The largest encoded image that is read, in bytes: several may be in memory at once, one a thread.
const MAX_ENCODED: u64 = 256 << 20;

/// How a folder is searched for images. (Zips are always searched whole.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// At any depth, by every extension of a format that is read, in any letter case; what begins with a dot and
    /// `__MACOSX` is passed over.
    Recursive,
    /// As pytorch-fid does: the folder itself, bmp jpg jpeg pgm png ppm tif tiff webp in lower case.
    OneLevel,
}

/// One image as its source holds it.
pub enum Raw {
    /// An encoded file's bytes.
    Encoded(Vec<u8>),
    /// Pixels that need no decoding (IDX, drawn faces).
    Pixels(Image),
}

impl Raw {
    /// The image itself.
    ///
    /// # Errors
    /// Those of [`crate::data::image::decode`].
    pub fn decode(self) -> Result<Image, String> {
        self.decode_noting(SixteenBit::HighByte).map(|(image, _)| image)
    }

    /// The image itself, with a choice for 16-bit gray, and what else there is to say of its file.
    ///
    /// # Errors
    /// Those of [`crate::data::image::decode`].
    pub fn decode_noting(self, sixteen: SixteenBit) -> Result<(Image, Notes), String> {
        match self {
            Raw::Encoded(bytes) => decode_noting(&bytes, sixteen),
            Raw::Pixels(image) => Ok((image, Notes::default())),
        }
    }
}

/// One input: its images, ordered by name.
trait Input: Send + Sync {
    fn len(&self) -> usize;
    /// Image `i`'s name within the input, folders parted by `/`.
    fn name(&self, i: usize) -> String;
    /// The name with the input's before it, for messages.
    fn full_name(&self, i: usize) -> String;
    fn read(&self, i: usize) -> Result<Raw>;
    /// What, besides its name, tells image `i` from another version of it, and when its file last changed where what
    /// it is told by may miss a change.
    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)>;
    /// Width and height, where all images have the same by their format (IDX, arrays, batches).
    fn native(&self) -> Option<(usize, usize)> {
        None
    }
    /// Whether all images are gray by their format.
    fn gray(&self) -> bool {
        self.native().is_some()
    }
    /// The name of what was chosen of several in the input, where something was: an IDX file, an array,
    /// batches.
    fn taken(&self) -> Option<&str> {
        None
    }
    /// CelebA's list of its splits, where the input holds one and [`Input::home`] is not where it lies: its
    /// path and content.
    fn enclosed_list(&self) -> Result<Option<(PathBuf, Vec<u8>)>> {
        Ok(None)
    }
    /// What lies in the input and is not among its images.
    fn passed_over(&self) -> &PassedOver {
        const NOTHING: &PassedOver = &PassedOver::new();
        NOTHING
    }
    /// The folder to begin the search for a split's list in; `None` where there is nothing to split.
    fn home(&self) -> Option<PathBuf>;
}

/// A listed set of images, in the order of the inputs and by name within each. Shared between threads freely.
pub struct Source {
    inputs: Vec<Box<dyn Input>>,
    /// Input and number within it.
    order: Vec<(u32, u32)>,
    title: String,
    description: String,
    /// What lies in the inputs and is not in `order`, but for what [`Source::slice`] left out.
    passed_over: PassedOver,
    /// Each input's full path, of images their folder's.
    origins: Vec<String>,
    /// The IDX files that were asked for by name.
    idx: Option<String>,
}

/// What a [`Source`]'s images were when they were listed: see [`Source::fingerprint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// SHA-256 in hexadecimal over names and versions, in order. Equal in copies of the same data.
    pub digest: String,
    /// When a file of the source last changed, where the digest might miss that.
    pub changed: Option<SystemTime>,
}

impl Source {
    /// Lists the images of `inputs`: each a folder, a zip (told by its content), an IDX file (gzipped or not) or a
    /// image. A folder or zip without images but with IDX files, as MNIST is published, gives its
    /// training images.
    ///
    /// # Errors
    /// An input that is missing, unreadable, none of these, or without images; one with several sets of IDX
    /// images, or with IDX files and others.
    pub fn open(paths: &[PathBuf], recursion: Recursion) -> Result<Source> {
        Source::open_idx(paths, recursion, None)
    }

    /// [`Source::open`], and of the IDX files in folders and zips the one that `idx` names: by its path or
    /// name, by `train`, `test` or `valid`, or by a part of its name.
    ///
    /// # Errors
    /// Those of [`Source::open`]; no such IDX file, or several.
    pub fn open_idx(paths: &[PathBuf], recursion: Recursion, idx: Option<&str>) -> Result<Source> {
        let [first, ..] = paths else {
            return Err(Error::Invalid("no input: name a folder, a zip, an IDX file or images".into()));
        };
        let mut inputs: Vec<Box<dyn Input>> = Vec::new();
        let mut origins: Vec<String> = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let input = open_input(path, recursion, idx)?;
            if let Some(idx) = idx.filter(|_| input.taken().is_none()) {
                let what = format!(
                    "--idx {idx} chooses among the IDX files of a folder or zip, and this is neither"
                );
                return Err(Error::file(path, what));
            }
            inputs.push(input);
            // Many images of one folder come one after another.
            let before = i.checked_sub(1).map(|before| &paths[before]);
            if !before.is_some_and(|before| before.parent() == path.parent() && both_images(before, path)) {
                origins.push(origin(path)?);
            }
        }
        origins.dedup();
        let title = title(first);
        let names: Vec<String> = paths.iter().take(3).map(|path| file_name(path)).collect();
        let mut description = names.join(", ");
        if paths.len() > names.len() {
            write!(description, " and {} more", paths.len() - names.len())
                .expect("a String takes every write");
        }
        let mut source = Source::of(inputs, title, description, origins);
        source.idx = idx.map(|_| source.taken().join(", "));
        Ok(source)
    }

    /// `count` faces drawn from `seed`, 178×218 with CelebA's framing. Face `i` depends on the seed and `i` alone.
    pub fn demo(count: usize, seed: u64) -> Source {
        let input = Box::new(Demo { count, seed });
        Source::of(vec![input], "demo".into(), format!("demo faces, seed {seed}"), vec!["demo faces".into()])
    }

    fn of(inputs: Vec<Box<dyn Input>>, title: String, description: String, origins: Vec<String>) -> Source {
        let numbered = inputs.iter().enumerate();
        let order =
            numbered.flat_map(|(p, input)| (0..input.len()).map(move |i| (p as u32, i as u32))).collect();
        let mut passed_over = PassedOver::new();
        inputs.iter().for_each(|input| passed_over.merge(input.passed_over()));
        Source { inputs, order, title, description, passed_over, origins, idx: None }
    }

    /// What lies in the inputs and is not among the images, by reason. What [`Source::slice`] leaves out is
    /// not counted.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
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
        let (part, item) = self.order[i];
        (&*self.inputs[part as usize], item as usize)
    }

    /// Image `i`'s name with its input's, for messages: `celeba/000001.jpg`, `celeba.zip/000001.jpg`.
    pub fn name(&self, i: usize) -> String {
        let (part, item) = self.at(i);
        part.full_name(item)
    }

    /// Image `i`, not yet decoded.
    ///
    /// # Errors
    /// What the file system or the archive says; names the image.
    pub fn read(&self, i: usize) -> Result<Raw> {
        let (part, item) = self.at(i);
        part.read(item)
    }

    /// A short name for files made of this source: the first input's, without its extension.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the source is, for people: the inputs' names without their folders, or the drawn faces' seed. Equal in
    /// copies of the same data.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where the images are on this machine.
    pub fn origin(&self) -> Origin {
        Origin::new(&self.origins)
    }

    /// What was chosen of several in the inputs: an IDX file's path within its folder or zip, an array's
    /// name, CIFAR's batches.
    pub fn taken(&self) -> Vec<&str> {
        self.inputs.iter().filter_map(|part| part.taken()).collect()
    }

    /// The IDX file that was asked for by name, where one was.
    pub(crate) fn idx(&self) -> Option<&str> {
        self.idx.as_deref()
    }

    /// Image `i`'s name within its input: equal in copies of the same data.
    pub(crate) fn short_name(&self, i: usize) -> String {
        let (part, item) = self.at(i);
        part.name(item)
    }

    /// Width and height where every image has the same by its format (IDX, arrays, batches).
    pub fn native(&self) -> Option<(usize, usize)> {
        let mut sizes = self.inputs.iter().map(|part| part.native());
        let first = sizes.next()??;
        sizes.all(|size| size == Some(first)).then_some(first)
    }

    /// Whether every image is gray by its format (IDX, gray arrays).
    pub fn is_gray(&self) -> bool {
        self.inputs.iter().all(|part| part.gray())
    }

    /// Keeps the images from number `skip` on, at most `limit` of them.
    pub fn slice(&mut self, skip: usize, limit: usize) {
        self.order.drain(..skip.min(self.order.len()));
        self.order.truncate(limit);
    }

    /// Keeps the images that CelebA's `list_eval_partition.txt`, or `.csv`, gives to `split`; those that it
    /// does not name go, and count as passed over.
    ///
    /// # Errors
    /// No such list in or beside the images, one that is not as CelebA's is, or no image left.
    pub fn keep_split(&mut self, split: Split) -> Result<()> {
        let mut lists = Vec::with_capacity(self.inputs.len());
        for part in &self.inputs {
            let home = part.home().ok_or_else(|| Error::Invalid("--split is for CelebA's images".into()))?;
            lists.push(match part.enclosed_list()? {
                Some((path, bytes)) => List::parse(&path, &bytes)?,
                None => List::find(&home)?,
            });
        }
        self.order.retain(|&(part, item)| {
            let name = self.inputs[part as usize].name(item as usize);
            let list = &lists[part as usize];
            let of = list.split(&name);
            if of.is_none() {
                self.passed_over.add(&format!("not in {}", list.name), &name);
            }
            of == Some(split)
        });
        if self.order.is_empty() {
            let list = lists.first().map_or(split::LISTS[0], |list| list.name);
            let what = format!("none of its images is in the {split} split of {list}");
            return Err(Error::file(&self.description, what));
        }
        Ok(())
    }

    /// Tells this listing from any other: names, sizes and, of zips, checksums. A file in a folder may change without
    /// changing its size, so the time when one last did is given beside the digest, as `make` would ask.
    ///
    /// # Errors
    /// A file that has gone since it was listed.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let (mut digest, mut changed) = (Sha256::new(), None);
        for i in 0..self.len() {
            let (part, item) = self.at(i);
            let (version, time) = part.version(item)?;
            digest.update(format!("{}\0{version}\n", part.name(item)));
            changed = changed.max(time);
        }
        Ok(Fingerprint { digest: hex(&digest.finalize()), changed })
    }
}

/// Whether `path` holds images in a form in which statistics might come, too: an `.npz` with an array of
/// three or four dimensions and no covariance, or a pickled batch.
pub(crate) fn holds_images(path: &Path) -> bool {
    found::holds_images(path).unwrap_or(false)
}

fn open_input(input: &Path, recursion: Recursion, wanted: Option<&str>) -> Result<Box<dyn Input>> {
    if fs::metadata(input).map_err(Error::io(input))?.is_dir() {
        return folder::open(input, recursion, wanted);
    }
    if !fs::metadata(input).map_err(Error::io(input))?.is_file() {
        return Err(Error::file(input, "neither a file nor a folder"));
    }
    if let Some(images) = found::in_npz(input)? {
        return Ok(images);
    }
    if zip::is_zip(input)? {
        return Zip::open(input, recursion, wanted);
    }
    if idx::is_idx(input)? {
        return Ok(Box::new(Idx::open(input)?));
    }
    if folder::is_image(input) {
        return Ok(Box::new(ImageFolder::single(input)));
    }
    found::in_file(input, recursion, wanted)
}

/// Whether an input is an image by itself. A zip or an IDX file may have any extension.
fn is_image(input: &Path) -> bool {
    folder::is_image(input) && !zip::is_zip(input).unwrap_or(false) && !idx::is_idx(input).unwrap_or(false)
}

/// Whether two inputs are images by their names.
fn both_images(a: &Path, b: &Path) -> bool {
    [a, b].iter().all(|path| kind::is_image_name(&path.to_string_lossy()) && !path.is_dir())
}

/// An input's full path, without links; of an image, its folder's.
fn origin(input: &Path) -> Result<String> {
    let of = if input.is_file() && is_image(input) { atomic::folder_of(input) } else { input };
    Ok(fs::canonicalize(of).map_err(Error::io(of))?.to_string_lossy().into_owned())
}

/// The last part of a path as it is known on disk: `.` has a name, too.
fn file_name(input: &Path) -> String {
    let named = match input.file_name() {
        Some(name) => Some(name.to_os_string()),
        None => fs::canonicalize(input).ok().and_then(|full| Some(full.file_name()?.to_os_string())),
    };
    named.map_or_else(|| "images".to_string(), |name| name.to_string_lossy().into_owned())
}

/// A folder's name; an archive's without its extension; of an image, its folder's. It can be a file's name and a line, whatever
/// the input's was.
fn title(input: &Path) -> String {
    name_of(input).replace(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER, "_")
}

fn name_of(input: &Path) -> String {
    let name = file_name(input);
    if input.is_dir() {
        return name;
    }
    if is_image(input) {
        return file_name(atomic::folder_of(input));
    }
    let packed = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|end| name.strip_suffix(end));
    let name = packed.unwrap_or(&name);
    Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy().into_owned())
}
