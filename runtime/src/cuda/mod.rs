//! The CUDA executor: the plan's launches as graphs, on one card.
//!
//! All memory is one allocation of the plan's peak. Functions are loaded and the graphs of all phases are made when the
//! executor is; a turn of a segment is then one graph, unless weights are streamed in the midst of it. While the card
//! works, the host brings what the next phase needs, where there is room for it beside this one.

mod argument;
mod driver;
mod graphs;
mod loader;
mod measure;
mod single;

pub use crate::error::DeviceError;
pub use driver::Card;
pub use loader::Supply;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::executor::{Executor, Observer, each_launch};
use crate::plan::{Arch, Code, Fetch, Function, Launch, Loop, Phase, Placed, Plan, Port};
use driver::{Context, Event, Kernel, Memory, Stream};
use graphs::{Maker, PhaseGraphs, Piece, Prepared, failed};
use loader::{Loader, Transfer};
use single::Marks;

/// What the driver, functions and graphs take beside the plan's memory. An assumption: it was never measured.
const CODE_BYTES: u64 = 256 << 20;

/// Where machine code comes from.
pub trait Images {
    /// The machine code of a function for an architecture.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    fn image(
        &self,
        card: &Card,
        arch: &Arch,
        function: &Function,
    ) -> std::result::Result<Cow<'_, [u8]>, DeviceError>;
}

/// How a turn is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As graphs.
    Graphs,
    /// One by one, in the order of their numbers, each timed ([`Cuda::take_seconds`]).
    Single,
    /// One by one, each waited for, so that an error names the launch.
    Checked,
}

/// A plan on a card.
pub struct Cuda<'a> {
    plan: &'a Plan,
    code: &'a Code,
    /// By place in the plan.
    phases: Vec<PhaseGraphs<'a>>,
    /// The phase that was entered last.
    current: usize,
    kernels: Vec<Kernel>,
    loader: Loader<'a>,
    mode: Mode,
    /// The launches of a turn that is launched one by one, before it begins: what the host does for them is not timed.
    prepared: VecDeque<Prepared>,
    marks: Marks,
    /// What the card has less since this was made, beside the plan's memory: functions, graphs, the driver's own.
    beside_bytes: u64,
    /// By segment ([`Cuda::take_host_time`]).
    host_time: Vec<Duration>,
    /// What the host spent at the boundary before the next turn.
    at_boundary: Duration,
    /// Recorded behind a turn.
    done: Event,
    main: Stream,
    memory: Memory,
    card: Card,
    // Dropped last: everything above belongs to it.
    context: Context,
}

/// What of the code is for a card.
fn arch<'c>(card: &Card, plan: &Plan, code: &'c Code) -> Result<&'c Arch> {
    if code.plan != plan.name {
        let (have, want) = (code.plan.to_string(), plan.name.to_string());
        return Err(DeviceError::OtherPlan { have, want }.into());
    }
    code.arch(card.capability).ok_or_else(|| {
        let known: Vec<_> = code.archs.iter().flat_map(|a| a.serves.iter()).collect();
        let known: Vec<_> = known.iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
        let (card, capability) = (card.name.clone(), card.capability);
        DeviceError::OtherCard { card, capability, known: known.join(", ") }.into()
    })
}

