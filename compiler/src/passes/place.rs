//! Buffers become addresses.
//!
//! Largest first; among equals, the one that lives first. Each takes the lowest gap that is free through its whole
//! life. Big buffers see an empty arena, small ones fill the gaps between them.

use crate::schedule::Buffer;

/// Offsets, a multiple of `align` each, in the order of `buffers`. With `share` off no two buffers meet at all.
pub fn place(buffers: &[Buffer], align: u64, share: bool) -> Vec<u64> {
    let mut by_size: Vec<usize> = (0..buffers.len()).collect();
    by_size.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].bytes), buffers[*i].first, *i));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    for i in by_size {
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|j| !share || meet(&buffers[i], &buffers[**j]))
            .map(|j| (offsets[*j], offsets[*j] + buffers[*j].bytes))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + buffers[i].bytes <= from {
                break;
            }
            at = at.max(to.next_multiple_of(align));
        }
        offsets[i] = at;
        placed.push(i);
    }
    offsets
}

fn meet(a: &Buffer, b: &Buffer) -> bool {
    a.first <= b.last && b.first <= a.last
}

/// The largest sum of live bytes at any launch of `from..end`.
pub fn lower_bound(buffers: &[Buffer], align: u64, from: usize, end: usize) -> u64 {
    let live = |at: usize| buffers.iter().filter(move |b| b.first <= at && at <= b.last);
    (from..end).map(|at| live(at).map(|b| b.bytes.next_multiple_of(align)).sum()).max().unwrap_or(0)
}
