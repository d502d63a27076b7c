//! Attention without a score matrix: blocks of keys, and a softmax that is corrected as it goes.
//!
//! Queries lie across the lanes: scores are tiles of keys × 32 queries, whose softmax runs down the lanes without any
//! sum across them, and which then are the right operand of the product with the values.

use std::borrow::Cow;

use rayon::prelude::*;

use super::softmax::{State, absorb};
use crate::eval::product::{HEIGHT, LANES, Left, Tile, height};
use crate::eval::scratch::Scratch;
use crate::eval::step::{Panel, Prepared, Setup, fresh};

/// Attributes of the op.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub scale: f32,
    pub causal: bool,
}

/// Keys of a block, always from a multiple of itself: no result depends on which queries go together.
const BLOCK: usize = 16 * HEIGHT;

/// What a causal query may see.
struct Mask {
    valid: Vec<i32>,
    window: i64,
}

struct Attention<'a> {
    shape: Shape,
    d: usize,
    keys: usize,
    k: Cow<'a, [f32]>,
    /// Heads as wide as the tiles that hold them.
    v: Cow<'a, [f32]>,
    mask: Option<Mask>,
}

/// Features of a head of values: tiles have 4, 8 or 12 rows.
fn padded(d: usize) -> usize {
    d.next_multiple_of(4)
}

/// softmax(scale·q·kᵀ)·v per head; with `causal`, key j is seen by query i when i − window < j ≤ i and valid[j] ≠ 0.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, shape: Shape) -> Prepared<'a> {
    let d = setup.cols() / shape.heads;
    let (k, mut v) = (setup.input(1).values()?, setup.input(2).values()?);
    if padded(d) != d {
        let fill = vec![0.0; padded(d) - d];
        v = v.chunks_exact(d).flat_map(|head| [head, &fill].concat()).collect();
    }
    let mask = if shape.causal {
        let window = setup.input(4).ints()?;
        Some(Mask { valid: setup.input(3).ints()?, window: window.first().map_or(0, |w| i64::from(*w)) })
    } else {
        None
    };
    let attention = Attention { shape, d, keys: setup.input(1).rows(), k, v, mask };
    fresh(move |panel, out| attention.rows(panel, out))
}

impl Attention<'_> {
    fn rows(&self, panel: &Panel<'_>, out: &mut [f32]) {
        let (rows, d, width) = (panel.rows.len(), self.d, self.shape.heads * self.d);
        let mut parts = Scratch::new(rows * width);
        parts
            .par_chunks_exact_mut(rows * d)
            .enumerate()
            .for_each(|(head, part)| self.head(panel, head, part));
        for (head, part) in parts.chunks_exact(rows * d).enumerate() {
            for (out, part) in out.chunks_exact_mut(width).zip(part.chunks_exact(d)) {
                out[head * d..][..d].copy_from_slice(part);
            }
        }
    }

    /// The panel's rows of one query head, to `part` `[rows, d]`.
    fn head(&self, panel: &Panel<'_>, head: usize, part: &mut [f32]) {
        let (rows, d) = (panel.rows.len(), self.d);
        let kv = head * self.shape.kv_heads / self.shape.heads;
        let groups = rows.div_ceil(LANES);
        let mut queries = Scratch::new(groups * d * LANES);
        queries.fill(0.0);
        for i in 0..rows {
            let lane = &mut queries[i / LANES * d * LANES + i % LANES..];
            let q = &panel.row(0, i, self.shape.heads * d)[head * d..][..d];
            lane.iter_mut().step_by(LANES).zip(q).for_each(|(lane, q)| *lane = self.shape.scale * q);
        }
        let mut sums = Scratch::new(groups * padded(d) * LANES);
        sums.fill(0.0);
        let mut states = vec![State::new(); groups];
        let mut scores = Scratch::new(BLOCK * LANES);
        let stride = self.shape.kv_heads * padded(d);
        for first in (0..self.keys).step_by(BLOCK) {
            let count = BLOCK.min(self.keys - first);
            let keys: Vec<&[f32]> = (first..first + count.next_multiple_of(4))
                .map(|key| &self.k[(key.min(self.keys - 1) * self.shape.kv_heads + kv) * d..][..d])
                .collect();
            let values = &self.v[(first * self.shape.kv_heads + kv) * padded(d)..];
            for group in 0..groups {
                let query = panel.rows.start + group * LANES;
                if !self.sees(query, panel.rows.end, first, first + count) {
                    continue;
                }
                let right = &queries[group * d * LANES..][..d * LANES];
                for key in (0..count).step_by(HEIGHT) {
                    let left = Left::Rows(&keys[key..][..height(HEIGHT.min(count - key))]);
                    let out = &mut scores[key * LANES..];
                    Tile { left, right, out, stride: LANES, width: LANES, add: false }.compute();
                }
                let scores = &mut scores[..count * LANES];
                self.hide(query, first, scores);
                let sums = &mut sums[group * padded(d) * LANES..][..padded(d) * LANES];
                absorb(&mut states[group], scores, sums);
                for x in (0..d).step_by(HEIGHT) {
                    let left = Left::Columns { data: &values[x..], stride, rows: height(HEIGHT.min(d - x)) };
                    let out = &mut sums[x * LANES..];
                    Tile { left, right: scores, out, stride: LANES, width: LANES, add: true }.compute();
                }
            }
        }
        for (i, part) in part.chunks_exact_mut(d).enumerate() {
            let (group, lane) = (i / LANES, i % LANES);
            let total = states[group].total[lane];
            let inverse = if total == 0.0 { 0.0 } else { 1.0 / total };
            let sums = &sums[group * padded(d) * LANES + lane..];
            part.iter_mut().zip(sums.iter().step_by(LANES)).for_each(|(out, sum)| *out = sum * inverse);
        }
    }

    /// False when no query of the group from `query` on sees any of the keys.
    fn sees(&self, query: usize, end: usize, first: usize, last: usize) -> bool {
        let Some(mask) = &self.mask else { return true };
        let newest = (query + LANES).min(end) as i64 - 1;
        (first as i64) <= newest && last as i64 - 1 > query as i64 - mask.window
    }

    /// Scores that a query must not see become −∞.
    fn hide(&self, query: usize, first: usize, scores: &mut [f32]) {
        let Some(mask) = &self.mask else { return };
        for (key, scores) in (first..).zip(scores.chunks_exact_mut(LANES)) {
            if mask.valid[key] == 0 {
                scores.fill(f32::NEG_INFINITY);
                continue;
            }
            for (i, score) in (query..).zip(scores) {
                if key > i || key as i64 <= i as i64 - mask.window {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }
}
