//! Calls of one kernel that do not depend on each other become one launch of several parts.
//!
//! Parts share what is compiled into a kernel (dtypes, widths, attributes) and differ in operands and rows: norm and
//! rotation of queries and of keys, two modulations of one norm, both directions of the attention between the
//! streams. They are as far from the body's end, counted in calls that wait for each other: what one stream does early
//! does not wait for what the other does late. Two calls are brought together by moving what stands between them and needs the first behind both. That
//! makes some values live longer, so it is done only where the largest sum of live bytes does not grow.
//!
//! The part whose rows read most comes first: its blocks take longest, and would otherwise be left over at the end.

mod arrangement;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::{Graph, Note, Value};

use self::arrangement::Arrangement;

use crate::fused::{Call, Fused, FusedStmt};
use crate::view::Views;

/// Calls between the first part and one that is looked at, at most.
const REACH: usize = 40;
/// Parts of a launch, at most.
const PARTS: usize = 8;

/// Groups the calls of every body.
pub fn group(mut fused: Fused) -> Fused {
    let body = std::mem::take(&mut fused.body);
    let kept: BTreeSet<Value> = fused.graph.outputs.iter().map(|o| o.value).collect();
    let whole = body.clone();
    let views = Views::new(&fused.graph, &whole);
    let mut notes = Vec::new();
    fused.body = group_body(&fused.graph, &views, body, &kept, &mut notes);
    fused.graph.notes.extend(notes);
    fused
}

/// A call or a loop, and which values with memory of their own it reads and makes.
struct Unit {
    stmt: FusedStmt,
    reads: BTreeSet<Value>,
    makes: BTreeSet<Value>,
    /// The largest sum of bytes that live only inside.
    inside: usize,
    /// What a partner must share; `None` for loops.
    key: Option<String>,
}

fn group_body(
    graph: &Graph,
    views: &Views<'_>,
    body: Vec<FusedStmt>,
    left: &BTreeSet<Value>,
    notes: &mut Vec<Note>,
) -> Vec<FusedStmt> {
    let (mut units, mut looks) = (Vec::new(), Vec::new());
    for stmt in body {
        match stmt {
            FusedStmt::View(_) | FusedStmt::Join(_) => looks.push(stmt),
            stmt => units.push(unit(graph, views, stmt, notes)),
        }
    }
    let kept: BTreeSet<Value> = left.iter().map(|v| views.root(*v)).collect();
    let tails = tails(&units);
    let mut arranged = Arrangement::of(graph, &units, &kept);
    let mut at = 0;
    while at < arranged.places() {
        let mut other = at + 1;
        while other < arranged.places().min(at + REACH) && arranged.group(at).len() < PARTS {
            let (one, two) = (arranged.group(at), arranged.group(other));
            let alike = two.len() == 1
                && units[one[0]].key.is_some()
                && units[one[0]].key == units[two[0]].key
                && tails[one[0]] == tails[two[0]];
            if let Some(moved_to) = alike.then(|| arranged.bring_together(at, other)).flatten() {
                (at, other) = (moved_to, moved_to);
            }
            other += 1;
        }
        at += 1;
    }
    let mut order = arranged.done();

    for group in &mut order {
        group.sort_by_key(|u| Reverse(call(&units[*u]).map_or(0, |call| read_by_a_row(graph, call))));
    }
    for group in order.iter().filter(|group| group.len() > 1) {
        let paths: Vec<&str> =
            group.iter().filter_map(|u| call(&units[*u])).map(|c| path(graph, c)).collect();
        let text = format!("one launch of {} parts: {}", paths.len(), paths.join(", "));
        notes.push(Note { path: paths[0].to_string(), text });
    }
    let mut stmts: Vec<Option<FusedStmt>> = units.into_iter().map(|u| Some(u.stmt)).collect();
    let calls = order.into_iter().flat_map(|group| group.into_iter().enumerate().collect::<Vec<_>>());
    let calls = calls.filter_map(|(i, u)| {
        let mut stmt = stmts[u].take()?;
        if let FusedStmt::Call(call) = &mut stmt {
            call.joined = i > 0;
        }
        Some(stmt)
    });
    with_looks(calls.collect(), looks)
}

/// Of every unit the longest chain of units that need each other, from it to the end.
fn tails(units: &[Unit]) -> Vec<usize> {
    let mut tails = vec![0; units.len()];
    let mut of_value: BTreeMap<Value, usize> = BTreeMap::new();
    for (u, unit) in units.iter().enumerate().rev() {
        tails[u] = unit.makes.iter().filter_map(|v| of_value.get(v)).map(|tail| tail + 1).max().unwrap_or(0);
        for value in &unit.reads {
            let tail = of_value.entry(*value).or_insert(0);
            *tail = tails[u].max(*tail);
        }
    }
    tails
}

