//! Convolutions' strides and paddings, which no file tells: as they are hints, or as DCGANs have them.

use super::LayoutHints;
use super::chain::{Kind, MOST_SIDE, Step, one_for_each};
use super::layers::What;

/// A convolution's shape and the sides of the square images that it takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub output_padding: usize,
    /// Each pixel is repeated so many times in both directions first (`nn.Upsample`).
    pub upsample: usize,
    pub before: usize,
    pub after: usize,
}

/// Gives each convolution its geometry; returns the last side.
pub(super) fn geometries(steps: &mut [Step], hints: &LayoutHints) -> Result<usize, String> {
    let count = steps.iter().filter(|step| step.is_convolution()).count();
    let list = |flag: &str, given: &[usize]| one_for_each(flag, "convolutions", given, count);
    let (strides, paddings) = (list("--stride", &hints.stride)?, list("--padding", &hints.padding)?);
    let output_paddings = list("--output-padding", &hints.output_padding)?;
    let even = |step: &Step| step.kind == Kind::Transposed && kernel(step).is_multiple_of(2);
    // Latents are images of one pixel, and what a linear layer gives is an image of some.
    let latents = usize::from(steps[0].is_convolution());
    let even = steps.iter().skip(latents).any(even);
    let mut side = 1;
    let mut convolution = 0..;
    for step in steps.iter_mut() {
        side = step.reshape.map_or(side, |(side, _)| side);
        if !step.is_convolution() {
            continue;
        }
        let i = convolution.next().expect("it has no end");
        let kernel = kernel(step);
        let name = step.layer.item().name.as_str();
        let transposed = step.kind == Kind::Transposed;
        let stride = strides[i].unwrap_or(match transposed {
            // The first one makes its kernel's side of one pixel; odd kernels among even ones keep the side.
            true if side == 1 || kernel == 1 || kernel % 2 == 1 && even => 1,
            true => 2,
            false => 1,
        });
        if !(1..=kernel).contains(&stride) {
            return Err(format!(
                "--stride {stride}: {name} has a kernel of {kernel}; 1 to {kernel} is possible"
            ));
        }
        let padding = match (paddings[i], transposed) {
            (Some(padding), _) => padding,
            (None, true) if side == 1 => 0,
            // What makes its side `stride` times as large.
            (None, true) => (kernel - stride).div_ceil(2),
            (None, false) if kernel % 2 == 1 => kernel / 2,
            (None, false) => {
                return Err(format!(
                    "{name}: a convolution of {kernel}×{kernel} that is not transposed: its padding is not in the file \
                     (--padding)"
                ));
            }
        };
        if padding >= kernel {
            return Err(format!("--padding {padding}: {name} has a kernel of {kernel}; it must be less"));
        }
        let whole = (stride + 2 * padding).checked_sub(kernel).filter(|&n| n < stride && side > 1);
        let output_padding = match output_paddings[i] {
            Some(n) if n > 0 && (!transposed || n >= stride) => {
                let what =
                    if transposed { "it must be less than the stride" } else { "it is not transposed" };
                return Err(format!("--output-padding {n}: {name}: {what}"));
            }
            Some(n) => n,
            None => whole.filter(|_| transposed).unwrap_or(0),
        };
        let upsample = step.upsample;
        if upsample > 1 && (transposed || stride != 1 || 2 * padding + 1 != kernel)
            || !(1..=16).contains(&upsample)
        {
            return Err(format!(
                "--upsample {upsample}: {name}: pixels are repeated (1 to 16 times) before convolutions that keep the side"
            ));
        }
        let after = match transposed {
            true => ((side - 1) * stride + kernel + output_padding).checked_sub(2 * padding),
            false => (side * upsample + 2 * padding).checked_sub(kernel).map(|n| n / stride + 1),
        };
        let Some(after) = after.filter(|&n| n > 0) else {
            return Err(format!("{name}: nothing is left of {side}×{side} pixels with padding {padding}"));
        };
        if after > MOST_SIDE {
            return Err(format!(
                "{name}: makes images of {after}×{after}; up to {MOST_SIDE}×{MOST_SIDE} are made"
            ));
        }
        let geometry = Geometry { kernel, stride, padding, output_padding, upsample, before: side, after };
        step.geometry = Some(geometry);
        side = after;
    }
    let enlarges = |step: &Step| {
        let enlarged = step.geometry.is_none_or(|g| g.after > g.before);
        enlarged && step.is_convolution()
    };
    let first = steps.iter().skip(latents).find(|step| step.is_convolution());
    let given = hints.upsample.is_empty() && hints.stride.is_empty();
    if let Some(step) = first.filter(|_| given && !steps.iter().skip(latents).any(enlarges)) {
        return Err(format!(
            "{}: no layer after it makes images larger than {side}×{side}: what does (nn.Upsample) is not in the file; \
             --upsample 2,… says before which convolutions",
            step.layer.item().name
        ));
    }
    Ok(side)
}

fn kernel(step: &Step) -> usize {
    match step.layer.what {
        What::Kernel { side, .. } => side,
        _ => 0,
    }
}
