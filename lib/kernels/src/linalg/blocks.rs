//! Products of large matrices as many small ones, each on one thread.

use faer::linalg::matmul::matmul;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows of a block; a multiple of those that the inner loop of the product takes at once. Part of what a result's bytes
/// depend on.
const BLOCK: usize = 96;

/// The blocks of rows of `a`, each with its first row. The last is whole and the first is what is left, so that the blocks
/// of `a` without its first rows are the same ones.
fn row_blocks(mut a: MatMut<f64>) -> Vec<(usize, MatMut<f64>)> {
    let (mut blocks, mut at) = (Vec::new(), 0);
    while a.nrows() > 0 {
        let rows = (a.nrows() - 1) % BLOCK + 1;
        let (block, rest) = a.split_at_row_mut(rows);
        blocks.push((at, block));
        at += rows;
        a = rest;
    }
    blocks
}

/// Calls `each` with every block of rows of `a` and its first row.
fn for_row_blocks(a: MatMut<f64>, each: impl Fn(usize, MatMut<f64>) + Sync) {
    row_blocks(a).into_par_iter().with_max_len(1).for_each(|(at, rows)| each(at, rows));
}

/// Makes the diagonal blocks of `a` symmetric by their lower triangles.
pub(super) fn mirror_diagonal(a: MatMut<f64>) {
    for_row_blocks(a, |at, rows| {
        let mut block = rows.get_mut(.., at..);
        for i in 0..block.nrows() {
            for j in 0..i {
                block[(j, i)] = block[(i, j)];
            }
        }
    });
}

/// `acc += α·p·q` on the lower triangle and all of the diagonal blocks. `acc` is [d, d], `p` [d, n], `q` [n, d].
pub(super) fn add_lower(acc: MatMut<f64>, alpha: f64, p: MatRef<f64>, q: MatRef<f64>) {
    for_row_blocks(acc, |at, rows| {
        let (n, end) = (rows.nrows(), at + rows.nrows());
        let p = p.subrows(at, n);
        matmul(rows.get_mut(.., ..end), Accum::Add, p, q.get(.., ..end), alpha, Par::Seq);
    });
}

/// `out = a·v` for a symmetric `a` whose lower triangle and diagonal blocks are there. `a` is [d, d], `v` and `out` [d, n].
pub(super) fn symmetric_product(a: MatRef<f64>, v: MatRef<f64>, out: MatMut<f64>) {
    for_row_blocks(out, |at, mut rows| {
        let end = at + rows.nrows();
        let (left, below) = (a.get(at..end, ..end), a.get(end.., at..end));
        matmul(rows.rb_mut(), Accum::Replace, left, v.get(..end, ..), 1.0, Par::Seq);
        matmul(rows, Accum::Add, below.transpose(), v.get(end.., ..), 1.0, Par::Seq);
    });
}

/// `out = a·l`, `l` [d, r] with zeros above the diagonal.
pub(super) fn product_with_lower(a: MatRef<f64>, l: MatRef<f64>, out: MatMut<f64>) {
    for_row_blocks(out.transpose_mut(), |at, columns| {
        let end = at + columns.nrows();
        let out = columns.transpose_mut();
        matmul(out, Accum::Replace, a.get(.., at..), l.get(at.., at..end), 1.0, Par::Seq);
    });
}

/// The lower triangle and the diagonal blocks of `out = lᵀ·x`, `l` [d, r] with zeros above the diagonal, `x` [d, r].
pub(super) fn lower_of_transpose_product(l: MatRef<f64>, x: MatRef<f64>, out: MatMut<f64>) {
    for_row_blocks(out, |at, rows| {
        let end = at + rows.nrows();
        let l = l.get(at.., at..end).transpose();
        matmul(rows.get_mut(.., ..end), Accum::Replace, l, x.get(at.., ..end).rb(), 1.0, Par::Seq);
    });
}
