//! Calls become launches on one time line; values become buffers with live ranges.
//!
//! Phases follow each other; inside one, launches keep the order of the spec, which is an order of the dependencies.
//! A phase is cut into segments where the host gets control: around a loop whose count the host decides.

use std::collections::BTreeMap;

use zoetrope_kernels::{Meaning, MeaningOp, Ref};
use zoetrope_model_spec::lang::{Count, Def, Dtype, Graph, Op, Value, flops};
use zoetrope_model_spec::program::{Wire, Wiring};
use zoetrope_runtime::plan::{Lifetime, Repeat};

use crate::FusedPhase;
use crate::error::{Error, Result};
use crate::fused::Call;
use crate::passes::coalesce::{Coalesced, coalesce};
use crate::passes::constants::Constants;
use crate::passes::linear::{Action, Copied, Linear};
use crate::schedule::{Access, Base, Buffer, Item, Launch, Loop, Part, Phase, Port, Schedule, Segment};
use crate::view::Views;

/// Puts all phases on one time line. With `share` off, every value keeps a buffer of its own.
///
/// # Errors
/// A view that no launch can read without moving elements; a slot that nobody fills.
pub fn order(phases: &[FusedPhase], share: bool) -> Result<Schedule> {
    let mut schedule = Schedule::default();
    let mut constants = Constants::default();
    let mut slots: BTreeMap<String, usize> = BTreeMap::new();
    for FusedPhase { fused, wiring, .. } in phases {
        constants.next_graph();
        let views = Views::new(&fused.graph, &fused.body);
        let linear = Linear::of(&fused.load, &fused.body);
        let coalesced = coalesce(&fused.graph, &views, &linear, share);
        let first = schedule.phases.last().map_or(0, |p| p.end);
        let mut phase = Orderer {
            graph: &fused.graph,
            views: &views,
            linear: &linear,
            coalesced: &coalesced,
            first,
            numbers: numbers(&linear, &coalesced, first),
            buffers: &mut schedule.buffers,
            constants: &mut constants,
            of_class: BTreeMap::new(),
        };
        let done = phase.run(wiring, &mut slots)?;
        schedule.phases.push(done);
    }
    let end = schedule.phases.last().map_or(0, |p| p.end).saturating_sub(1);
    for buffer in schedule.buffers.iter_mut().filter(|b| b.lifetime == Lifetime::Derived) {
        (buffer.first, buffer.last) = (0, end);
    }
    schedule.constants = constants.done();
    Ok(schedule)
}

fn numbers(linear: &Linear<'_>, coalesced: &Coalesced, first: usize) -> Vec<usize> {
    let mut next = first;
    let mut numbers = Vec::with_capacity(linear.entries.len() + 1);
    for (entry, kept) in linear.entries.iter().zip(&coalesced.kept) {
        let joined = entry.joined();
        numbers.push(if joined { next - 1 } else { next });
        next += usize::from(*kept && !joined);
    }
    numbers.push(next);
    numbers
}

struct Orderer<'a> {
    graph: &'a Graph,
    views: &'a Views<'a>,
    linear: &'a Linear<'a>,
    coalesced: &'a Coalesced,
    /// Number of the phase's first launch.
    first: usize,
    /// Of every entry the launch that it is part of, or if it is saved, the next one; one more at the end.
    numbers: Vec<usize>,
    buffers: &'a mut Vec<Buffer>,
    constants: &'a mut Constants,
    of_class: BTreeMap<usize, usize>,
}

