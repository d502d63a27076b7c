//! The CPU executor: kernels by their meanings, on the plan's own offsets.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use zoetrope_kernels::eval::{Data, DataMut, EvalError, Operand, Packed, Tensor, TensorMut, evaluate, pack};
use zoetrope_kernels::{Kernel, Meaning, Ref, catalog};
use zoetrope_model_spec::lang::Attr;

use crate::arena::Arena;
use crate::constants::{Store, Weights};
use crate::error::{Error, Result};
use crate::executor::{Executor, Observer, each_launch};
use crate::plan::{self, Base, Buffer, Dtype, Fetch, Item, Launch, Lifetime, Loop, Part, Phase, Plan, Port};
use crate::pool::Pool;

/// Weights whose f32 copies together stay below this are laid out for products once, when a phase begins; larger
/// ones at every launch, to the same bits.
const PACK_LIMIT_BYTES: u64 = 6 << 30;

/// Runs launches on all cores.
pub struct Cpu<'a> {
    arena: Arena,
    store: Store<'a>,
    plan: &'a Plan,
    meanings: Vec<Meaning>,
    /// Laid out for products, by the constant, or the part of it, that an operand is.
    packed: BTreeMap<PartOf, Packed>,
    /// For tests: by launch, the buffers that die there.
    poison: Option<BTreeMap<u32, Vec<Dead>>>,
}

/// A constant, and where the operand begins and ends in it, in bytes.
type PartOf = (u32, u64, u64);

fn part_of(constant: u32, operand: &plan::Operand) -> PartOf {
    (constant, operand.offset, operand.offset + operand.extent())
}

struct Dead {
    buffer: usize,
    /// Dies in the last iteration of its loop only.
    last_iteration: bool,
}

