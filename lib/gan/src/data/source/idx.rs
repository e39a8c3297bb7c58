//! IDX files, MNIST's format: a big-endian header (0, 0, type, dimensions, then each dimension as u32) and the data. The
//! images' type is 8 (unsigned bytes) and they have three dimensions: number, rows, columns. Gzipped ones, too.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use super::folder::last_change;
use super::{Input, PassedOver, Raw, Recursion};
use crate::data::image::Image;
use crate::{Error, Result};

const HEADER: usize = 16;
/// The most names that an error lists.
const LISTED: usize = 12;

/// The first bytes of a file, unzipped; fewer where there are no more or the gzip is broken.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (file, gzipped) = open_maybe_gzipped(path)?;
    let read = match gzipped {
        true => MultiGzDecoder::new(file).take(HEADER as u64).read_to_end(&mut bytes),
        false => file.take(HEADER as u64).read_to_end(&mut bytes),
    };
    match read {
        // A broken gzip shows itself as too few bytes here; `Idx::open` says what is wrong.
        Err(e) if !gzipped => Err(Error::io(path)(e)),
        _ => Ok(bytes),
    }
}

fn open_maybe_gzipped(path: &Path) -> Result<(File, bool)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut magic = [0; 2];
    let n = file.read_at(&mut magic, 0).map_err(Error::io(path))?;
    Ok((file, n == 2 && magic == [0x1F, 0x8B]))
}

/// Whether a file is IDX of any kind: by its content, or a gzip whose name says so.
pub(super) fn is_idx(path: &Path) -> Result<bool> {
    let by_name = path.to_string_lossy().ends_with("ubyte.gz");
    Ok(by_name || matches!(head(path)?.as_slice(), [0, 0, 0x08 | 0x09 | 0x0B..=0x0E, 1..=8, ..]))
}

pub(super) struct Idx {
    path: PathBuf,
    /// The unpacked content; of a gzip or a zip's entry, a nameless temporary file, so that memory does not
    /// grow with the data.
    data: File,
    shape: Shape,
    /// What tells an entry of an archive from another version of it; of a file, its length and its time do.
    version: Option<String>,
    /// Its name within the input, where it was found there.
    name: Option<String>,
    passed_over: PassedOver,
}

/// What a header says.
struct Shape {
    len: usize,
    width: usize,
    height: usize,
    /// Bytes of the whole file, unpacked.
    bytes: u64,
}

impl Shape {
    fn parse(header: &[u8]) -> Result<Shape, String> {
        if header.len() < 4 {
            return Err("cut short, or a broken gzip: fetch it again".into());
        }
        if header[..4] != [0, 0, 8, 3] {
            let (kind, dimensions) = (header[2], header[3]);
            return Err(format!(
                "IDX of type {kind} and {dimensions} dimensions, not of images (8 and 3: …-images-idx3-ubyte)"
            ));
        }
        let mut header = header.to_vec();
        header.resize(HEADER, 0);
        let dimension =
            |i: usize| u32::from_be_bytes(header[4 * i..4 * i + 4].try_into().expect("four bytes")) as usize;
        let (len, height, width) = (dimension(1), dimension(2), dimension(3));
        let expected = (width as u64).checked_mul(height as u64).and_then(|n| n.checked_mul(len as u64));
        let expected = expected.and_then(|n| n.checked_add(HEADER as u64));
        let Some(bytes) = expected.filter(|_| width > 0 && height > 0) else {
            return Err(format!("IDX of {len} images of {width}×{height} pixels"));
        };
        if len == 0 {
            return Err("no images in it".into());
        }
        Ok(Shape { len, width, height, bytes })
    }

    fn check(&self, size: u64) -> Result<(), String> {
        let Shape { len, width, height, bytes } = self;
        let what = match size.cmp(bytes) {
            Ordering::Equal => return Ok(()),
            Ordering::Less => "cut short",
            Ordering::Greater => "trailing bytes",
        };
        Err(format!("{what}: {len} images of {width}×{height} need {bytes} bytes"))
    }
}

