//! Constants on their way to the card: from mapped files through a ring of pinned memory, on a stream of their own.
//!
//! Transfers wait in a queue and are issued piece by piece by whoever has time: the host fills pinned memory, the card's
//! copy engine takes it from there. A buffer of the ring is filled again when its copies have ended.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::driver::{Event, Pinned, Stream};
use crate::constants::{AHEAD_BYTES, Weights, editions, fail, file_dtype, find, give_back, soon};
use crate::error::Result;
use crate::plan::{Constant, Layout, Origin, Phase, Plan, Source, Text};

/// Bytes of a pinned buffer: long enough for the copy engine to be at full speed, short enough to begin early.
const PINNED_BYTES: usize = 16 << 20;
const PINNED_BUFFERS: usize = 4;
/// Constants in a buffer are as far apart as alignment wants.
const ALIGN: usize = 256;

/// Where weights come from.
#[derive(Clone, Copy)]
pub enum Supply<'a> {
    Files(&'a dyn Weights),
    /// Small numbers that mean nothing, the same few megabytes over and over: so that speed can be measured without a
    /// model. Tables are real.
    Random,
}

/// Constants that are to be at their places in a phase.
pub struct Transfer<'a> {
    pub phase: &'a Phase,
    pub constants: Cow<'a, [u32]>,
    /// What reads the places now.
    pub behind: Option<Rc<Event>>,
    /// Happens when all of them are there.
    pub arrived: Rc<Event>,
}

struct Buffer {
    memory: Pinned,
    copied: Event,
}

/// What weights are made of.
enum Stock<'a> {
    Files(&'a dyn Weights),
    /// Every weight of these numbers.
    Pattern(Pinned),
}

/// A constant that is whole on the card.
#[derive(Clone, Copy)]
struct Resident {
    /// Counted from the plan's memory.
    at: u64,
    bytes: u64,
    edition: u64,
}

/// A constant of the plan, as other plans of a suite know it.
#[derive(Clone, Copy)]
struct Known {
    number: usize,
    /// Of all its tensors.
    edition: u64,
}

/// The queue, the ring and what is where.
pub struct Loader<'a> {
    plan: &'a Plan,
    /// By place in the plan.
    known: Vec<Known>,
    stock: Stock<'a>,
    /// The address of the plan's memory.
    memory: u64,
    stream: Stream,
    ring: Vec<Buffer>,
    current: usize,
    used: usize,
    queue: VecDeque<Transfer<'a>>,
    /// Of the first transfer: the constant that is under way, and how many of its bytes are issued.
    at: (usize, usize),
    /// How many constants of the queue were asked for, from the one under way on.
    asked: usize,
    /// By number.
    resident: Vec<Option<Resident>>,
    brought_bytes: u64,
}

fn known(plan: &Plan, numbers: &[u32], supply: Supply<'_>) -> Vec<Known> {
    let edition = |constant: &Constant| match supply {
        Supply::Files(files) => {
            let mut hasher = DefaultHasher::new();
            editions(files, constant).hash(&mut hasher);
            hasher.finish()
        }
        Supply::Random => 0,
    };
    let of = |(constant, number): (&Constant, &u32)| Known {
        number: *number as usize,
        edition: edition(constant),
    };
    plan.constants.iter().zip(numbers).map(of).collect()
}

fn longest_queue(plan: &Plan) -> usize {
    plan.phases.iter().map(|p| p.fetches().count()).max().unwrap_or(0) + 2
}