impl<'a> Cuda<'a> {
    /// Takes the card's memory, loads the functions and makes the graphs. Reads no weight yet.
    ///
    /// # Errors
    /// No driver, no card, one that the code is not for, too little free memory, or what the driver refuses.
    pub fn new(
        card: Card,
        plan: &'a Plan,
        code: &'a Code,
        images: &dyn Images,
        supply: Supply<'a>,
    ) -> Result<Cuda<'a>> {
        let own: Vec<u32> = (0..plan.constants.len() as u32).collect();
        Cuda::numbered(card, (plan, &own), code, images, supply)
    }

    /// As [`Cuda::new`], for a member of a suite, and with the memory of the suite.
    ///
    /// # Errors
    /// As there.
    pub fn in_suite(
        card: Card,
        placed: &'a Placed,
        code: &'a Code,
        images: &dyn Images,
        supply: Supply<'a>,
    ) -> Result<Cuda<'a>> {
        Cuda::numbered(card, (&placed.plan, &placed.constants), code, images, supply)
    }

    fn numbered(
        card: Card,
        (plan, numbers): (&'a Plan, &[u32]),
        code: &'a Code,
        images: &dyn Images,
        supply: Supply<'a>,
    ) -> Result<Cuda<'a>> {
        arch(&card, plan, code)?;
        let context = Context::of(&card)?;
        let (free, total) = context.memory()?;
        let too_little = || {
            let (needed, reserve) = (plan.peak_bytes, CODE_BYTES);
            let (card, plan) = (card.name.clone(), plan.name.to_string());
            DeviceError::Memory { card, plan, needed, reserve, free, total }
        };
        if !card.integrated && free < plan.peak_bytes + CODE_BYTES {
            return Err(too_little().into());
        }
        let memory = Memory::new(plan.peak_bytes)
            .map_err(|error| if error.is_out_of_memory() { too_little() } else { error })?;
        let loader = Loader::new(plan, numbers, supply, memory.address())?;
        let mut cuda = Cuda {
            plan,
            code,
            phases: Vec::new(),
            current: 0,
            loader,
            kernels: Vec::new(),
            mode: Mode::Graphs,
            prepared: VecDeque::new(),
            marks: Marks::default(),
            beside_bytes: 0,
            host_time: Vec::new(),
            at_boundary: Duration::ZERO,
            done: Event::new(false)?,
            main: Stream::new()?,
            memory,
            card,
            context,
        };
        cuda.make(images)?;
        cuda.beside_bytes = free.saturating_sub(cuda.context.memory()?.0).saturating_sub(plan.peak_bytes);
        Ok(cuda)
    }

    /// Goes over to another member of the same suite in the same memory: functions and graphs are made anew, and what lies
    /// where it wants it is not brought again.
    ///
    /// # Errors
    /// As [`Cuda::new`], but for memory; and a plan that wants more.
    pub fn changed(
        mut self,
        placed: &'a Placed,
        code: &'a Code,
        images: &dyn Images,
        supply: Supply<'a>,
    ) -> Result<Cuda<'a>> {
        let plan = &placed.plan;
        arch(&self.card, plan, code)?;
        if plan.peak_bytes > self.plan.peak_bytes {
            let (have, want) = (self.plan.name.to_string(), format!("{}, which has more memory", plan.name));
            return Err(DeviceError::OtherPlan { have, want }.into());
        }
        self.main.wait()?;
        // Graphs first: they hold functions.
        self.phases.clear();
        self.kernels.clear();
        self.prepared.clear();
        self.loader.change(plan, &placed.constants, supply)?;
        (self.plan, self.code, self.current) = (plan, code, 0);
        self.make(images)?;
        Ok(self)
    }

    /// Loads the functions of the plan and makes its graphs.
    fn make(&mut self, images: &dyn Images) -> Result<()> {
        let arch = arch(&self.card, self.plan, self.code)?;
        let load = |f: &Function| {
            let image = images.image(&self.card, arch, f)?;
            Kernel::load(&image, &f.symbol, f.threads, f.shared)
        };
        self.kernels =
            self.code.functions.iter().map(load).collect::<std::result::Result<_, DeviceError>>()?;
        let maker = self.maker();
        self.phases = self.plan.phases.iter().map(|phase| maker.phase(phase)).collect::<Result<_>>()?;
        let segments = self.plan.phases.iter().map(|phase| phase.segments.len()).max().unwrap_or(0);
        self.host_time = vec![Duration::ZERO; segments];
        Ok(())
    }

    /// Bytes of constants that were brought to the card so far.
    pub fn brought_bytes(&self) -> u64 {
        self.loader.brought_bytes()
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// How the next turns are launched.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    fn maker(&self) -> Maker<'_> {
        let (memory, processors) = (self.memory.address(), self.card.processors);
        Maker { code: self.code, kernels: &self.kernels, memory, processors, stream: &self.main }
    }

    /// Brings a fetch's weights when what is launched so far has ended.
    fn begin_fetch(&mut self, index: usize, fetch: &'a Fetch) -> Result<()> {
        let streamed = self.phases[self.current].streamed[index].clone();
        streamed.free.record(&self.main)?;
        self.loader.push(Transfer {
            phase: &self.plan.phases[self.current],
            constants: Cow::Borrowed(&fetch.constants),
            behind: Some(streamed.free),
            arrived: streamed.arrived,
        });
        Ok(())
    }

    /// Constants of the next phase for which there is room beside this one.
    fn early(&self) -> Option<(&'a Phase, Vec<u32>)> {
        let (phase, next) = (&self.plan.phases[self.current], self.plan.phases.get(self.current + 1)?);
        let bytes = |constant: u32| self.plan.constants[constant as usize].bytes();
        let own = phase.constants.iter().zip(phase.places.iter()).map(|(c, at)| (*at, at + bytes(*c)));
        // What else lies there is not wanted by this phase, and the next one has no room for it.
        let taken: Vec<(u64, u64)> = own.chain([(0, phase.arena_bytes)]).collect();
        let streamed = streamed(next);
        let fits = |constant: &u32| {
            let place =
                next.place(*constant).filter(|_| self.loader.resident(*constant) != next.place(*constant));
            place.is_some_and(|from| {
                let to = from + bytes(*constant);
                taken.iter().all(|(begin, end)| to <= *begin || *end <= from)
            })
        };
        let list: Vec<u32> =
            next.constants.iter().filter(|c| !streamed.contains(c) && fits(c)).copied().collect();
        Some((next, list))
    }
}

/// Constants that have no place of their own in a phase.
fn streamed(phase: &Phase) -> BTreeSet<u32> {
    phase.fetches().flat_map(|(_, fetch)| fetch.constants.iter().copied()).collect()
}

