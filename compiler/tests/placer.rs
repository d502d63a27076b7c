//! The placer against a checker that shares nothing with it, on tables and on random schedules; and how close it comes
//! to the lower bound on the presets.

use std::ops::Range;

use proptest::prelude::*;
use zoetrope_compiler::frontend::compile_target;
use zoetrope_compiler::passes::{lower_bound, place};
use zoetrope_compiler::schedule::Buffer;
use zoetrope_model_spec::target::{PRESETS, Target};
use zoetrope_runtime::plan::Lifetime;

fn buffer(first: usize, last: usize, bytes: u64) -> Buffer {
    Buffer { name: format!("[{first}, {last}]"), bytes, first, last, lifetime: Lifetime::Scratch }
}

/// Phases one after the other, each up to but not including these launches.
fn phases(ends: &[usize]) -> Vec<Range<usize>> {
    std::iter::once(&0).chain(ends).zip(ends).map(|(start, end)| *start..*end).collect()
}

/// Offsets of buffers written as `[first, last] = bytes`, in phases with these ends.
fn offsets(ends: &[usize], rows: &[(usize, usize, u64)]) -> Vec<u64> {
    let buffers: Vec<_> = rows.iter().map(|(first, last, bytes)| buffer(*first, *last, *bytes)).collect();
    place(&buffers, &phases(ends), 16, true)
}

#[test]
fn tables_that_can_be_checked_by_eye() {
    //                             [0, 1] = 64  [1, 2] = 64  [2, 3] = 64
    assert_eq!(offsets(&[4], &[(0, 1, 64), (1, 2, 64), (2, 3, 64)]), [0, 64, 0]);
    // The last to die first; at the lower bound, 160, there is nothing left to look for.
    assert_eq!(offsets(&[3], &[(0, 0, 16), (0, 2, 128), (2, 2, 32)]), [128, 0, 128]);
    // Backwards in time the second lies on the first, and the third on both. The roof sends the third to the bottom.
    assert_eq!(offsets(&[4], &[(3, 3, 48), (1, 3, 32), (0, 1, 64)]), [0, 64, 0]);
    // Sizes that are no multiple of the alignment leave aligned neighbours.
    assert_eq!(offsets(&[2], &[(0, 1, 20), (0, 1, 17)]), [0, 32]);
}

#[test]
fn what_outlives_a_phase_lies_at_the_bottom() {
    // The large buffer of the first phase does not lift what outlives it, which would then lie high in the second.
    assert_eq!(offsets(&[2, 4], &[(0, 1, 1024), (1, 2, 32), (3, 3, 64)]), [32, 0, 0]);
    // The longest life first: when the others are gone, no hole is left below it.
    assert_eq!(offsets(&[2, 4, 6], &[(1, 2, 64), (1, 4, 32), (5, 5, 64)]), [32, 0, 0]);
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

/// Up to four phases over 52 launches, some perhaps empty. Lives cross their borders here and there.
fn schedules() -> impl Strategy<Value = (Vec<Range<usize>>, Vec<Buffer>)> {
    let one = (0usize..40, 0usize..12, 1u64..5000)
        .prop_map(|(first, life, bytes)| buffer(first, first + life, bytes));
    let ends = prop::collection::vec(0usize..=52, 0..4).prop_map(|mut ends| {
        ends.push(52);
        ends.sort_unstable();
        phases(&ends)
    });
    (ends, prop::collection::vec(one, 1..60))
}

proptest! {
    #[test]
    fn no_two_live_buffers_share_a_byte((phases, buffers) in schedules(), share: bool) {
        let offsets = place(&buffers, &phases, 256, share);
        prop_assert_eq!(overlap(&buffers, &offsets), None);
        prop_assert!(offsets.iter().all(|o| o % 256 == 0));
        prop_assert_eq!(&offsets, &place(&buffers, &phases, 256, share));
        let top = |phase: &Range<usize>| {
            let here = buffers.iter().zip(&offsets).filter(|(b, _)| phase.clone().any(|t| b.first <= t && t <= b.last));
            here.map(|(b, o)| (o + b.bytes).next_multiple_of(256)).max().unwrap_or(0)
        };
        for phase in &phases {
            prop_assert!(top(phase) >= lower_bound(&buffers, 256, phase));
        }
        if !share {
            let whole: u64 = buffers.iter().map(|b| b.bytes).sum();
            prop_assert!(top(&(0..52)) >= whole);
        }
    }
}

#[test]
fn every_phase_of_every_preset_is_placed_close_to_its_lower_bound() {
    println!("{:<20} {:<14} {:>15} {:>15} {:>7}", "preset", "phase", "placed", "lower bound", "ratio");
    let mut far = Vec::new();
    for (name, _) in PRESETS {
        let plan = compile_target(&Target::preset(name).unwrap(), "".as_ref()).unwrap();
        for phase in plan.phases.iter() {
            let (placed, bound) = (phase.arena_bytes, phase.lower_bound_bytes);
            let ratio = placed as f64 / bound as f64;
            let row = format!("{name:<20} {:<14} {placed:>15} {bound:>15} {ratio:>7.4}", phase.name);
            println!("{row}");
            if ratio > 1.02 {
                far.push(row);
            }
        }
    }
    assert!(far.is_empty(), "more than 1.02 times the lower bound:\n{}", far.join("\n"));
}
