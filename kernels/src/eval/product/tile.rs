//! The innermost loop: one tile of a product, held in registers.

use multiversion::{multiversion, target::match_target};

/// Columns of a tile.
pub(crate) const LANES: usize = 32;

/// Rows of a tile. With 512-bit vectors 12×32 sums fill 24 of the 32 registers.
pub(crate) const HEIGHT: usize = 12;

/// Rows of the smallest tile that holds `rows` rows: 4, 8 or 12.
pub(crate) fn height(rows: usize) -> usize {
    rows.next_multiple_of(4).clamp(4, HEIGHT)
}

/// `out[r·stride + c] (+)= Σ_k a[k·height + r]·b[k·32 + c]`, as a chain of fused multiply-adds from 0 for every
/// element; added to `out` when `add`, else put there.
///
/// `a` is `[k, height]`, `b` is `[k, LANES]`; all `height` rows are written, and of the columns the first `width`
/// rounded up to 16.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn tile(
    height: usize,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    stride: usize,
    width: usize,
    add: bool,
) {
    // 512-bit vectors have 32 registers and hold a whole tile; elsewhere 16 registers of 256 bits (or 32 of 128)
    // hold six rows of 16.
    match_target! {
        "x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma" => match (height, width > 16) {
            (4, true) => walk::<4, 4, 32>(a, b, out, stride, width, add),
            (4, false) => walk::<4, 4, 16>(a, b, out, stride, width, add),
            (8, true) => walk::<8, 8, 32>(a, b, out, stride, width, add),
            (8, false) => walk::<8, 8, 16>(a, b, out, stride, width, add),
            (_, true) => walk::<12, 12, 32>(a, b, out, stride, width, add),
            (_, false) => walk::<12, 12, 16>(a, b, out, stride, width, add),
        },
        _ => match height {
            4 => walk::<4, 4, 16>(a, b, out, stride, width, add),
            8 => walk::<8, 4, 16>(a, b, out, stride, width, add),
            _ => walk::<12, 6, 16>(a, b, out, stride, width, add),
        },
    }
}

/// A tile of `H` rows as pieces of `R`×`C`.
#[inline(always)]
fn walk<const H: usize, const R: usize, const C: usize>(
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    stride: usize,
    width: usize,
    add: bool,
) {
    for column in (0..width).step_by(C) {
        for row in (0..H).step_by(R) {
            let sums = piece::<H, R, C>(a, b, row, column);
            for r in 0..R {
                let out = &mut out[(row + r) * stride + column..][..C];
                for c in 0..C {
                    out[c] = if add { out[c] + sums[r][c] } else { sums[r][c] };
                }
            }
        }
    }
}

#[inline(always)]
fn piece<const H: usize, const R: usize, const C: usize>(
    a: &[f32],
    b: &[f32],
    row: usize,
    column: usize,
) -> [[f32; C]; R] {
    let mut sums = [[0.0f32; C]; R];
    for (a, b) in a.chunks_exact(H).zip(b.chunks_exact(LANES)) {
        let (a, b) = (&a[row..row + R], &b[column..column + C]);
        for r in 0..R {
            for c in 0..C {
                sums[r][c] = a[r].mul_add(b[c], sums[r][c]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of an element, one at a time.
    #[test]
    fn every_element_is_its_chain() {
        let k = 37;
        let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 37.0 - 1.3;
        for height in [4, 8, 12] {
            let a: Vec<f32> = (0..k * height).map(value).collect();
            let b: Vec<f32> = (0..k * LANES).map(|i| value(i + 5)).collect();
            for (width, add) in [(32, false), (32, true), (16, true), (3, false)] {
                let mut out = vec![0.25; height * LANES];
                tile(height, &a, &b, &mut out, LANES, width, add);
                for r in 0..height {
                    for c in 0..width {
                        let chain =
                            (0..k).fold(0.0f32, |s, k| a[k * height + r].mul_add(b[k * LANES + c], s));
                        let want = if add { 0.25 + chain } else { chain };
                        assert_eq!(out[r * LANES + c].to_bits(), want.to_bits());
                    }
                }
            }
        }
    }
}
