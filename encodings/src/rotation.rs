//! Rows that were rotated before they were rounded (ConvRot), and turned back.

/// Whether so many columns can be rotated together: a power of 4, at least 4 and at most 256.
pub const fn is_group(columns: usize) -> bool {
    matches!(columns, 4 | 16 | 64 | 256)
}

/// Multiplies a group by H = H4 x H4 x … / √group, where `H4[a][b]` is -1 if a + b = 3, else 1. H is its own inverse. The
/// sums are made in f64 and rounded once.
pub fn rotate(group: &mut [f32]) {
    debug_assert!(is_group(group.len()));
    let mut sums = [0f64; 256];
    let sums = &mut sums[..group.len()];
    sums.iter_mut().zip(group.iter()).for_each(|(sum, value)| *sum = f64::from(*value));
    let mut stride = 1;
    while stride < sums.len() {
        for four in sums.chunks_exact_mut(4 * stride) {
            let (left, right) = four.split_at_mut(2 * stride);
            let ((a, b), (c, d)) = (left.split_at_mut(stride), right.split_at_mut(stride));
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                // Each is the sum of all less twice the opposite one.
                (*a, *b, *c, *d) =
                    (*a + *b + *c - *d, *a + *b - *c + *d, *a - *b + *c + *d, *b + *c + *d - *a);
            }
        }
        stride *= 4;
    }
    let root = (sums.len() as f64).sqrt();
    group.iter_mut().zip(sums).for_each(|(value, sum)| *value = (*sum / root) as f32);
}
