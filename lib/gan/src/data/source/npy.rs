//! numpy's `.npy` and `.npz` of images. (`crate::metrics::stats` reads the `.npz` of statistics.)

use std::path::Path;

use super::array::{ArrayLayout, ImageArray, NumberType, shape_text};
use super::choose::ChosenFiles;
use super::file_set::FileSet;
use super::file_slice::FileSlice;
use super::input::OpenedInput;
use super::split::Split;
use super::zip::Zip;
use crate::io::npz::NpyHeader;
use crate::{Error, Result};

/// The longest header that is read, in bytes. numpy itself stops at 10,000 characters.
const HEADER: u64 = 1 << 14;

/// An array; its name where it is in an `.npz`.
struct NpyArray {
    name: String,
    header: NpyHeader,
    /// Whether another array shows that there are several images: labels, or the images of another split.
    several: bool,
}

impl NpyArray {
    fn number_type(&self) -> Result<NumberType, String> {
        let (order, kind) = self.header.descr.split_at_checked(1).unwrap_or_default();
        let big = order == ">" || (order == "=" && cfg!(target_endian = "big"));
        let bytes = kind.as_bytes().get(1).map_or(0, |digit| usize::from(digit.saturating_sub(b'0')));
        match kind {
            "u1" => Ok(NumberType::U8),
            "i1" | "u2" | "i2" | "u4" | "i4" | "u8" | "i8" => {
                Ok(NumberType::Int { bytes, signed: kind.starts_with('i'), big })
            }
            "f2" | "f4" | "f8" => Ok(NumberType::Float { bytes, big }),
            "O" => {
                Err("a pickled Python object, not numbers: save images with np.save as an array of uint8, \
                        statistics with np.savez as mu=… and sigma=…"
                    .into())
            }
            "b1" => Err("true and false, not colors: np.save(255 * array.astype('uint8'))".into()),
            _ => Err(format!("numbers of type {}, which are not colors", self.header.descr)),
        }
    }

    /// The type of the numbers and the layout, where they are of images.
    fn images(&self) -> Result<(NumberType, (usize, ArrayLayout)), String> {
        Ok((self.number_type()?, ArrayLayout::of_shape(&self.header.shape, self.several)?))
    }

    /// The array's images; `file` is the complete `.npy`.
    fn open(&self, input: &Path, file: &FileSlice) -> Result<ImageArray> {
        let (number, images) = self.images().map_err(|what| file.error(what))?;
        let data = file.slice(self.header.data, file.len.saturating_sub(self.header.data))?;
        ImageArray::of_numbers(input, data, images, number, self.header.fortran)
    }
}

/// The images of a `.npy`.
///
/// # Errors
/// The file is broken, or of something else.
pub(super) fn open(input: &Path, file: &FileSlice) -> Result<ImageArray> {
    let header = NpyHeader::read(&file.head(HEADER)?).ok_or_else(|| file.error("a broken .npy array"))?;
    NpyArray { name: String::new(), header, several: false }.open(input, file)
}

/// The arrays in an `.npz`.
fn arrays(input: &Path, zip: &Zip) -> Result<Vec<NpyArray>> {
    let mut arrays = Vec::new();
    for (i, name) in zip.names().iter().enumerate() {
        let name = name.strip_suffix(".npy").unwrap_or(name).to_string();
        let header = NpyHeader::read(&zip.head(i, HEADER)?);
        let header = header.ok_or_else(|| Error::file(input, format!("array `{name}`: not a .npy array")))?;
        arrays.push(NpyArray { name, header, several: false });
    }
    let shapes: Vec<Vec<usize>> = arrays.iter().map(|array| array.header.shape.clone()).collect();
    for (k, array) in arrays.iter_mut().enumerate() {
        let mut others = shapes.iter().enumerate().filter(|(other, _)| *other != k);
        array.several = others.any(|(_, other)| match (&array.header.shape[..], &other[..]) {
            ([n, _, _], [labels] | [labels, _]) => labels == n,
            ([_, size @ ..], [_, other @ ..]) => size.len() == 2 && size == other,
            _ => false,
        });
    }
    Ok(arrays)
}

/// The images in an `.npz`: its only array of images, or of several the training one.
///
/// # Errors
/// No array of images, or several of which none is the training one; a broken file.
pub(super) fn open_npz(input: &Path, zip: &Zip) -> Result<OpenedInput> {
    let arrays = arrays(input, zip)?;
    let refused = |array: &NpyArray, what| Error::file(input, format!("array `{}`: {what}", array.name));
    let held = || {
        let held = arrays.iter().map(|one| format!("{} {}", one.name, shape_text(&one.header.shape)));
        held.collect::<Vec<_>>().join(", ")
    };
    let found: Vec<usize> = (0..arrays.len()).filter(|&i| arrays[i].images().is_ok()).collect();
    let split = |i: &usize| Split::of_name(&arrays[*i].name);
    let train: Vec<usize> = found.iter().copied().filter(|i| split(i) == Some(Split::Train)).collect();
    let taken = match (&found[..], &train[..]) {
        ([one], _) => *one,
        // All others are of other splits.
        ([_, ..], [train]) if found.iter().all(|i| split(i).is_some()) => *train,
        ([_, ..], _) => {
            let what = format!("several arrays of images in it ({}): np.save the one that you mean", held());
            return Err(Error::file(input, what));
        }
        ([], _) => {
            // An array with the dimensions of images, but not their type or a clear shape, says why.
            let near: Vec<_> = arrays.iter().filter(|one| matches!(one.header.shape.len(), 2..=5)).collect();
            return Err(match near[..] {
                [one] if one.header.shape.len() > 2 || arrays.len() == 1 => {
                    refused(one, one.images().unwrap_err())
                }
                _ => Error::file(input, format!("no array of images in it; it holds {}", held())),
            });
        }
    };
    let images = arrays[taken].open(input, &zip.open(taken)?)?;
    let opened = OpenedInput::all(images);
    if found.len() == 1 {
        return Ok(opened);
    }
    let names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
    let chosen = ChosenFiles::new(&names, vec![taken], found.into_iter().map(|i| (i, "in other splits")));
    Ok(OpenedInput { chosen: Some(chosen.name), skipped: chosen.skipped, ..opened })
}

/// Whether an `.npz` has an array of three or four dimensions and no covariance.
///
/// # Errors
/// It is broken.
pub(super) fn is_of_images(input: &Path, zip: &Zip) -> Result<bool> {
    let arrays = arrays(input, zip)?;
    let is_covariance = |name: &str| name.contains("sigma") || name.contains("cov");
    Ok(arrays.iter().any(|one| matches!(one.header.shape.len(), 3 | 4))
        && !arrays.iter().any(|one| is_covariance(&one.name.to_lowercase())))
}
