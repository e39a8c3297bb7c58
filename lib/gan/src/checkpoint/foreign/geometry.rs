//! The strides and paddings of convolutions, which no file contains: those of hints, or those of DCGANs.

use super::chain::{ConvShape, LayerKind, PlannedLayer};
use super::layers::StoredOp;
use super::{LayoutHints, TensorSpec};
use crate::{Error, Result};

/// The largest width of an image, in pixels.
const MAX_SIZE: usize = 256;

/// Sets the shape of each convolution. Returns the size of the images that the last one gives.
pub(super) fn set_conv_shapes(steps: &mut [PlannedLayer], hints: &LayoutHints) -> Result<usize> {
    let count = steps.iter().filter(|step| step.is_conv()).count();
    let lists = hints.of_convs().map(|(name, given)| per_layer(name, "convolutions", given, count));
    let [strides, paddings, output_paddings, upsamples] = lists;
    let (strides, paddings, output_paddings, upsamples) = (strides?, paddings?, output_paddings?, upsamples?);
    // Latents are images of one pixel. A linear layer gives larger ones.
    let from_latents = usize::from(steps[0].is_conv());
    let is_even = |step: &PlannedLayer| {
        let StoredOp::Conv { kernel, .. } = step.layer.op else { return false };
        step.kind == LayerKind::ConvTranspose && kernel.is_multiple_of(2)
    };
    let any_even = steps.iter().skip(from_latents).any(is_even);
    let mut size = 1;
    let mut convs = 0..;
    for step in steps.iter_mut() {
        size = step.reshape.map_or(size, |(size, _)| size);
        let StoredOp::Conv { kernel, .. } = step.layer.op else { continue };
        let i = convs.next().expect("it has no end");
        let spec = step.layer.spec();
        let bad_hint = |hint: &str, value: usize, what: &str| {
            Err(Error::argument(hint, format!("{value} does not fit {}: {what}", spec.name)))
        };
        let transposed = step.kind == LayerKind::ConvTranspose;
        let stride = strides[i].unwrap_or(match transposed {
            // The first one makes an image of its kernel's size of one pixel. Odd kernels among even ones
            // keep the size.
            true if size == 1 || kernel == 1 || kernel % 2 == 1 && any_even => 1,
            true => 2,
            false => 1,
        });
        if !(1..=kernel).contains(&stride) {
            let what = format!("1 to {kernel} is possible for a kernel of {kernel}");
            return bad_hint("stride", stride, &what);
        }
        let padding = match (paddings[i], transposed) {
            (Some(padding), _) => padding,
            (None, true) if size == 1 => 0,
            // The output is `stride` times as large.
            (None, true) => (kernel - stride).div_ceil(2),
            (None, false) if kernel % 2 == 1 => kernel / 2,
            (None, false) => {
                return spec.wrong(format!(
                    "a convolution of {kernel}×{kernel} that is not transposed: the file does not contain \
                     its padding; set the hint `padding`"
                ));
            }
        };
        if padding >= kernel {
            return bad_hint("padding", padding, &format!("less than its kernel of {kernel} is possible"));
        }
        let missing = (stride + 2 * padding).checked_sub(kernel).filter(|&n| n < stride && size > 1);
        let output_padding = match output_paddings[i] {
            Some(n) if n > 0 && !transposed => return bad_hint("output_padding", n, "it is not transposed"),
            Some(n) if n > 0 && n >= stride => {
                return bad_hint("output_padding", n, "less than its stride is possible");
            }
            Some(n) => n,
            None => missing.filter(|_| transposed).unwrap_or(0),
        };
        let upsample = upsamples[i].unwrap_or(1);
        let keeps_size = !transposed && stride == 1 && 2 * padding + 1 == kernel;
        if !(1..=16).contains(&upsample) || upsample > 1 && !keeps_size {
            let what = "1 to 16 is possible, before convolutions that keep the size";
            return bad_hint("upsample", upsample, what);
        }
        let after = match transposed {
            true => ((size - 1) * stride + kernel + output_padding).checked_sub(2 * padding),
            false => (size * upsample + 2 * padding).checked_sub(kernel).map(|n| n / stride + 1),
        };
        let Some(after) = after.filter(|&after| after > 0) else {
            return spec.wrong(format!("nothing is left of {size}×{size} pixels with padding {padding}"));
        };
        check_size(spec, after)?;
        let before = size;
        step.shape = Some(ConvShape { kernel, stride, padding, output_padding, upsample, before, after });
        size = after;
    }
    let mut later = steps.iter().skip(from_latents).filter_map(|step| Some((step, step.shape?))).peekable();
    if let Some(&(step, _)) = later.peek()
        && hints.upsample.is_empty()
        && hints.stride.is_empty()
        && later.all(|(_, shape)| shape.after <= shape.before)
    {
        return step.layer.spec().wrong(format!(
            "no layer after it makes images larger than {size}×{size}; the file does not contain what does \
             (nn.Upsample): set the hint `upsample`"
        ));
    }
    Ok(size)
}

/// Checks the width of the images that the layer of a tensor makes.
pub(super) fn check_size(spec: &TensorSpec, n: usize) -> Result<()> {
    match n > MAX_SIZE {
        true => spec.wrong(format!("makes images of {n}×{n}; {MAX_SIZE}×{MAX_SIZE} is the limit")),
        false => Ok(()),
    }
}

/// The values of a hint for `n` layers: one for all, or one for each. All `None` if the hint is not
/// given.
pub(super) fn per_layer<T: Copy>(hint: &str, layers: &str, all: &[T], n: usize) -> Result<Vec<Option<T>>> {
    match all {
        [] => Ok(vec![None; n]),
        [one] if n > 0 => Ok(vec![Some(*one); n]),
        _ if all.len() == n => Ok(all.iter().copied().map(Some).collect()),
        _ => {
            let what = format!("{} values for {n} {layers}: give one for all, or one for each", all.len());
            Err(Error::argument(hint, what))
        }
    }
}
