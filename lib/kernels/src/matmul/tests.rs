use super::*;
use crate::element::bf16;
use crate::testing::random;

/// `a·b` in f64.
fn exact(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f64> {
    let at = |i: usize| (0..k).map(|l| a[i / n * k + l] as f64 * b[l * n + i % n] as f64).sum();
    (0..m * n).map(at).collect()
}

/// The product with packed panels, by rows or by columns.
fn packed<T: Element>(
    isa: Isa,
    a: &[f32],
    b: &[f32],
    m: usize,
    k: usize,
    n: usize,
    by_columns: bool,
) -> Vec<f32> {
    let transposed: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
    let source = match by_columns {
        true => MatrixView::Columns { data: &transposed, stride: k },
        false => MatrixView::Rows { data: b, stride: n },
    };
    let packed = PackedMatrix::<T>::new(isa, &[source], k, n, k);
    let (columns, room) = (padded(n), isa.room(m));
    let mut c = vec![f32::NAN; room * columns];
    let mut block = vec![T::from_f32(7.0); room * A_STRIDE * T::PER_WORD];
    packed.blocks(0..n, |range, panels, add, _| {
        let first = range.elements.start;
        for (i, row) in block.chunks_exact_mut(A_STRIDE * T::PER_WORD).enumerate() {
            row.fill(T::default());
            if i < m {
                for l in range.elements.clone() {
                    row[l - first] = T::from_f32(a[i * k + l]);
                }
            }
        }
        let rows: Vec<&[T]> = block.chunks_exact(A_STRIDE * T::PER_WORD).collect();
        let left = if isa.indirect() { Lhs::Rows(&rows) } else { Lhs::Block(&block, m) };
        product(isa, left, range.words, Rhs::Panels(panels), columns, Sums { c: &mut c, add });
    });
    c.chunks_exact(columns).take(m).flat_map(|row| row[..n].to_vec()).collect()
}

fn check<T: Element>(tolerance: f64) {
    crate::testing::emulate();
    for &isa in Isa::candidates::<T>().iter().filter(|isa| isa.supported()) {
        for (m, k, n) in
            [(1, 1, 1), (3, 5, 7), (1, 100, 33), (29, 64, 1), (14, 256, 32), (65, 257, 70), (31, 1030, 48)]
        {
            // Values that T holds exactly, so that only sums are rounded.
            let of = |seed| {
                random(m.max(n) * k, seed).iter().map(|&v| T::from_f32(v).to_f32()).collect::<Vec<_>>()
            };
            let (a, b) = (of(1), of(2));
            let exact = exact(&a, &b, m, k, n);
            for by_columns in [false, true] {
                let ours = packed::<T>(isa, &a, &b, m, k, n, by_columns);
                for (ours, exact) in ours.iter().zip(&exact) {
                    assert!((*ours as f64 - exact).abs() < tolerance, "{isa:?} {m}×{k}×{n}: {ours} {exact}");
                }
            }
        }
    }
}

#[test]
fn products_of_f32_match_the_definition_with_every_instruction_set() {
    check::<f32>(1e-5);
}

#[test]
fn products_of_bf16_match_the_definition_with_every_instruction_set() {
    check::<bf16>(2e-5);
}

#[test]
fn blocks_cover_the_inner_dimension_once() {
    for isa in [Isa::Plain, Isa::Amx] {
        for k in [0, 1, 2, 31, 32, 33, 511, 512, 513, 1000, 8192] {
            let mut next = 0;
            for block in isa.blocks::<bf16>(k, k) {
                assert_eq!(block.elements.start, next, "{k}");
                assert!(block.words <= K_WORDS && block.words.is_multiple_of(isa.step()), "{k}: {block:?}");
                assert!(block.elements.len() <= 2 * block.words && !block.elements.is_empty());
                next = block.elements.end;
            }
            assert_eq!(next, k);
        }
    }
}

#[test]
#[should_panic(expected = "room for")]
fn a_short_destination_is_refused() {
    let a = vec![0.0; 2 * A_STRIDE];
    let sums = Sums { c: &mut [0.0; 31], add: false };
    product(Isa::Plain, Lhs::Rows(&[&a, &a]), 1, Rhs::Panels(&[0.0; 16]), 16, sums);
}