impl Orderer<'_> {
    fn run(&mut self, wiring: &Wiring, slots: &mut BTreeMap<String, usize>) -> Result<Phase> {
        let end = self.number(self.linear.entries.len());
        if end == self.first {
            return self.wiring("the phase launches nothing".to_string());
        }
        let Wiring { takes, leaves, schedule, adapter, image } = wiring;
        self.make_buffers(takes, slots)?;
        let inputs = self.inputs(takes)?;
        let outputs = self.outputs(leaves, slots, end)?;
        let segments = self.segments()?;
        Ok(Phase {
            name: self.graph.name.clone(),
            first: self.first,
            end,
            segments,
            inputs,
            outputs,
            steps: schedule.clone(),
            adapter: *adapter,
            image: *image,
        })
    }

    fn wiring<T>(&self, message: String) -> Result<T> {
        Err(Error::Wiring { phase: self.graph.name.clone(), message })
    }

    // -- buffers ------------------------------------------------------------------------------------------------

    /// Entry positions count all copies; launch numbers only those that are kept, and several parts once.
    fn number(&self, entry: usize) -> usize {
        self.numbers[entry.min(self.numbers.len() - 1)]
    }

    fn last_number(&self, entry: usize) -> usize {
        let kept = self.coalesced.kept.get(entry).copied().unwrap_or(false);
        if kept { self.number(entry) } else { self.number(entry).max(self.first + 1) - 1 }
    }

    fn make_buffers(&mut self, takes: &[Wire], slots: &BTreeMap<String, usize>) -> Result<()> {
        let derived: Vec<Value> = self.linear.entries.iter().filter(|e| e.load).map(|e| e.write()).collect();
        for (value, range) in &self.coalesced.live_ranges {
            let info = self.graph.info(*value);
            let (mut first, mut last) = (self.number(range.first), self.last_number(range.last));
            let mut lifetime = Lifetime::Scratch;
            for span in &self.linear.spans {
                if span.of.carried.iter().any(|c| c.inner == *value) {
                    first = first.min(self.number(span.first));
                    last = last.max(self.last_number(span.end - 1));
                    if span.of.count == Count::Runtime {
                        lifetime = Lifetime::State;
                    }
                }
            }
            if matches!(info.def, Def::Input { .. })
                || self.graph.outputs.iter().any(|o| self.views.root(o.value) == *value)
            {
                lifetime = Lifetime::Io;
            }
            if derived.contains(value) {
                lifetime = Lifetime::Derived;
            }
            let class = self.coalesced.class(*value);
            let wire = takes.iter().find(|w| matches!(info.def, Def::Input { .. }) && w.port == info.path);
            if let Some(wire) = wire {
                let Some(buffer) = slots.get(&wire.slot) else {
                    return self.wiring(format!(
                        "input {} takes slot {}, which no earlier phase leaves",
                        wire.port, wire.slot
                    ));
                };
                self.of_class.insert(class, *buffer);
            }
            let next = self.buffers.len();
            let id = *self.of_class.entry(class).or_insert(next);
            if id == next {
                let (name, bytes) = (info.path.clone(), info.bytes() as u64);
                self.buffers.push(Buffer { name, bytes, first, last, lifetime });
            } else {
                let buffer = &mut self.buffers[id];
                if buffer.bytes != info.bytes() as u64 {
                    let message = format!(
                        "{} has {} bytes where {} are left for it",
                        info.path,
                        info.bytes(),
                        buffer.bytes
                    );
                    return self.wiring(message);
                }
                buffer.first = buffer.first.min(first);
                buffer.last = buffer.last.max(last);
                buffer.lifetime = buffer.lifetime.min(lifetime);
            }
        }
        // A loop's state begins where its first value is copied in.
        for (at, entry) in self.linear.entries.iter().enumerate().filter(|(at, _)| self.coalesced.kept[*at]) {
            let (buffer, number) = (self.buffer(entry.write()), self.number(at));
            self.buffers[buffer].first = self.buffers[buffer].first.min(number);
            self.buffers[buffer].last = self.buffers[buffer].last.max(number);
        }
        Ok(())
    }

    fn buffer(&self, value: Value) -> usize {
        self.of_class[&self.coalesced.class(self.views.root(value))]
    }

    fn inputs(&mut self, takes: &[Wire]) -> Result<Vec<Port>> {
        let mut ports = Vec::new();
        for (value, info) in self.graph.inputs() {
            let slot = takes.iter().find(|w| w.port == info.path).map(|w| w.slot.clone());
            let Def::Input(role) = &info.def else { continue };
            let buffer = self.buffer(value);
            if !role.per_step() && slot.is_none() {
                // The host writes it before the phase begins.
                self.buffers[buffer].first = self.first;
            }
            ports.push(Port {
                name: info.path.clone(),
                buffer,
                dtype: info.dtype,
                shape: info.shape.clone(),
                role: role.clone(),
                slot,
            });
        }
        if let Some(wire) = takes.iter().find(|w| !ports.iter().any(|p| p.name == w.port)) {
            return self.wiring(format!("there is no input {} to take slot {}", wire.port, wire.slot));
        }
        Ok(ports)
    }

    fn outputs(
        &mut self,
        leaves: &[Wire],
        slots: &mut BTreeMap<String, usize>,
        end: usize,
    ) -> Result<Vec<Port>> {
        let mut ports = Vec::new();
        for output in &self.graph.outputs {
            let info = self.graph.info(output.value);
            let buffer = self.buffer(output.value);
            let slot = leaves.iter().find(|w| w.port == output.name).map(|w| w.slot.clone());
            self.buffers[buffer].last = self.buffers[buffer].last.max(end - 1);
            self.buffers[buffer].name.clone_from(&output.name);
            if let Some(slot) = &slot {
                self.buffers[buffer].lifetime = Lifetime::State;
                self.buffers[buffer].name.clone_from(slot);
                slots.insert(slot.clone(), buffer);
            }
            let (name, dtype, shape) = (output.name.clone(), info.dtype, info.shape.clone());
            ports.push(Port { name, buffer, dtype, shape, role: output.role.clone(), slot });
        }
        if let Some(wire) = leaves.iter().find(|w| !ports.iter().any(|p| p.name == w.port)) {
            return self.wiring(format!("there is no output {} to leave in slot {}", wire.port, wire.slot));
        }
        Ok(ports)
    }

    // -- launches -----------------------------------------------------------------------------------------------

    fn segments(&mut self) -> Result<Vec<Segment>> {
        let linear = self.linear;
        let kept: Vec<usize> = (0..linear.entries.len()).filter(|at| self.coalesced.kept[*at]).collect();
        let cut = |at: &usize| (linear.entries[*at].load, linear.runtime(linear.entries[*at].span));
        let fixed = |at: &usize| linear.fixed(linear.entries[*at].span);
        let steps = linear.spans.iter().any(|s| s.of.count == Count::Runtime);
        let mut segments: Vec<Segment> = Vec::new();
        for run in kept.chunk_by(|a, b| cut(a) == cut(b)) {
            let after = segments.iter().any(|s| s.repeat == Repeat::Steps);
            let (name, repeat) = match cut(&run[0]) {
                (true, _) => ("load", Repeat::Load),
                (_, Some(span)) => (linear.spans[span].of.name.as_str(), Repeat::Steps),
                (_, None) if !steps => ("all", Repeat::Once),
                (_, None) => (if after { "finish" } else { "begin" }, Repeat::Once),
            };
            let mut items = Vec::new();
            for group in run.chunk_by(|a, b| fixed(a) == fixed(b)) {
                match fixed(&group[0]) {
                    Some(span) => items.push(Item::Loop(self.one_loop(span, group)?)),
                    None => {
                        for parts in group.chunk_by(|_, at| linear.entries[*at].joined()) {
                            items.push(Item::Launch(Box::new(self.launch(parts, None)?)));
                        }
                    }
                }
            }
            segments.push(Segment { name: name.to_string(), repeat, items });
        }
        Ok(segments)
    }

    fn one_loop(&mut self, span: usize, entries: &[usize]) -> Result<Loop> {
        let (of, parent) = (self.linear.spans[span].of, self.linear.spans[span].parent);
        let Count::Fixed(count) = of.count else {
            return self.wiring(format!("loop {} has no fixed count", of.name));
        };
        if self.linear.fixed(parent).is_some() {
            return self.wiring(format!("loop {} stands in another loop of fixed count", of.name));
        }
        let mut rows = vec![Vec::new(); count];
        let launches = entries.chunk_by(|_, at| self.linear.entries[*at].joined());
        let body = launches.map(|parts| self.launch(parts, Some(&mut rows))).collect::<Result<_>>()?;
        Ok(Loop { name: of.name.clone(), count, rows, body })
    }

    fn launch(&mut self, entries: &[usize], mut rows: Option<&mut Vec<Vec<usize>>>) -> Result<Launch> {
        let (kernel, meaning) = match &self.linear.entries[entries[0]].action {
            Action::Call(call) => (call.name, call.meaning.clone()),
            Action::Copy { .. } => {
                let copy = MeaningOp { op: Op::Copy {}, inputs: vec![Ref::Operand(0)] };
                ("copy", Meaning { ops: vec![copy] })
            }
        };
        let parts = entries.iter().map(|at| self.part(*at, rows.as_deref_mut())).collect::<Result<_>>()?;
        Ok(Launch { kernel, meaning, queue: 0, waits: Vec::new(), parts })
    }

    fn part(&mut self, at: usize, mut rows: Option<&mut Vec<Vec<usize>>>) -> Result<Part> {
        let entry = &self.linear.entries[at];
        let path = self.graph.info(entry.write()).path.clone();
        let mut reads = Vec::new();
        for value in entry.reads() {
            reads.push(self.access(*value, &path, rows.as_deref_mut())?);
        }
        let mut write = self.access(entry.write(), &path, None)?;
        let in_place = match &entry.action {
            Action::Call(call) => {
                let same = |r: &Access| r.base == write.base && r.offset == write.offset;
                call.in_place.filter(|i| reads.get(*i).is_some_and(same))
            }
            Action::Copy { from, why, .. } => {
                if *why == Copied::Collect {
                    // One iteration's place in the stack.
                    write.shape.clone_from(&self.graph.info(*from).shape);
                    write.row_stride = write.shape.last().copied().unwrap_or(1);
                    write.step = write.bytes();
                }
                None
            }
        };
        let flops = match &entry.action {
            Action::Call(call) => self.flops(call),
            Action::Copy { .. } => 0,
        };
        Ok(Part { reads, write, in_place, path, flops })
    }

    fn flops(&self, call: &Call) -> u64 {
        let of = |(op, output): (&MeaningOp, &Value)| {
            let inputs: Vec<_> = op
                .inputs
                .iter()
                .map(|r| match r {
                    Ref::Operand(i) => self.graph.info(call.reads[*i]),
                    Ref::Inner(i) => self.graph.info(call.covers[*i]),
                })
                .collect();
            flops(&op.op, &inputs, self.graph.info(*output))
        };
        call.meaning.ops.iter().zip(&call.covers).map(of).sum()
    }

    fn access(&mut self, value: Value, path: &str, rows: Option<&mut Vec<Vec<usize>>>) -> Result<Access> {
        let info = self.graph.info(value);
        let unreadable =
            |why: &str| Error::View { what: info.type_text(), path: path.to_string(), why: why.to_string() };
        let view = self.views.view(value).ok_or_else(|| unreadable("the reshape moves elements"))?;
        let row_stride = view.row_stride().ok_or_else(|| unreadable("its rows are unevenly spaced"))?;
        let root = self.graph.info(view.root);
        let base = match &root.def {
            Def::Weight { .. } | Def::Constant(_) | Def::PerIteration(_) => {
                self.constants.base(self.graph, view.root, rows).map_err(|m| unreadable(&m))?
            }
            Def::Input { .. } | Def::Op | Def::Carried | Def::Collected => {
                Base::Buffer(self.buffer(view.root))
            }
        };
        let dtype: Dtype = root.dtype;
        Ok(Access {
            base,
            offset: (view.offset * dtype.bytes()) as u64,
            step: (view.step * dtype.bytes()) as u64,
            dtype,
            shape: info.shape.clone(),
            row_stride,
        })
    }
}