impl<'a> Loader<'a> {
    /// For a plan whose constants have these numbers, each its own.
    ///
    /// # Errors
    /// The system does not pin the ring.
    pub fn new(plan: &'a Plan, numbers: &[u32], supply: Supply<'a>, memory: u64) -> Result<Loader<'a>> {
        let buffer = || Ok(Buffer { memory: Pinned::new(PINNED_BYTES)?, copied: Event::new(false)? });
        let mut loader = Loader {
            plan,
            known: Vec::new(),
            stock: match supply {
                Supply::Files(files) => Stock::Files(files),
                Supply::Random => Stock::Pattern(pattern()?),
            },
            memory,
            stream: Stream::new()?,
            ring: (0..PINNED_BUFFERS).map(|_| buffer()).collect::<Result<_>>()?,
            current: 0,
            used: 0,
            queue: VecDeque::new(),
            at: (0, 0),
            asked: 0,
            resident: Vec::new(),
            brought_bytes: 0,
        };
        loader.known_as(plan, numbers, supply);
        Ok(loader)
    }

    /// Goes over to another plan in the same memory, with numbers of the same suite: what is there stays.
    ///
    /// # Errors
    /// The card is lost.
    pub fn change(&mut self, plan: &'a Plan, numbers: &[u32], supply: Supply<'a>) -> Result<()> {
        self.clear();
        self.stream.wait()?;
        match (supply, &self.stock) {
            (Supply::Files(files), _) => self.stock = Stock::Files(files),
            (Supply::Random, Stock::Pattern(_)) => {}
            (Supply::Random, Stock::Files(_)) => self.stock = Stock::Pattern(pattern()?),
        }
        self.known_as(plan, numbers, supply);
        Ok(())
    }

    fn known_as(&mut self, plan: &'a Plan, numbers: &[u32], supply: Supply<'_>) {
        self.plan = plan;
        self.known = known(plan, numbers, supply);
        let count = self.known.iter().map(|known| known.number + 1).max().unwrap_or(0);
        self.resident.resize(count.max(self.resident.len()), None);
        self.queue.reserve(longest_queue(plan));
    }

    /// Where a constant lies, counted from the plan's memory, if it is there.
    pub fn resident(&self, constant: u32) -> Option<u64> {
        let Known { number, edition } = self.known[constant as usize];
        self.resident[number].filter(|resident| resident.edition == edition).map(|resident| resident.at)
    }

    /// Bytes of constants that were brought so far.
    pub fn brought_bytes(&self) -> u64 {
        self.brought_bytes
    }

    /// A phase begins: what lies in its arena or at a place of its constants may be written over from now on, but for these
    /// themselves. All else stays, whatever plan it is of.
    pub fn enter(&mut self, phase: &Phase) {
        let mut taken = vec![(0, phase.arena_bytes)];
        for (constant, from) in phase.constants.iter().zip(phase.places.iter()) {
            let known = self.known[*constant as usize];
            let whole = |resident: &Resident| resident.at == *from && resident.edition == known.edition;
            if !self.resident[known.number].as_ref().is_some_and(whole) {
                // A copy at another place would be taken for the one that is to come.
                self.resident[known.number] = None;
            }
            taken.push((*from, from + self.plan.constants[*constant as usize].bytes()));
        }
        taken.sort_unstable();
        // The largest end up to each of them: places of streamed constants meet.
        let ends: Vec<u64> = taken
            .iter()
            .scan(0, |most, (_, to)| {
                *most = (*most).max(*to);
                Some(*most)
            })
            .collect();
        let mut own: Vec<usize> =
            phase.constants.iter().map(|constant| self.known[*constant as usize].number).collect();
        own.sort_unstable();
        for (number, resident) in self.resident.iter_mut().enumerate() {
            let free = |Resident { at, bytes, .. }: &Resident| {
                // Those that begin before it ends.
                let before = taken.partition_point(|(from, _)| *from < at + bytes);
                before == 0 || ends[before - 1] <= *at
            };
            *resident = resident.filter(|resident| own.binary_search(&number).is_ok() || free(resident));
        }
    }

    /// Forgets what is not issued yet.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.at = (0, 0);
        self.asked = 0;
    }

    /// Asks for the stored bytes of the constant that is under way and of some behind it, so that they come from the disk
    /// while others are copied.
    fn ask_ahead(&mut self) {
        let Stock::Files(files) = &self.stock else { return };
        let queue = self.queue.iter().flat_map(|transfer| transfer.constants.iter());
        let queue = queue.skip(self.at.0).map(|constant| &self.plan.constants[*constant as usize]);
        let mut coming = 0;
        for (i, constant) in queue.enumerate() {
            if i < self.asked {
                coming += constant.bytes();
            } else if coming < AHEAD_BYTES {
                coming += soon(*files, constant);
                self.asked += 1;
            } else {
                break;
            }
        }
    }

    pub fn push(&mut self, transfer: Transfer<'a>) {
        self.queue.push_back(transfer);
    }

    /// Issues everything up to the transfer that makes `arrived` happen, if it still waits.
    ///
    /// # Errors
    /// As [`Loader::step`].
    pub fn issue(&mut self, arrived: &Rc<Event>) -> Result<()> {
        while self.queue.iter().any(|t| Rc::ptr_eq(&t.arrived, arrived)) {
            self.step()?;
        }
        Ok(())
    }

    /// Issues the next piece. False when there is none.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or has a type that cannot be converted; a model file was changed; the card
    /// is lost.
    pub fn step(&mut self) -> Result<bool> {
        let Some(transfer) = self.queue.front() else { return Ok(false) };
        if let (Some(behind), (0, 0)) = (&transfer.behind, self.at) {
            self.stream.wait_for(behind)?;
        }
        let (index, from) = self.at;
        match transfer.constants.get(index).copied() {
            Some(constant) => {
                let place = transfer.phase.place(constant);
                let place = place.ok_or_else(|| {
                    fail(&self.plan.constants[constant as usize], "has no place in this phase".to_string())
                })?;
                // Other constants that lie there are no longer whole.
                let end = place + self.plan.constants[constant as usize].bytes();
                if from == 0 {
                    self.ask_ahead();
                    for other in &mut self.resident {
                        *other = other.filter(|other| other.at >= end || other.at + other.bytes <= place);
                    }
                }
                let issued = from + self.piece(constant, place, from)?;
                let bytes = self.plan.constants[constant as usize].bytes();
                if issued == bytes as usize {
                    if let Stock::Files(files) = &self.stock {
                        give_back(*files, &self.plan.constants[constant as usize]);
                    }
                    let Known { number, edition } = self.known[constant as usize];
                    self.resident[number] = Some(Resident { at: place, bytes, edition });
                    self.brought_bytes += bytes;
                    self.at = (index + 1, 0);
                    self.asked = self.asked.saturating_sub(1);
                } else {
                    self.at = (index, issued);
                }
            }
            None => {
                // What was changed meanwhile is not to be used.
                if let Stock::Files(files) = &self.stock {
                    files.unchanged()?;
                }
                transfer.arrived.record(&self.stream)?;
                self.queue.pop_front();
                self.at = (0, 0);
            }
        }
        Ok(true)
    }

    /// Issues bytes of a constant from `from` on, at least one; returns how many.
    fn piece(&mut self, constant: u32, place: u64, from: usize) -> Result<usize> {
        let constant = &self.plan.constants[constant as usize];
        let left = constant.bytes() as usize - from;
        let to = self.memory + place + from as u64;
        match (&constant.origin, &self.stock) {
            (Origin::Weight { .. }, Stock::Pattern(pattern)) => {
                let bytes = PINNED_BYTES.min(left);
                self.stream.upload_pinned(to, pattern, 0, bytes)?;
                Ok(bytes)
            }
            (Origin::Table { offset }, _) => {
                let from = *offset as usize + from;
                let bytes = self.room(1)?.min(left);
                let table = self.plan.tables.get(from..from + bytes);
                let table =
                    table.ok_or_else(|| fail(constant, "is outside the plan's tables".to_string()))?;
                self.ring[self.current].memory.bytes_mut(self.used, bytes).copy_from_slice(table);
                self.send(to, bytes)
            }
            (Origin::Weight { source, tensors, .. }, Stock::Files(files)) => {
                let files = *files;
                // A file that was cut short is not to be touched.
                files.unchanged()?;
                let bytes = self.fill(files, constant, (*source, tensors), from)?;
                self.send(to, bytes)
            }
        }
    }

    /// Fills the buffer with bytes of a weight from `from` on: those of one tensor, as many as there is room for, of filters
    /// in another order and of what stays encoded whole rows. Returns how many.
    fn fill(
        &mut self,
        files: &dyn Weights,
        constant: &Constant,
        (source, tensors): (Source, &[(Text, u32)]),
        from: usize,
    ) -> Result<usize> {
        let row = constant.bytes() as usize / constant.shape.first().map_or(1, |n| *n as usize).max(1);
        let whole = if constant.layout() == Layout::Plain { 1 } else { row.max(1) };
        if whole > PINNED_BYTES {
            return Err(fail(constant, format!("has rows of {row} bytes, and {PINNED_BYTES} are possible")));
        }
        let room = self.room(whole)?;
        let mut begin = 0;
        let holds = |(_, rows): &&(Text, u32)| {
            let end = begin + row * *rows as usize;
            let inside = from < end;
            begin = if inside { begin } else { end };
            inside
        };
        let Some((name, rows)) = tensors.iter().find(holds) else {
            return Err(fail(constant, "has fewer rows than the plan says".to_string()));
        };
        let tensor = find(files, constant, source, name, *rows)?;
        let bytes = room.min(begin + row * *rows as usize - from) / whole * whole;
        let (dtype, size) = (file_dtype(constant.dtype), constant.dtype.bytes() as usize);
        let first = (from - begin) / size;
        let out = self.ring[self.current].memory.bytes_mut(self.used, bytes);
        let read = match constant.layout() {
            Layout::Plain => tensor.read_range(dtype, first, out),
            Layout::ChannelsLast => tensor.read_channels_last(dtype, first * size / row, out),
            Layout::Encoded { kept, .. } => tensor.read_kept(kept, first / row, out),
        };
        read.map_err(|e| fail(constant, e.to_string()))?;
        Ok(bytes)
    }

    /// Bytes that are free in the buffer, at least `whole`: of the next one, where they are not.
    fn room(&mut self, whole: usize) -> Result<usize> {
        if self.used + whole.max(ALIGN) > PINNED_BYTES {
            self.next_buffer()?;
        }
        Ok(PINNED_BYTES - self.used)
    }

    /// Copies the bytes that were filled last to the card; returns how many.
    fn send(&mut self, to: u64, bytes: usize) -> Result<usize> {
        self.stream.upload_pinned(to, &self.ring[self.current].memory, self.used, bytes)?;
        self.used = (self.used + bytes).next_multiple_of(ALIGN);
        Ok(bytes)
    }

    /// Closes the buffer; the next one is free as soon as what it held has been copied.
    fn next_buffer(&mut self) -> Result<()> {
        self.ring[self.current].copied.record(&self.stream)?;
        self.current = (self.current + 1) % self.ring.len();
        self.used = 0;
        Ok(self.ring[self.current].copied.wait()?)
    }
}

/// Numbers around ±0.02: as bf16, and, two of them together, as f32.
fn pattern() -> Result<Pinned> {
    let mut memory = Pinned::new(PINNED_BYTES)?;
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for number in memory.bytes_mut(0, PINNED_BYTES).chunks_exact_mut(2) {
        // Knuth's linear congruential generator; its upper bits are good enough to keep the card's adders busy.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sign_and_fraction = (state >> 48) as u16 & 0x807F;
        let exponent = 119 + (state >> 40 & 3) as u16;
        number.copy_from_slice(&(sign_and_fraction | exponent << 7).to_le_bytes());
    }
    Ok(memory)
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        // Pinned memory must outlive its copies. Where this fails, the card is lost, and nothing copies.
        let _ = self.stream.wait();
    }
}
