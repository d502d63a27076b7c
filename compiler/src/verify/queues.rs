//! The verifier of queues: launches that may run at the same time touch nothing that one of them writes.
//!
//! What is certain of the order: launches of a queue follow each other; a launch that waits begins after what it waits
//! for; an iteration of a loop, and a run of launches between loops, begins when all queues are done.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Base, Item, Launch, Loop, Phase};

use super::region::Region;
use super::rule;
use crate::error::Result;

/// Checks every run of launches of a phase.
///
/// # Errors
/// Two launches that race, or a wait for a launch that does not come before.
pub fn queues(phase: &Phase) -> Result<()> {
    let mut number = phase.first;
    for segment in phase.segments.iter() {
        let mut run: Vec<(u32, &Launch)> = Vec::new();
        for item in segment.items.iter() {
            match item {
                Item::Launch(launch) => {
                    run.push((number, launch));
                    number += 1;
                }
                Item::Loop(l) => {
                    together(&std::mem::take(&mut run), None)?;
                    let body: Vec<_> = (number..).zip(l.body.iter()).collect();
                    together(&body, Some(l))?;
                    number += l.body.len() as u32;
                }
            }
        }
        together(&run, None)?;
    }
    Ok(())
}

fn together(run: &[(u32, &Launch)], of: Option<&Loop>) -> Result<()> {
    let queues = run.iter().map(|(_, l)| usize::from(l.queue) + 1).max().unwrap_or(0);
    if queues <= 1 {
        return rule(
            run.iter().all(|(_, l)| l.waits.is_empty()),
            "plan",
            "one queue waits for none",
            String::new,
        );
    }
    // Of every launch, how many launches of each queue are certainly done when it begins.
    let mut done: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut last: Vec<Vec<usize>> = vec![vec![0; queues]; queues];
    let mut place: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (number, launch) in run {
        let queue = usize::from(launch.queue);
        let mut known = last[queue].clone();
        for wait in launch.waits.iter() {
            let Some((other, nth)) = place.get(wait).copied() else {
                return rule(false, "plan", "a launch waits for an earlier one", || {
                    format!("launch {number}")
                });
            };
            known.iter_mut().zip(&done[wait]).for_each(|(k, d)| *k = (*k).max(*d));
            known[other] = known[other].max(nth + 1);
        }
        place.insert(*number, (queue, known[queue]));
        done.insert(*number, known.clone());
        known[queue] += 1;
        last[queue] = known;
    }
    let iterations = of.map_or(1, |l| u64::from(l.count));
    for (i, (number, launch)) in run.iter().enumerate() {
        for (earlier, other) in &run[..i] {
            let (queue, nth) = place[earlier];
            if done[number][queue] > nth {
                continue;
            }
            let free = [0, iterations - 1].iter().all(|iteration| !race(launch, other, *iteration));
            rule(free, "plan", "what queues touch together they touch in order", || {
                format!("launches {earlier} ({}) and {number} ({})", other.path(), launch.path())
            })?;
        }
    }
    Ok(())
}

fn race(a: &Launch, b: &Launch, iteration: u64) -> bool {
    let writes = |l: &Launch| l.parts.iter().map(|p| Region::of(&p.write, iteration)).collect::<Vec<_>>();
    let reads = |l: &Launch| {
        let arena = l.parts.iter().flat_map(|p| p.reads.iter()).filter(|o| o.base == Base::Arena);
        arena.map(|o| Region::of(o, iteration)).collect::<Vec<_>>()
    };
    let meet = |x: &[Region], y: &[Region]| x.iter().any(|p| y.iter().any(|q| p.meets(q)));
    let (of_a, of_b) = (writes(a), writes(b));
    meet(&of_a, &of_b) || meet(&of_a, &reads(b)) || meet(&of_b, &reads(a))
}
