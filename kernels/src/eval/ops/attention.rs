//! Attention without a score matrix: blocks of keys, and a softmax that is corrected as it goes.
//!
//! Queries lie across the lanes: scores are tiles of keys × 64 queries, whose softmax runs down the lanes without any
//! sum across them, and which then are the right operand of the product with the values.

use std::ops::Range;

use rayon::prelude::*;

use super::softmax::{LANES, State, absorb};
use crate::eval::EvalError;
use crate::eval::product::{DEPTH, Left, Right, product};
use crate::eval::row_op::{Input, Panel, Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

/// Attributes of the op.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub scale: f32,
    pub causal: bool,
}

/// Keys of a block, always from a multiple of itself: no result depends on which queries go together.
const BLOCK: usize = 192;

/// What a causal query may see.
struct Mask {
    valid: Vec<i32>,
    window: i64,
    /// Where the first query stands among the keys.
    place: usize,
    /// The last key that each query sees, where that is not itself.
    until: Option<Vec<i32>>,
}

impl Mask {
    /// The last key that a query sees.
    fn last(&self, query: usize) -> i64 {
        self.until.as_ref().map_or((query + self.place) as i64, |until| i64::from(until[query]))
    }
}

/// What is added to the scores of keys.
enum Bias {
    None,
    /// For every query a row of input 3.
    OfQueries,
    /// One row for all of them.
    Common(Vec<f32>),
}

struct Attention {
    shape: Shape,
    d: usize,
    keys: usize,
    /// `[kv_heads, keys, d]`.
    k: Scratch,
    v: Scratch,
    mask: Option<Mask>,
    bias: Bias,
}

/// `[keys, heads, d]` as `[heads, keys, d]`: rows of a head next to each other.
fn by_head(input: &Input<'_>, heads: usize) -> Result<Scratch, EvalError> {
    let (tensor, keys, d) = (input.tensor()?, input.rows(), input.cols() / heads.max(1));
    let mut out = Scratch::new(heads * keys * d);
    out.par_chunks_exact_mut((keys * d).max(1)).enumerate().for_each(|(head, out)| {
        for (key, out) in out.chunks_exact_mut(d).enumerate() {
            tensor.load(key, head * d..(head + 1) * d, out);
        }
    });
    Ok(out)
}

/// softmax(scale·q·kᵀ + bias)·v per head; with `causal`, key j is seen by query i when
/// i − window < j ≤ i and valid\[j\] ≠ 0, where the first query counts as number `place` if that is given; or
/// i − window < j ≤ until\[i\].
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, shape: Shape) -> Prepared<'a> {
    let d = setup.cols() / shape.heads;
    let [k, v] = [1, 2].map(|i| by_head(&setup.input(i), shape.kv_heads));
    let mask = if shape.causal {
        let first = |ints: Vec<i32>| ints.first().copied().unwrap_or(0);
        let window = i64::from(first(setup.input(4).ints()?));
        let sixth = if setup.inputs.len() > 5 { setup.input(5).ints()? } else { vec![0] };
        let (place, until) = if sixth.len() > 1 { (vec![0], Some(sixth)) } else { (sixth, None) };
        setup.check_index(&place, setup.input(1).rows())?;
        Some(Mask { valid: setup.input(3).ints()?, window, place: first(place) as usize, until })
    } else {
        None
    };
    let bias = match setup.inputs.get(3).filter(|_| !shape.causal) {
        None => Bias::None,
        Some(bias) if bias.rows() == setup.input(0).rows() => Bias::OfQueries,
        Some(bias) => Bias::Common(bias.values()?.into_owned()),
    };
    let attention = Attention { shape, d, keys: setup.input(1).rows(), k: k?, v: v?, mask, bias };
    fresh(move |panel, out| attention.rows(panel, out))
}

impl Attention {
    fn rows(&self, panel: &Panel<'_>, out: &mut [f32]) {
        let (rows, d, width) = (panel.rows.len(), self.d, self.shape.heads * self.d);
        if d == 0 {
            return;
        }
        let mut by_head = Scratch::new(rows * width);
        by_head
            .par_chunks_exact_mut(rows * d)
            .enumerate()
            .for_each(|(head, of_head)| self.head(panel, head, of_head));
        for (head, of_head) in by_head.chunks_exact(rows * d).enumerate() {
            for (out, of_head) in out.chunks_exact_mut(width).zip(of_head.chunks_exact(d)) {
                out[head * d..][..d].copy_from_slice(of_head);
            }
        }
    }

