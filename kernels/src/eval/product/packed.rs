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
        self.parts.iter().map(|m| m.elements.bytes()).sum()
    }
}

/// Real numbers as they are stored.
#[derive(Clone, Debug)]
pub(crate) enum Elements<F, B> {
    F32(F),
    Bf16(B),
}

impl Elements<Vec<f32>, Vec<bf16>> {
    fn bytes(&self) -> usize {
        match self {
            Elements::F32(e) => 4 * e.len(),
            Elements::Bf16(e) => 2 * e.len(),
        }
    }
}

/// A weight as its file or an earlier op stores it.
pub(crate) type Stored<'a> = Elements<Cow<'a, [f32]>, Cow<'a, [bf16]>>;

/// A `[k, n]` matrix: blocks of [`DEPTH`] places of k, in each the columns in tiles of 32 as `[k, 32]`, filled up
/// with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub k: usize,
    pub n: usize,
    elements: Elements<Vec<f32>, Vec<bf16>>,
}

impl Matrix {
    /// Element (k, n) is `from[n·step + order[k]]`.
    pub fn pack(from: &Stored<'_>, n: usize, step: usize, order: &[usize]) -> Matrix {
        let elements = match from {
            Elements::F32(from) => Elements::F32(tiles(from, n, step, order)),
            Elements::Bf16(from) => Elements::Bf16(tiles(from, n, step, order)),
        };
        Matrix { k: order.len(), n, elements }
    }

    /// Number of tiles across.
    pub fn tiles(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// The tile of columns 32·`tile`.. at places `k` (a whole block), as `[k, 32]`; `scratch` holds it where it is
    /// widened.
    pub fn tile<'a>(&'a self, k: Range<usize>, tile: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let at = k.start * self.tiles() * LANES + tile * k.len() * LANES;
        let range = at..at + k.len() * LANES;
        match &self.elements {
            Elements::F32(e) => &e[range],
            Elements::Bf16(e) => {
                let scratch = &mut scratch[..k.len() * LANES];
                widen(&e[range], scratch);
                scratch
            }
        }
    }
}

fn tiles<T: Copy + Default + Send + Sync>(from: &[T], n: usize, step: usize, order: &[usize]) -> Vec<T> {
    let across = n.div_ceil(LANES);
    let mut out = vec![T::default(); order.len() * across * LANES];
    let blocks = out.chunks_mut((DEPTH * across * LANES).max(1)).zip(order.chunks(DEPTH));
    for (block, order) in blocks {
        block.par_chunks_exact_mut(order.len() * LANES).enumerate().for_each(|(tile, out)| {
            let first = tile * LANES;
            for c in 0..LANES.min(n - first) {
                let column = &from[(first + c) * step..];
                for (out, at) in out.chunks_exact_mut(LANES).zip(order) {
                    out[c] = column[*at];
                }
            }
        });
    }
    out
}
