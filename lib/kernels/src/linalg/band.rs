//! A symmetric matrix to a tridiagonal one of the same eigenvalues, in two stages: first to a band, by Householder
//! reflections in blocks, where all but little of the arithmetic is matrix products; then along the band, by chasing
//! bulges (Lang 1993; Haidar, Ltaief and Dongarra 2011), which is little arithmetic on what stays in the cache. In one
//! stage half of the arithmetic would be products with single vectors, as slow as the memory.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over a constant number of rows and columns become registers"
)]

use faer::linalg::matmul::matmul;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::blocks;
use crate::simd::simd;

/// Diagonals below the main one that the first stage leaves.
const BAND: usize = 16;
/// Numbers of a column of [`Band`]: a bulge reaches that far below the diagonal.
const COLUMN: usize = 2 * BAND;
/// Between neighbors in a row of [`Band`].
const STEP: usize = COLUMN - 1;

/// A reflection H = I − τ·v·vᵀ in `BAND` dimensions.
#[derive(Clone, Copy)]
struct Reflection {
    v: [f64; BAND],
    tau: f64,
}

/// Diagonal and subdiagonal (its last entry without meaning) of a tridiagonal matrix that has the eigenvalues of the
/// symmetric `a`. Reads the lower triangle.
pub(super) fn tridiagonal(mut a: Mat<f64>) -> (Vec<f64>, Vec<f64>) {
    blocks::mirror_diagonal(a.as_mut());
    let mut band = Band::new(a.nrows());
    reduce(a.as_mut(), &mut band);
    simd(
        #[inline(always)]
        || band.chase(),
    );
    let entry = |below: usize| band.data.chunks_exact(COLUMN).take(band.n).map(|c| c[below]).collect();
    (entry(0), entry(1))
}

/// Makes `x` the vector v, v₀ = 1, of the reflection that maps it to β·e₀; returns τ and β.
#[inline(always)]
fn reflect(x: &mut [f64]) -> (f64, f64) {
    let head = x[0];
    let tail = dot(&x[1..], &x[1..]);
    x[0] = 1.0;
    if tail == 0.0 {
        return (0.0, head);
    }
    let beta = -(head * head + tail).sqrt().copysign(head);
    let scale = 1.0 / (head - beta);
    x[1..].iter_mut().for_each(|v| *v *= scale);
    ((beta - head) / beta, beta)
}

/// `a · b` in a fixed order of eight sums.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const SUMS: usize = 32;
    let mut sums = [0.0; SUMS];
    let (a, a_rest) = a.as_chunks::<SUMS>();
    let (b, b_rest) = b.as_chunks::<SUMS>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..SUMS {
            sums[i] += a[i] * b[i];
        }
    }
    a_rest.iter().zip(b_rest).fold(sums.iter().sum(), |sum: f64, (a, b)| sum + a * b)
}

/// The first stage: the band of a matrix that has the eigenvalues of `a`, whose diagonal blocks must be whole.
fn reduce(mut a: MatMut<f64>, band: &mut Band) {
    let n = a.nrows();
    for k in (0..n).step_by(BAND) {
        let width = BAND.min(n - k);
        for j in k..k + width {
            band.column(j)[..k + width - j].iter_mut().zip(j..).for_each(|(to, i)| *to = a[(i, j)]);
        }
        if k + BAND >= n {
            return;
        }
        let panel = Panel::new(a.rb().get(k + BAND.., k..k + BAND));
        for j in 0..BAND {
            let r = &panel.r[j * BAND..][..=j];
            band.column(k + j)[BAND - j..=BAND].copy_from_slice(r);
        }
        panel.apply(a.rb_mut().get_mut(k + BAND.., k + BAND..));
    }
}

