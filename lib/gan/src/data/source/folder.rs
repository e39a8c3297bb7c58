//! A folder of images, or one image.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::idx::{self, Idx};
use super::kind::{HEAD, Kind, Sorter, dotted, is_hidden, is_image_name};
use super::{Input, MAX_ENCODED, PassedOver, Raw, Recursion, found};
use crate::data::image::sniff;
use crate::{Error, Result};

/// Extensions that pytorch-fid looks for.
const PYTORCH_FID: [&str; 9] = ["bmp", "jpg", "jpeg", "pgm", "png", "ppm", "tif", "tiff", "webp"];
/// The reasons by which [`Recursion::OneLevel`] passes over images.
const BELOW: &str = "in subfolders (pytorch-fid reads one level)";
const CAPITALS: &str = "with capital extensions (pytorch-fid reads lower case)";
const UNKNOWN: &str = "images of unknown extensions (pytorch-fid reads known ones)";

/// Whether the file `path` is an image: by its extension, else by its first bytes.
pub(super) fn is_image(path: &Path) -> bool {
    is_image_name(&path.to_string_lossy()) || sniff(&head(path)).is_some_and(|format| format.is_read())
}

/// The first bytes of a file; none where it cannot be read.
fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD);
    // What is no plain file could be waited for.
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && let Ok(file) = File::open(path)
    {
        let _ = file.take(HEAD as u64).read_to_end(&mut bytes);
    }
    bytes
}

/// Opens a folder: its images, or the images of the IDX file in it that is meant.
///
/// # Errors
/// It cannot be read; nothing of either kind is in it, or it is not clear which is meant: see
/// [`idx::choose`].
pub(super) fn open(root: &Path, recursion: Recursion, wanted: Option<&str>) -> Result<Box<dyn Input>> {
    let mut listing = Listing::default();
    let real = fs::canonicalize(root).map_err(Error::io(root))?;
    list(root, Path::new(""), recursion, &mut vec![real], &mut listing)?;
    let Listing { mut files, mut others, mut below } = listing;
    for names in [&mut others, &mut below] {
        sort(names);
    }
    let (mut sorter, mut sets, mut archives) = (Sorter::default(), Vec::new(), Vec::new());
    for other in others {
        let name = other.to_string_lossy();
        match sorter.kind(&name, || head(&root.join(&other))) {
            Kind::Image if recursion == Recursion::Recursive => files.push(other),
            Kind::Image => {
                let extension = other.extension().unwrap_or_default().to_string_lossy();
                let reason = match PYTORCH_FID.contains(&&*extension.to_ascii_lowercase()) {
                    true => CAPITALS.to_string(),
                    false if is_image_name(&name) => format!(".{extension} (pytorch-fid does not read it)"),
                    false => UNKNOWN.to_string(),
                };
                sorter.passed_over.add(&reason, &name);
            }
            Kind::Idx => sets.push(other),
            Kind::Archive => archives.push(name.into_owned()),
            Kind::Other => {}
        }
    }
    sort(&mut files);
    let mut passed_over = sorter.passed_over;
    below.iter().for_each(|image| passed_over.add(BELOW, &image.to_string_lossy()));
    let names: Vec<String> = sets.iter().map(|set| set.to_string_lossy().into_owned()).collect();
    let same = |a: usize, b: usize| idx::same(&root.join(&sets[a]), &root.join(&sets[b]));
    if let Some(set) = idx::choose(root, &names, files.len(), recursion, wanted, same)? {
        files.iter().for_each(|image| passed_over.add("beside the IDX file", &image.to_string_lossy()));
        return Ok(Box::new(Idx::open(&root.join(&sets[set]))?.found(names[set].clone(), passed_over)));
    }
    if files.is_empty() {
        if below.is_empty()
            && let Some(found) = found::in_folder(root, &archives, &passed_over)?
        {
            return Ok(found);
        }
        return Err(Error::file(root, nothing(&below, &archives, &passed_over)));
    }
    names.iter().for_each(|name| passed_over.add("IDX", name));
    archives.iter().for_each(|name| passed_over.add(&dotted(name), name));
    Ok(Box::new(ImageFolder { root: root.to_path_buf(), files, passed_over }))
}

/// What a folder without images is told.
fn nothing(below: &[PathBuf], archives: &[String], passed_over: &PassedOver) -> String {
    if !below.is_empty() {
        let mut folders: Vec<_> = below.iter().filter_map(|image| image.components().next()).collect();
        folders.dedup();
        let (images, n) = (below.len(), folders.len());
        let (images, n) = match (images, n) {
            (1, _) => ("its only image lies".to_string(), "a subfolder".to_string()),
            (_, 1) => (format!("its {images} images lie"), "a subfolder".to_string()),
            _ => (format!("its {images} images lie"), format!("{n} subfolders")),
        };
        let first = folders.iter().take(3).map(|f| f.as_os_str().to_string_lossy()).collect::<Vec<_>>();
        let more = if folders.len() > first.len() { ", …" } else { "" };
        let first = first.join(", ");
        return format!(
            "{images} in {n} ({first}{more}); pytorch-fid reads one level: name one, or a zip of all"
        );
    }
    match archives {
        [] => {}
        [one] => return format!("no images in it, but it holds {one}: name that"),
        [one, ..] => {
            let n = archives.len();
            return format!("no images in it, but it holds {n} archives: name one of them, such as {one}");
        }
    }
    let passed = passed_over.line().map_or(String::new(), |line| format!("; {line}"));
    format!("no images in it (JPEG, PNG, BMP, WebP, TIFF, GIF, PNM, or IDX){passed}")
}

