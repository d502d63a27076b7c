//! The replay: the whole of it.

use crate::error::Result;
use crate::executor::{Executor, Observer};
use crate::plan::{Fetch, Item, Phase, Plan, Repeat};

/// Runs one phase of a plan. `first_load` says that the phase's weights are new, so that what depends on them
/// alone is made again.
///
/// # Errors
/// Whatever the executor or the observer reports; the phase is then unfinished and its outputs are undefined.
pub fn replay<E: Executor, O: Observer<E>>(
    plan: &Plan,
    phase: &Phase,
    first_load: bool,
    executor: &mut E,
    observer: &mut O,
) -> Result<()> {
    executor.enter(plan, phase)?;
    for (_, fetch) in phase.fetches().filter(|(_, fetch)| fetch.after == Fetch::AT_ONCE) {
        executor.fetch(plan, phase, fetch)?;
    }
    let mut first = phase.first;
    for (number, segment) in phase.segments.iter().enumerate() {
        let turns = match segment.repeat {
            Repeat::Load => u32::from(first_load),
            Repeat::Once => 1,
            Repeat::Steps => observer.steps(segment),
        };
        for turn in 0..turns {
            observer.seam(executor, phase, segment, turn, turns)?;
            executor.turn(plan, phase, number, first, observer)?;
        }
        first += segment.launches();
    }
    Ok(())
}

/// One turn of segment number `segment`, launch by launch.
pub fn each_launch<E: Executor, O: Observer<E>>(
    executor: &mut E,
    plan: &Plan,
    phase: &Phase,
    segment: usize,
    first: u32,
    observer: &mut O,
) -> Result<()> {
    let mut number = first;
    for item in phase.segments[segment].items.iter() {
        match item {
            Item::Launch(launch) => {
                executor.launch(plan, number, launch, None)?;
                observer.launched(number, launch);
                number += 1;
            }
            Item::Loop(inner) => {
                for row in 0..inner.count {
                    for (number, launch) in (number..).zip(inner.body.iter()) {
                        executor.launch(plan, number, launch, Some((inner, row)))?;
                        observer.launched(number, launch);
                    }
                    for fetch in inner.fetches.iter().filter(|fetch| fetch.after == row) {
                        executor.fetch(plan, phase, fetch)?;
                    }
                }
                number += inner.body.len() as u32;
            }
        }
    }
    Ok(())
}