/// The QR decomposition of a panel [m, BAND]: Q = I − V·S·Vᵀ.
struct Panel {
    m: usize,
    /// [m, BAND], zeros above a diagonal of ones.
    v: Vec<f64>,
    /// [BAND, BAND], upper triangular.
    s: Vec<f64>,
    /// [BAND, BAND], upper triangular; rows below m are zeros.
    r: Vec<f64>,
}

impl Panel {
    fn new(panel: MatRef<f64>) -> Panel {
        let m = panel.nrows();
        let v = panel.col_iter().flat_map(|column| column.iter().copied()).collect();
        let mut panel = Panel { m, v, s: vec![0.0; BAND * BAND], r: vec![0.0; BAND * BAND] };
        simd(
            #[inline(always)]
            || panel.factor(),
        );
        panel
    }

    #[inline(always)]
    fn factor(&mut self) {
        let Panel { m, v, s, r } = self;
        let m = *m;
        for j in 0..BAND {
            let (done, rest) = v.split_at_mut((j + 1) * m);
            let (before, column) = done.split_at_mut(j * m);
            let above = j.min(m);
            r[j * BAND..][..above].copy_from_slice(&column[..above]);
            column[..above].fill(0.0);
            if j >= m {
                continue;
            }
            let (tau, beta) = reflect(&mut column[j..]);
            r[j * BAND + j] = beta;
            let v = &column[j..];
            for other in rest.chunks_exact_mut(m) {
                let factor = -tau * dot(v, &other[j..]);
                other[j..].iter_mut().zip(v).for_each(|(o, v)| *o += factor * v);
            }
            // S grows by the column −τ·S·(Vᵀ·v), τ (Schreiber and Van Loan 1989).
            for i in 0..j {
                let factor = -tau * dot(&before[i * m + j..(i + 1) * m], v);
                for row in 0..=i {
                    s[j * BAND + row] += s[i * BAND + row] * factor;
                }
            }
            s[j * BAND + j] = tau;
        }
    }

    /// `a ← Qᵀ·a·Q` for a symmetric `a` [m, m], its lower triangle and diagonal blocks: with Y = A·V·S and
    /// W = Y − ½·V·Sᵀ·Vᵀ·Y, that is A − V·Wᵀ − W·Vᵀ.
    fn apply(&self, a: MatMut<f64>) {
        let m = self.m;
        let v = MatRef::from_column_major_slice(&self.v, m, BAND);
        let s = MatRef::from_column_major_slice(&self.s, BAND, BAND);
        let mut x = Mat::zeros(m, BAND);
        blocks::symmetric_product(a.rb(), v, x.as_mut());
        // [V W] and [W V], so that the update is one product.
        let mut factors = Mat::zeros(m, 4 * BAND);
        let (mut vw, mut wv) = factors.as_mut().split_at_col_mut(2 * BAND);
        let mut w = vw.rb_mut().get_mut(.., BAND..);
        matmul(w.rb_mut(), Accum::Replace, x.as_ref(), s, 1.0, Par::Seq);
        let mut small = [Mat::zeros(BAND, BAND), Mat::zeros(BAND, BAND)];
        let [vy, svy] = &mut small;
        matmul(vy.as_mut(), Accum::Replace, v.transpose(), w.rb(), 1.0, Par::Seq);
        matmul(svy.as_mut(), Accum::Replace, s.transpose(), vy.as_ref(), 1.0, Par::Seq);
        matmul(w.rb_mut(), Accum::Add, v, svy.as_ref(), -0.5, Par::Seq);
        wv.rb_mut().get_mut(.., ..BAND).copy_from(w.rb());
        wv.rb_mut().get_mut(.., BAND..).copy_from(v);
        vw.rb_mut().get_mut(.., ..BAND).copy_from(v);
        blocks::add_lower(a, -1.0, vw.rb(), wv.rb().transpose());
    }
}

/// A symmetric band matrix: entry (i, j), i ≥ j, is `data[j·COLUMN + i − j]`. Zeros after the last column spare all
/// that follows a care for the end.
struct Band {
    n: usize,
    data: Vec<f64>,
}

