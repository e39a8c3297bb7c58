//! The eigenvalues of a symmetric tridiagonal matrix.

use super::NotConverged;

/// Turns of the iteration that one eigenvalue may take; two or three are usual.
const TURNS: usize = 60;

/// The eigenvalues, ascending, from the diagonal and the subdiagonal (whose last entry has no meaning): the rational QL
/// method, which needs no roots (Reinsch 1973, Algorithm 464; EISPACK's `tqlrat`).
///
/// # Errors
/// Values that are not finite.
pub(super) fn eigenvalues(mut d: Vec<f64>, below: Vec<f64>) -> Result<Vec<f64>, NotConverged> {
    let n = d.len();
    // QL finds the eigenvalues at its head first. Small ones must come before large ones to keep their digits, and the matrices
    // that we have are graded downwards: so they are taken from the end.
    d.reverse();
    let mut e: Vec<f64> = below[..n.saturating_sub(1)].iter().rev().map(|v| v * v).chain([0.0]).collect();
    // The sum of the shifts, the size of what is left out, and its square.
    let (mut shift, mut size, mut small, mut small_squared) = (0.0, 0.0, 0.0, 0.0);
    for l in 0..n {
        let here = d[l].abs() + e[l].sqrt();
        if size <= here {
            size = here;
            small = f64::EPSILON * size;
            small_squared = small * small;
        }
        let mut turn = 0;
        // Where the matrix falls apart next; at the end it always does.
        while let m = l + e[l..].iter().position(|&v| v <= small_squared).ok_or(NotConverged)?
            && m > l
        {
            turn += 1;
            if turn > TURNS {
                return Err(NotConverged);
            }
            let (s, g) = (e[l].sqrt(), d[l]);
            let p = (d[l + 1] - g) / (2.0 * s);
            d[l] = s / (p + p.hypot(1.0).copysign(p));
            let h = g - d[l];
            d[l + 1..].iter_mut().for_each(|v| *v -= h);
            shift += h;
            if !turn_once(&mut d[l..=m], &mut e[l..=m], small, small_squared) {
                break;
            }
        }
        d[l] += shift;
    }
    if d.iter().any(|v| !v.is_finite()) {
        return Err(NotConverged);
    }
    d.sort_unstable_by(f64::total_cmp);
    Ok(d)
}

/// One turn of QL from the end of the block to its head. Returns whether the head may still be joined to the rest.
fn turn_once(d: &mut [f64], e: &mut [f64], small: f64, small_squared: f64) -> bool {
    let m = d.len() - 1;
    let nonzero = |v: f64| if v == 0.0 { small } else { v };
    let mut g = nonzero(d[m]);
    let (mut h, mut s) = (g, 0.0);
    for i in (0..m).rev() {
        let p = g * h;
        let r = p + e[i];
        e[i + 1] = s * r;
        s = e[i] / r;
        d[i + 1] = h + s * (h + d[i]);
        g = nonzero(d[i] - e[i] / g);
        h = g * p / r;
    }
    e[0] = s * g;
    d[0] = h;
    // The true entry is e₀·h, which may vanish where e₀ does not.
    if h == 0.0 || e[0].abs() <= (small_squared / h).abs() {
        e[0] = 0.0;
        return false;
    }
    e[0] *= h;
    e[0] != 0.0
}
