//! Where the left operand of a product comes from.

use std::ops::Range;

use multiversion::multiversion;

use super::HEIGHT;
use crate::eval::rows::Rows;

/// A left operand that hands out pieces of itself, rows side by side.
pub(crate) trait Source: Sync {
    /// Writes places `k` of `count` rows from `row` to `out`, laid out `[k, height]`; rows from `count` on are zeros.
    fn pack(&self, row: usize, count: usize, k: Range<usize>, height: usize, out: &mut [f32]);
}

/// Rows that lie in memory.
pub(crate) struct Strided<'a>(pub Rows<'a>);

impl Source for Strided<'_> {
    fn pack(&self, row: usize, count: usize, k: Range<usize>, height: usize, out: &mut [f32]) {
        let empty: &[f32] = &[];
        let mut rows = [empty; HEIGHT];
        for (r, slot) in rows[..count].iter_mut().enumerate() {
            *slot = &self.0.data[(row + r) * self.0.stride..][k.clone()];
        }
        interleave(&rows[..count], k.len(), height, out);
    }
}

/// `out[k·height + r] = rows[r][k]` for `len` places, zeros for rows that are not there.
pub(crate) fn interleave(rows: &[&[f32]], len: usize, height: usize, out: &mut [f32]) {
    if rows.len() < height {
        out[..len * height].fill(0.0);
    }
    match (height, <&[&[f32]; HEIGHT]>::try_from(rows)) {
        (HEIGHT, Ok(rows)) => interleave_full(rows, len, out),
        _ => {
            for (r, row) in rows.iter().enumerate() {
                for (out, x) in out.chunks_exact_mut(height).zip(&row[..len]) {
                    out[r] = *x;
                }
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn interleave_full(rows: &[&[f32]; HEIGHT], len: usize, out: &mut [f32]) {
    let rows = rows.map(|row| &row[..len]);
    for (k, out) in out[..len * HEIGHT].chunks_exact_mut(HEIGHT).enumerate() {
        for r in 0..HEIGHT {
            out[r] = rows[r][k];
        }
    }
}
