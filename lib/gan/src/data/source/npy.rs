//! numpy's `.npy` and `.npz` of images. (`.npz` of statistics are `crate::metrics::stats`' work.)

use std::path::Path;

use super::PassedOver;
use super::array::{Array, Form, Number, shape_text, wrong};
use super::span::Span;
use super::unzip::Entries;
use crate::Result;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read: numpy itself stops at 10,000 characters.
const HEADER: u64 = 1 << 14;

/// What a `.npy` says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    descr: String,
    fortran: bool,
    pub shape: Vec<usize>,
    /// Where the numbers begin.
    data: u64,
    /// Whether another array says that there are as many images: labels, or images of another split.
    several: bool,
}

impl Header {
    /// Reads a header, `{'descr': '|u1', 'fortran_order': False, 'shape': (2, 32, 32, 3), }`.
    pub fn read(head: &[u8]) -> Option<Header> {
        let rest = head.strip_prefix(MAGIC)?;
        let (len, from): (u64, u64) = match *rest {
            [1, _, a, b, ..] => (u64::from(u16::from_le_bytes([a, b])), 10),
            [2 | 3, _, a, b, c, d, ..] => (u64::from(u32::from_le_bytes([a, b, c, d])), 12),
            _ => return None,
        };
        let end = from.checked_add(len)?;
        let text = std::str::from_utf8(head.get(from as usize..usize::try_from(end).ok()?)?).ok()?;
        let value = |key: &str| Some(text.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start());
        // A record's type is a list: no images.
        let descr = match value("'descr'")? {
            quoted if quoted.starts_with('\'') => quoted[1..].split_once('\'')?.0.to_string(),
            _ => "of records".to_string(),
        };
        let fortran = value("'fortran_order'")?.starts_with("True");
        let shape = value("'shape'")?.strip_prefix('(')?.split_once(')')?.0;
        let shape = shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().ok());
        Some(Header { descr, fortran, shape: shape.collect::<Option<_>>()?, data: end, several: false })
    }

    fn number(&self) -> Result<Number, String> {
        let (order, kind) = self.descr.split_at_checked(1).unwrap_or_default();
        let big = order == ">" || (order == "=" && cfg!(target_endian = "big"));
        Ok(match kind {
            "u1" => Number::U8,
            "i1" | "u2" | "i2" | "u4" | "i4" | "u8" | "i8" => Number::Int {
                bytes: usize::from(kind.as_bytes()[1] - b'0'),
                signed: kind.starts_with('i'),
                big,
            },
            "f2" | "f4" | "f8" => Number::Float { bytes: usize::from(kind.as_bytes()[1] - b'0'), big },
            "O" => {
                return Err(
                    "a pickled Python object, not numbers: of images, np.save an array of uint8; of \
                            statistics, np.savez with mu=… and sigma=…"
                        .into(),
                );
            }
            "b1" => return Err("true and false, not colors: np.save(255 * array.astype('uint8'))".into()),
            _ => return Err(format!("numbers of type {}, which are no colors", self.descr)),
        })
    }

    /// Whether the numbers and the shape are of images.
    fn images(&self) -> Result<(Number, (usize, Form)), String> {
        let number = self.number()?;
        Ok((number, Form::of_shape(&self.shape, self.several)?))
    }

    /// The array's images; `span` is all of the `.npy`.
    fn open(&self, input: &Path, span: &Span, name: &str) -> Result<Array> {
        let (number, images) = self.images().map_err(|what| wrong(span, name, what))?;
        let data = span.part(self.data, span.len.saturating_sub(self.data))?;
        Array::of_numbers(input, data, images, number, self.fortran)
    }
}

/// The images of a `.npy`.
///
/// # Errors
/// A broken file, or one of something else.
pub(super) fn open(input: &Path, span: &Span) -> Result<Array> {
    let header = Header::read(&span.head(HEADER)?).ok_or_else(|| span.wrong("a broken .npy array"))?;
    header.open(input, span, "")
}

/// Whether a file is an `.npz`: a zip whose entries all are `.npy`. A broken zip is none.
pub(super) fn is_npz(span: &Span) -> Result<bool> {
    // The first entry's name is near the beginning; a zip of images is not looked at twice.
    let head = span.head(30 + 256)?;
    let name = |len: &[u8]| head.get(30..30 + usize::from(u16::from_le_bytes([len[0], len[1]])));
    let first = head.get(26..28).and_then(name).is_some_and(|name| name.ends_with(b".npy"));
    if !head.starts_with(b"PK\x03\x04") || !first {
        return Ok(false);
    }
    let names = Entries::open(span).and_then(|zip| zip.names());
    Ok(names.is_ok_and(|names| names.iter().all(|(name, _)| name.ends_with(".npy"))))
}

