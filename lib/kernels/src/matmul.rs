//! Matrix products on the `gemm` crate, each on one thread: callers cut the work into pieces of a fixed size, so that the
//! bytes do not depend on the number of threads.

/// A matrix of `rows`×`cols` in a slice, element (i, j) at `i·row_stride + j·col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix that fills `data`.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Mat<'a> {
        assert_eq!(data.len(), rows * cols, "matrix: the slice is not {rows}×{cols}");
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Mat<'a> {
        let Mat { data, rows, cols, row_stride, col_stride } = self;
        Mat { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    /// Whether every element lies inside the slice.
    fn fits(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < self.data.len()
    }
}

/// `c = a·b`, or `c += a·b` with `add`, on one thread. `c` is row-major, its rows `c_stride` ≥ b.cols apart.
pub fn gemm(add: bool, a: Mat, b: Mat, c: &mut [f32], c_stride: usize) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "matmul: {m}×{k} by {}×{n}", b.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        a.fits() && b.fits() && n <= c_stride && (m - 1) * c_stride + n <= c.len(),
        "matmul: out of bounds"
    );
    // SAFETY: the assertions above keep every element of a, b and c inside its slice; c is borrowed mutably, so it
    // overlaps neither a nor b.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed.wrapping_mul(747796405).wrapping_add(1);
        let mut next = || {
            s = s.wrapping_mul(1664525).wrapping_add(1013904223);
            (s >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn products_of_odd_shapes_and_transposes_match_the_definition() {
        for (m, n, k) in
            [(1, 1, 1), (3, 5, 7), (1, 33, 100), (129, 1, 64), (130, 70, 33), (17, 1030, 9), (0, 4, 2)]
        {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let exact = |i: usize, j: usize| -> f64 {
                (0..k).map(|l| a[i * k + l] as f64 * b[l * n + j] as f64).sum()
            };
            let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let left = if ta { Mat::new(&at, k, m).t() } else { Mat::new(&a, m, k) };
                let right = if tb { Mat::new(&bt, n, k).t() } else { Mat::new(&b, k, n) };
                let mut c = vec![f32::NAN; m * n];
                gemm(false, left, right, &mut c, n);
                for i in 0..m {
                    for j in 0..n {
                        assert!((c[i * n + j] as f64 - exact(i, j)).abs() < 1e-5, "{m}×{n}×{k} {ta} {tb}");
                    }
                }
                gemm(true, left, right, &mut c, n);
                for (i, c) in c.iter().enumerate() {
                    assert!(
                        (*c as f64 - 2.0 * exact(i / n, i % n)).abs() < 2e-5,
                        "{m}×{n}×{k} {ta} {tb} twice"
                    );
                }
            }
        }
    }

    fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| x[(i % rows) * cols + i / rows]).collect()
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_short_destination_is_refused() {
        let a = [1.0; 4];
        gemm(false, Mat::new(&a, 2, 2), Mat::new(&a, 2, 2), &mut [0.0; 3], 2);
    }
}
