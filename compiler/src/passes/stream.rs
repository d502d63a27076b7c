//! Which weights of a phase are streamed: the places that they share, and when they are fetched.
//!
//! Where the constants of a phase do not fit beside its arena, the loop that holds the most weights is streamed: as
//! many iterations as possible keep their own places, the others share a ring of places, the i-th of them place i
//! modulo the number of places. They are spread evenly over the loop, so that copies run while other iterations compute.
//! When such an iteration has ended, its place takes the next one that belongs there. Where all iterations of that loop
//! are not enough, the loop that holds the most after it is streamed, too, with a ring of its own.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use zoetrope_runtime::plan::{ALIGN, Base, Constant, Fetch, Item, Loop, Origin, Phase, Repeat};

/// What a constant takes of memory.
pub fn room(constant: &Constant) -> u64 {
    constant.bytes().next_multiple_of(ALIGN)
}

/// A loop whose weights are streamed.
pub struct Stream {
    segment: usize,
    item: usize,
    /// In ascending order.
    iterations: Vec<u32>,
    places: usize,
    place_bytes: u64,
    /// For every column that is streamed, where its constant lies in a place.
    columns: Vec<(usize, u64)>,
}

/// What keeps a phase from a budget: the least memory that it needs, and what of it are weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tight {
    pub need_bytes: u64,
    pub weight_bytes: u64,
}

impl Stream {
    /// Bytes of all places.
    pub fn bytes(&self) -> u64 {
        self.places as u64 * self.place_bytes
    }

    /// Every streamed constant, and where it lies in the ring.
    pub fn placed(&self, phase: &Phase) -> Vec<(u32, u64)> {
        let of = of(phase, self.segment, self.item);
        let iteration = |(i, iteration): (usize, &u32)| {
            let place = (i % self.places) as u64 * self.place_bytes;
            let row = row(of, *iteration);
            self.columns.iter().map(move |(c, at)| (row[*c], place + at)).collect::<Vec<_>>()
        };
        self.iterations.iter().enumerate().flat_map(iteration).collect()
    }

    /// Writes the fetches into the loop: the first iterations' when the phase begins, every other when its place is
    /// free.
    pub fn fetch(&self, constants: &[Constant], phase: &mut Phase) {
        let wraps = phase.segments[self.segment].repeat == Repeat::Steps;
        let Item::Loop(l) = &mut phase.segments.to_mut()[self.segment].items.to_mut()[self.item] else {
            return;
        };
        let of = |after, iteration| {
            let row = row(l, iteration);
            let list: Vec<u32> = self.columns.iter().map(|(c, _)| row[*c]).collect();
            let bytes = list.iter().map(|c| constants[*c as usize].bytes()).sum();
            Fetch { after, iteration, constants: list.into(), bytes }
        };
        let (n, iterations) = (self.iterations.len(), &self.iterations);
        let first = iterations.iter().take(self.places).map(|iteration| of(Fetch::AT_ONCE, *iteration));
        let next = (0..n).map(|i| (i, i + self.places)).filter(|(_, next)| wraps || *next < n);
        let fetches: Vec<_> =
            first.chain(next.map(|(i, next)| of(iterations[i], iterations[next % n]))).collect();
        l.fetches = fetches.into();
    }
}

/// What of a phase must be streamed so that it fits into `budget` bytes; nothing where all of it fits.
///
/// The fewest iterations that do are streamed, with three places where that takes no more iterations than with two: a
/// third lets copies run further ahead.
///
/// # Errors
/// Not even two places a loop fit, with every iteration that may be streamed.
pub fn stream(constants: &[Constant], phase: &Phase, budget: u64) -> Result<Vec<Stream>, Tight> {
    let sum = |weights| {
        let counted = phase.constants.iter().map(|c| &constants[*c as usize]);
        counted.filter(|c| weights || !is_weight(c)).map(room).sum::<u64>()
    };
    let mut chosen = Vec::new();
    let mut need_bytes = phase.arena_bytes + sum(true);
    let mut left = heaviest(constants, phase).into_iter();
    while need_bytes > budget {
        let Some((segment, item, columns)) = left.next() else {
            let weight_bytes = need_bytes - phase.arena_bytes - sum(false);
            return Err(Tight { need_bytes, weight_bytes });
        };
        if let Some((stream, bytes)) =
            one_loop(constants, phase, (segment, item), &columns, (need_bytes, budget))
        {
            chosen.push(stream);
            need_bytes = bytes;
        }
    }
    Ok(chosen)
}

