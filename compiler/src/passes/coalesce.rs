//! Which values share one buffer, and which copies that saves.
//!
//! A loop's state is one buffer: what an iteration leaves lies where the next iteration looks. A result may be written
//! over an operand that nobody reads again. Everything else gets a buffer of its own.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Count, Def, Graph, Value};

use crate::passes::linear::{Action, Copied, Linear};
use crate::view::Views;

/// First and last entry at which a value must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange {
    pub first: usize,
    pub last: usize,
}

/// The answer: classes of values, and the copies that are still needed.
pub struct Coalesced {
    parent: Vec<usize>,
    pub live_ranges: BTreeMap<Value, LiveRange>,
    /// Where every value is defined: the entry, and the loop that it belongs to.
    births: BTreeMap<Value, (usize, Option<usize>)>,
    /// One flag per entry.
    pub kept: Vec<bool>,
    /// What is made once per load.
    loaded: BTreeSet<Value>,
}

impl Coalesced {
    /// The representative of the buffer that `root` lives in.
    pub fn class(&self, root: Value) -> usize {
        let mut at = root.index();
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: Value, b: Value) {
        let (a, b) = (self.class(a), self.class(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Live ranges of all members of a class.
    fn members(&self, class: usize) -> Vec<(Value, LiveRange)> {
        self.live_ranges.iter().filter(|(v, _)| self.class(**v) == class).map(|(v, l)| (*v, *l)).collect()
    }
}

/// Decides sharing. With `share` off every value keeps a buffer of its own, and only loops write over their state.
pub fn coalesce(graph: &Graph, views: &Views<'_>, linear: &Linear<'_>, share: bool) -> Coalesced {
    let births = births(graph, views, linear);
    let live_ranges = live_ranges(graph, views, linear, &births);
    let kept = vec![true; linear.entries.len()];
    let loaded = linear.entries.iter().filter(|e| e.load).map(|e| e.write()).collect();
    let mut done = Coalesced { parent: (0..graph.values.len()).collect(), live_ranges, births, kept, loaded };
    for span in &linear.spans {
        span.of.carried.iter().for_each(|c| done.join(c.inner, c.result));
    }
    if share {
        write_in_place(graph, views, linear, &mut done);
    }
    for (at, entry) in linear.entries.iter().enumerate() {
        if let Action::Copy { from, to, why } = &entry.action {
            let root = views.root(*from);
            let saved = match why {
                Copied::Collect => false,
                Copied::Next => {
                    done.class(root) == done.class(*to)
                        || (share && next_fits(graph, views, linear, &done, at))
                }
                Copied::Init => share && init_fits(graph, views, linear, &done, at),
            };
            if saved {
                done.join(root, *to);
                done.kept[at] = false;
            }
        }
    }
    done
}

fn births(graph: &Graph, views: &Views<'_>, linear: &Linear<'_>) -> BTreeMap<Value, (usize, Option<usize>)> {
    let mut births = BTreeMap::new();
    let runtime = linear.spans.iter().position(|s| s.of.count == Count::Runtime);
    for (value, info) in graph.iter() {
        if let Def::Input(role) = &info.def {
            let span = runtime.filter(|_| role.per_step());
            births.insert(value, (span.map_or(0, |s| linear.spans[s].first), span));
        }
    }
    for (at, entry) in linear.entries.iter().enumerate() {
        if let Action::Call(call) = &entry.action {
            // What is made in several pieces is born with the first.
            births.entry(views.root(call.write)).or_insert((at, entry.span));
        }
    }
    for (id, span) in linear.spans.iter().enumerate() {
        for c in &span.of.carried {
            births.insert(c.inner, (span.first, Some(id)));
            births.insert(c.result, (span.end, span.parent));
        }
        for c in &span.of.collected {
            births.insert(views.root(c.stack), (span.first, span.parent));
        }
    }
    births
}

fn live_ranges(
    graph: &Graph,
    views: &Views<'_>,
    linear: &Linear<'_>,
    births: &BTreeMap<Value, (usize, Option<usize>)>,
) -> BTreeMap<Value, LiveRange> {
    let mut live_ranges: BTreeMap<Value, LiveRange> =
        births.iter().map(|(v, (at, _))| (*v, LiveRange { first: *at, last: *at })).collect();
    let mut read = |value: Value, at: usize, span: Option<usize>| {
        let root = views.root(value);
        if let (Some(range), Some((_, born_in))) = (live_ranges.get_mut(&root), births.get(&root)) {
            // What a loop reads from outside must be there in every iteration.
            let until = linear.below(span, *born_in).map_or(at, |s| linear.spans[s].end - 1);
            range.last = range.last.max(until);
        }
    };
    for (at, entry) in linear.entries.iter().enumerate() {
        entry.reads().iter().for_each(|v| read(*v, at, entry.span));
        if views.root(entry.write()) != entry.write() {
            read(entry.write(), at, entry.span);
        }
    }
    graph.outputs.iter().for_each(|o| read(o.value, linear.entries.len(), None));
    live_ranges
}

fn write_in_place(graph: &Graph, views: &Views<'_>, linear: &Linear<'_>, done: &mut Coalesced) {
    for (at, entry) in linear.entries.iter().enumerate() {
        let Action::Call(call) = &entry.action else { continue };
        let Some(over) = call.in_place.and_then(|i| call.reads.get(i)) else { continue };
        if views.root(call.write) != call.write {
            continue;
        }
        let root = views.root(*over);
        let resident = done.loaded.contains(&root);
        let ours = matches!(graph.info(root).def, Def::Op | Def::Carried) && !entry.load && !resident;
        let same = views.is_whole(*over) && graph.info(root).bytes() == graph.info(call.write).bytes();
        let dtype = graph.info(root).dtype == graph.info(call.write).dtype;
        let once = call.reads.iter().filter(|v| views.root(**v) == root).count() == 1;
        let dies = done.live_ranges.get(&root).is_some_and(|l| l.last == at);
        // What was made outside this loop is wanted again in the next iteration.
        let here = done.births.get(&root).is_some_and(|(_, born_in)| *born_in == entry.span);
        // Parts of one launch run at the same time.
        let alone = linear
            .parts(at)
            .all(|p| p == at || linear.entries[p].reads().iter().all(|v| views.root(*v) != root));
        let stays = alone && !leaves_by_another_state(linear, done, root, call.write);
        if ours && same && dtype && once && dies && here && stays {
            done.join(root, call.write);
        }
    }
}

/// True when `write` is the next value of one piece of a loop's state and `root` lies where another piece does: that
/// other piece takes its own next value first.
fn leaves_by_another_state(linear: &Linear<'_>, done: &Coalesced, root: Value, write: Value) -> bool {
    let class = done.class(root);
    linear.spans.iter().any(|span| {
        let carried = &span.of.carried;
        let here = carried.iter().position(|c| done.class(c.inner) == class);
        here.is_some_and(|at| carried.iter().enumerate().any(|(i, c)| c.next == write && i != at))
    })
}

/// May the state's next value be made where the state lies? Only if the state is read for the last time before the
/// first value of the next one's buffer is written, and all of that buffer's life is in this loop's body.
fn next_fits(graph: &Graph, views: &Views<'_>, linear: &Linear<'_>, done: &Coalesced, at: usize) -> bool {
    let entry = &linear.entries[at];
    let (Some(span), Action::Copy { from, to, .. }) = (entry.span, &entry.action) else { return false };
    let root = views.root(*from);
    let body = linear.spans[span].first..linear.spans[span].end;
    let next = done.members(done.class(root));
    let ours = next
        .iter()
        .all(|(v, l)| graph.info(*v).def == Def::Op && body.contains(&l.first) && body.contains(&l.last));
    let first = next.iter().map(|(_, l)| l.first).min();
    let state = done.members(done.class(*to));
    let last = state.iter().filter(|(_, l)| body.contains(&l.first)).map(|(_, l)| l.last).max();
    ours && views.is_whole(*from) && same_storage(graph, root, *to) && last < first
}

/// May the state's first value be made where the state will lie? Only if nobody else wants it. What a loop around this one
/// leaves is no other, where its state passes through this one.
fn init_fits(graph: &Graph, views: &Views<'_>, linear: &Linear<'_>, done: &Coalesced, at: usize) -> bool {
    let entry = &linear.entries[at];
    let Action::Copy { from, to, .. } = &entry.action else { return false };
    let root = views.root(*from);
    let members = done.members(done.class(root));
    let left = left_around(views, linear, entry.span, root, *to);
    let ours = members.iter().all(|(v, l)| {
        let wanted = l.last > at && left != Some(*v);
        matches!(graph.info(*v).def, Def::Op | Def::Carried) && !wanted
    });
    let here = done.births.get(&root).is_some_and(|(_, born_in)| *born_in == entry.span);
    let resident = done.loaded.contains(&root);
    let unused = !resident && done.class(root) != done.class(*to);
    let later = done.members(done.class(*to)).iter().all(|(_, l)| l.first >= at);
    ours && here && unused && later && views.is_whole(*from) && same_storage(graph, root, *to)
}

/// What the loop `around` leaves of its state `root`, where an inner loop takes that state as its own state `inner` and
/// gives it back.
fn left_around(
    views: &Views<'_>,
    linear: &Linear<'_>,
    around: Option<usize>,
    root: Value,
    inner: Value,
) -> Option<Value> {
    let outer = linear.spans[around?].of.carried.iter().find(|c| c.inner == root)?;
    let inside = linear.spans.iter().filter(|span| span.parent == around);
    let given_back = inside.flat_map(|span| &span.of.carried).find(|c| c.inner == inner)?.result;
    (views.root(outer.next) == given_back).then_some(outer.result)
}

fn same_storage(graph: &Graph, a: Value, b: Value) -> bool {
    graph.info(a).bytes() == graph.info(b).bytes() && graph.info(a).dtype == graph.info(b).dtype
}