impl<'a> Cpu<'a> {
    /// Allocates the arena.
    ///
    /// # Errors
    /// No memory, or a kernel that this build does not have.
    pub fn new(plan: &'a Plan, files: &'a dyn Weights) -> Result<Cpu<'a>> {
        Cpu::with(plan, Store::new(files, plan))
    }

    /// The same with weights that stay in a pool, where other plans find them.
    ///
    /// # Errors
    /// As [`Cpu::new`].
    pub fn pooled(plan: &'a Plan, files: &'a dyn Weights, pool: &Pool) -> Result<Cpu<'a>> {
        Cpu::with(plan, Store::pooled(files, plan, pool))
    }

    fn with(plan: &'a Plan, store: Store<'a>) -> Result<Cpu<'a>> {
        let known = catalog();
        let meanings = plan.kernels.iter().map(|k| meaning(&known, k)).collect::<Result<_>>()?;
        let arena = Arena::new(plan.arena_bytes)?;
        Ok(Cpu { arena, store, plan, meanings, packed: BTreeMap::new(), poison: None })
    }

    /// Fills memory with NaN where a buffer's life ends, so that a reader that comes too late shows.
    pub fn poisoned(mut self) -> Cpu<'a> {
        self.arena.bytes_mut().fill(0xff);
        self.poison =
            Some(self.plan.phases.iter().flat_map(|phase| deaths(&self.plan.buffers, phase)).collect());
        self
    }

    /// Lays out the weights of products.
    fn pack(&mut self, phase: &Phase) {
        self.packed.retain(|(c, ..), _| phase.constants.binary_search(c).is_ok());
        let numbers = phase.constants.iter().map(|c| self.plan.constants[*c as usize].numbers());
        if 4 * numbers.sum::<u64>() > PACK_LIMIT_BYTES {
            return;
        }
        let streamed: BTreeSet<u32> =
            phase.fetches().flat_map(|(_, fetch)| fetch.constants.iter().copied()).collect();
        let parts =
            phase.launches().flat_map(|(launch, of)| launch.parts.iter().map(move |p| (launch, p, of)));
        for (launch, part, of) in parts {
            for (i, operand) in part.reads.iter().enumerate() {
                let constants: Vec<u32> = match (operand.base, of) {
                    (Base::Constant(c), _) => vec![c],
                    (Base::Column(column), Some(l)) => {
                        l.rows.iter().skip(column as usize).step_by(l.columns as usize).copied().collect()
                    }
                    _ => continue,
                };
                for c in constants {
                    if !self.packed.contains_key(&part_of(c, operand)) && !streamed.contains(&c) {
                        let shape = dims(operand);
                        let weight = tensor(operand, self.store.bytes(c), &shape);
                        let packed = self.meanings[launch.kernel as usize].ops.iter().find_map(|op| {
                            let at = op.inputs.iter().position(|r| *r == Ref::Operand(i))?;
                            pack(&op.op, at, &weight)
                        });
                        self.packed.extend(packed.map(|p| (part_of(c, operand), p)));
                    }
                }
            }
        }
    }

    fn part(&mut self, kernel: usize, part: &Part, iteration: Option<(&Loop, u32)>) -> Result<()> {
        let write = &part.write;
        let steps = iteration.map_or(0, |(_, i)| u64::from(i));
        let from = (write.offset + write.step * steps) as usize;
        let to = from + write.extent() as usize;
        let (shape, shapes) = (dims(write), part.reads.iter().map(dims).collect::<Vec<_>>());
        let reads = Reads { store: &self.store, packed: &self.packed, part, shapes: &shapes, iteration };
        let meaning = &self.meanings[kernel];
        let failed = |e: EvalError| {
            let (kernel, path) = (self.plan.kernels[kernel].name.to_string(), part.path.to_string());
            Error::Kernel { kernel, path, message: e.to_string() }
        };
        if write.rows() > 1 && u64::from(write.row_stride) != write.cols() {
            // Operands may lie between the rows of the result: it is made beside them, and its rows are moved.
            let row_bytes = (write.cols() * write.dtype.bytes()) as usize;
            let mut beside = Arena::new(row_bytes as u64 * write.rows())?;
            let made = &mut beside.bytes_mut()[..row_bytes * write.rows() as usize];
            let arena = self.arena.bytes();
            let (operands, packed) = reads.bind(None, |at, len| &arena[at..at + len]);
            let out = TensorMut { data: result(write.dtype, made), shape: &shape };
            evaluate(meaning, &operands, &packed, out).map_err(failed)?;
            let pitch = write.row_stride as usize * write.dtype.bytes() as usize;
            for (i, made) in made.chunks_exact(row_bytes).enumerate() {
                let at = from + i * pitch;
                self.arena.bytes_mut()[at..at + row_bytes].copy_from_slice(made);
            }
            return Ok(());
        }
        // The result's bytes apart from all others: what is read lies before or behind them.
        let (before, rest) = self.arena.bytes_mut().split_at_mut(from);
        let (written, behind) = rest.split_at_mut(to - from);
        let (before, behind): (&[u8], &[u8]) = (before, behind);
        let (operands, packed) = reads.bind(part.in_place, |at, len| {
            if at < from { &before[at..at + len] } else { &behind[at - to..at - to + len] }
        });
        let out = TensorMut { data: result(write.dtype, written), shape: &shape };
        evaluate(meaning, &operands, &packed, out).map_err(failed)
    }

    fn bury(&mut self, number: u32, iteration: Option<(&Loop, u32)>) {
        let dead = self.poison.as_ref().and_then(|p| p.get(&number));
        for d in dead.into_iter().flatten() {
            if !d.last_iteration || iteration.is_none_or(|(l, i)| i + 1 == l.count) {
                let b = &self.plan.buffers[d.buffer];
                self.arena.bytes_mut()[b.offset as usize..(b.offset + b.bytes) as usize].fill(0xff);
            }
        }
    }
}

/// For every launch of a phase the scratch that nobody reads after it. What outlives a turn of the steps is left
/// alone, and so are ports, which the host reads.
fn deaths(buffers: &[Buffer], phase: &Phase) -> BTreeMap<u32, Vec<Dead>> {
    let mut out: BTreeMap<u32, Vec<Dead>> = BTreeMap::new();
    let mut number = phase.first;
    for segment in phase.segments.iter() {
        let start = number;
        for item in segment.items.iter() {
            let launches = match item {
                Item::Launch(_) => 1,
                Item::Loop(l) => l.body.len() as u32,
            };
            for (i, b) in buffers.iter().enumerate() {
                let here = (number..number + launches).contains(&b.last) && b.lifetime == Lifetime::Scratch;
                if here && (b.first >= start || segment.repeat != plan::Repeat::Steps) {
                    out.entry(b.last).or_default().push(Dead { buffer: i, last_iteration: b.first < number });
                }
            }
            number += launches;
        }
    }
    out
}

fn meaning(known: &[Kernel], kernel: &plan::Kernel) -> Result<Meaning> {
    let attrs: Vec<Attr> = kernel.attrs.iter().copied().map(Attr::from).collect();
    let declared = known.iter().find(|k| k.name == kernel.name);
    declared.and_then(|k| k.meaning.with_attrs(&attrs)).ok_or_else(|| Error::Kernel {
        kernel: kernel.name.to_string(),
        path: "the plan's kernel list".to_string(),
        message: "this build does not have it; the plan was compiled by another version".to_string(),
    })
}

fn dims(operand: &plan::Operand) -> Vec<usize> {
    operand.shape.iter().map(|d| *d as usize).collect()
}