/// How one loop is streamed so that the phase, which takes `whole` bytes without, fits into `budget`, and what it then
/// takes; where no way is enough, the one that takes the least. `None` where none takes less than `whole`.
fn one_loop(
    constants: &[Constant],
    phase: &Phase,
    (segment, item): (usize, usize),
    columns: &[usize],
    (whole, budget): (u64, u64),
) -> Option<(Stream, u64)> {
    let mut least: Option<(Stream, u64)> = None;
    let l = of(phase, segment, item);
    let count = l.count as usize;
    let iteration_bytes = |iteration: u32| {
        columns.iter().map(|c| room(&constants[row(l, iteration)[*c] as usize])).sum::<u64>()
    };
    for n in 3..=count {
        // One iteration in n, the last of every n-th part of the loop.
        let iterations: Vec<u32> = (1..=n).map(|i| (i * count / n - 1) as u32).collect();
        let (columns, place_bytes) = layout(constants, l, &iterations, columns);
        let resident = whole - iterations.iter().map(|t| iteration_bytes(*t)).sum::<u64>();
        // In a step that follows another, an iteration must find its weights in the place that it found them in before.
        let wraps = phase.segments[segment].repeat == Repeat::Steps;
        for places in [3, 2].into_iter().filter(|s| *s < n && !(wraps && n % s > 0)) {
            let bytes = resident + places as u64 * place_bytes;
            if bytes < least.as_ref().map_or(whole, |(_, bytes)| *bytes) {
                let (iterations, columns) = (iterations.clone(), columns.clone());
                least = Some((Stream { segment, item, iterations, places, place_bytes, columns }, bytes));
            }
            if bytes <= budget {
                return least;
            }
        }
    }
    least
}

/// The loops that have streamable columns, those first whose hold the most bytes, and those columns: weights that one
/// iteration reads and nothing else in the phase does.
fn heaviest(constants: &[Constant], phase: &Phase) -> Vec<(usize, usize, Vec<usize>)> {
    let mut readers: BTreeMap<u32, usize> = BTreeMap::new();
    let mut read = |c: u32| *readers.entry(c).or_default() += 1;
    for (launch, _) in phase.launches() {
        for operand in launch.parts.iter().flat_map(|p| p.reads.iter()) {
            if let Base::Constant(c) = operand.base {
                read(c);
            }
        }
    }
    let loops: Vec<_> = loops(phase).collect();
    loops.iter().flat_map(|(_, _, l)| l.rows.iter()).for_each(|c| read(*c));
    let streamable = |l: &Loop, column: usize| {
        let mut of = (0..l.count).map(|iteration| row(l, iteration)[column]);
        of.all(|c| readers[&c] == 1 && is_weight(&constants[c as usize]))
    };
    let weigh = |(segment, item, l): (usize, usize, &Loop)| {
        let columns: Vec<usize> = (0..l.columns as usize).filter(|c| streamable(l, *c)).collect();
        let of_iteration = |iteration| columns.iter().map(move |c| (iteration, *c)).collect::<Vec<_>>();
        let each = (0..l.count).flat_map(of_iteration).map(|(iteration, c)| row(l, iteration)[c]);
        (each.map(|c| room(&constants[c as usize])).sum::<u64>(), (segment, item, columns))
    };
    let mut weighed: Vec<_> = loops.into_iter().map(weigh).filter(|(bytes, _)| *bytes > 0).collect();
    weighed.sort_by_key(|(bytes, _)| Reverse(*bytes));
    weighed.into_iter().map(|(_, found)| found).collect()
}

/// Where the constants of an iteration lie in a place, and how large it is: a column takes what its largest constant
/// does.
fn layout(
    constants: &[Constant],
    l: &Loop,
    iterations: &[u32],
    columns: &[usize],
) -> (Vec<(usize, u64)>, u64) {
    let mut end = 0;
    let place = |column: &usize| {
        let at = end;
        end += iterations.iter().map(|t| room(&constants[row(l, *t)[*column] as usize])).max().unwrap_or(0);
        (*column, at)
    };
    (columns.iter().map(place).collect(), end)
}

/// The loops of a phase: segment, item, loop.
pub fn loops(phase: &Phase) -> impl Iterator<Item = (usize, usize, &Loop)> {
    phase.segments.iter().enumerate().flat_map(|(s, segment)| {
        segment.items.iter().enumerate().filter_map(move |(i, item)| match item {
            Item::Loop(l) => Some((s, i, l)),
            Item::Launch(_) => None,
        })
    })
}

fn of(phase: &Phase, segment: usize, item: usize) -> &Loop {
    match &phase.segments[segment].items[item] {
        Item::Loop(l) => l,
        Item::Launch(_) => unreachable!("a stream names a loop"),
    }
}

fn row(l: &Loop, iteration: u32) -> &[u32] {
    let columns = l.columns as usize;
    &l.rows[iteration as usize * columns..(iteration as usize + 1) * columns]
}

fn is_weight(constant: &Constant) -> bool {
    matches!(constant.origin, Origin::Weight { .. })
}
