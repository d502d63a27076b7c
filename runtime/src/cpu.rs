//! The CPU executor: kernels by their meanings, on the plan's own offsets.

use std::collections::BTreeMap;

use zoetrope_kernels::eval::{Data, DataMut, Operand, Packed, Tensor, TensorMut, evaluate, pack};
use zoetrope_kernels::{Kernel, Meaning, Ref, catalog};
use zoetrope_model_spec::lang::Attr;

use crate::arena::Arena;
use crate::constants::{Store, Weights};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::plan::{self, Base, Buffer, Dtype, Item, Launch, Lifetime, Loop, Number, Phase, Plan, Port};

/// Weights whose f32 copies together stay below this are laid out for products once, when a phase begins; larger
/// ones at every launch, to the same bits.
const PACK_LIMIT_BYTES: u64 = 6 << 30;

/// Runs launches on all cores.
pub struct Cpu<'a> {
    arena: Arena,
    store: Store<'a>,
    plan: &'a Plan,
    meanings: Vec<Meaning>,
    /// Laid out for products, by constant.
    packed: BTreeMap<u32, Packed>,
    /// For tests: by launch, the buffers that die there.
    poison: Option<BTreeMap<u32, Vec<Dead>>>,
}

struct Dead {
    buffer: usize,
    /// Dies in the last turn of its loop only.
    last_turn: bool,
}

impl<'a> Cpu<'a> {
    /// Allocates the arena.
    ///
    /// # Errors
    /// No memory, or a kernel that this build does not have.
    pub fn new(plan: &'a Plan, files: &'a dyn Weights) -> Result<Cpu<'a>> {
        let known = catalog();
        let meanings = plan.kernels.iter().map(|k| meaning(&known, k)).collect::<Result<_>>()?;
        let arena = Arena::new(plan.arena_bytes)?;
        Ok(Cpu {
            arena,
            store: Store::new(files, plan),
            plan,
            meanings,
            packed: BTreeMap::new(),
            poison: None,
        })
    }

    /// Fills memory with NaN where a buffer's life ends, so that a reader that comes too late shows.
    pub fn poisoned(mut self) -> Cpu<'a> {
        self.arena.bytes_mut().fill(0xff);
        self.poison =
            Some(self.plan.phases.iter().flat_map(|phase| deaths(&self.plan.buffers, phase)).collect());
        self
    }

    /// Lays out the weights of products, where they are whole operands.
    fn pack(&mut self, phase: &Phase) {
        self.packed.retain(|c, _| phase.constants.binary_search(c).is_ok());
        let bytes: u64 = phase.constants.iter().map(|c| self.plan.constants[*c as usize].bytes()).sum();
        if bytes > PACK_LIMIT_BYTES {
            return;
        }
        for (launch, of) in phase.launches() {
            for (i, operand) in launch.reads.iter().enumerate() {
                let constants: Vec<u32> = match (operand.base, of) {
                    (Base::Constant(c), _) => vec![c],
                    (Base::Column(column), Some(l)) => {
                        l.rows.iter().skip(column as usize).step_by(l.columns as usize).copied().collect()
                    }
                    _ => continue,
                };
                for c in constants {
                    if !self.packed.contains_key(&c) {
                        let shape = dims(operand);
                        let weight = tensor(operand, self.store.bytes(c), &shape);
                        let packed = self.meanings[launch.kernel as usize].ops.iter().find_map(|op| {
                            let at = op.inputs.iter().position(|r| *r == Ref::Operand(i))?;
                            pack(&op.op, at, &weight)
                        });
                        self.packed.extend(packed.map(|p| (c, p)));
                    }
                }
            }
        }
    }

    fn bury(&mut self, number: u32, row: Option<(&Loop, u32)>) {
        let dead = self.poison.as_ref().and_then(|p| p.get(&number));
        for d in dead.into_iter().flatten() {
            if !d.last_turn || row.is_none_or(|(l, turn)| turn + 1 == l.count) {
                let b = &self.plan.buffers[d.buffer];
                self.arena.bytes_mut()[b.offset as usize..(b.offset + b.bytes) as usize].fill(0xff);
            }
        }
    }
}

