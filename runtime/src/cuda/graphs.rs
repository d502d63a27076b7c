//! The segments of a phase as graphs: every launch of a turn with its address filled in, behind what it waits for.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::argument::Argument;
use super::driver::{Event, Graph, Kernel, Node, Runnable, Stream, tensor_map};
use crate::error::{DeviceError, Error, Result};
use crate::plan::{
    ARGUMENT_HEADER, ARGUMENT_OPERAND, ARGUMENT_PARTS, Base, Code, Fetch, Function, Item, Launch, Loop,
    MAP_BYTES, Operand, Phase, Segment,
};

/// What a turn of a segment is, in order. A segment without streamed weights is one graph.
pub enum Piece<'a> {
    Graph(Runnable),
    /// Waits until streamed weights are there.
    Await(Rc<Event>),
    /// Lets streamed weights be brought when what is launched so far has ended.
    Fetch(&'a Fetch, Streamed),
}

/// The two ends of a fetch.
#[derive(Clone)]
pub struct Streamed {
    /// Happens when nobody reads the places any more.
    pub free: Rc<Event>,
    /// Happens when the weights are there.
    pub arrived: Rc<Event>,
}

/// A phase, ready to be replayed.
pub struct PhaseGraphs<'a> {
    /// By segment.
    pub segments: Vec<Vec<Piece<'a>>>,
    /// By place in [`Phase::fetches`].
    pub streamed: Vec<Streamed>,
}

/// A launch as the driver takes it: addresses and tensor maps are in its argument.
pub struct Prepared {
    /// By place in the code's functions.
    function: usize,
    blocks: u32,
    argument: Argument,
}

impl Prepared {
    /// Puts it into a stream.
    ///
    /// # Errors
    /// The driver refuses the launch.
    pub fn launch(&mut self, kernels: &[Kernel], stream: &Stream) -> std::result::Result<(), DeviceError> {
        stream.launch(&kernels[self.function], self.blocks, &mut self.argument)
    }

    pub fn function<'c>(&self, code: &'c Code) -> &'c Function {
        &code.functions[self.function]
    }
}

/// What launches are made of.
pub struct Maker<'m> {
    pub code: &'m Code,
    pub kernels: &'m [Kernel],
    /// The address of the plan's memory.
    pub memory: u64,
    /// Multiprocessors of the card.
    pub processors: u32,
    pub stream: &'m Stream,
}

/// Takes blocks from every part of an argument so that none has more than `most`; all that are left.
fn lower_blocks(argument: &mut [u8], most: u32) -> Option<u32> {
    let (words, _) = argument.get_mut(..4 * (1 + ARGUMENT_PARTS))?.as_chunks_mut::<4>();
    let (parts, ends) = words.split_first_mut()?;
    let (mut old, mut new) = (0, 0);
    for (number, word) in (0..).zip(ends) {
        let end = u32::from_le_bytes(*word);
        if number < u32::from_le_bytes(*parts) {
            new += end.checked_sub(old)?.min(most);
            old = end;
        }
        *word = new.to_le_bytes();
    }
    Some(new)
}

