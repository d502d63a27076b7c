//! The replay: the whole of it.

use crate::error::Result;
use crate::executor::{Executor, Observer};
use crate::plan::{Fetch, Phase, Repeat};

/// Runs one phase of the executor's plan. `first_load` says that the phase's weights are new, so that what depends on
/// them alone is made again.
///
/// # Errors
/// Whatever the executor or the observer reports; the phase is then unfinished and its outputs are undefined.
pub fn replay<'p, E: Executor<'p>, O: Observer<E>>(
    executor: &mut E,
    phase: &'p Phase,
    first_load: bool,
    observer: &mut O,
) -> Result<()> {
    executor.enter(phase)?;
    observer.entered(executor, phase)?;
    for (_, fetch) in phase.fetches().filter(|(_, fetch)| fetch.after == Fetch::AT_ONCE) {
        executor.fetch(phase, fetch)?;
    }
    let mut first = phase.first;
    for (number, segment) in phase.segments.iter().enumerate() {
        let turns = match segment.repeat {
            Repeat::Load => u32::from(first_load),
            Repeat::Once => 1,
            Repeat::Steps => observer.steps(segment),
        };
        for turn in 0..turns {
            if observer.boundary(executor, phase, segment, turn, turns)?.is_break() {
                break;
            }
            executor.turn(phase, number, first, observer)?;
        }
        first += segment.launches();
    }
    Ok(())
}