impl Idx {
    /// Opens a file of images and checks its size against its header.
    pub(super) fn open(path: &Path) -> Result<Idx> {
        let shape = Shape::parse(&head(path)?).map_err(|what| Error::file(path, what))?;
        let (file, gzipped) = open_maybe_gzipped(path)?;
        let data = match gzipped {
            true => unpacked(MultiGzDecoder::new(file), &shape).map_err(|what| Error::file(path, what))?,
            false => {
                let size = file.metadata().map_err(Error::io(path))?.len();
                shape.check(size).map_err(|what| Error::file(path, what))?;
                file
            }
        };
        Ok(Idx::of(path, data, shape, None))
    }

    /// Unpacks an archive's entry, gzipped or not, to be called `path` in messages.
    pub(super) fn unpack(path: &Path, entry: impl Read, version: String) -> Result<Idx> {
        let mut entry = BufReader::new(entry);
        let gzipped = entry.fill_buf().is_ok_and(|start| start.starts_with(&[0x1F, 0x8B]));
        let mut entry: Box<dyn Read> = match gzipped {
            true => Box::new(MultiGzDecoder::new(entry)),
            false => Box::new(entry),
        };
        let mut header = Vec::new();
        // What a broken one lacks is said by its size.
        let _ = entry.by_ref().take(HEADER as u64).read_to_end(&mut header);
        let shape = Shape::parse(&header).map_err(|what| Error::file(path, what))?;
        let data = unpacked(header.chain(entry), &shape).map_err(|what| Error::file(path, what))?;
        Ok(Idx::of(path, data, shape, Some(version)))
    }

    fn of(path: &Path, data: File, shape: Shape, version: Option<String>) -> Idx {
        Idx { path: path.to_path_buf(), data, shape, version, name: None, passed_over: PassedOver::new() }
    }

    /// This one, found by `name` within an input in which other files were passed over.
    pub(super) fn found(self, name: String, passed_over: PassedOver) -> Idx {
        Idx { name: Some(name), passed_over, ..self }
    }
}

/// Unpacks a file into a temporary one, no more of it than its header says.
fn unpacked(from: impl Read, shape: &Shape) -> Result<File, String> {
    let mut file = tempfile::tempfile().map_err(|e| format!("no room to unpack it ({e})"))?;
    let size = io::copy(&mut from.take(shape.bytes + 1), &mut file)
        .map_err(|e| format!("a broken gzip, or no room for it unpacked ({e})"))?;
    shape.check(size)?;
    Ok(file)
}

/// Whether two files have the same content, unpacked. What cannot be read is like nothing.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    let open = |path: &Path| -> Result<BufReader<Box<dyn Read>>> {
        let (file, gzipped) = open_maybe_gzipped(path)?;
        Ok(BufReader::new(if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) }))
    };
    let (Ok(mut a), Ok(mut b)) = (open(a), open(b)) else { return false };
    loop {
        let (Ok(x), Ok(y)) = (a.fill_buf(), b.fill_buf()) else { return false };
        let n = x.len().min(y.len());
        if n == 0 {
            return x.len() == y.len();
        }
        if x[..n] != y[..n] {
            return false;
        }
        a.consume(n);
        b.consume(n);
    }
}

/// What the words of a name say that its images are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Train,
    Test,
    Valid,
}

impl Role {
    fn of_word(word: &str) -> Option<Role> {
        match word {
            "train" | "training" => Some(Role::Train),
            "test" | "testing" | "t10k" => Some(Role::Test),
            "valid" | "validation" | "val" => Some(Role::Valid),
            _ => None,
        }
    }

    /// By the file's name, or where that says nothing by its folder's.
    fn of(name: &str) -> Option<Role> {
        let name = name.to_ascii_lowercase();
        name.rsplit('/').find_map(|part| part.split(|c: char| !c.is_alphanumeric()).find_map(Role::of_word))
    }
}

