//! Inner products of features, in f64: in f32, rounding would exceed the distance of two samples that nearly
//! agree.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// The samples `index(0)`, `index(1)`, … of `features` `[_, dims]` as `n` columns, `[dims, n]`.
pub(super) fn columns(features: &[f32], dims: usize, n: usize, index: impl Fn(usize) -> usize) -> Mat<f64> {
    Mat::from_fn(dims, n, |row, column| f64::from(features[index(column) * dims + row]))
}

/// `scale · aᵀb`: the inner product of each column of `a` with each column of `b`.
pub(super) fn inner_products(a: MatRef<f64>, b: MatRef<f64>, scale: f64) -> Mat<f64> {
    let mut products = Mat::zeros(a.ncols(), b.ncols());
    matmul(products.as_mut(), Accum::Replace, a.transpose(), b, scale, Par::Seq);
    products
}