impl Maker<'_> {
    /// Makes the graphs of a phase.
    ///
    /// # Errors
    /// The driver refuses a launch, or has no memory for the graphs.
    pub fn phase<'a>(&self, phase: &'a Phase) -> Result<PhaseGraphs<'a>> {
        let pair =
            || Ok(Streamed { free: Rc::new(Event::new(false)?), arrived: Rc::new(Event::new(false)?) });
        let streamed = phase.fetches().map(|_| pair()).collect::<Result<Vec<_>>>()?;
        let mut segments = Vec::with_capacity(phase.segments.len());
        let (mut number, mut fetches) = (phase.first, streamed.iter());
        for segment in phase.segments.iter() {
            segments.push(self.segment(phase, segment, number, &mut fetches)?);
            number += segment.launches();
        }
        Ok(PhaseGraphs { segments, streamed })
    }

    fn segment<'a>(
        &self,
        phase: &'a Phase,
        segment: &'a Segment,
        first: u32,
        streamed: &mut std::slice::Iter<'_, Streamed>,
    ) -> Result<Vec<Piece<'a>>> {
        let mut draft = Draft::new(self.stream)?;
        let mut number = first;
        for item in segment.items.iter() {
            match item {
                Item::Launch(launch) => {
                    self.add(&mut draft, phase, number, launch, None)?;
                    number += 1;
                }
                Item::Loop(inner) => {
                    let ends: Vec<(&Fetch, &Streamed)> =
                        inner.fetches.iter().zip(streamed.take(inner.fetches.len())).collect();
                    for iteration in 0..inner.count {
                        draft.join();
                        for (_, streamed) in ends.iter().filter(|(fetch, _)| fetch.iteration == iteration) {
                            draft.cut(Piece::Await(Rc::clone(&streamed.arrived)))?;
                        }
                        for (number, launch) in (number..).zip(inner.body.iter()) {
                            self.add(&mut draft, phase, number, launch, Some((inner, iteration)))?;
                        }
                        for (fetch, streamed) in ends.iter().filter(|(fetch, _)| fetch.after == iteration) {
                            draft.cut(Piece::Fetch(fetch, (*streamed).clone()))?;
                        }
                    }
                    draft.join();
                    number += inner.body.len() as u32;
                }
            }
        }
        draft.close()?;
        Ok(draft.pieces)
    }

    fn add(
        &self,
        draft: &mut Draft<'_, '_>,
        phase: &Phase,
        number: u32,
        launch: &Launch,
        iteration: Option<(&Loop, u32)>,
    ) -> Result<()> {
        let Prepared { function, blocks, mut argument } = self.launch(phase, number, launch, iteration)?;
        draft
            .add(number, launch, &self.kernels[function], blocks, &mut argument)
            .map_err(|error| failed(number, launch, &self.code.functions[function], &error).into())
    }

    /// A launch, made.
    ///
    /// # Errors
    /// The code is that of another plan, or for another card.
    pub fn launch(
        &self,
        phase: &Phase,
        number: u32,
        launch: &Launch,
        iteration: Option<(&Loop, u32)>,
    ) -> Result<Prepared> {
        let other = || {
            Error::from(DeviceError::OtherPlan {
                have: self.code.plan.to_string(),
                want: format!("launch {number} of {}", phase.name),
            })
        };
        let (_, call, argument) = self.code.call(number).ok_or_else(other)?;
        let function = call.function as usize;
        if function >= self.kernels.len() || function >= self.code.functions.len() {
            return Err(other());
        }
        let mut argument = Argument::of(argument);
        let mut addresses = Vec::new();
        let operands = launch.parts.iter().flat_map(|p| p.reads.iter().chain([&p.write]));
        for (i, operand) in operands.enumerate() {
            let at = ARGUMENT_HEADER + i * ARGUMENT_OPERAND;
            let address = self.address(phase, operand, iteration).ok_or_else(other)?;
            argument.get_mut(at..at + 8).ok_or_else(other)?.copy_from_slice(&address.to_le_bytes());
            addresses.push(address);
        }
        for map in self.code.maps(call).ok_or_else(other)? {
            let (at, address) = (map.at as usize, addresses.get(map.operand as usize));
            let made = tensor_map(map, *address.ok_or_else(other)?)?;
            argument.get_mut(at..at + MAP_BYTES).ok_or_else(other)?.copy_from_slice(&made);
        }
        let strides = self.code.functions[function].strides;
        let lowered = strides.then(|| lower_blocks(&mut argument, self.processors).ok_or_else(other));
        Ok(Prepared { function, blocks: lowered.unwrap_or(Ok(call.blocks))?, argument })
    }

    fn address(&self, phase: &Phase, operand: &Operand, iteration: Option<(&Loop, u32)>) -> Option<u64> {
        let steps = iteration.map_or(0, |(_, i)| i);
        let base = match operand.base {
            Base::Arena => operand.step * u64::from(steps),
            Base::Constant(constant) => phase.place(constant)?,
            Base::Column(column) => {
                let (inner, i) = iteration?;
                phase.place(*inner.rows.get((i * inner.columns + column) as usize)?)?
            }
        };
        Some(self.memory + base + operand.offset)
    }
}