/// Of the IDX files of images `names` that lie in `input`, the one that is meant: the training images
/// (`train` as a word of the name), or the only one; with `wanted`, of those that it names. `None`: the
/// images of other formats are. `same` tells whether two files hold the same.
///
/// # Errors
/// Several may be meant, or images of other formats, too; none is as `wanted`.
pub(super) fn choose(
    input: &Path,
    names: &[String],
    images: usize,
    recursion: Recursion,
    wanted: Option<&str>,
    same: impl Fn(usize, usize) -> bool,
) -> Result<Option<usize>> {
    let list = |left: &[usize]| {
        let mut text = left.iter().take(LISTED).map(|&i| &*names[i]).collect::<Vec<_>>().join(", ");
        if left.len() > LISTED {
            text += &format!(" and {} more", left.len() - LISTED);
        }
        text
    };
    // Beside an unpacked file its gzip is nothing new.
    let packed =
        |i: &usize| names[*i].strip_suffix(".gz").is_some_and(|name| names.iter().any(|n| n == name));
    let mut left: Vec<usize> = (0..names.len()).filter(|i| !packed(i)).collect();
    match wanted {
        Some(wanted) => {
            let matching = called(names, wanted);
            let chosen: Vec<usize> = left.iter().copied().filter(|i| matching.contains(i)).collect();
            if chosen.is_empty() {
                let what = match &left[..] {
                    [] => format!("--idx {wanted}: no IDX file of images in it"),
                    left => format!("--idx {wanted}: no such IDX file in it, but {}", list(left)),
                };
                return Err(Error::file(input, what));
            }
            left = chosen;
        }
        None if left.is_empty() || recursion == Recursion::OneLevel && images > 0 => return Ok(None),
        None if images > 0 => {
            let (first, n) = (&names[left[0]], left.len());
            let files = if n == 1 { "IDX file" } else { "IDX files" };
            let and = if images == 1 { "an image".to_string() } else { format!("{images} images") };
            let what = format!(
                "{n} {files} ({}) and {and} of other formats in it: --idx {first} takes the former; for the latter \
                 name the files",
                list(&left)
            );
            return Err(Error::file(input, what));
        }
        None => {}
    }
    if left.iter().any(|&i| Role::of(&names[i]) == Some(Role::Train)) {
        left.retain(|&i| Role::of(&names[i]) == Some(Role::Train));
    }
    let mut apart: Vec<usize> = Vec::new();
    for i in left {
        if !apart.iter().any(|&j| plain(&names[i]) == plain(&names[j]) && same(i, j)) {
            apart.push(i);
        }
    }
    match apart[..] {
        [one] => Ok(Some(one)),
        _ => {
            let mend = match recursion {
                Recursion::Recursive => "choose one with --idx NAME",
                Recursion::OneLevel => "name one",
            };
            let what = format!("{} sets of IDX images in it: {mend}: {}", apart.len(), list(&apart));
            Err(Error::file(input, what))
        }
    }
}

/// The files that `wanted` names: by path or file name, by what they are for (`train`, `test`, `valid`), or
/// by a part of the name.
fn called(names: &[String], wanted: &str) -> Vec<usize> {
    let by = |is: &dyn Fn(&str) -> bool| (0..names.len()).filter(|&i| is(&names[i])).collect::<Vec<_>>();
    let exact = by(&|name| name == wanted || name.rsplit('/').next() == Some(wanted));
    let lower = wanted.to_ascii_lowercase();
    let role = Role::of_word(&lower).map(|role| by(&|name| Role::of(name) == Some(role)));
    let part = || by(&|name| name.to_ascii_lowercase().contains(&lower));
    [Some(exact), role].into_iter().flatten().find(|found| !found.is_empty()).unwrap_or_else(part)
}

/// A file's name as other publishers might write it: `train-images.idx3-ubyte`, `train-images-idx3-ubyte.gz`.
fn plain(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    file.strip_suffix(".gz").unwrap_or(&file).replace(|c: char| !c.is_alphanumeric(), "-")
}

impl Input for Idx {
    fn len(&self) -> usize {
        self.shape.len
    }

    fn name(&self, i: usize) -> String {
        format!("{i:06}")
    }

    fn full_name(&self, i: usize) -> String {
        format!("{}/{i:06}", self.path.display())
    }

    fn read(&self, i: usize) -> Result<Raw> {
        let mut gray = vec![0; self.shape.width * self.shape.height];
        let at = HEADER as u64 + i as u64 * gray.len() as u64;
        self.data.read_exact_at(&mut gray, at).map_err(Error::io(&self.path))?;
        Ok(Raw::Pixels(Image::from_gray(self.shape.width, self.shape.height, &gray)))
    }

    fn version(&self, _: usize) -> Result<(String, Option<SystemTime>)> {
        if let Some(version) = &self.version {
            return Ok((version.clone(), None));
        }
        let metadata = fs::metadata(&self.path).map_err(Error::io(&self.path))?;
        Ok((metadata.len().to_string(), Some(last_change(&metadata))))
    }

    fn native(&self) -> Option<(usize, usize)> {
        Some((self.shape.width, self.shape.height))
    }

    fn taken(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}
