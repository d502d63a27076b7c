//! Weights laid out for products.

use std::borrow::Cow;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::{COLUMNS, DEPTH, Left, Right, STRIP, VECTOR, product};
use crate::eval::scratch::Scratch;

/// A weight laid out for products, widened to f32.
#[derive(Clone, Debug)]
pub struct Packed {
    /// One matrix, or one for each phase of a transposed convolution.
    pub(crate) matrices: Vec<Matrix>,
}

impl Packed {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.matrices.iter().map(|m| 4 * m.elements.len()).sum()
    }
}

/// Real numbers as they are stored.
#[derive(Clone, Debug)]
pub(crate) enum Elements<F, B> {
    F32(F),
    Bf16(B),
}

/// A weight as its file or an earlier op stores it.
pub(crate) type Stored<'a> = Elements<Cow<'a, [f32]>, Cow<'a, [bf16]>>;

/// A `[k, n]` matrix: [`STRIP`] columns together as `[k, columns]`, the last ones filled up with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub k: usize,
    pub n: usize,
    /// Places of k that are summed one after the other in the left operand's memory.
    pub unit: usize,
    /// What is summed in one chain, in order.
    blocks: Vec<Range<usize>>,
    elements: Vec<f32>,
}

impl Matrix {
    /// Element (k, n) is `from[n·step + order[k]]`. No block goes past a multiple of `unit`.
    pub fn pack(from: &Stored<'_>, n: usize, step: usize, order: &[usize], unit: usize) -> Matrix {
        let elements = match from {
            Elements::F32(from) => lay_out(n, order.len(), |k, n| from[n * step + order[k]]),
            Elements::Bf16(from) => lay_out(n, order.len(), |k, n| from[n * step + order[k]].to_f32()),
        };
        Matrix { k: order.len(), n, unit, blocks: blocks(order.len(), unit), elements }
    }

    /// `out[r·n + c] = Σ_k left(k)[r][k]·self[k][c]`; `left` gives the operand of a block of places of k. With `wide`
    /// the columns are shared out among threads, to the same bits.
    pub fn multiply<'a>(
        &self,
        left: &(dyn Fn(&Range<usize>) -> Left<'a> + Sync),
        rows: usize,
        out: &mut [f32],
        wide: bool,
    ) {
        if !wide {
            for first in (0..self.n).step_by(COLUMNS) {
                self.columns(first, left, rows, &mut out[first..], self.n);
            }
            return;
        }
        let bands: Vec<(usize, Vec<f32>)> = (0..self.n.div_ceil(COLUMNS))
            .into_par_iter()
            .map(|i| {
                let width = COLUMNS.min(self.n - i * COLUMNS);
                let mut band = vec![0.0; rows * width];
                self.columns(i * COLUMNS, left, rows, &mut band, width);
                (width, band)
            })
            .collect();
        for (i, (width, band)) in bands.iter().enumerate() {
            for (out, band) in out.chunks_exact_mut(self.n).zip(band.chunks_exact(*width)) {
                out[i * COLUMNS..][..*width].copy_from_slice(band);
            }
        }
    }

    /// [`COLUMNS`] columns from `first` on, to rows of `out` that are `stride` apart.
    fn columns<'a>(
        &self,
        first: usize,
        left: &(dyn Fn(&Range<usize>) -> Left<'a> + Sync),
        rows: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        let width = COLUMNS.min(self.n - first);
        let padded = width.next_multiple_of(VECTOR);
        if self.k == 0 {
            out.chunks_mut(stride).take(rows).for_each(|out| out[..width].fill(0.0));
        } else if width == padded {
            self.sum(first, padded, left, rows, out, stride);
        } else {
            let mut whole = Scratch::new(rows * padded);
            self.sum(first, padded, left, rows, &mut whole, padded);
            for (out, whole) in out.chunks_mut(stride).zip(whole.chunks_exact(padded)) {
                out[..width].copy_from_slice(&whole[..width]);
            }
        }
    }

    fn sum<'a>(
        &self,
        first: usize,
        columns: usize,
        left: &(dyn Fn(&Range<usize>) -> Left<'a> + Sync),
        rows: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        let together = &self.elements[first * self.k..][..columns * self.k];
        for (i, k) in self.blocks.iter().enumerate() {
            let left = left(k);
            for start in (0..columns).step_by(STRIP) {
                let columns = STRIP.min(columns - start);
                let data = &together[start * self.k + k.start * columns..];
                let right = Right { data, stride: columns, columns };
                product(left, right, (rows, k.len()), &mut out[start..], stride, i > 0);
            }
        }
    }
}

/// Every `unit` places of k in as few and as equal blocks of at most [`DEPTH`] as there can be.
fn blocks(k: usize, unit: usize) -> Vec<Range<usize>> {
    let unit = unit.max(1);
    let size = unit.div_ceil(unit.div_ceil(DEPTH));
    let of = |start: usize| {
        (start..k.min(start + unit)).step_by(size).map(move |at| at..k.min(start + unit).min(at + size))
    };
    (0..k).step_by(unit).flat_map(of).collect()
}

fn lay_out(n: usize, k: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; k * n.next_multiple_of(VECTOR)];
    if k == 0 {
        return out;
    }
    out.par_chunks_mut(STRIP * k).enumerate().for_each(|(i, out)| {
        let (first, padded) = (i * STRIP, out.len() / k);
        for (places, out) in out.chunks_mut(padded * 16).enumerate() {
            // A few places at once: those of a column lie side by side where it comes from.
            for c in 0..padded.min(n - first) {
                for (place, out) in out.chunks_exact_mut(padded).enumerate() {
                    out[c] = at(places * 16 + place, first + c);
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_and_stay_in_their_unit() {
        for (k, unit) in
            [(1, 1), (512, 512), (513, 513), (2000, 2000), (27 * 768, 768), (27 * 100, 100), (0, 5)]
        {
            let all = blocks(k, unit);
            assert!(all.iter().flat_map(|b| b.clone()).eq(0..k));
            assert!(
                all.iter().all(|b| !b.is_empty() && b.len() <= DEPTH && b.start / unit == (b.end - 1) / unit)
            );
        }
    }
}
