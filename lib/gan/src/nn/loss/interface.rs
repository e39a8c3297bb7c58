//! What a loss is: gradients at once, values later.

use std::fmt::Debug;

use candle_core::{Device, Tensor};

use crate::Result;

/// The losses of a GAN, on logits of D. Adding one is a file that implements this, and a line in
/// [`LOSSES`](super::LOSSES).
pub trait GanLoss: Debug + Send + Sync {
    /// Its name in recipes and flags.
    fn name(&self) -> &'static str;

    /// What it is, in a few words, with its formula.
    fn description(&self) -> &'static str;

    /// D's loss on the logits of real images.
    ///
    /// # Errors
    /// The device is out of memory.
    fn real(&self, logits: &Tensor) -> Result<Loss>;

    /// D's loss on the logits of fakes.
    ///
    /// # Errors
    /// The device is out of memory.
    fn fake(&self, logits: &Tensor) -> Result<Loss>;

    /// G's loss on the logits of its images.
    ///
    /// # Errors
    /// The device is out of memory.
    fn generator(&self, logits: &Tensor) -> Result<Loss>;

    /// The value of the game (D's loss with the other sign) where G makes the distribution of the real images
    /// and D is at its best, with its text for charts, such as `("−log 4", −1.386)`. `None` if unknown.
    fn optimal_value(&self) -> Option<(&'static str, f64)>;
}

/// A loss over a batch of logits. The gradient is needed at once; the value can wait.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The gradient of the mean loss at the logits, the logits' shape.
    pub grad: Tensor,
    /// The value, not computed yet.
    pub value: LossValue,
}

/// A loss of logits `[n]`, f32 on the CPU: its mean, as a tensor of one element.
pub type MeanLoss = fn(&Tensor) -> Result<Tensor>;

/// The value of a loss, which needs no synchronization with the device before it is read.
#[derive(Clone, Debug)]
pub struct LossValue {
    logits: Tensor,
    mean: MeanLoss,
}

impl LossValue {
    /// The value of `mean` over `logits`.
    pub fn new(logits: &Tensor, mean: MeanLoss) -> LossValue {
        LossValue { logits: logits.clone(), mean }
    }

    /// The mean loss and the mean probability σ(logit) of each of several losses. One copy from the device to
    /// the host, which waits until the device has done its work.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(all: &[&LossValue]) -> Result<Vec<[f64; 2]>> {
        let flat = all.iter().map(|one| one.logits.flatten_all()).collect::<candle_core::Result<Vec<_>>>()?;
        let flat = Tensor::cat(&flat, 0)?.to_device(&Device::Cpu)?;
        let mut start = 0;
        let each = |one: &&LossValue| {
            let n = one.logits.elem_count();
            start += n;
            let logits = flat.narrow(0, start - n, n)?;
            let scalar = |x: Tensor| x.to_scalar::<f32>().map(f64::from);
            Ok([scalar((one.mean)(&logits)?)?, scalar(sigmoid(&logits)?.mean_all()?)?])
        };
        all.iter().map(each).collect()
    }
}

/// σ(x) = (1 + tanh(x/2))/2, which overflows nowhere.
///
/// # Errors
/// The device is out of memory.
pub fn sigmoid(logits: &Tensor) -> Result<Tensor> {
    Ok((((logits * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}