    /// The panel's rows of one query head, to `out` `[rows, d]`.
    fn head(&self, panel: &Panel<'_>, head: usize, out: &mut [f32]) {
        let (rows, d) = (panel.rows.len(), self.d);
        let kv = head * self.shape.kv_heads / self.shape.heads;
        let groups = rows.div_ceil(LANES);
        let mut queries = Scratch::new(groups * d * LANES);
        if !rows.is_multiple_of(LANES) {
            queries.fill(0.0);
        }
        for i in 0..rows {
            let lane = &mut queries[i / LANES * d * LANES + i % LANES..];
            let q = &panel.row(0, i, self.shape.heads * d)[head * d..][..d];
            lane.iter_mut().step_by(LANES).zip(q).for_each(|(lane, q)| *lane = self.shape.scale * q);
        }
        let mut sums = Scratch::new(groups * d * LANES);
        sums.fill(0.0);
        let mut states = vec![State::new(); groups];
        let mut scores = Scratch::new(BLOCK.min(self.keys) * LANES);
        for first in (0..self.keys).step_by(BLOCK) {
            let count = BLOCK.min(self.keys - first);
            let block = (kv * self.keys + first) * d..(kv * self.keys + first + count) * d;
            let (keys, values) = (&self.k[block.clone()], &self.v[block]);
            for group in 0..groups {
                let query = panel.rows.start + group * LANES;
                if !self.sees(query, panel.rows.end, first, first + count) {
                    continue;
                }
                let scores = &mut scores[..count * LANES];
                for x in (0..d).step_by(DEPTH) {
                    let depth = DEPTH.min(d - x);
                    let left = Left { data: &keys[x..], row: d, depth: 1 };
                    let right = lanes(&queries[(group * d + x) * LANES..]);
                    product(left, right, (count, depth), scores, LANES, x > 0);
                }
                self.add_bias(panel, group, first, scores);
                self.hide(query..panel.rows.end, first, scores);
                let sums = &mut sums[group * d * LANES..][..d * LANES];
                absorb(&mut states[group], scores, sums);
                let left = Left { data: values, row: 1, depth: d };
                product(left, lanes(scores), (d, count), sums, LANES, true);
            }
        }
        for (i, out) in out.chunks_exact_mut(d).enumerate() {
            let (group, lane) = (i / LANES, i % LANES);
            let total = states[group].total[lane];
            let inverse = if total == 0.0 { 0.0 } else { 1.0 / total };
            let sums = &sums[group * d * LANES + lane..];
            out.iter_mut().zip(sums.iter().step_by(LANES)).for_each(|(out, sum)| *out = sum * inverse);
        }
    }

    /// False when no query of the group from `query` on sees any of the keys.
    fn sees(&self, query: usize, end: usize, first: usize, last: usize) -> bool {
        let Some(mask) = &self.mask else { return true };
        let newest = (query..(query + LANES).min(end)).map(|query| mask.last(query)).max();
        newest.is_some_and(|newest| first as i64 <= newest)
            && last as i64 - 1 > (query + mask.place) as i64 - mask.window
    }

    /// Adds the biases of a group's queries. They are finite: where all keys have the lowest one, all scores are equal.
    fn add_bias(&self, panel: &Panel<'_>, group: usize, first: usize, scores: &mut [f32]) {
        for i in (group * LANES..panel.rows.len()).take(LANES) {
            let bias = match &self.bias {
                Bias::None => return,
                Bias::OfQueries => &panel.row(3, i, self.keys)[first..],
                Bias::Common(bias) => &bias[first..],
            };
            for (score, bias) in scores[i % LANES..].iter_mut().step_by(LANES).zip(bias) {
                *score += bias.clamp(f32::MIN, f32::MAX);
            }
        }
    }

    /// Scores that a query must not see become −∞.
    fn hide(&self, queries: Range<usize>, first: usize, scores: &mut [f32]) {
        let Some(mask) = &self.mask else { return };
        for (key, scores) in (first..).zip(scores.chunks_exact_mut(LANES)) {
            if mask.valid[key] == 0 {
                scores.fill(f32::NEG_INFINITY);
                continue;
            }
            for (query, score) in queries.clone().zip(scores) {
                let oldest = (query + mask.place) as i64 - mask.window;
                if key as i64 > mask.last(query) || key as i64 <= oldest {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }
}

/// Rows of one number for each query of a tile.
fn lanes(data: &[f32]) -> Right<'_> {
    Right { data, stride: LANES, columns: LANES }
}