fn unit(graph: &Graph, views: &Views<'_>, stmt: FusedStmt, notes: &mut Vec<Note>) -> Unit {
    match stmt {
        FusedStmt::Loop(mut l) => {
            let next: BTreeSet<Value> =
                l.carried.iter().map(|c| c.next).chain(l.collected.iter().map(|c| c.value)).collect();
            l.body = group_body(graph, views, l.body, &next, notes);
            let makes =
                l.carried.iter().map(|c| c.result).chain(l.collected.iter().map(|c| views.root(c.stack)));
            let (makes, inside) = (makes.collect(), inside(graph, views, &l.body));
            let stmt = FusedStmt::Loop(l);
            let mut reads = BTreeSet::new();
            reads_of(views, std::slice::from_ref(&stmt), &mut reads);
            Unit { stmt, reads, makes, inside, key: None }
        }
        stmt => {
            let mut reads = BTreeSet::new();
            reads_of(views, std::slice::from_ref(&stmt), &mut reads);
            let called = match &stmt {
                FusedStmt::Call(call) => Some(call),
                _ => None,
            };
            let key = called.map(|call| key(graph, call));
            let makes = called.iter().map(|call| views.root(call.write)).collect();
            Unit { stmt, reads, makes, inside: 0, key }
        }
    }
}

/// All bytes made inside a loop's body: an upper bound that does not change with the order outside.
fn inside(graph: &Graph, views: &Views<'_>, body: &[FusedStmt]) -> usize {
    let made: BTreeSet<Value> = body
        .iter()
        .filter_map(|stmt| match stmt {
            FusedStmt::Call(call) => Some(views.root(call.write)),
            _ => None,
        })
        .collect();
    made.into_iter().map(|v| graph.info(v).bytes()).sum()
}

fn reads_of(views: &Views<'_>, body: &[FusedStmt], out: &mut BTreeSet<Value>) {
    for stmt in body {
        match stmt {
            FusedStmt::Call(call) => out.extend(call.reads.iter().map(|v| views.root(*v))),
            FusedStmt::Loop(l) => {
                out.extend(l.carried.iter().map(|c| views.root(c.init)));
                out.extend(l.collected.iter().map(|c| views.root(c.value)));
                reads_of(views, &l.body, out);
            }
            FusedStmt::View(_) | FusedStmt::Join(_) => {}
        }
    }
}

/// Kernel, attributes, and what is compiled in: dtypes, ranks and widths.
fn key(graph: &Graph, call: &Call) -> String {
    let baked = call.reads.iter().chain([&call.write]).map(|v| {
        let info = graph.info(*v);
        format!("{}{}x{}", info.dtype, info.shape.len(), info.shape.last().copied().unwrap_or(1))
    });
    format!("{} {:?} {}", call.name, call.meaning.attrs(), baked.collect::<Vec<_>>().join(" "))
}

/// Elements of all operands, for a row of the result.
fn read_by_a_row(graph: &Graph, call: &Call) -> usize {
    let elements = |value: &Value| graph.info(*value).shape.iter().product::<usize>();
    let shape = &graph.info(call.write).shape;
    let rows: usize = shape[..shape.len().max(1) - 1].iter().product();
    call.reads.iter().map(elements).sum::<usize>() / rows.max(1)
}

fn call(unit: &Unit) -> Option<&Call> {
    match &unit.stmt {
        FusedStmt::Call(call) => Some(call),
        _ => None,
    }
}

fn path<'g>(graph: &'g Graph, call: &Call) -> &'g str {
    &graph.info(call.write).path
}

/// Views and joins follow what they look into, in their own order, each as soon as all of that is there.
fn with_looks(stmts: Vec<FusedStmt>, looks: Vec<FusedStmt>) -> Vec<FusedStmt> {
    let made_by = |stmt: &FusedStmt| match stmt {
        FusedStmt::Call(call) => vec![call.write],
        FusedStmt::View(op) | FusedStmt::Join(op) => vec![op.output],
        FusedStmt::Loop(l) => {
            l.carried.iter().map(|c| c.result).chain(l.collected.iter().map(|c| c.stack)).collect()
        }
    };
    let made_here: BTreeSet<Value> = stmts.iter().chain(&looks).flat_map(made_by).collect();
    // Of every value the looks that wait for it, and of every look how many values it waits for.
    let mut waiting: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
    let mut missing = vec![0; looks.len()];
    for (at, look) in looks.iter().enumerate() {
        if let FusedStmt::View(op) | FusedStmt::Join(op) = look {
            let inputs: BTreeSet<Value> =
                op.inputs.iter().filter(|v| made_here.contains(v)).copied().collect();
            missing[at] = inputs.len();
            inputs.into_iter().for_each(|v| waiting.entry(v).or_default().push(at));
        }
    }
    let mut ready: BTreeSet<usize> = (0..looks.len()).filter(|at| missing[*at] == 0).collect();
    let mut looks: Vec<Option<FusedStmt>> = looks.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(stmts.len() + looks.len());
    let mut push = |stmt: FusedStmt, ready: &mut BTreeSet<usize>| {
        for look in made_by(&stmt).iter().flat_map(|v| waiting.remove(v).unwrap_or_default()) {
            missing[look] -= 1;
            if missing[look] == 0 {
                ready.insert(look);
            }
        }
        out.push(stmt);
    };
    let mut next = stmts.into_iter().peekable();
    loop {
        // Parts of a launch stay together.
        if !matches!(next.peek(), Some(FusedStmt::Call(call)) if call.joined) {
            let mut from = 0;
            while let Some(at) = ready.range(from..).next().copied() {
                ready.remove(&at);
                from = at + 1;
                looks[at].take().into_iter().for_each(|look| push(look, &mut ready));
            }
        }
        match next.next() {
            Some(stmt) => push(stmt, &mut ready),
            None => return out,
        }
    }
}
