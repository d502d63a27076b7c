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
use std::ops::{Range, RangeInclusive};

use crate::schedule::Buffer;

/// How many whole arrangements of a phase's buffers the search may cost; most break off early. Unrolled decoders with
/// thousands of buffers of a dozen sizes need all of it (half a second), other phases a few.
const ARRANGEMENTS: usize = 1500;
/// Of phases with more buffers than this (decoders of clips of a minute and more, in small chunks) fewer arrangements
/// are tried, so that a long clip takes no longer than that.
const MANY: usize = 4096;

/// Launches that share a list of what is placed there. Most buffers live for less, and meet what is in one or two lists.
const WINDOW: usize = 16;

/// Addresses `from..to` from launch `first` to launch `last`; before it is placed, `from` is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u64,
    to: u64,
    first: usize,
    last: usize,
}

impl Span {
    /// Whether the two live at the same time.
    fn meets(&self, other: &Span) -> bool {
        self.first <= other.last && other.first <= self.last
    }
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
    let mut bottom = Placed::within(&(0..phases.last().map_or(0, |p| p.end)));
    let mut lowest = Vec::new();
    common.sort_by_key(|i| (Reverse(buffers[*i].last - buffers[*i].first), Reverse(buffers[*i].bytes), *i));
    for i in common {
        let placed = bottom.lowest_gap(span(i));
        offsets[i] = placed.from;
        bottom.insert(placed);
        lowest.push(placed);
    }
    for (phase, mut own) in phases.iter().zip(own) {
        own.sort_by_key(|i| (buffers[*i].first, Reverse(buffers[*i].bytes), *i));
        let spans: Vec<Span> = own.iter().map(|i| span(*i)).collect();
        let here: Vec<Span> =
            lowest.iter().filter(|s| s.first < phase.end && phase.start <= s.last).copied().collect();
        let goal = here.iter().map(|s| s.to).fold(lower_bound(buffers, align, phase), u64::max);
        let mut placed = Placed::within(phase);
        here.into_iter().for_each(|span| placed.insert(span));
        own.iter().zip(arrange(&spans, placed, goal)).for_each(|(i, from)| offsets[*i] = from);
    }
    offsets
}

/// Offsets of `spans` around what is `placed`, ending at `goal` if that is found.
fn arrange(spans: &[Span], mut placed: Placed, goal: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    let mut trouble = vec![0u32; spans.len()];
    let (mut best, mut roof) = (Vec::new(), u64::MAX);
    let mut effort = (ARRANGEMENTS * spans.len().min(MANY)).max(spans.len());
    // What is placed of the order, each with the highest end so far: what stands before a change stays.
    let mut done: Vec<(Span, u64)> = Vec::with_capacity(spans.len());
    while roof > goal && effort > 0 {
        let mut stuck = done.partition_point(|(_, top)| *top < roof);
        while stuck == done.len() && stuck < spans.len() {
            let span = placed.lowest_gap(spans[order[stuck]]);
            placed.insert(span);
            let top = done.last().map_or(goal, |(_, top)| *top).max(span.to);
            done.push((span, top));
            stuck += usize::from(top < roof);
        }
        effort = effort.saturating_sub(stuck.max(1));
        if stuck < spans.len() {
            let i = order.remove(stuck);
            trouble[i] += 1;
            let rank = |i: usize| (Reverse(trouble[i]), i);
            let to = order.partition_point(|other| rank(*other) < rank(i));
            order.insert(to, i);
            done.drain(to..).for_each(|(span, _)| placed.remove(span));
        } else {
            best = vec![0; spans.len()];
            order.iter().zip(&done).for_each(|(i, (span, _))| best[*i] = span.from);
            roof = done.last().map_or(goal, |(_, top)| *top);
        }
    }
    best
}

/// What is placed, in lists of neighbouring launches: of a few thousand buffers a dozen live at the same time.
struct Placed {
    start: usize,
    /// By address, in every list that it lives through.
    windows: Vec<Vec<Span>>,
}

