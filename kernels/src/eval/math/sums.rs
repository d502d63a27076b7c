//! Sums over a row.

/// Partial sums side by side: as many as the widest vectors have lanes twice over.
const LANES: usize = 32;

#[inline(always)]
fn fold(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, *x);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// Σ x, in an order that depends on the length alone.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    fold(x, |sum, x| sum + x)
}

/// Σ x², in the same order.
#[inline(always)]
pub(crate) fn sum_of_squares(x: &[f32]) -> f32 {
    fold(x, |sum, x| x.mul_add(x, sum))
}
