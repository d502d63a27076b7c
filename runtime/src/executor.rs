//! The two things a replay is generic over: who computes, and who watches.

use std::borrow::Cow;

use crate::error::Result;
use crate::plan::{Fetch, Launch, Loop, Phase, Plan, Port, Segment};
use crate::replay::each_launch;

/// Carries out launches. `number` counts launches through the whole plan; in a loop, `turn` is the iteration.
pub trait Executor: Sized {
    /// Before the first segment of a phase: its constants are made resident, except those that are streamed.
    fn enter(&mut self, plan: &Plan, phase: &Phase) -> Result<()>;

    /// One turn of segment number `segment`, whose launches count from `first`. It is done when this returns.
    fn turn<O: Observer<Self>>(
        &mut self,
        plan: &Plan,
        phase: &Phase,
        segment: usize,
        first: u32,
        observer: &mut O,
    ) -> Result<()> {
        each_launch(self, plan, phase, segment, first, observer)
    }

    /// One launch; `row` is the current turn of the enclosing loop.
    fn launch(&mut self, plan: &Plan, number: u32, launch: &Launch, row: Option<(&Loop, u32)>) -> Result<()>;

    /// Brings streamed weights to their places. What read there before is done.
    fn fetch(&mut self, plan: &Plan, phase: &Phase, fetch: &Fetch) -> Result<()>;

    /// Bytes of a port.
    fn read(&mut self, port: &Port) -> Result<Cow<'_, [u8]>>;

    /// Writes a port; `bytes` are as many as it has.
    fn write(&mut self, port: &Port, bytes: &[u8]) -> Result<()>;
}

/// Watches a replay and feeds it at the seams. Does nothing unless told.
pub trait Observer<E> {
    /// How often a segment that repeats as the host says is to run.
    fn steps(&mut self, _segment: &Segment) -> u32 {
        1
    }

    /// Before turn `turn` of `turns` of a segment: write step inputs, report progress, or stop by an error.
    fn seam(
        &mut self,
        _executor: &mut E,
        _phase: &Phase,
        _segment: &Segment,
        _turn: u32,
        _turns: u32,
    ) -> Result<()> {
        Ok(())
    }

    /// A launch is done, or, where a turn is launched at once, its turn is.
    fn launched(&mut self, _number: u32, _launch: &Launch) {}
}

/// An observer that only lets the steps run once.
pub struct Silent;

impl<E> Observer<E> for Silent {}
