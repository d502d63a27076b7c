//! A softmax over keys that come block by block.

use multiversion::multiversion;

use crate::eval::math::exp_down;

/// Queries of a tile of scores.
pub(crate) const LANES: usize = 64;

/// Queries that are gone through together, so that what is known of them stays in registers.
const SOME: usize = 32;

/// What is known of the queries of a tile so far.
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

/// Takes up a block of `scores`, `[keys, LANES]`, which become e^(score − largest), and makes `sums`,
/// `[features, LANES]`, refer to the new largest score.
///
/// A score of −∞ counts nothing, also where there is no other yet.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn absorb(state: &mut State, scores: &mut [f32], sums: &mut [f32]) {
    let mut all = state.largest;
    for scores in scores.as_chunks::<LANES>().0 {
        for (largest, score) in all.iter_mut().zip(scores) {
            // A NaN is no largest score; it reaches the result through its own exponential.
            *largest = if *score > *largest { *score } else { *largest };
        }
    }
    for first in (0..LANES).step_by(SOME) {
        let some = |lanes: &[f32; LANES]| std::array::from_fn::<f32, SOME, _>(|lane| lanes[first + lane]);
        let (before, largest) = (some(&state.largest), some(&all));
        // −∞ − −∞ is no number; with 0 in place of the largest, e^−∞ stays 0.
        let base = largest.map(|l| if l == f32::NEG_INFINITY { 0.0 } else { l });
        let mut total = [0.0; SOME];
        for scores in scores.as_chunks_mut::<LANES>().0 {
            let scores = &mut scores[first..first + SOME];
            for lane in 0..SOME {
                // No score is above the largest, so that no difference is above 0.
                scores[lane] = exp_down(scores[lane] - base[lane]);
                total[lane] += scores[lane];
            }
        }
        let mut factor = [1.0; SOME];
        for lane in 0..SOME {
            factor[lane] = exp_down(before[lane] - base[lane]);
            let sum = &mut state.total[first + lane];
            *sum = sum.mul_add(factor[lane], total[lane]);
        }
        if factor.iter().any(|f| *f != 1.0) {
            for sums in sums.as_chunks_mut::<LANES>().0 {
                sums[first..first + SOME].iter_mut().zip(&factor).for_each(|(sum, factor)| *sum *= factor);
            }
        }
        state.largest[first..first + SOME].copy_from_slice(&largest);
    }
}