impl Band {
    fn new(n: usize) -> Band {
        Band { n, data: vec![0.0; (n + 3 * BAND) * COLUMN] }
    }

    fn column(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * COLUMN..][..COLUMN]
    }

    /// The second stage: column by column, all below the subdiagonal is reflected to zero. That fills a bulge below the
    /// band, whose first column is reflected to zero in turn, and so on to the end; the rest of it is left to the next
    /// column's turn.
    #[inline(always)]
    fn chase(&mut self) {
        for j in 0..self.n.saturating_sub(2) {
            let column: &mut [f64; BAND] = at(&mut self.data, j * COLUMN + 1);
            let mut h = Reflection::onto_first(column);
            let mut first = j + 1;
            loop {
                h.apply_to_symmetric(&mut self.data[first * COLUMN..]);
                if first + BAND >= self.n {
                    break;
                }
                h = h.pass(&mut self.data[first * COLUMN + BAND..]);
                first += BAND;
            }
        }
    }
}

/// The column of a block that begins at `start`.
#[inline(always)]
fn at(data: &mut [f64], start: usize) -> &mut [f64; BAND] {
    (&mut data[start..start + BAND]).try_into().expect("BAND numbers")
}

impl Reflection {
    /// The reflection that maps `column` to β·e₀, which it becomes.
    #[inline(always)]
    fn onto_first(column: &mut [f64; BAND]) -> Reflection {
        let mut v = *column;
        let (tau, beta) = reflect(&mut v);
        *column = [0.0; BAND];
        column[0] = beta;
        Reflection { v, tau }
    }

    /// `D ← H·D·H` for the symmetric block D that begins at `data`, of which the lower triangle is there.
    #[inline(always)]
    fn apply_to_symmetric(&self, data: &mut [f64]) {
        let Reflection { v, tau } = *self;
        // D·v: each column serves as a row, too.
        let mut w = [0.0; BAND];
        for c in 0..BAND {
            let column = at(data, c * STEP);
            let mut below = [0.0; BAND];
            for i in 0..BAND {
                below[i] = if i > c { column[i] } else { 0.0 };
            }
            let mut sum = column[c] * v[c];
            for i in 0..BAND {
                w[i] += below[i] * v[c];
                sum += below[i] * v[i];
            }
            w[c] += sum;
        }
        let mut vw = 0.0;
        for i in 0..BAND {
            vw += v[i] * w[i];
        }
        for i in 0..BAND {
            w[i] = tau * w[i] - 0.5 * tau * tau * vw * v[i];
        }
        for c in 0..BAND {
            let column = at(data, c * STEP);
            for i in 0..BAND {
                let new = column[i] - (v[i] * w[c] + w[i] * v[c]);
                // Above the diagonal there are other entries.
                column[i] = if i >= c { new } else { column[i] };
            }
        }
    }

    /// `D ← G·D·H` for the block D below the symmetric one, G the reflection that maps D·H's first column to β·e₀. Returns
    /// G.
    #[inline(always)]
    fn pass(&self, data: &mut [f64]) -> Reflection {
        let Reflection { v, tau } = *self;
        let mut u = [0.0; BAND];
        for c in 0..BAND {
            let column = at(data, c * STEP);
            for i in 0..BAND {
                u[i] += column[i] * v[c];
            }
        }
        for i in 0..BAND {
            u[i] *= tau;
        }
        let first = at(data, 0);
        for i in 0..BAND {
            first[i] -= u[i] * v[0];
        }
        let next = Reflection::onto_first(first);
        for c in 1..BAND {
            let column = at(data, c * STEP);
            let mut sum = 0.0;
            for i in 0..BAND {
                column[i] -= u[i] * v[c];
                sum += column[i] * next.v[i];
            }
            for i in 0..BAND {
                column[i] -= next.tau * sum * next.v[i];
            }
        }
        next
    }
}
