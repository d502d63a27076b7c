//! Weights laid out for products.

use std::borrow::Cow;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::{DEPTH, LANES};
use crate::eval::rows::widen;

/// A weight laid out for products, in its own dtype: bf16 weights are widened tile by tile as they are used, which
/// costs little and halves the memory.
#[derive(Clone, Debug)]
pub struct Packed {
    /// One matrix, or one for each phase of a transposed convolution.
    pub(crate) parts: Vec<Matrix>,
}

impl Packed {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let bytes = |m: &Matrix| match &m.elements {
            Elements::F32(e) => 4 * e.len(),
            Elements::Bf16(e) => 2 * e.len(),
        };
        self.parts.iter().map(bytes).sum()
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

/// A `[k, n]` matrix: blocks of places of k, in each the columns in tiles of 32 as `[k, 32]`, filled up with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub k: usize,
    pub n: usize,
    /// What is summed in one chain, in order.
    pub blocks: Vec<Range<usize>>,
    elements: Elements<Vec<f32>, Vec<bf16>>,
}

impl Matrix {
    /// Element (k, n) is `from[n·step + order[k]]`. No block goes past a multiple of `unit`.
    pub fn pack(from: &Stored<'_>, n: usize, step: usize, order: &[usize], unit: usize) -> Matrix {
        let blocks = blocks(order.len(), unit);
        let elements = match from {
            Elements::F32(from) => Elements::F32(tiles(from, n, step, order, &blocks)),
            Elements::Bf16(from) => Elements::Bf16(tiles(from, n, step, order, &blocks)),
        };
        Matrix { k: order.len(), n, blocks, elements }
    }

    /// Number of tiles across.
    pub fn tiles(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// The tile of columns 32·`tile`.. of a block, as `[k, 32]`; `scratch` holds it where it is widened.
    pub fn tile<'a>(&'a self, block: &Range<usize>, tile: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let at = block.start * self.tiles() * LANES + tile * block.len() * LANES;
        let range = at..at + block.len() * LANES;
        match &self.elements {
            Elements::F32(e) => &e[range],
            Elements::Bf16(e) => {
                let scratch = &mut scratch[..block.len() * LANES];
                widen(&e[range], scratch);
                scratch
            }
        }
    }
}

/// Every `unit` places of k in as few and as equal parts of at most [`DEPTH`] as there can be.
fn blocks(k: usize, unit: usize) -> Vec<Range<usize>> {
    let unit = unit.max(1);
    let size = unit.div_ceil(unit.div_ceil(DEPTH));
    let of = |start: usize| {
        (start..k.min(start + unit)).step_by(size).map(move |at| at..k.min(start + unit).min(at + size))
    };
    (0..k).step_by(unit).flat_map(of).collect()
}

/// Places of k that are laid out together.
const PLACES: usize = 32;

fn tiles<T: Copy + Default + Send + Sync>(
    from: &[T],
    n: usize,
    step: usize,
    order: &[usize],
    blocks: &[Range<usize>],
) -> Vec<T> {
    let across = n.div_ceil(LANES);
    let mut out = vec![T::default(); order.len() * across * LANES];
    let mut rest = out.as_mut_slice();
    for block in blocks {
        let (here, after) = rest.split_at_mut(block.len() * across * LANES);
        rest = after;
        here.par_chunks_exact_mut(block.len() * LANES).enumerate().for_each(|(tile, out)| {
            let first = tile * LANES;
            // A few places at a time, so that what is written stays near while all columns add to it.
            for (out, order) in out.chunks_mut(PLACES * LANES).zip(order[block.clone()].chunks(PLACES)) {
                for c in 0..LANES.min(n - first) {
                    let column = &from[(first + c) * step..];
                    for (out, at) in out.chunks_exact_mut(LANES).zip(order) {
                        out[c] = column[*at];
                    }
                }
            }
        });
    }
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
