//! A softmax over keys that come block by block.

use multiversion::multiversion;

use crate::eval::math::exp;
use crate::eval::product::LANES;

/// What is known of 32 queries so far.
#[derive(Clone)]
pub(crate) struct State {
    /// The largest score.
    largest: [f32; LANES],
    /// The sum of e^(score − largest).
    pub total: [f32; LANES],
}

impl State {
    pub fn new() -> State {
        State { largest: [f32::NEG_INFINITY; LANES], total: [0.0; LANES] }
    }
}

/// Takes up a block of `scores`, `[keys, 32]`, which become e^(score − largest), and makes `sums`, `[features, 32]`,
/// refer to the new largest score.
///
/// A score of −∞ counts nothing, also where there is no other yet.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn absorb(state: &mut State, scores: &mut [f32], sums: &mut [f32]) {
    let mut largest = state.largest;
    for scores in scores.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            // A NaN is no largest score; it reaches the result through its own exponential.
            largest[lane] = if scores[lane] > largest[lane] { scores[lane] } else { largest[lane] };
        }
    }
    // −∞ − −∞ is no number; with 0 in place of the largest, e^−∞ stays 0.
    let mut base = largest;
    for base in &mut base {
        *base = if *base == f32::NEG_INFINITY { 0.0 } else { *base };
    }
    let mut total = [0.0; LANES];
    for scores in scores.as_chunks_mut::<LANES>().0 {
        for lane in 0..LANES {
            scores[lane] = exp(scores[lane] - base[lane]);
            total[lane] += scores[lane];
        }
    }
    let mut factor = [1.0; LANES];
    for lane in 0..LANES {
        factor[lane] = exp(state.largest[lane] - base[lane]);
        state.total[lane] = state.total[lane].mul_add(factor[lane], total[lane]);
    }
    if factor.iter().any(|f| *f != 1.0) {
        for sums in sums.as_chunks_mut::<LANES>().0 {
            for lane in 0..LANES {
                sums[lane] *= factor[lane];
            }
        }
    }
    state.largest = largest;
}
