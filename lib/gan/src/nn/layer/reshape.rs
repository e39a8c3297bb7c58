//! A change of shape.

use candle_core::Tensor;

use super::interface::{Context, GradTarget, Layer, Saved};
use crate::Result;

/// Images of another shape with the same values, row by row: height, width, channels.
#[derive(Clone, Debug)]
pub struct Reshape(pub [usize; 3]);

impl Layer for Reshape {
    fn evaluate(&self, _: Context, x: &Tensor) -> Result<Tensor> {
        let [h, w, c] = self.0;
        Ok(x.reshape((x.dim(0)?, h, w, c))?)
    }

    fn backward(
        &self,
        _: Context,
        saved: &Saved,
        dy: Tensor,
        _: GradTarget,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        Ok((vec![], Some(dy.reshape(saved.x.shape())?)))
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
