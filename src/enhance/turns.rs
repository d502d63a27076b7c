//! The turns of a phase that takes a token each.

use std::ops::ControlFlow;

use zoetrope_runtime::plan::{Phase, Port, Repeat, Role, Segment};
use zoetrope_runtime::{Executor, Observer, Result};

use crate::finite;
use crate::session::Watch;
use crate::tensors::Tensor;

/// One in so many turns is told of: they are short.
const TOLD: u32 = 32;

/// Hands in a token before every turn, and chooses the next one by what the turn left.
pub struct Turns<'t> {
    ports: Vec<&'t Port>,
    logits: Option<&'t Port>,
    /// The token of the next turn, and its place.
    next: (i32, usize),
    written: Vec<i32>,
    most: usize,
    choose: &'t mut dyn FnMut(&[f32]) -> Option<i32>,
    watch: &'t mut dyn Watch,
}

impl<'t> Turns<'t> {
    /// `first` is the token of the first turn, and how many stand before it. After `most` tokens, or when `choose` has none,
    /// there are no more turns.
    pub fn new(
        phase: &'t Phase,
        first: (i32, usize),
        most: usize,
        choose: &'t mut dyn FnMut(&[f32]) -> Option<i32>,
        watch: &'t mut dyn Watch,
    ) -> Turns<'t> {
        let per_turn = phase.inputs.iter().filter(|port| port.role.per_step());
        let logits = phase.outputs.iter().find(|port| port.role == Role::Logits);
        Turns { ports: per_turn.collect(), logits, next: first, written: Vec::new(), most, choose, watch }
    }

    /// The tokens that were chosen.
    pub fn written(self) -> Vec<i32> {
        self.written
    }

    /// Chooses the next token by the logits of the turn before.
    fn choose<'p, E: Executor<'p>>(&mut self, executor: &mut E, phase: &Phase) -> Result<ControlFlow<()>> {
        let Some(port) = self.logits else { return Ok(ControlFlow::Break(())) };
        let bytes = executor.read(port)?;
        finite::check(phase, port, &bytes)?;
        let Some(token) = (self.choose)(&Tensor::from_port(port, &bytes).reals()) else {
            return Ok(ControlFlow::Break(()));
        };
        self.written.push(token);
        self.next = (token, self.next.1 + 1);
        Ok(if self.written.len() < self.most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }
}

impl<'p, E: Executor<'p>> Observer<E> for Turns<'_> {
    /// One more than there are tokens: before it the last one is chosen.
    fn steps(&mut self, _segment: &Segment) -> u32 {
        self.most as u32 + 1
    }

    fn boundary(
        &mut self,
        executor: &mut E,
        phase: &Phase,
        segment: &Segment,
        turn: u32,
        _turns: u32,
    ) -> Result<ControlFlow<()>> {
        if segment.repeat == Repeat::Steps {
            if turn > 0 && self.choose(executor, phase)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            for port in &self.ports {
                let number = if port.role == Role::Token { self.next.0 } else { self.next.1 as i32 };
                executor.write(port, &number.to_le_bytes())?;
            }
        }
        if turn.is_multiple_of(TOLD) {
            self.watch.boundary(&phase.name, &segment.name, turn, self.most as u32)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn launched(&mut self, _number: u32, launch: &zoetrope_runtime::plan::Launch) {
        self.watch.launched(launch.flops());
    }
}
