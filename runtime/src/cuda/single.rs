//! Launches one by one, in the order of their numbers: each timed, or each waited for.

use std::collections::VecDeque;

use super::driver::{Event, Stream};
use super::graphs::{Maker, Prepared};
use crate::error::Result;
use crate::plan::{Item, Phase, Segment};

impl Maker<'_> {
    /// The launches of a turn of a segment whose launches count from `first`.
    ///
    /// # Errors
    /// As [`Maker::launch`].
    pub fn turn(&self, phase: &Phase, segment: &Segment, first: u32) -> Result<VecDeque<Prepared>> {
        let (mut all, mut number) = (VecDeque::new(), first);
        for item in segment.items.iter() {
            match item {
                Item::Launch(launch) => {
                    all.push_back(self.launch(phase, number, launch, None)?);
                    number += 1;
                }
                Item::Loop(inner) => {
                    for iteration in 0..inner.count {
                        for (number, launch) in (number..).zip(inner.body.iter()) {
                            all.push_back(self.launch(phase, number, launch, Some((inner, iteration)))?);
                        }
                    }
                    number += inner.body.len() as u32;
                }
            }
        }
        Ok(all)
    }
}

/// When launches were done.
#[derive(Default)]
pub struct Marks {
    /// Made before they are wanted.
    spare: Vec<Event>,
    /// The number of a launch, and when it was done. A turn begins with a mark of no launch.
    made: Vec<(Option<u32>, Event)>,
}

impl Marks {
    /// Makes events for so many marks, so that nothing has to be made between launches.
    ///
    /// # Errors
    /// The card is lost.
    pub fn expect(&mut self, count: usize) -> Result<()> {
        while self.spare.len() < count {
            self.spare.push(Event::new(true)?);
        }
        Ok(())
    }

    /// # Errors
    /// The card is lost.
    pub fn mark(&mut self, number: Option<u32>, stream: &Stream) -> Result<()> {
        let event = self.spare.pop().map_or_else(|| Event::new(true), Ok)?;
        event.record(stream)?;
        self.made.push((number, event));
        Ok(())
    }

    /// Numbers and seconds of the launches since the last call, in their order.
    ///
    /// # Errors
    /// The card is lost.
    pub fn take(&mut self) -> Result<Vec<(u32, f64)>> {
        let marks = std::mem::take(&mut self.made);
        let pairs = marks.windows(2).filter_map(|pair| Some((pair[1].0?, pair)));
        pairs.map(|(number, pair)| Ok((number, pair[1].1.seconds_since(&pair[0].1)?))).collect()
    }
}
