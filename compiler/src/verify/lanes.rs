//! The gate behind lanes: launches that may run at the same time touch nothing that one of them writes.
//!
//! What is certain of the order: launches of a lane follow each other; a launch that waits begins after what it waits
//! for; a turn of a loop, and a run of launches between loops, begins when all lanes are done.

use std::collections::BTreeMap;

use zoetrope_runtime::plan::{Base, Item, Launch, Loop, Phase};

use super::region::Region;
use super::rule;
use crate::error::Result;

/// Checks every run of launches of a phase.
///
/// # Errors
/// Two launches that race, or a wait for a launch that does not come before.
pub fn lanes(phase: &Phase) -> Result<()> {
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
    let lanes = run.iter().map(|(_, l)| usize::from(l.lane) + 1).max().unwrap_or(0);
    if lanes <= 1 {
        return rule(
            run.iter().all(|(_, l)| l.waits.is_empty()),
            "plan",
            "one lane waits for none",
            String::new,
        );
    }
    // Of every launch, how many launches of each lane are certainly done when it begins.
    let mut done: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut last: Vec<Vec<usize>> = vec![vec![0; lanes]; lanes];
    let mut place: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (number, launch) in run {
        let lane = usize::from(launch.lane);
        let mut known = last[lane].clone();
        for wait in launch.waits.iter() {
            let Some((other, nth)) = place.get(wait).copied() else {
                return rule(false, "plan", "a launch waits for an earlier one", || {
                    format!("launch {number}")
                });
            };
            known.iter_mut().zip(&done[wait]).for_each(|(k, d)| *k = (*k).max(*d));
            known[other] = known[other].max(nth + 1);
        }
        place.insert(*number, (lane, known[lane]));
        done.insert(*number, known.clone());
        known[lane] += 1;
        last[lane] = known;
    }
    let turns = of.map_or(1, |l| u64::from(l.count));
    for (i, (number, launch)) in run.iter().enumerate() {
        for (earlier, other) in &run[..i] {
            let (lane, nth) = place[earlier];
            if done[number][lane] > nth {
                continue;
            }
            let free = [0, turns - 1].iter().all(|turn| !race(launch, other, *turn));
            rule(free, "plan", "what lanes touch together they touch in order", || {
                format!("launches {earlier} ({}) and {number} ({})", other.path(), launch.path())
            })?;
        }
    }
    Ok(())
}

fn race(a: &Launch, b: &Launch, turn: u64) -> bool {
    let writes = |l: &Launch| l.parts.iter().map(|p| Region::of(&p.write, turn)).collect::<Vec<_>>();
    let reads = |l: &Launch| {
        let arena = l.parts.iter().flat_map(|p| p.reads.iter()).filter(|o| o.base == Base::Arena);
        arena.map(|o| Region::of(o, turn)).collect::<Vec<_>>()
    };
    let meet = |x: &[Region], y: &[Region]| x.iter().any(|p| y.iter().any(|q| p.meets(q)));
    let (of_a, of_b) = (writes(a), writes(b));
    meet(&of_a, &of_b) || meet(&of_a, &reads(b)) || meet(&of_b, &reads(a))
}
