//! The library's product behind checked slices. All `unsafe` code of the evaluator is in this file.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;

use super::DEPTH;
use crate::eval::scratch::Scratch;

/// Columns of a right operand come in multiples of this: with whole vectors the library reads it where it lies.
pub(crate) const VECTOR: usize = 16;

/// A left operand: place k of row r is at `r·row + k·depth`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub depth: usize,
}

/// A right operand: column c of place k is at `k·stride + c`.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub columns: usize,
}

/// `out[r·stride + c] (+)= Σ_k left(r, k)·right(k, c)` for `rows` rows and `k` places, `k` from 1 to [`DEPTH`].
pub(crate) fn product(
    left: Left<'_>,
    right: Right<'_>,
    (rows, k): (usize, usize),
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let columns = right.columns;
    if rows == 0 || columns == 0 {
        return;
    }
    if rows == 1 {
        // One row alone would be summed in another order.
        let mut twice = Scratch::new(2 * columns);
        twice.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(&out[..columns]));
        product(Left { row: 0, ..left }, right, (2, k), &mut twice, columns, add);
        out[..columns].copy_from_slice(&twice[..columns]);
        return;
    }
    let fits = |len: usize, (m, x): (usize, usize), (n, y): (usize, usize)| {
        let last = (m - 1).checked_mul(x).zip((n - 1).checked_mul(y)).and_then(|(a, b)| a.checked_add(b));
        last.is_some_and(|last| last < len)
    };
    assert!((1..=DEPTH).contains(&k) && columns.is_multiple_of(VECTOR), "sizes of a product");
    assert!(fits(left.data.len(), (rows, left.row), (k, left.depth)), "the left operand of a product");
    assert!(fits(right.data.len(), (k, right.stride), (columns, 1)), "the right operand of a product");
    assert!(stride >= columns && fits(out.len(), (rows, stride), (columns, 1)), "the result of a product");
    keep_in_place();
    let [row, depth, right_stride, stride] =
        [left.row, left.depth, right.stride, stride].map(|s| isize::try_from(s).expect("a stride"));
    // SAFETY: the assertions above hold in every build. With them each element that the extents and strides reach
    // lies in its slice, elements of `out` are distinct, and `out` is borrowed alone. The library makes products whose
    // columns lie side by side: this one's transpose, right operand first.
    unsafe {
        get_gemm_fn()(
            columns,
            rows,
            k,
            out.as_mut_ptr(),
            stride,
            1,
            add,
            right.data.as_ptr(),
            right_stride,
            1,
            left.data.as_ptr(),
            row,
            depth,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Lets the library read a right operand where it lies, for results of up to 1536 rows, if the library's own panels are
/// 64 columns wide: a copy would be the same again. It changes no bit.
fn keep_in_place() {
    #[cfg(target_arch = "x86_64")]
    {
        use gemm_common::gemm::{
            get_lhs_packing_threshold_single_thread as get, set_lhs_packing_threshold_single_thread as set,
        };
        const MOST: usize = 256;
        if get() != MOST && std::arch::is_x86_feature_detected!("avx512f") {
            set(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 101) as f32 / 37.0 - 1.3
    }

    /// A promise of the evaluator that the library does not make by itself.
    #[test]
    fn the_bits_of_an_element_depend_on_its_operands_alone() {
        for k in [1, 2, 3, 16, 100, 264, 384, DEPTH] {
            let (rows, columns) = (300, 320);
            let left: Vec<f32> = (0..rows * k).map(value).collect();
            let right: Vec<f32> = (0..k * columns).map(|i| value(i + 5)).collect();
            let across: Vec<f32> = (0..rows * k).map(|i| left[i % rows * k + i / rows]).collect();
            let whole = Right { data: &right, stride: columns, columns };
            let want = [false, true].map(|add| {
                let mut want = vec![0.25; rows * columns];
                product(Left { data: &left, row: k, depth: 1 }, whole, (rows, k), &mut want, columns, add);
                want
            });
            for (first, count, column, width) in [
                (0, 1, 0, 16),
                (17, 2, 32, 64),
                (5, 6, 0, 320),
                (40, 49, 16, 48),
                (1, 299, 304, 16),
                (0, 64, 64, 256),
            ] {
                let right = Right { data: &right[column..], stride: columns, columns: width };
                let lefts = [
                    Left { data: &left[first * k..], row: k, depth: 1 },
                    Left { data: &across[first..], row: 1, depth: rows },
                ];
                for (left, add) in lefts.into_iter().flat_map(|l| [(l, false), (l, true)]) {
                    let mut out = vec![0.25; count * (width + 3)];
                    product(left, right, (count, k), &mut out, width + 3, add);
                    for r in 0..count {
                        let (got, want) = (
                            &out[r * (width + 3)..],
                            &want[usize::from(add)][(first + r) * columns + column..],
                        );
                        for c in 0..width {
                            assert_eq!(got[c].to_bits(), want[c].to_bits(), "{k} by {count} and {width}");
                        }
                        assert!(got[width..].iter().take(3).all(|x| *x == 0.25));
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "left operand")]
    fn a_row_too_many() {
        let right = Right { data: &[1.0; 32], stride: 16, columns: 16 };
        product(Left { data: &[1.0; 5], row: 2, depth: 1 }, right, (3, 2), &mut [0.0; 48], 16, false);
    }
}
