//! A product of a panel of rows and a packed weight.

use std::ops::Range;

use rayon::prelude::*;

use super::{DEPTH, HEIGHT, LANES, Left, Matrix, Source, Tile, height};
use crate::eval::scratch::Scratch;

/// `out[i·n + c] = Σ_k source[first + i][k]·weight[k][c]` for `rows` rows.
pub(crate) fn multiply(source: &dyn Source, first: usize, rows: usize, weight: &Matrix, out: &mut [f32]) {
    columns(source, first, rows, weight, 0..weight.tiles(), out, weight.n);
}

/// As [`multiply`], to the same bits, with the columns shared out among threads: for few rows and a large weight.
pub(crate) fn multiply_wide(
    source: &dyn Source,
    first: usize,
    rows: usize,
    weight: &Matrix,
    out: &mut [f32],
) {
    let tiles = weight.tiles();
    let share = tiles.div_ceil(4 * rayon::current_num_threads()).max(1);
    let parts: Vec<(usize, usize, Vec<f32>)> = (0..tiles.div_ceil(share))
        .into_par_iter()
        .map(|i| {
            let range = i * share..tiles.min((i + 1) * share);
            let (from, to) = (range.start * LANES, weight.n.min(range.end * LANES));
            let mut part = vec![0.0; rows * (to - from)];
            columns(source, first, rows, weight, range, &mut part, to - from);
            (from, to, part)
        })
        .collect();
    for (from, to, part) in parts {
        for (out, part) in out.chunks_exact_mut(weight.n).zip(part.chunks_exact(to - from)) {
            out[from..to].copy_from_slice(part);
        }
    }
}

/// Tiles `tiles` of the product, to `out` with rows `stride` apart.
fn columns(
    source: &dyn Source,
    first: usize,
    rows: usize,
    weight: &Matrix,
    tiles: Range<usize>,
    out: &mut [f32],
    stride: usize,
) {
    if weight.blocks.is_empty() {
        out.fill(0.0);
        return;
    }
    let deepest = DEPTH.min(weight.k);
    let mut gathered = Scratch::new(rows * deepest);
    let mut widened = Scratch::new(deepest * LANES);
    let mut edge = [0.0f32; HEIGHT * LANES];
    for k in &weight.blocks {
        let add = k.start > 0;
        let mut left = source.rows(first, rows, k.clone(), &mut gathered);
        // A tile has 4, 8 or 12 rows; those after the last one repeat it and go nowhere.
        if let Some(last) = left.last().copied() {
            left.resize(rows.next_multiple_of(4), last);
        }
        for t in tiles.clone() {
            let right = weight.tile(k, t, &mut widened);
            let width = LANES.min(weight.n - t * LANES);
            let column = (t - tiles.start) * LANES;
            for row in (0..rows).step_by(HEIGHT) {
                let count = HEIGHT.min(rows - row);
                let h = height(count);
                let left = Left::Rows(&left[row..row + h]);
                let out = &mut out[row * stride + column..];
                if count == h && width == LANES {
                    Tile { left, right, out, stride, width, add }.compute();
                } else {
                    // The tile goes past the edge of the result.
                    Tile { left, right, out: &mut edge, stride: LANES, width, add: false }.compute();
                    for (out, sums) in out.chunks_mut(stride).zip(edge.chunks_exact(LANES)).take(count) {
                        for (out, sum) in out.iter_mut().zip(&sums[..width]) {
                            *out = if add { *out + sum } else { *sum };
                        }
                    }
                }
            }
        }
    }
}
