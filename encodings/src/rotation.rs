//! Rows that were rotated before they were rounded (ConvRot), and turned back.

/// Whether so many columns can be rotated together: a power of 4, at least 4 and at most 256.
pub const fn is_group(columns: usize) -> bool {
    matches!(columns, 4 | 16 | 64 | 256)
}

/// Multiplies a group by H = H4 x H4 x … / √group, where `H4[a][b]` is -1 if a + b = 3, else 1. H is its own inverse. The
/// sums are made in f64 and rounded once.
#[inline(always)]
pub fn rotate(group: &mut [f32]) {
    debug_assert!(is_group(group.len()));
    let mut sums = [0f64; 256];
    let sums = &mut sums[..group.len()];
    sums.iter_mut().zip(group.iter()).for_each(|(sum, value)| *sum = f64::from(*value));
    for four in sums.as_chunks_mut::<4>().0 {
        *four = turned(*four);
    }
    if sums.len() > 4 {
        apart::<4>(sums);
    }
    if sums.len() > 16 {
        apart::<16>(sums);
    }
    if sums.len() > 64 {
        apart::<64>(sums);
    }
    // One over a power of two: no other rounding than that of the quotient.
    let root = 1.0 / (sums.len() as f64).sqrt();
    group.iter_mut().zip(sums).for_each(|(value, sum)| *value = (*sum * root) as f32);
}

/// Turns every four values that lie so far apart.
#[inline(always)]
fn apart<const STRIDE: usize>(sums: &mut [f64]) {
    for [a, b, c, d] in sums.as_chunks_mut::<STRIDE>().0.as_chunks_mut::<4>().0 {
        for i in 0..STRIDE {
            [a[i], b[i], c[i], d[i]] = turned([a[i], b[i], c[i], d[i]]);
        }
    }
}

/// Four values times H4: each is the sum of all less twice the opposite one. Of codes with one scale all sums are exact, so
/// their order does not matter.
#[inline(always)]
fn turned([a, b, c, d]: [f64; 4]) -> [f64; 4] {
    let (sum, difference, behind, last) = (a + b, a - b, c + d, c - d);
    [sum + last, sum - last, difference + behind, behind - difference]
}
