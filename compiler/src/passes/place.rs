//! Buffers become addresses.
//!
//! A buffer takes the lowest gap that is free through its whole life. What outlives its phase comes first, the longest
//! life first, and so lies together at the bottom. Around that every phase places its own buffers, without a look at
//! the other phases, whose own buffers they never meet.
//!
//! So an arrangement of a phase is an order of its buffers, and the order is searched. It begins forwards in
//! time, the first to live first. Then a roof comes down: the next arrangement has to end below the best one so far. The first
//! buffer that ends above the roof had trouble, and from now on goes before all that had less; then all are placed
//! anew. When all fit, the roof comes down again. It stops at the lower bound, the largest sum of live bytes at any
//! launch, below which there is nothing to find, or after the work of [`ARRANGEMENTS`].

use std::cmp::Reverse;
use std::ops::Range;

use crate::schedule::Buffer;

/// How many whole arrangements of a phase's buffers the search may cost; most break off early. Unrolled decoders with
/// thousands of buffers of a dozen sizes need all of it (half a second), other phases a few.
const ARRANGEMENTS: usize = 1500;

/// Addresses `from..to` from launch `first` to launch `last`; before it is placed, `from` is 0.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
    first: usize,
    last: usize,
}

/// Offsets, a multiple of `align` each, in the order of `buffers`. `phases` are the launches of every phase. With
/// `share` off no two buffers meet at all.
pub fn place(buffers: &[Buffer], phases: &[Range<usize>], align: u64, share: bool) -> Vec<u64> {
    let bytes = |b: &Buffer| b.bytes.next_multiple_of(align);
    if !share {
        let mut end = 0;
        let next = |b| {
            let from = end;
            end += bytes(b);
            from
        };
        return buffers.iter().map(next).collect();
    }
    let span = |i: usize| {
        let b = &buffers[i];
        Span { from: 0, to: bytes(b), first: b.first, last: b.last }
    };
    let mut own = vec![Vec::new(); phases.len()];
    let mut common = Vec::new();
    for (i, b) in buffers.iter().enumerate() {
        match phases.iter().position(|p| p.start <= b.first && b.last < p.end) {
            Some(phase) => own[phase].push(i),
            None => common.push(i),
        }
    }
    let mut offsets = vec![0; buffers.len()];
    let mut bottom = Vec::new();
    common.sort_by_key(|i| (Reverse(buffers[*i].last - buffers[*i].first), Reverse(buffers[*i].bytes), *i));
    for i in common {
        let placed = lowest_gap(&bottom, span(i));
        offsets[i] = placed.from;
        insert(&mut bottom, placed);
    }
    for (phase, mut own) in phases.iter().zip(own) {
        own.sort_by_key(|i| (buffers[*i].first, Reverse(buffers[*i].bytes), *i));
        let spans: Vec<Span> = own.iter().map(|i| span(*i)).collect();
        let here = bottom.iter().filter(|s| s.first < phase.end && phase.start <= s.last);
        let goal = here.map(|s| s.to).fold(lower_bound(buffers, align, phase), u64::max);
        own.iter().zip(arrange(&spans, &bottom, goal)).for_each(|(i, from)| offsets[*i] = from);
    }
    offsets
}

/// Offsets of `spans` around those of `bottom`, ending at `goal` if that is found.
fn arrange(spans: &[Span], bottom: &[Span], goal: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    let mut trouble = vec![0u32; spans.len()];
    let (mut best, mut roof) = (Vec::new(), u64::MAX);
    let mut effort = ARRANGEMENTS * spans.len();
    while roof > goal && effort > 0 {
        let (mut placed, mut offsets, mut top) = (bottom.to_vec(), vec![0; spans.len()], goal);
        let stuck = order.iter().position(|i| {
            let span = lowest_gap(&placed, spans[*i]);
            insert(&mut placed, span);
            offsets[*i] = span.from;
            top = top.max(span.to);
            top >= roof
        });
        effort = effort.saturating_sub(stuck.unwrap_or(spans.len()).max(1));
        if let Some(at) = stuck {
            let i = order.remove(at);
            trouble[i] += 1;
            let rank = |i: usize| (Reverse(trouble[i]), i);
            order.insert(order.partition_point(|other| rank(*other) < rank(i)), i);
        } else {
            (best, roof) = (offsets, top);
        }
    }
    best
}

/// `span` in the lowest gap of `placed`, which is sorted by address, that is free through its life.
fn lowest_gap(placed: &[Span], span: Span) -> Span {
    let (bytes, mut from) = (span.to, 0);
    for other in placed {
        if from + bytes <= other.from {
            break;
        }
        if other.first <= span.last && span.first <= other.last {
            from = from.max(other.to);
        }
    }
    Span { from, to: from + bytes, ..span }
}

fn insert(placed: &mut Vec<Span>, span: Span) {
    placed.insert(placed.partition_point(|other| other.from < span.from), span);
}

/// The largest sum of live bytes at any launch of `phase`.
pub fn lower_bound(buffers: &[Buffer], align: u64, phase: &Range<usize>) -> u64 {
    let mut born = vec![0; phase.len() + 1];
    let mut dead = vec![0; phase.len() + 1];
    for b in buffers.iter().filter(|b| b.first < phase.end && phase.start <= b.last) {
        let bytes = b.bytes.next_multiple_of(align);
        born[b.first.max(phase.start) - phase.start] += bytes;
        dead[b.last.min(phase.end - 1) + 1 - phase.start] += bytes;
    }
    let live = born.iter().zip(&dead).scan(0, |live, (born, dead)| {
        *live = *live + born - dead;
        Some(*live)
    });
    live.max().unwrap_or(0)
}