impl<'a> Executor<'a> for Cuda<'a> {
    fn plan(&self) -> &'a Plan {
        self.plan
    }

    fn enter(&mut self, phase: &'a Phase) -> Result<()> {
        let index = self.plan.phases.iter().position(|own| std::ptr::eq(own, phase));
        self.current = index.ok_or_else(|| Error::NoPhase(phase.name.to_string()))?;
        self.loader.clear();
        self.loader.enter(phase);
        let streamed = streamed(phase);
        let missing = |c: &u32| !streamed.contains(c) && self.loader.resident(*c).is_none();
        let missing: Vec<u32> = phase.constants.iter().copied().filter(missing).collect();
        let (free, arrived) = (Rc::new(Event::new(false)?), Rc::new(Event::new(false)?));
        free.record(&self.main)?;
        let constants = Cow::Owned(missing);
        self.loader.push(Transfer { phase, constants, behind: Some(free), arrived: Rc::clone(&arrived) });
        self.loader.issue(&arrived)?;
        self.main.wait_for(&arrived)?;
        if let Some((next, constants)) =
            self.early().filter(|(_, list)| !list.is_empty() && streamed.is_empty())
        {
            self.loader.push(Transfer {
                phase: next,
                constants: Cow::Owned(constants),
                behind: None,
                arrived,
            });
        }
        Ok(())
    }

    fn turn<O: Observer<Self>>(
        &mut self,
        phase: &'a Phase,
        segment: usize,
        first: u32,
        observer: &mut O,
    ) -> Result<()> {
        if self.mode != Mode::Graphs {
            self.prepared = self.maker().turn(phase, &phase.segments[segment], first)?;
            if self.mode == Mode::Single {
                self.marks.expect(self.prepared.len() + 1)?;
                self.marks.mark(None, &self.main)?;
            }
            each_launch(self, phase, segment, first, observer)?;
            return Ok(self.main.wait()?);
        }
        let start = Instant::now();
        for piece in &self.phases[self.current].segments[segment] {
            match piece {
                Piece::Graph(graph) => self.main.launch_graph(graph)?,
                Piece::Await(arrived) => {
                    self.loader.issue(arrived)?;
                    self.main.wait_for(arrived)?;
                }
                Piece::Fetch(fetch, streamed) => {
                    streamed.free.record(&self.main)?;
                    self.loader.push(Transfer {
                        phase,
                        constants: Cow::Borrowed(&fetch.constants),
                        behind: Some(Rc::clone(&streamed.free)),
                        arrived: Rc::clone(&streamed.arrived),
                    });
                }
            }
        }
        self.done.record(&self.main)?;
        let launching = start.elapsed();
        while !self.done.happened()? && self.loader.step()? {}
        self.done.wait()?;
        let start = Instant::now();
        for (number, (launch, inner)) in (phase.first..).zip(phase.launches()) {
            if (first..first + phase.segments[segment].launches()).contains(&number) {
                (0..inner.map_or(1, |l| l.count)).for_each(|_| observer.launched(number, launch));
            }
        }
        self.host_time[segment] += std::mem::take(&mut self.at_boundary) + launching + start.elapsed();
        Ok(())
    }

    fn launch(&mut self, number: u32, launch: &'a Launch, iteration: Option<(&'a Loop, u32)>) -> Result<()> {
        let phase = &self.plan.phases[self.current];
        if let Some((inner, iteration)) = iteration {
            for (index, (of, fetch)) in phase.fetches().enumerate() {
                if std::ptr::eq(of, inner) && fetch.iteration == iteration {
                    let arrived = &self.phases[self.current].streamed[index].arrived;
                    self.loader.issue(arrived)?;
                    self.main.wait_for(arrived)?;
                }
            }
        }
        let ready = self.prepared.pop_front();
        let mut ready = ready.map_or_else(|| self.maker().launch(phase, number, launch, iteration), Ok)?;
        let launched = ready.launch(&self.kernels, &self.main);
        match self.mode {
            Mode::Checked => launched
                .and_then(|()| self.main.wait())
                .map_err(|error| failed(number, launch, ready.function(self.code), &error).into()),
            Mode::Single => {
                launched?;
                self.marks.mark(Some(number), &self.main)
            }
            Mode::Graphs => Ok(launched?),
        }
    }

    fn fetch(&mut self, phase: &'a Phase, fetch: &'a Fetch) -> Result<()> {
        match phase.fetches().position(|(_, own)| std::ptr::eq(own, fetch)) {
            Some(index) => self.begin_fetch(index, fetch),
            None => Err(Error::Host("a fetch of another plan".to_string())),
        }
    }

    fn read(&mut self, port: &Port) -> Result<Cow<'_, [u8]>> {
        let mut bytes = vec![0; port.bytes() as usize];
        self.main.download(&mut bytes, self.memory.address() + port.offset)?;
        Ok(Cow::Owned(bytes))
    }

    fn write(&mut self, port: &Port, bytes: &[u8]) -> Result<()> {
        let start = Instant::now();
        self.main.upload(self.memory.address() + port.offset, bytes)?;
        if port.role.per_step() {
            self.at_boundary += start.elapsed();
        }
        Ok(())
    }
}

impl Drop for Cuda<'_> {
    fn drop(&mut self) {
        // Nothing may be freed that the card still uses. Where this fails, the card is lost.
        let _ = self.main.wait();
    }
}