/// The images in an `.npz`: its only array of images, or of several the training one.
///
/// # Errors
/// No array of images, or several of which none is the training one; a broken file.
pub(super) fn open_npz(span: &Span) -> Result<Array> {
    let input = span.name.clone();
    let zip = Entries::open(span)?;
    let (images, held) = arrays(&zip, span)?;
    let all = held.join(", ");
    let is_images = |one: &&Entry| one.2.images().is_ok();
    let of_images: Vec<_> = images.iter().filter(is_images).collect();
    let taken = match of_images.as_slice() {
        [] => {
            // One that has images' dimensions, but not their type or a clear shape, says why.
            let near: Vec<_> = images.iter().filter(|one| matches!(one.2.shape.len(), 2..=5)).collect();
            return Err(match near.as_slice() {
                [(name, _, header)] if header.shape.len() > 2 || images.len() == 1 => {
                    wrong(span, name, header.images().unwrap_err())
                }
                _ => span.wrong(format!("no array of images in it; it holds {all}")),
            });
        }
        [one] => *one,
        several => training(several).ok_or_else(|| {
            span.wrong(format!("several arrays of images in it ({all}): np.save the one that you mean"))
        })?,
    };
    let (name, i, header) = taken;
    let array = header.open(&input, &zip.open_entry(name, *i)?, name)?;
    if of_images.len() == 1 {
        return Ok(array);
    }
    let mut passed = PassedOver::new();
    of_images.iter().filter(|one| one.0 != *name).for_each(|one| passed.add("in other splits", &one.0));
    Ok(array.chosen(name.clone(), passed))
}

/// An array in an `.npz`: its name, the number of its entry, and its header.
type Entry = (String, usize, Header);

/// The arrays in an `.npz`, and what there is, for people.
fn arrays(zip: &Entries, span: &Span) -> Result<(Vec<Entry>, Vec<String>)> {
    let (mut arrays, mut held) = (Vec::new(), Vec::new());
    for (name, i) in zip.names()? {
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let header = Header::read(&zip.head(i, HEADER)?);
        let header = header.ok_or_else(|| wrong(span, array, "not a .npy array"))?;
        held.push(format!("{array} {}", shape_text(&header.shape)));
        arrays.push((array.to_string(), i, header));
    }
    let shapes: Vec<Vec<usize>> = arrays.iter().map(|one: &Entry| one.2.shape.clone()).collect();
    for (k, (_, _, header)) in arrays.iter_mut().enumerate() {
        let others = shapes.iter().enumerate().filter(|(other, _)| *other != k).map(|(_, shape)| shape);
        header.several = others.into_iter().any(|other| match (&header.shape[..], &other[..]) {
            ([n, _, _], [labels] | [labels, _]) => labels == n,
            ([_, size @ ..], [_, other @ ..]) => size.len() == 2 && size == other,
            _ => false,
        });
    }
    Ok((arrays, held))
}

/// Whether an `.npz` has an array of three or four dimensions and no covariance.
///
/// # Errors
/// A broken one.
pub(super) fn is_of_images(span: &Span) -> Result<bool> {
    let (arrays, _) = arrays(&Entries::open(span)?, span)?;
    let covariance = |name: &str| name.contains("sigma") || name.contains("cov");
    Ok(arrays.iter().any(|one| matches!(one.2.shape.len(), 3 | 4))
        && !arrays.iter().any(|one| covariance(&one.0.to_lowercase())))
}

/// Of several arrays the one whose name has the word `train`, where all others are of other splits:
/// `x_train`, `train_images`.
fn training<'a>(several: &[&'a Entry]) -> Option<&'a Entry> {
    let is = |one: &Entry, words: &[&str]| {
        let name = one.0.to_lowercase();
        name.split(|c: char| !c.is_alphabetic()).any(|part| words.contains(&part))
    };
    let mut train = several.iter().filter(|one| is(one, &["train", "training"]));
    let (only, none) = (train.next()?, train.next());
    let others = several.iter().filter(|one| is(one, &["test", "val", "valid", "validation"])).count();
    (none.is_none() && others + 1 == several.len()).then_some(*only)
}