/// The error of a launch that is known to have failed.
pub fn failed(number: u32, launch: &Launch, function: &Function, error: &DeviceError) -> DeviceError {
    let path = launch.parts.first().map_or(String::new(), |part| part.path.to_string());
    DeviceError::Launch { number, function: function.symbol.to_string(), path, why: error.to_string() }
}

/// A segment's pieces, and the graph that is being built.
struct Draft<'a, 's> {
    stream: &'s Stream,
    pieces: Vec<Piece<'a>>,
    graph: Graph,
    empty: bool,
    /// The last launches of each queue: what its next one stands behind.
    tails: BTreeMap<u8, Vec<Node>>,
    /// What the first launch of a queue stands behind that has none since queues met.
    joined: Vec<Node>,
    /// By number, in the current iteration.
    nodes: BTreeMap<u32, Node>,
}

impl<'a, 's> Draft<'a, 's> {
    fn new(stream: &'s Stream) -> Result<Draft<'a, 's>> {
        let (pieces, tails, joined, nodes) = Default::default();
        Ok(Draft { stream, pieces, graph: Graph::new()?, empty: true, tails, joined, nodes })
    }

    fn add(
        &mut self,
        number: u32,
        launch: &Launch,
        kernel: &Kernel,
        blocks: u32,
        argument: &mut [u8],
    ) -> std::result::Result<(), DeviceError> {
        let mut behind = self.tails.get(&launch.queue).unwrap_or(&self.joined).clone();
        behind.extend(launch.waits.iter().filter_map(|number| self.nodes.get(number)));
        behind.sort_unstable();
        behind.dedup();
        let node = self.graph.add(kernel, blocks, argument, &behind)?;
        self.empty = false;
        self.tails.insert(launch.queue, vec![node]);
        self.nodes.insert(number, node);
        Ok(())
    }

    /// All queues meet.
    fn join(&mut self) {
        if !self.tails.is_empty() {
            self.joined = std::mem::take(&mut self.tails).into_values().flatten().collect();
        }
        self.nodes.clear();
    }

    /// Ends the graph: what comes next in the stream stands behind all of it.
    fn close(&mut self) -> Result<()> {
        if !self.empty {
            let graph = std::mem::replace(&mut self.graph, Graph::new()?);
            self.pieces.push(Piece::Graph(graph.runnable(self.stream)?));
            self.empty = true;
        }
        self.tails.clear();
        self.joined.clear();
        self.nodes.clear();
        Ok(())
    }

    fn cut(&mut self, piece: Piece<'a>) -> Result<()> {
        self.close()?;
        self.pieces.push(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_keeps_as_many_blocks_as_there_are_processors() {
        let header = |parts: u32, ends: [u32; 8]| -> Vec<u8> {
            let words = [parts].into_iter().chain(ends).flat_map(u32::to_le_bytes);
            words.chain([0; ARGUMENT_HEADER - 36]).collect()
        };
        let mut argument = header(3, [5, 7, 17, 17, 17, 17, 17, 17]);
        assert_eq!(lower_blocks(&mut argument, 3), Some(8));
        assert_eq!(argument, header(3, [3, 5, 8, 8, 8, 8, 8, 8]));
        assert_eq!(lower_blocks(&mut argument, 100), Some(8), "what is below stays");
        assert_eq!(lower_blocks(&mut header(2, [5, 4, 4, 4, 4, 4, 4, 4]), 3), None, "ends that go back");
        assert_eq!(lower_blocks(&mut [0; 8], 3), None, "half a header");
    }
}
