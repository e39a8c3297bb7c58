//! Batches of images as bytes: CIFAR-10 and CIFAR-100, pickled and binary (Krizhevsky 2009,
//! cs.toronto.edu/~kriz/cifar.html), downsampled ImageNet, which is pickled alike (Chrabaszcz et al. 2017),
//! and STL-10's binary files (Coates et al. 2011).

use std::path::Path;

use super::array::{ArrayBlock, ArrayLayout, AxisOrder, ImageArray, shape_text};
use super::choose::ChosenFiles;
use super::file_slice::FileSlice;
use super::pickle;
use super::split::Split;
use crate::Result;

/// The split and the number of a batch by its name: `data_batch_1`, `test_batch.bin`, CIFAR-100's `train` and
/// `test.bin`, `train_data_batch_10`, `train_X.bin`. STL-10's images without labels have no split.
fn batch_of_name(name: &Path) -> Option<(Option<Split>, u32)> {
    let file = name.file_name()?.to_str()?;
    let folder = name.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let is_cifar_100 = folder.starts_with("cifar-100");
    match file.strip_suffix(".bin").unwrap_or(file) {
        "train" if is_cifar_100 => Some((Some(Split::Train), 0)),
        "test" if is_cifar_100 => Some((Some(Split::Test), 0)),
        "train_X" => Some((Some(Split::Train), 0)),
        "test_batch" | "val_data" | "test_X" => Some((Some(Split::Test), 0)),
        "unlabeled_X" => Some((None, 0)),
        stem => {
            let number = stem.strip_prefix("data_batch_").or(stem.strip_prefix("train_data_batch_"))?;
            Some((Some(Split::Train), number.parse().ok()?))
        }
    }
}

/// Of the files `names` in `input` the training batches in order; `None` where there is no batch.
pub(super) fn batches(input: &Path, names: &[&str]) -> Option<ChosenFiles> {
    let batch = |i: usize| batch_of_name(&input.join(names[i])).map(|(split, number)| (split, number, i));
    let mut found: Vec<_> = (0..names.len()).filter_map(batch).collect();
    found.sort_unstable_by_key(|&(_, number, i)| (number, i));
    let splits = [Some(Split::Train), None, Some(Split::Test)];
    let taken = splits.into_iter().find(|split| found.iter().any(|(of, ..)| of == split))?;
    let files = found.iter().filter(|(split, ..)| *split == taken).map(|&(.., i)| i).collect();
    let reason = |&(split, _, i): &(Option<Split>, u32, usize)| {
        (i, if split.is_none() { "without labels" } else { "in the test split" })
    };
    Some(ChosenFiles::new(names, files, found.iter().map(reason)))
}

/// The images of batches of one size.
///
/// # Errors
/// A damaged file, or one that is not a batch.
pub(super) fn open(input: &Path, batches: &[FileSlice]) -> Result<ImageArray> {
    let mut blocks = Vec::new();
    let mut layout = None;
    for file in batches {
        let Some((mut block, of)) = block(file)? else {
            return Err(file.error("not a batch of images, though it is called one"));
        };
        if *layout.get_or_insert(of) != of {
            return Err(file.error("images of another size than in the batch before"));
        }
        if batches.len() > 1 {
            block.name = file.name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        blocks.push(block);
    }
    ImageArray::of_bytes(input, blocks, layout.expect("at least one batch"))
}

/// A file as a batch; `None` where it is not one.
///
/// # Errors
/// A damaged pickle; a binary file of another length than its name says.
pub(super) fn block(file: &FileSlice) -> Result<Option<(ArrayBlock, ArrayLayout)>> {
    let name = file.name.to_string_lossy();
    if !name.ends_with(".bin") {
        return if pickle::is_pickle(&file.head(8)?) { pickled(file) } else { Ok(None) };
    }
    let Some((split, _)) = batch_of_name(&file.name) else { return Ok(None) };
    let (skip, size, order) = match () {
        _ if split.is_none() || name.ends_with("_X.bin") => (0, 96, AxisOrder::ColumnsFirst),
        // A label; in CIFAR-100 a coarse one and a fine one.
        _ if name.ends_with("/train.bin") || name.ends_with("/test.bin") => (2, 32, AxisOrder::ChannelsFirst),
        _ => (1, 32, AxisOrder::ChannelsFirst),
    };
    let stride = skip + 3 * size * size;
    if file.len == 0 || !file.len.is_multiple_of(stride) {
        return Err(file.error(format!(
            "{} bytes are not images of {stride}: cut short, or not what its name says",
            file.len
        )));
    }
    let layout = ArrayLayout { width: size as usize, height: size as usize, channels: 3, order };
    let block = ArrayBlock::new(file.clone(), (file.len / stride) as usize, stride);
    Ok(Some((ArrayBlock { skip, ..block }, layout)))
}

/// A pickled dictionary whose `data` is an array of bytes, `[N, 3·size²]` with channels first.
fn pickled(file: &FileSlice) -> Result<Option<(ArrayBlock, ArrayLayout)>> {
    let Some((shape, data)) = pickle::data(file)? else { return Ok(None) };
    let text = shape_text(&shape);
    let (count, layout) = match *shape {
        [count, numbers] if count > 0 && numbers > 0 && numbers == 3 * (numbers / 3).isqrt().pow(2) => {
            let size = (numbers / 3).isqrt();
            let order = AxisOrder::ChannelsFirst;
            (count, ArrayLayout { width: size, height: size, channels: 3, order })
        }
        [_, _] | [_] => {
            return Err(file.error(format!("a pickle whose data has the shape {text}, not (N, 3·size²)")));
        }
        _ => ArrayLayout::of_shape(&shape, true).map_err(|what| file.error(what))?,
    };
    let stride = [layout.width, layout.height, layout.channels].map(|n| n as u64);
    let stride = stride.into_iter().try_fold(1u64, u64::checked_mul);
    let Some(stride) = stride.filter(|stride| stride.checked_mul(count as u64) == Some(data.len)) else {
        return Err(file.error(format!("damaged: data of {} bytes for the shape {text}", data.len)));
    };
    Ok(Some((ArrayBlock::new(data, count, stride), layout)))
}