/// For every launch of a phase the scratch that nobody reads after it. What outlives a run-time loop's turn is left
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
                    out.entry(b.last).or_default().push(Dead { buffer: i, last_turn: b.first < number });
                }
            }
            number += launches;
        }
    }
    out
}

fn meaning(known: &[Kernel], kernel: &plan::Kernel) -> Result<Meaning> {
    let attrs: Vec<Attr> = kernel
        .attrs
        .iter()
        .map(|n| match n {
            Number::Int(i) => Attr::Int(*i),
            Number::Real(x) => Attr::Real(*x),
        })
        .collect();
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
    };
    Tensor { data, shape, row_stride: operand.row_stride as usize }
}

impl Executor for Cpu<'_> {
    fn enter(&mut self, _plan: &Plan, phase: &Phase) -> Result<()> {
        self.store.keep(self.plan, &phase.constants)?;
        self.pack(phase);
        Ok(())
    }

    fn launch(
        &mut self,
        _plan: &Plan,
        number: u32,
        launch: &Launch,
        row: Option<(&Loop, u32)>,
    ) -> Result<()> {
        let turn = row.map_or(0, |(_, turn)| u64::from(turn));
        let shapes: Vec<Vec<usize>> = launch.reads.iter().map(dims).collect();
        let from = (launch.write.offset + launch.write.step * turn) as usize;
        let to = from + launch.write.extent() as usize;
        // The result's bytes apart from all others: what is read lies before or behind them.
        let (before, rest) = self.arena.bytes_mut().split_at_mut(from);
        let (written, behind) = rest.split_at_mut(to - from);
        let mut operands = Vec::with_capacity(launch.reads.len());
        let mut packed = Vec::with_capacity(launch.reads.len());
        for (i, (operand, shape)) in launch.reads.iter().zip(&shapes).enumerate() {
            let constant = match (operand.base, row) {
                (Base::Arena, _) | (Base::Column(_), None) => None,
                (Base::Constant(c), _) => Some(c),
                (Base::Column(c), Some((l, turn))) => Some(l.rows[(turn * l.columns + c) as usize]),
            };
            packed.push(constant.and_then(|c| self.packed.get(&c)));
            operands.push(if launch.in_place == Some(i as u32) {
                Operand::InPlace
            } else if let Some(c) = constant {
                Operand::Tensor(tensor(operand, self.store.bytes(c), shape))
            } else {
                let at = (operand.offset + operand.step * turn) as usize;
                let len = operand.extent() as usize;
                let bytes = if at < from { &before[at..at + len] } else { &behind[at - to..at - to + len] };
                Operand::Tensor(view(operand, bytes, shape))
            });
        }
        let shape = dims(&launch.write);
        let data = match launch.write.dtype {
            Dtype::F32 => DataMut::F32(bytemuck::cast_slice_mut(written)),
            Dtype::Bf16 => DataMut::Bf16(bytemuck::cast_slice_mut(written)),
            Dtype::I32 => DataMut::I32(bytemuck::cast_slice_mut(written)),
        };
        let kernel = launch.kernel as usize;
        evaluate(&self.meanings[kernel], &operands, &packed, TensorMut { data, shape: &shape }).map_err(
            |e| {
                let (kernel, path) = (self.plan.kernels[kernel].name.to_string(), launch.path.to_string());
                Error::Kernel { kernel, path, message: e.to_string() }
            },
        )?;
        self.bury(number, row);
        Ok(())
    }

    fn read(&self, port: &Port) -> &[u8] {
        &self.arena.bytes()[port.offset as usize..(port.offset + port.bytes()) as usize]
    }

    fn write(&mut self, port: &Port) -> &mut [u8] {
        &mut self.arena.bytes_mut()[port.offset as usize..(port.offset + port.bytes()) as usize]
    }
}