fn sort(names: &mut [PathBuf]) {
    names.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
}

pub(super) struct ImageFolder {
    root: PathBuf,
    /// Paths from `root`, in order.
    files: Vec<PathBuf>,
    passed_over: PassedOver,
}

impl ImageFolder {
    /// The folder of one image.
    pub(super) fn single(file: &Path) -> ImageFolder {
        let name = file.file_name().expect("a file has a name");
        let root = file.parent().unwrap_or(Path::new("")).to_path_buf();
        ImageFolder { root, files: vec![name.into()], passed_over: PassedOver::new() }
    }

    fn path(&self, i: usize) -> PathBuf {
        self.root.join(&self.files[i])
    }
}

/// The files of a folder, as paths from it, in no order.
#[derive(Default)]
struct Listing {
    /// Images by their names.
    files: Vec<PathBuf>,
    /// Everything else.
    others: Vec<PathBuf>,
    /// Images in subfolders, of a walk of one level.
    below: Vec<PathBuf>,
}

/// Lists what lies in the folder `below` of `root`. Links are followed, but not into a folder that they lie
/// in.
fn list(
    root: &Path,
    below: &Path,
    recursion: Recursion,
    inside: &mut Vec<PathBuf>,
    listing: &mut Listing,
) -> Result<()> {
    let folder = root.join(below);
    let deep = !below.as_os_str().is_empty();
    for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let entry = entry.map_err(Error::io(&folder))?;
        if is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let mut kind = entry.file_type().map_err(Error::io(&path))?;
        if kind.is_symlink() {
            // A link to nowhere is an image that will be found broken, if it looks like one.
            if let Ok(target) = fs::metadata(&path) {
                kind = target.file_type();
            }
        }
        if kind.is_dir() {
            let real = fs::canonicalize(&path).map_err(Error::io(&path))?;
            if !inside.contains(&real) {
                inside.push(real);
                let listed = list(root, &name, recursion, inside, listing);
                inside.pop();
                // Of what is only counted, a folder that cannot be read is no error.
                listed.or_else(|e| if recursion == Recursion::OneLevel { Ok(()) } else { Err(e) })?;
            }
        } else if kind.is_file() || kind.is_symlink() {
            let is_image = is_image_name(&name.to_string_lossy());
            let at_top =
                || name.extension().and_then(|e| e.to_str()).is_some_and(|e| PYTORCH_FID.contains(&e));
            match recursion {
                Recursion::OneLevel if deep && is_image => listing.below.push(name),
                Recursion::Recursive if is_image => listing.files.push(name),
                Recursion::OneLevel if !deep && at_top() => listing.files.push(name),
                // A link to nowhere that does not look like an image is nothing.
                _ if kind.is_symlink() => {}
                _ => listing.others.push(name),
            }
        }
    }
    Ok(())
}

impl Input for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, i: usize) -> String {
        self.files[i].to_string_lossy().into_owned()
    }

    fn full_name(&self, i: usize) -> String {
        self.path(i).display().to_string()
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let path = self.path(i);
        let read = || {
            let mut bytes = Vec::new();
            let file = File::open(&path)?;
            // One more, since only then is its end seen without asking for more room.
            bytes.reserve_exact(file.metadata()?.len().min(MAX_ENCODED) as usize + 1);
            file.take(MAX_ENCODED + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read().map_err(Error::io(&path))? {
            bytes if bytes.len() as u64 > MAX_ENCODED => Err(Error::file(&path, "larger than 256 MiB")),
            bytes => Ok(Raw::Encoded(bytes)),
        }
    }

    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)> {
        let path = self.path(i);
        match fs::metadata(&path) {
            Ok(metadata) => Ok((metadata.len().to_string(), Some(last_change(&metadata)))),
            // A link to nowhere: broken now, and when it is mended the target's own time tells.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => {
                Ok(("missing".into(), None))
            }
            Err(e) => Err(Error::io(&path)(e)),
        }
    }

    fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    fn home(&self) -> Option<PathBuf> {
        Some(self.root.clone())
    }
}

/// When a file's content last changed at the latest. The system sets the change time (ctime) itself, so a file that was
/// replaced by one with an older modification time (`mv`, `cp -p`) shows, too.
pub(super) fn last_change(metadata: &fs::Metadata) -> SystemTime {
    let (s, ns) = (metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
    SystemTime::UNIX_EPOCH + Duration::new(s, ns)
}
