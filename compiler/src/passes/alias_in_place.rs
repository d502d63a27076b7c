//! Results that lie where a slice of a larger value lay.
//!
//! A product of q, k, v and gates leaves one row for each token; norm and rotation of q then go over its columns, and
//! so does the attention's result. What is as large as the value itself is left to `coalesce`.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_model_spec::lang::Value;

use crate::fused::{Call, Fused, FusedStmt, Looks};
use crate::view::Views;

/// Sets [`Call::over`] where nobody reads the slice again.
pub fn alias_in_place(mut fused: Fused) -> Fused {
    let mut aliaser =
        Aliaser { views: Views::new(&fused.graph, &fused.body), fused: &fused, chosen: BTreeSet::new() };
    aliaser.scan(&fused.body, fused.graph.outputs.iter().map(|o| o.value).collect());
    let chosen = aliaser.chosen;
    mark(&mut fused.body, &chosen);
    fused
}

fn mark(body: &mut [FusedStmt], chosen: &BTreeSet<Value>) {
    for stmt in body {
        match stmt {
            FusedStmt::Call(call) if chosen.contains(&call.write) => call.over = call.in_place,
            FusedStmt::Loop(l) => mark(&mut l.body, chosen),
            _ => {}
        }
    }
}

/// A read: the launch that makes it, the result that it is made for, the value.
type Read = (usize, Option<Value>, Value);

struct Aliaser<'a> {
    views: Views<'a>,
    fused: &'a Fused,
    /// Results that lie over their operand's slice.
    chosen: BTreeSet<Value>,
}

impl<'a> Aliaser<'a> {
    /// `left` are the values that are wanted after the body's end.
    fn scan(&mut self, body: &'a [FusedStmt], left: Vec<Value>) {
        // By root: results that lie over others keep the root of what lay there.
        let mut reads: BTreeMap<Value, Vec<Read>> = BTreeMap::new();
        left.iter().for_each(|v| reads.entry(self.views.root(*v)).or_default().push((body.len(), None, *v)));
        let mut bound: BTreeSet<Value> = left.into_iter().collect();
        // Parts of one launch run at the same time: what one reads, another may not write over.
        let mut launch = 0;
        for (at, stmt) in body.iter().enumerate() {
            launch = if within(stmt) { launch } else { at };
            let whose = if let FusedStmt::Call(call) = stmt { Some(call.write) } else { None };
            for v in reads_of(stmt) {
                reads.entry(self.views.root(v)).or_default().push((launch, whose, v));
            }
            if let FusedStmt::Join(join) = stmt {
                bound.extend(&join.inputs);
            }
        }
        let looks = Looks::of(body);
        let bound: BTreeSet<Value> = bound.into_iter().map(|v| looks.root(v)).collect();
        let mut made: BTreeSet<Value> = BTreeSet::new();
        let mut here = 0;
        for (at, stmt) in body.iter().enumerate() {
            here = if within(stmt) { here } else { at };
            match stmt {
                FusedStmt::View(_) => {}
                FusedStmt::Join(join) => {
                    made.insert(join.output);
                }
                FusedStmt::Loop(l) => {
                    let next = l.carried.iter().map(|c| c.next);
                    self.scan(&l.body, next.chain(l.collected.iter().map(|c| c.value)).collect());
                }
                FusedStmt::Call(call) => {
                    if let Some(over) = self.over(call).filter(|over| {
                        let root = self.views.root(*over);
                        let wanted = |(when, whose, v): &Read| {
                            *when >= here && *whose != Some(call.write) && !self.views.apart(*over, *v)
                        };
                        let late = || reads.get(&root).into_iter().flatten().any(wanted);
                        made.contains(&root) && !bound.contains(&call.write) && !late()
                    }) {
                        let moved = reads.remove(&call.write).unwrap_or_default();
                        reads.entry(self.views.root(over)).or_default().extend(moved);
                        self.views.alias(call.write, over);
                        self.chosen.insert(call.write);
                    }
                    made.insert(call.write);
                }
            }
        }
    }

    /// The operand that the result could lie over, as far as the call itself can tell: a slice in even rows, of the
    /// result's type, that no other operand shares.
    fn over(&self, call: &Call) -> Option<Value> {
        let at = call.in_place?;
        let over = call.reads[at];
        let (have, want) = (self.fused.graph.info(over), self.fused.graph.info(call.write));
        let same = have.dtype == want.dtype && have.shape == want.shape;
        let slice = !self.views.is_whole(over) && self.views.view(over)?.row_stride().is_some();
        let others = call.reads.iter().enumerate().filter(|(i, _)| *i != at);
        let mut apart = others.map(|(_, other)| self.views.apart(over, *other));
        (same && slice && apart.all(|apart| apart)).then_some(over)
    }
}

/// True for what begins no launch.
fn within(stmt: &FusedStmt) -> bool {
    match stmt {
        FusedStmt::Call(call) => call.joined,
        FusedStmt::View(_) | FusedStmt::Join(_) => true,
        FusedStmt::Loop(_) => false,
    }
}

/// What a statement reads while it runs.
fn reads_of(stmt: &FusedStmt) -> Vec<Value> {
    match stmt {
        FusedStmt::Call(call) => call.reads.clone(),
        FusedStmt::View(_) | FusedStmt::Join(_) => Vec::new(),
        FusedStmt::Loop(l) => {
            let outer = l.carried.iter().map(|c| c.init).chain(l.collected.iter().map(|c| c.value));
            outer.chain(l.body.iter().flat_map(reads_of)).collect()
        }
    }
}
