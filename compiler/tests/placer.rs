//! The placer against a checker that shares nothing with it, on tables and on random schedules.

use proptest::prelude::*;
use zoetrope_compiler::passes::{lower_bound, place};
use zoetrope_compiler::schedule::Buffer;
use zoetrope_runtime::plan::Lifetime;

fn buffer(first: usize, last: usize, bytes: u64) -> Buffer {
    Buffer { name: format!("[{first}, {last}]"), bytes, first, last, lifetime: Lifetime::Scratch }
}

/// Offsets of buffers written as `[first, last] = bytes`.
fn offsets(rows: &[(usize, usize, u64)]) -> Vec<u64> {
    place(
        &rows.iter().map(|(first, last, bytes)| buffer(*first, *last, *bytes)).collect::<Vec<_>>(),
        16,
        true,
    )
}

#[test]
fn tables_that_can_be_checked_by_eye() {
    //                        [0, 1] = 64    [1, 2] = 64    [2, 3] = 64
    assert_eq!(offsets(&[(0, 1, 64), (1, 2, 64), (2, 3, 64)]), [0, 64, 0]);
    // The large one first, at the bottom; the small ones share what is above it.
    assert_eq!(offsets(&[(0, 0, 16), (0, 2, 128), (2, 2, 32)]), [128, 0, 128]);
    // A gap that is too small for the next one stays.
    assert_eq!(offsets(&[(0, 3, 96), (0, 1, 48), (0, 3, 32), (2, 3, 64)]), [0, 96, 160, 96]);
    // Sizes that are no multiple of the alignment leave aligned neighbours.
    assert_eq!(offsets(&[(0, 1, 20), (0, 1, 17)]), [0, 32]);
}

/// Every pair, the slow way.
fn overlap(buffers: &[Buffer], offsets: &[u64]) -> Option<(usize, usize)> {
    let shares = |i: usize, j: usize| {
        let alive =
            (buffers[i].first..=buffers[i].last).any(|t| (buffers[j].first..=buffers[j].last).contains(&t));
        let bytes = offsets[i] < offsets[j] + buffers[j].bytes && offsets[j] < offsets[i] + buffers[i].bytes;
        alive && bytes
    };
    (0..buffers.len()).flat_map(|i| (0..i).map(move |j| (i, j))).find(|(i, j)| shares(*i, *j))
}

fn schedules() -> impl Strategy<Value = Vec<Buffer>> {
    let one = (0usize..40, 0usize..12, 1u64..5000)
        .prop_map(|(first, life, bytes)| buffer(first, first + life, bytes));
    prop::collection::vec(one, 1..60)
}

proptest! {
    #[test]
    fn no_two_live_buffers_share_a_byte(buffers in schedules(), share: bool) {
        let offsets = place(&buffers, 256, share);
        prop_assert_eq!(overlap(&buffers, &offsets), None);
        prop_assert!(offsets.iter().all(|o| o % 256 == 0));
        let top = buffers.iter().zip(&offsets).map(|(b, o)| o + b.bytes).max().unwrap_or(0);
        prop_assert!(top.next_multiple_of(256) >= lower_bound(&buffers, 256, 0, 64));
        if !share {
            let whole: u64 = buffers.iter().map(|b| b.bytes).sum();
            prop_assert!(top >= whole);
        }
    }
}
