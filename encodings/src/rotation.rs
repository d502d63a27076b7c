//! Rows that were rotated before they were rounded (ConvRot), and turned back.

/// Whether so many columns can be rotated together: a power of 4, at least 4 and at most 256.
pub const fn is_group(columns: usize) -> bool {
    matches!(columns, 4 | 16 | 64 | 256)
}

/// Multiplies a group by H = H4 x H4 x … / √group, where `H4[a][b]` is -1 if a + b = 3, else 1. H is its own inverse. The
/// sums are made in f64 and rounded once.
#[inline(always)]
pub fn rotate(group: &mut [f32]) {
    match group.len() {
        256 => rotated::<256>(group),
        64 => rotated::<64>(group),
        16 => rotated::<16>(group),
        _ => rotated::<4>(group),
    }
}

#[inline(always)]
fn rotated<const COUNT: usize>(group: &mut [f32]) {
    debug_assert!(is_group(COUNT) && group.len() == COUNT);
    let (mut sums, mut next) = ([0f64; COUNT], [0f64; COUNT]);
    for (sum, value) in sums.iter_mut().zip(group.iter()) {
        *sum = f64::from(*value);
    }
    // Every turn is that of one digit of the places in base 4, which becomes the first one: after the last turn all places are
    // what they were.
    let mut digits = COUNT;
    while digits > 1 {
        let (a, rest) = next.split_at_mut(COUNT / 4);
        let (b, rest) = rest.split_at_mut(COUNT / 4);
        let (c, d) = rest.split_at_mut(COUNT / 4);
        for (i, four) in sums.as_chunks::<4>().0.iter().enumerate() {
            [a[i], b[i], c[i], d[i]] = turned(*four);
        }
        sums = next;
        digits /= 4;
    }
    // One over a power of two: no other rounding than that of the quotient.
    let root = 1.0 / (COUNT as f64).sqrt();
    for (value, sum) in group.iter_mut().zip(&sums) {
        *value = (*sum * root) as f32;
    }
}

/// Four values times H4: each is the sum of all less twice the opposite one. Of codes with one scale all sums are exact, so
/// their order does not matter.
#[inline(always)]
fn turned([a, b, c, d]: [f64; 4]) -> [f64; 4] {
    let (sum, difference, behind, last) = (a + b, a - b, c + d, c - d);
    [sum + last, sum - last, difference + behind, behind - difference]
}
