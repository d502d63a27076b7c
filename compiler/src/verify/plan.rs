//! The verifier of the Plan level: the checker that trusts no placer.
//!
//! 1. No two buffers that are alive at the same launch share a byte.
//! 2. Every buffer is aligned and inside the arena.
//! 3. Every operand in the arena lies inside exactly one buffer that is alive at its launch, in every iteration.
//! 4. A result shares no byte with an operand, except the one that it is written over, which it covers.
//! 5. What launches of different queues touch together, they touch one after the other (`queues`).
//! 6. Every kernel, constant and table that a row names exists; table bytes are inside the blob.

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::{ALIGN, Base, Buffer, Item, Launch, Loop, Operand, Origin, Plan};

use super::region::Region;
use super::{queues, rule};
use crate::error::Result;

/// Checks the rules above.
///
/// # Errors
/// The first broken rule.
pub fn plan(plan: &Plan) -> Result<()> {
    let buffers = &plan.buffers;
    let overlap = first_overlap(buffers);
    rule(overlap.is_none(), "plan", "no two live buffers share a byte", || {
        overlap.map_or(String::new(), |(a, b)| format!("{} and {}", buffers[a].name, buffers[b].name))
    })?;
    for b in buffers.iter() {
        let fits = b.offset.is_multiple_of(ALIGN) && b.offset + b.bytes <= plan.arena_bytes;
        rule(fits, "plan", "a buffer is aligned and inside the arena", || b.name.to_string())?;
    }
    for c in plan.constants.iter() {
        if let Origin::Table { offset } = c.origin {
            let inside = offset + c.bytes() <= plan.tables.len() as u64;
            rule(inside, "plan", "a table is inside the blob", || c.name.to_string())?;
        }
    }
    let (mut alive, mut number) = (Alive::of(buffers), 0);
    for phase in plan.phases.iter() {
        queues(phase)?;
        rule(phase.first == number, "plan", "launches are numbered through", || phase.name.to_string())?;
        for item in phase.segments.iter().flat_map(|s| s.items.iter()) {
            match item {
                Item::Launch(l) => launch(plan, &mut alive, number, l, None)?,
                Item::Loop(l) => {
                    for (i, body) in l.body.iter().enumerate() {
                        launch(plan, &mut alive, number + i as u32, body, Some(l))?;
                    }
                }
            }
            number += match item {
                Item::Launch(_) => 1,
                Item::Loop(l) => l.body.len() as u32,
            };
        }
    }
    Ok(())
}

/// A pair of buffers that are alive together and share a byte.
fn first_overlap(buffers: &[Buffer]) -> Option<(usize, usize)> {
    // Forwards in time. Those alive share no byte, so a new one need only be held against its neighbours in memory.
    let mut alive: BTreeMap<u64, usize> = BTreeMap::new();
    let mut ends: BTreeSet<(u32, usize)> = BTreeSet::new();
    for i in in_time(buffers) {
        let b = &buffers[i];
        while let Some((_, dead)) = ends.first().copied().filter(|(last, _)| *last < b.first) {
            ends.pop_first();
            alive.remove(&buffers[dead].offset);
        }
        let before =
            alive.range(..=b.offset).next_back().filter(|(at, j)| *at + buffers[**j].bytes > b.offset);
        let behind = alive.range(b.offset..b.offset + b.bytes).next();
        if let Some((_, j)) = before.or(behind) {
            return Some((*j, i));
        }
        alive.insert(b.offset, i);
        ends.insert((b.last, i));
    }
    None
}

/// Buffers that hold something, the first to live first.
fn in_time(buffers: &[Buffer]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..buffers.len()).filter(|i| buffers[*i].bytes > 0).collect();
    order.sort_by_key(|i| buffers[*i].first);
    order
}

/// The buffers that are alive at a launch; launches are asked for in ascending order.
struct Alive<'p> {
    buffers: &'p [Buffer],
    waiting: std::iter::Peekable<std::vec::IntoIter<usize>>,
    now: Vec<usize>,
}

impl<'p> Alive<'p> {
    fn of(buffers: &'p [Buffer]) -> Alive<'p> {
        Alive { buffers, waiting: in_time(buffers).into_iter().peekable(), now: Vec::new() }
    }

    fn at(&mut self, number: u32) {
        let buffers = self.buffers;
        while let Some(i) = self.waiting.next_if(|i| buffers[*i].first <= number) {
            self.now.push(i);
        }
        self.now.retain(|i| buffers[*i].last >= number);
    }

    /// True when exactly one of them holds `region`.
    fn holds(&self, region: Region) -> bool {
        let holds = |i: &&usize| {
            let b = &self.buffers[**i];
            b.offset <= region.from && region.end() <= b.offset + b.bytes
        };
        self.now.iter().filter(holds).count() == 1
    }
}

fn launch(plan: &Plan, alive: &mut Alive<'_>, number: u32, launch: &Launch, of: Option<&Loop>) -> Result<()> {
    alive.at(number);
    let place = || format!("launch {number} at {}", launch.path());
    rule((launch.kernel as usize) < plan.kernels.len(), "plan", "a kernel exists", place)?;
    let iterations = of.map_or(1, |l| u64::from(l.count));
    for iteration in [0, iterations - 1] {
        for part in launch.parts.iter() {
            let write = Region::of(&part.write, iteration);
            rule(alive.holds(write), "plan", "a write is inside one live buffer", place)?;
            for operand in part.reads.iter() {
                match operand.base {
                    Base::Arena => {
                        let inside = alive.holds(Region::of(operand, iteration));
                        rule(inside, "plan", "a read is inside one live buffer", place)?;
                    }
                    Base::Constant(c) => {
                        let fits =
                            plan.constants.get(c as usize).is_some_and(|c| reach(operand) <= c.bytes());
                        rule(fits, "plan", "a read is inside its constant", place)?;
                    }
                    Base::Column(column) => {
                        let row =
                            of.and_then(|l| l.rows.get((iteration as u32 * l.columns + column) as usize));
                        let constant = row.and_then(|c| plan.constants.get(*c as usize));
                        let fits = constant.is_some_and(|c| reach(operand) <= c.bytes());
                        rule(fits, "plan", "a read is inside its iteration's constant", place)?;
                    }
                }
            }
        }
        rule(
            results_apart(launch, iteration),
            "plan",
            "a result shares no byte with another operand",
            place,
        )?;
    }
    Ok(())
}

/// Bytes from the base to the end of the operand.
fn reach(operand: &Operand) -> u64 {
    operand.offset + operand.extent()
}

/// No part's result touches what this or another part reads or writes, but for the operand that it is written over.
fn results_apart(launch: &Launch, iteration: u64) -> bool {
    launch.parts.iter().enumerate().all(|(p, part)| {
        let write = Region::of(&part.write, iteration);
        launch.parts.iter().enumerate().all(|(q, other)| {
            let apart_from = |(i, operand): (usize, &Operand)| {
                let read = Region::of(operand, iteration);
                let over = p == q && part.in_place == Some(i as u32) && read == write;
                operand.base != Base::Arena || over || !read.meets(&write)
            };
            let written = p == q || !Region::of(&other.write, iteration).meets(&write);
            written && other.reads.iter().enumerate().all(apart_from)
        })
    })
}