/// What a part reads, to be found.
struct Reads<'t> {
    store: &'t Store<'t>,
    packed: &'t BTreeMap<PartOf, Packed>,
    part: &'t Part,
    shapes: &'t [Vec<usize>],
    iteration: Option<(&'t Loop, u32)>,
}

impl<'t> Reads<'t> {
    /// The operands, and what is laid out of them for products. `arena` gives bytes of the arena.
    fn bind(
        &self,
        in_place: Option<u32>,
        arena: impl Fn(usize, usize) -> &'t [u8],
    ) -> (Vec<Operand<'t>>, Vec<Option<&'t Packed>>) {
        let steps = self.iteration.map_or(0, |(_, i)| u64::from(i));
        let of = |(i, (operand, shape)): (usize, (&plan::Operand, &'t Vec<usize>))| {
            let constant = match (operand.base, self.iteration) {
                (Base::Arena, _) | (Base::Column(_), None) => None,
                (Base::Constant(c), _) => Some(c),
                (Base::Column(c), Some((l, i))) => Some(l.rows[(i * l.columns + c) as usize]),
            };
            let bound = if in_place == Some(i as u32) {
                Operand::InPlace
            } else if let Some(c) = constant {
                Operand::Tensor(tensor(operand, self.store.bytes(c), shape))
            } else {
                let at = (operand.offset + operand.step * steps) as usize;
                Operand::Tensor(view(operand, arena(at, operand.extent() as usize), shape))
            };
            (bound, constant.and_then(|c| self.packed.get(&part_of(c, operand))))
        };
        self.part.reads.iter().zip(self.shapes).enumerate().map(of).unzip()
    }
}

fn result(dtype: Dtype, bytes: &mut [u8]) -> DataMut<'_> {
    match dtype {
        Dtype::F32 => DataMut::F32(bytemuck::cast_slice_mut(bytes)),
        Dtype::Bf16 => DataMut::Bf16(bytemuck::cast_slice_mut(bytes)),
        Dtype::I32 => DataMut::I32(bytemuck::cast_slice_mut(bytes)),
        Dtype::U8 => DataMut::U8(bytes),
    }
}

/// `bytes` begin at the operand's base.
fn tensor<'t>(operand: &plan::Operand, bytes: &'t [u8], shape: &'t [usize]) -> Tensor<'t> {
    let at = operand.offset as usize;
    view(operand, &bytes[at..at + operand.extent() as usize], shape)
}

/// `bytes` are the operand's.
fn view<'t>(operand: &plan::Operand, bytes: &'t [u8], shape: &'t [usize]) -> Tensor<'t> {
    let data = match operand.dtype {
        Dtype::F32 => Data::F32(bytemuck::cast_slice(bytes)),
        Dtype::Bf16 => Data::Bf16(bytemuck::cast_slice(bytes)),
        Dtype::I32 => Data::I32(bytemuck::cast_slice(bytes)),
        Dtype::U8 => Data::U8(bytes),
    };
    Tensor { data, shape, row_stride: operand.row_stride as usize }
}

impl<'a> Executor<'a> for Cpu<'a> {
    fn plan(&self) -> &'a Plan {
        self.plan
    }

    fn enter(&mut self, phase: &'a Phase) -> Result<()> {
        self.store.keep(phase)?;
        self.pack(phase);
        self.store.expect_next(phase);
        self.store.unchanged()
    }

    fn turn<O: Observer<Self>>(
        &mut self,
        phase: &'a Phase,
        segment: usize,
        first: u32,
        observer: &mut O,
    ) -> Result<()> {
        each_launch(self, phase, segment, first, observer)?;
        self.store.unchanged()
    }

    fn launch(&mut self, number: u32, launch: &'a Launch, iteration: Option<(&'a Loop, u32)>) -> Result<()> {
        // Its operands may lie in mapped files.
        self.store.unchanged()?;
        for part in launch.parts.iter() {
            self.part(launch.kernel as usize, part, iteration)?;
        }
        self.bury(number, iteration);
        Ok(())
    }

    fn fetch(&mut self, phase: &'a Phase, fetch: &'a Fetch) -> Result<()> {
        self.store.fetch(phase, fetch)
    }

    fn read(&mut self, port: &Port) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self.arena.bytes()[place(port)]))
    }

    fn write(&mut self, port: &Port, bytes: &[u8]) -> Result<()> {
        self.arena.bytes_mut()[place(port)].copy_from_slice(bytes);
        Ok(())
    }
}

fn place(port: &Port) -> Range<usize> {
    port.offset as usize..(port.offset + port.bytes()) as usize
}
