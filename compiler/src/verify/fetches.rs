//! The verifier of streamed weights: the fetches of a phase, replayed.
//!
//! What a fetch brings is there from the iteration that waits for it; what lay in its way is gone when the fetch
//! begins. Before every iteration, all that it reads must be there. Where steps repeat, two of them are replayed: the
//! second begins as every later one does.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Base, Fetch, Item, Launch, Loop, Phase, Repeat};

use super::held::Held;
use super::rule;
use crate::error::Result;

/// Checks one phase, whose constants are `held`.
///
/// # Errors
/// The first read of something that is not there.
pub fn fetches(phase: &Phase, held: &BTreeMap<u32, Held>) -> Result<()> {
    let mut memory = Memory { held, streamed: BTreeMap::new() };
    phase.fetches().filter(|(_, f)| f.after == Fetch::AT_ONCE).for_each(|(_, f)| memory.fetch(f));
    let mut first = 0;
    for segment in phase.segments.iter() {
        let times = if segment.repeat == Repeat::Steps { 2 } else { 1 };
        for (i, item) in (0..times).flat_map(|_| segment.items.iter().enumerate()) {
            match item {
                Item::Launch(launch) => memory.read(phase, launch, None)?,
                Item::Loop(l) => {
                    for iteration in 0..l.count {
                        memory.arrive(first + i, iteration);
                        for launch in l.body.iter() {
                            memory.read(phase, launch, Some((l, iteration)))?;
                        }
                        l.fetches.iter().filter(|f| f.after == iteration).for_each(|f| memory.fetch(f));
                    }
                }
            }
        }
        first += segment.items.len();
    }
    Ok(())
}

/// Streamed constants: those that are there, and those on the way with the iteration that waits for them.
struct Memory<'h> {
    held: &'h BTreeMap<u32, Held>,
    streamed: BTreeMap<u32, Option<u32>>,
}

impl Memory<'_> {
    fn fetch(&mut self, fetch: &Fetch) {
        for c in fetch.constants.iter() {
            let new = self.held[c];
            let apart = |d: &u32| self.held[d].to <= new.from || new.to <= self.held[d].from;
            self.streamed.retain(|d, _| apart(d));
            self.streamed.insert(*c, Some(fetch.iteration));
        }
    }

    fn arrive(&mut self, item: usize, iteration: u32) {
        let waited = |(c, on_the_way): &(&u32, &mut Option<u32>)| {
            self.held[c].streamed_by == Some(item) && **on_the_way == Some(iteration)
        };
        self.streamed.iter_mut().filter(waited).for_each(|(_, on_the_way)| *on_the_way = None);
    }

    fn read(&self, phase: &Phase, launch: &Launch, row: Option<(&Loop, u32)>) -> Result<()> {
        for operand in launch.parts.iter().flat_map(|p| p.reads.iter()) {
            let c = match (operand.base, row) {
                (Base::Constant(c), _) => c,
                (Base::Column(column), Some((l, iteration))) => {
                    l.rows[(iteration * l.columns + column) as usize]
                }
                _ => continue,
            };
            let there = self.held.get(&c).is_some_and(|h| {
                h.streamed_by.is_none() || self.streamed.get(&c).is_some_and(Option::is_none)
            });
            rule(there, "plan", "a weight is there before the iteration that reads it", || {
                let iteration = row
                    .map_or(String::new(), |(l, iteration)| format!(", iteration {iteration} of {}", l.name));
                format!("{} in {}{iteration}", launch.path(), phase.name)
            })?;
        }
        Ok(())
    }
}