impl Placed {
    /// Nothing, over these launches. What lives before or behind them counts with the first or the last.
    fn within(launches: &Range<usize>) -> Placed {
        let windows = vec![Vec::new(); launches.len().div_ceil(WINDOW).max(1)];
        Placed { start: launches.start, windows }
    }

    fn list(&self, launch: usize) -> usize {
        (launch.saturating_sub(self.start) / WINDOW).min(self.windows.len() - 1)
    }

    fn lists(&self, span: Span) -> RangeInclusive<usize> {
        self.list(span.first)..=self.list(span.last)
    }

    fn insert(&mut self, span: Span) {
        for list in self.lists(span) {
            let list = &mut self.windows[list];
            list.insert(list.partition_point(|other| *other < span), span);
        }
    }

    fn remove(&mut self, span: Span) {
        for list in self.lists(span) {
            let list = &mut self.windows[list];
            list.remove(list.partition_point(|other| *other < span));
        }
    }

    /// `span` in the lowest gap that is free through its life.
    fn lowest_gap(&self, span: Span) -> Span {
        match &self.windows[self.lists(span)] {
            [one] => lowest_gap(span, one.iter()),
            [one, two] => lowest_gap(span, by_address(one, two)),
            many => {
                // What lives long is in most of them: it counts where it is met first.
                let lists = self.lists(span);
                let first = *lists.start();
                let new = |number: usize| {
                    move |other: &&Span| {
                        other.meets(&span) && (number == first || self.list(other.first) == number)
                    }
                };
                let all = lists.zip(many).flat_map(|(number, list)| list.iter().filter(new(number)));
                let mut all: Vec<Span> = all.copied().collect();
                all.sort_unstable_by_key(|other| other.from);
                lowest_gap(span, all.iter())
            }
        }
    }
}

/// `others` come by address; one may come several times.
fn lowest_gap<'s>(span: Span, others: impl Iterator<Item = &'s Span>) -> Span {
    let (bytes, mut from) = (span.to, 0);
    for other in others {
        if from + bytes <= other.from {
            break;
        }
        if other.meets(&span) {
            from = from.max(other.to);
        }
    }
    Span { from, to: from + bytes, ..span }
}

fn by_address<'s>(one: &'s [Span], two: &'s [Span]) -> impl Iterator<Item = &'s Span> {
    let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
    std::iter::from_fn(move || match (one.peek(), two.peek()) {
        (Some(a), Some(b)) if b < a => two.next(),
        (Some(_), _) => one.next(),
        (None, _) => two.next(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder in chunks: a dozen results a chunk, and tails that live into the next one.
    fn unrolled(chunks: usize) -> Vec<Span> {
        let result = |n: usize| Span { from: 0, to: 512, first: n, last: n + 2 };
        let tail = |n: usize| Span { from: 0, to: 64, first: n, last: n + 14 };
        (0..12 * chunks).flat_map(|n| [result(n), tail(n)]).collect()
    }

    /// So a phase of many launches takes as long as its buffers are many, and not their square.
    #[test]
    fn a_gap_is_looked_for_among_neighbours_in_time() {
        let most = |chunks: usize| {
            let spans = unrolled(chunks);
            let mut placed = Placed::within(&(0..12 * chunks + 14));
            spans.iter().for_each(|span| placed.insert(placed.lowest_gap(*span)));
            placed.windows.iter().map(Vec::len).max()
        };
        assert_eq!(most(10), most(1000));
    }

    /// What is taken back leaves no trace.
    #[test]
    fn removing_is_the_inverse_of_placing() {
        let mut placed = Placed::within(&(0..140));
        let spans = unrolled(10);
        spans[..100].iter().for_each(|span| placed.insert(placed.lowest_gap(*span)));
        let before = placed.windows.clone();
        let more: Vec<Span> = spans[100..]
            .iter()
            .map(|span| {
                let span = placed.lowest_gap(*span);
                placed.insert(span);
                span
            })
            .collect();
        assert!(placed.windows != before);
        more.into_iter().rev().for_each(|span| placed.remove(span));
        assert!(placed.windows == before);
    }
}
