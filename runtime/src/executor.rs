//! The two things a replay is generic over: who computes, and who watches.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::error::Result;
use crate::plan::{Fetch, Item, Launch, Loop, Phase, Plan, Port, Segment};

/// Carries out the launches of the plan that it was made for, and lends that plan to whoever replays it: phases, launches
/// and fetches that it is handed are this plan's.
///
/// One run of a segment is a *turn*, one run of a loop's body an *iteration*. `number` counts launches through the whole
/// plan, a loop's body once.
pub trait Executor<'p>: Sized {
    /// The plan.
    fn plan(&self) -> &'p Plan;

    /// Begins a phase: its constants are made resident, except those that are streamed.
    ///
    /// # Errors
    /// A constant that cannot be had, or a device that fails.
    fn enter(&mut self, phase: &'p Phase) -> Result<()>;

    /// One turn of segment number `segment` of the phase that was entered, whose launches count from `first`. It is done
    /// when this returns.
    ///
    /// # Errors
    /// A launch or a fetch that fails.
    fn turn<O: Observer<Self>>(
        &mut self,
        phase: &'p Phase,
        segment: usize,
        first: u32,
        observer: &mut O,
    ) -> Result<()> {
        each_launch(self, phase, segment, first, observer)
    }

    /// One launch; in a loop, `iteration` is the loop and the number of its iteration.
    ///
    /// # Errors
    /// The launch fails.
    fn launch(&mut self, number: u32, launch: &'p Launch, iteration: Option<(&'p Loop, u32)>) -> Result<()>;

    /// Brings streamed weights to their places in the phase. What read there before is done.
    ///
    /// # Errors
    /// A weight that cannot be had, or a device that fails.
    fn fetch(&mut self, phase: &'p Phase, fetch: &'p Fetch) -> Result<()>;

    /// Bytes of a port.
    ///
    /// # Errors
    /// A device that fails.
    fn read(&mut self, port: &Port) -> Result<Cow<'_, [u8]>>;

    /// Writes a port; `bytes` are as many as it has.
    ///
    /// # Errors
    /// A device that fails.
    fn write(&mut self, port: &Port, bytes: &[u8]) -> Result<()>;
}

/// Watches a replay and feeds it at the boundaries between turns. Does nothing unless told.
pub trait Observer<E> {
    /// How often a segment that repeats as the host says is to run at most.
    fn steps(&mut self, _segment: &Segment) -> u32 {
        1
    }

    /// The phase has been entered, and nothing has run: write its inputs. What was still on its way to where an earlier
    /// phase had it has landed.
    ///
    /// # Errors
    /// Whatever is to stop the replay.
    fn entered(&mut self, _executor: &mut E, _phase: &Phase) -> Result<()> {
        Ok(())
    }

    /// Before turn `turn` of `turns` of a segment, in a segment of steps the boundary of a step: write the step's inputs,
    /// report progress, leave out this turn and all that follow in the segment, or stop by an error.
    ///
    /// # Errors
    /// Whatever is to stop the replay.
    fn boundary(
        &mut self,
        _executor: &mut E,
        _phase: &Phase,
        _segment: &Segment,
        _turn: u32,
        _turns: u32,
    ) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// A launch is done, or, where a turn is launched at once, its turn is.
    fn launched(&mut self, _number: u32, _launch: &Launch) {}
}

/// An observer that only lets the steps run once.
pub struct Silent;

impl<E> Observer<E> for Silent {}

/// One turn of segment number `segment`, launch by launch.
///
/// # Errors
/// A launch or a fetch that fails.
pub fn each_launch<'p, E: Executor<'p>, O: Observer<E>>(
    executor: &mut E,
    phase: &'p Phase,
    segment: usize,
    first: u32,
    observer: &mut O,
) -> Result<()> {
    let mut number = first;
    for item in phase.segments[segment].items.iter() {
        match item {
            Item::Launch(launch) => {
                executor.launch(number, launch, None)?;
                observer.launched(number, launch);
                number += 1;
            }
            Item::Loop(inner) => {
                for iteration in 0..inner.count {
                    for (number, launch) in (number..).zip(inner.body.iter()) {
                        executor.launch(number, launch, Some((inner, iteration)))?;
                        observer.launched(number, launch);
                    }
                    for fetch in inner.fetches.iter().filter(|fetch| fetch.after == iteration) {
                        executor.fetch(phase, fetch)?;
                    }
                }
                number += inner.body.len() as u32;
            }
        }
    }
    Ok(())
}
