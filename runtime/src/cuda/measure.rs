//! What whoever measures asks of an executor: times, and memory.

use std::time::Duration;

use super::Cuda;
use super::driver::Event;
use crate::error::{Error, Result};
use crate::plan::{Item, Port};

impl Cuda<'_> {
    /// Numbers and seconds of the launches that were made one by one since the last call, in their order.
    ///
    /// # Errors
    /// The card is lost.
    pub fn take_seconds(&mut self) -> Result<Vec<(u32, f64)>> {
        self.marks.take()
    }

    /// Seconds of launch `number`, which no loop repeats, in the phase that was entered last: of `times` that follow each
    /// other at once, behind one that is not counted. The host is faster than all but the smallest launches.
    ///
    /// # Errors
    /// There is no such launch, or what the driver refuses.
    pub fn seconds_of(&mut self, number: u32, times: u32) -> Result<f64> {
        let phase = &self.plan.phases[self.current];
        let (mut launch, mut at) = (None, phase.first);
        for item in phase.segments.iter().flat_map(|segment| segment.items.iter()) {
            match item {
                Item::Launch(own) => {
                    launch = launch.or((at == number).then_some(own));
                    at += 1;
                }
                Item::Loop(inner) => at += inner.body.len() as u32,
            }
        }
        let launch = launch.ok_or_else(|| Error::Host(format!("launch {number} is not alone")))?;
        let (start, end) = (Event::new(true)?, Event::new(true)?);
        let mut prepared = self.maker().launch(phase, number, launch, None)?;
        prepared.launch(&self.kernels, &self.main)?;
        start.record(&self.main)?;
        for _ in 0..times.max(1) {
            prepared.launch(&self.kernels, &self.main)?;
        }
        end.record(&self.main)?;
        self.main.wait()?;
        Ok(end.seconds_since(&start)? / f64::from(times.max(1)))
    }

    /// What the host spent on the turns of a segment, as graphs, since the last call: on writing what changes with a step,
    /// on launching, with issuing the copies of the streamed weights that a turn needs, and on telling the observer. Waiting
    /// for the card is not counted, nor what is copied meanwhile.
    pub fn take_host_time(&mut self, segment: usize) -> Duration {
        self.host_time.get_mut(segment).map(std::mem::take).unwrap_or_default()
    }

    /// Waits until the weights of the phase that was entered last are on the card.
    ///
    /// # Errors
    /// The card is lost.
    pub fn settle(&self) -> Result<()> {
        Ok(self.main.wait()?)
    }

    /// Sets every byte of a port.
    ///
    /// # Errors
    /// The card is lost.
    pub fn fill(&mut self, port: &Port, byte: u8) -> Result<()> {
        Ok(self.main.fill(self.memory.address() + port.offset, byte, port.bytes())?)
    }

    /// Bytes of the card that functions, graphs and the driver took beside the plan's memory.
    pub fn beside_bytes(&self) -> u64 {
        self.beside_bytes
    }
}
