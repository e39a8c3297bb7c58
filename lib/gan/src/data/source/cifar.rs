//! Batches of images of bytes: CIFAR-10 and CIFAR-100, pickled and binary (Krizhevsky 2009,
//! cs.toronto.edu/~kriz/cifar.html), downsampled ImageNet, which is pickled alike (Chrabaszcz et al. 2017),
//! and STL-10's binary files (Coates et al. 2011).

use std::path::Path;

use super::array::{Array, Block, Form, Order, shape_text};
use super::packed::Chosen;
use super::span::Span;
use super::{PassedOver, pickle};
use crate::Result;

/// What a batch's name says that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Train,
    Test,
    /// STL-10's images without labels.
    Unlabeled,
}

/// What a file is by its name, with the number of the batch: `data_batch_1`, `test_batch.bin`, CIFAR-100's
/// `train` and `test.bin`, `train_data_batch_10`, `train_X.bin`.
fn named(name: &Path) -> Option<(Split, u32)> {
    let file = name.file_name()?.to_str()?;
    let folder = name.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let stem = file.strip_suffix(".bin").unwrap_or(file);
    let in_cifar_100 = folder.starts_with("cifar-100");
    match stem {
        "test_batch" | "val_data" => Some((Split::Test, 0)),
        "train" if in_cifar_100 => Some((Split::Train, 0)),
        "test" if in_cifar_100 => Some((Split::Test, 0)),
        "train_X" => Some((Split::Train, 0)),
        "test_X" => Some((Split::Test, 0)),
        "unlabeled_X" => Some((Split::Unlabeled, 0)),
        _ => {
            let number = stem.strip_prefix("data_batch_").or(stem.strip_prefix("train_data_batch_"))?;
            Some((Split::Train, number.parse().ok()?))
        }
    }
}

/// Of the files of these names in `input` the training batches in order; `None` where there is no batch.
pub(super) fn batches(input: &Path, names: &[&str]) -> Option<Chosen> {
    let mut found: Vec<_> =
        (0..names.len()).filter_map(|i| Some((named(&input.join(names[i]))?, i))).collect();
    found.sort_unstable_by_key(|&((_, number), i)| (number, i));
    let of =
        |split| found.iter().filter(move |&&((s, _), _)| s == split).map(|&(_, i)| i).collect::<Vec<_>>();
    let kinds = [Split::Train, Split::Unlabeled, Split::Test].map(of);
    let taken = kinds.into_iter().find(|files| !files.is_empty())?;
    let base = |i: usize| names[i].rsplit('/').next().unwrap_or(names[i]);
    let name = match taken.as_slice() {
        [first, .., last] => format!("{} to {}", base(*first), base(*last)),
        [one] => base(*one).to_string(),
        [] => return None,
    };
    let mut passed = PassedOver::new();
    for &((split, _), i) in found.iter().filter(|(_, i)| !taken.contains(i)) {
        let reason = if split == Split::Unlabeled { "without labels" } else { "in the test split" };
        passed.add(reason, names[i]);
    }
    Some(Chosen { taken, name, passed })
}

/// The images of some batches of one kind.
///
/// # Errors
/// A damaged file, or one that is no batch.
pub(super) fn open(input: &Path, batches: Vec<Span>) -> Result<Array> {
    let mut blocks = Vec::new();
    let mut form = None;
    let several = batches.len() > 1;
    for span in batches {
        let (block, of) = match block(&span)? {
            Some(one) => one,
            None => return Err(span.wrong("not a batch of images, though it is called one")),
        };
        if form.is_some_and(|form| form != of) {
            return Err(span.wrong("images of another size than in the batch before"));
        }
        let name = match several {
            true => span.name.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            false => String::new(),
        };
        form = Some(of);
        blocks.push(Block { name, ..block });
    }
    Array::of_bytes(input, blocks, form.expect("at least one batch"))
}

/// A file as a batch; `None` where it is none.
///
/// # Errors
/// A damaged pickle.
pub(super) fn block(span: &Span) -> Result<Option<(Block, Form)>> {
    let head = span.head(8)?;
    let name = span.name.to_string_lossy().into_owned();
    let name = name.as_str();
    if !name.ends_with(".bin") {
        return if pickle::is_pickle(&head) { pickled(span) } else { Ok(None) };
    }
    let Some((split, _)) = named(&span.name) else { return Ok(None) };
    let stl = split == Split::Unlabeled || name.ends_with("_X.bin");
    let hundred = name.ends_with("/train.bin") || name.ends_with("/test.bin");
    let (skip, side, order) = match (stl, hundred) {
        (true, _) => (0, 96, Order::ColumnsFirst),
        // A label; of CIFAR-100 a coarse one and a fine one.
        (_, true) => (2, 32, Order::ChannelsFirst),
        (_, false) => (1, 32, Order::ChannelsFirst),
    };
    let stride = skip + 3 * side * side;
    if span.len == 0 || !span.len.is_multiple_of(stride) {
        return Err(span.wrong(format!(
            "{} bytes are not images of {stride}: cut short, or not what it is called",
            span.len
        )));
    }
    let count = (span.len / stride) as usize;
    let form = Form { width: side as usize, height: side as usize, channels: 3, order };
    Ok(Some((Block { span: span.clone(), count, stride, skip, name: String::new() }, form)))
}

/// A pickled dictionary whose `data` is bytes `[N, 3·side²]`, planes after one another.
fn pickled(span: &Span) -> Result<Option<(Block, Form)>> {
    let Some((shape, data)) = pickle::data(span)? else { return Ok(None) };
    let side = |numbers: usize| {
        let side = (numbers / 3).isqrt();
        (side > 0 && numbers == 3 * side * side).then_some(side)
    };
    let (count, form) = match *shape {
        [n, numbers] if n > 0 && side(numbers).is_some() => {
            let side = side(numbers).expect("just looked at");
            (n, Form { width: side, height: side, channels: 3, order: Order::ChannelsFirst })
        }
        [_, _] | [_] => {
            let what = format!("a pickle whose data has the shape {}: not (N, 3·side²)", shape_text(&shape));
            return Err(span.wrong(what));
        }
        _ => Form::of_shape(&shape, true).map_err(|what| span.wrong(what))?,
    };
    let stride =
        (form.width as u64).checked_mul(form.height as u64).and_then(|n| n.checked_mul(form.channels as u64));
    let stride = stride.filter(|&stride| stride.checked_mul(count as u64) == Some(data.len));
    let Some(stride) = stride else {
        let what = format!("damaged: data of {} bytes for the shape {}", data.len, shape_text(&shape));
        return Err(span.wrong(what));
    };
    Ok(Some((Block { span: data, count, stride, skip: 0, name: String::new() }, form)))
}
