//! The schedule, with its addresses, in the runtime's terms.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::bf16;
use zoetrope_kernels::{Meaning, MeaningOp};
use zoetrope_model_spec::lang::{Constant, Dtype, Layout, Op, Role, Source};
use zoetrope_model_spec::ltx::recipe::Adapter;
use zoetrope_model_spec::ltx::schedule::{Levels, Schedule as Steps};
use zoetrope_model_spec::ltx::solver::Solver;
use zoetrope_runtime::plan::{self, ALIGN, Facts, Number, Operand, Plan};

use crate::error::Result;
use crate::passes::place::{lower_bound, place};
use crate::passes::place_constants::place_constants;
use crate::schedule::{Access, Base, Item, Launch, Loop, Origin, Part, Phase, Port, Schedule, Segment};

/// Places the buffers and the constants, and writes the plan.
///
/// # Errors
/// A memory budget that no plan meets.
pub fn lower(schedule: &Schedule, name: &str, made_by: String, facts: Facts, share: bool) -> Result<Plan> {
    let launches: Vec<_> = schedule.phases.iter().map(|p| p.first..p.end).collect();
    let offsets = place(&schedule.buffers, &launches, ALIGN, share);
    let (constants, tables) = constants(schedule);
    let mut lowering = Lowering { offsets: &offsets, kernels: Vec::new(), by_kernel: BTreeMap::new() };
    let mut phases = schedule.phases.iter().map(|p| lowering.phase(schedule, p)).collect::<Vec<_>>();
    let peak_bytes = place_constants(&constants, &mut phases, name, &facts)?;
    let buffers: Vec<_> = schedule
        .buffers
        .iter()
        .zip(&offsets)
        .map(|(b, offset)| plan::Buffer {
            name: Cow::Owned(b.name.clone()),
            offset: *offset,
            bytes: b.bytes,
            first: b.first as u32,
            last: b.last as u32,
            lifetime: b.lifetime,
        })
        .collect();
    Ok(Plan {
        name: Cow::Owned(name.to_string()),
        made_by: Cow::Owned(made_by),
        facts,
        arena_bytes: phases.iter().map(|p| p.arena_bytes).max().unwrap_or(0),
        peak_bytes,
        kernels: Cow::Owned(lowering.kernels),
        constants: Cow::Owned(constants),
        tables: Cow::Owned(tables),
        phases: Cow::Owned(phases),
        buffers: Cow::Owned(buffers),
    })
}

/// The runtime's name of a storage type.
pub fn dtype(d: Dtype) -> plan::Dtype {
    match d {
        Dtype::F32 => plan::Dtype::F32,
        Dtype::Bf16 => plan::Dtype::Bf16,
        Dtype::I32 => plan::Dtype::I32,
        Dtype::U8 => plan::Dtype::U8,
    }
}

fn source(s: Source) -> plan::Source {
    match s {
        Source::Checkpoint => plan::Source::Checkpoint,
        Source::TextEncoder => plan::Source::TextEncoder,
        Source::SpatialUpscaler => plan::Source::SpatialUpscaler,
        Source::SpatialUpscalerX1_5 => plan::Source::SpatialUpscalerX1_5,
        Source::TemporalUpscaler => plan::Source::TemporalUpscaler,
        Source::Adapter(slot) => plan::Source::Adapter(slot),
        Source::Merged(slot) => plan::Source::Merged(slot),
    }
}

fn layout(layout: Layout) -> plan::Layout {
    match layout {
        Layout::Plain => plan::Layout::Plain,
        Layout::ChannelsLast => plan::Layout::ChannelsLast,
        Layout::Encoded { kept, columns } => plan::Layout::Encoded { kept, columns: columns as u32 },
    }
}

fn dims(shape: &[usize]) -> plan::List<u32> {
    shape.iter().map(|d| *d as u32).collect()
}

/// The runtime's name of what a port is to the host.
fn role(role: &Role) -> plan::Role {
    let text = |of: &String| Cow::Owned(of.clone());
    match role {
        Role::Tensor { default } => plan::Role::Tensor { default: *default },
        Role::Tokens { prompt } => plan::Role::Tokens { prompt: *prompt as u32 },
        Role::TokenMask { prompt } => plan::Role::TokenMask { prompt: *prompt as u32 },
        Role::Chat => plan::Role::Chat,
        Role::ChatMask => plan::Role::ChatMask,
        Role::ChatImage => plan::Role::ChatImage,
        Role::ChatRows => plan::Role::ChatRows,
        Role::ChatUntil => plan::Role::ChatUntil,
        Role::Seed => plan::Role::Seed,
        Role::Image { number } => plan::Role::Image { number: *number as u32 },
        Role::ImageLatent { number } => plan::Role::ImageLatent { number: *number as u32 },
        Role::Frame { number } => plan::Role::Frame { number: *number as u32 },
        Role::Visible { number } => plan::Role::Visible { number: *number as u32 },
        Role::Strength { number } => plan::Role::Strength { number: *number as u32 },
        Role::Footage => plan::Role::Footage,
        Role::Reference { number, downscale, temporal_scale, every } => plan::Role::Reference {
            number: *number as u32,
            downscale: *downscale as u32,
            temporal_scale: *temporal_scale as u32,
            every: *every as u32,
        },
        Role::ReferenceStrength { number } => plan::Role::ReferenceStrength { number: *number as u32 },
        Role::ReferenceAttention { number } => plan::Role::ReferenceAttention { number: *number as u32 },
        Role::RegionStart { stream } => plan::Role::RegionStart { stream: text(stream) },
        Role::RegionEnd { stream } => plan::Role::RegionEnd { stream: text(stream) },
        Role::Spectrogram => plan::Role::Spectrogram,
        Role::Carried => plan::Role::Carried,
        Role::Continues => plan::Role::Continues,
        Role::Initial => plan::Role::Initial,
        Role::NoiseScale => plan::Role::NoiseScale,
        Role::Distinct { of } => plan::Role::Distinct { of: text(of) },
        Role::ClassOf { of } => plan::Role::ClassOf { of: text(of) },
        Role::Unset => plan::Role::Unset,
        Role::Sigma => plan::Role::Sigma,
        Role::Coefficients => plan::Role::Coefficients,
        Role::Holds => plan::Role::Holds,
        Role::StepSeed => plan::Role::StepSeed,
        Role::StepTensor => plan::Role::StepTensor,
        Role::Token => plan::Role::Token,
        Role::Place => plan::Role::Place,
        Role::Logits => plan::Role::Logits,
        Role::Latent => plan::Role::Latent,
        Role::Video => plan::Role::Video,
        Role::Waveform => plan::Role::Waveform,
        Role::Preview => plan::Role::Preview,
    }
}

/// The runtime's name of the steps of a phase.
fn steps(steps: &Steps) -> plan::Schedule {
    let levels = match &steps.levels {
        Levels::List(sigmas) => plan::Levels::List(Cow::Owned(sigmas.clone())),
        Levels::Shifted { steps, tokens } => {
            plan::Levels::Shifted { steps: *steps as u32, tokens: *tokens as u32 }
        }
    };
    let solver = match steps.solver {
        Solver::Euler => plan::Solver::Euler,
        Solver::Ancestral { eta, s_noise } => plan::Solver::Ancestral { eta, s_noise },
        Solver::GradientEstimation { gamma } => plan::Solver::GradientEstimation { gamma },
        Solver::Res2s { eta } => plan::Solver::Res2s { eta },
        Solver::Injection { eta } => plan::Solver::Injection { eta },
    };
    plan::Schedule { solver, levels }
}

/// Table bytes follow each other, each aligned as the arena is.
fn constants(schedule: &Schedule) -> (Vec<plan::Constant>, Vec<u8>) {
    let mut tables: Vec<u8> = Vec::new();
    let mut out = Vec::with_capacity(schedule.constants.len());
    for c in &schedule.constants {
        let origin = match &c.origin {
            Origin::Weight { source: s, tensors, layout: l } => {
                let tensors = tensors.iter().map(|t| (Cow::Owned(t.name.clone()), t.rows as u32)).collect();
                plan::Origin::Weight { source: source(*s), tensors, layout: layout(*l) }
            }
            Origin::Table(values) => {
                tables.resize(tables.len().next_multiple_of(ALIGN as usize), 0);
                let offset = tables.len() as u64;
                push_bytes(&mut tables, values, c.dtype);
                plan::Origin::Table { offset }
            }
        };
        out.push(plan::Constant {
            name: Cow::Owned(c.name.clone()),
            dtype: dtype(c.dtype),
            shape: dims(&c.shape),
            origin,
        });
    }
    (out, tables)
}

fn push_bytes(out: &mut Vec<u8>, values: &Constant, dtype: Dtype) {
    match values {
        Constant::Int(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
        Constant::Real(v) if dtype == Dtype::Bf16 => {
            v.iter().for_each(|x| out.extend(bf16::from_f32(*x).to_le_bytes()));
        }
        Constant::Real(v) => v.iter().for_each(|x| out.extend(x.to_le_bytes())),
    }
}

struct Lowering<'a> {
    offsets: &'a [u64],
    kernels: Vec<plan::Kernel>,
    by_kernel: BTreeMap<String, u32>,
}

impl Lowering<'_> {
    fn phase(&mut self, schedule: &Schedule, phase: &Phase) -> plan::Phase {
        let mut constants: Vec<u32> = Vec::new();
        for (_, launch, of) in phase.launches() {
            for access in launch.parts.iter().flat_map(|p| &p.reads) {
                match access.base {
                    Base::Constant(c) => constants.push(c as u32),
                    Base::Column(column) => {
                        constants.extend(of.iter().flat_map(|l| &l.rows).map(|row| row[column] as u32));
                    }
                    Base::Buffer(_) => {}
                }
            }
        }
        constants.sort_unstable();
        constants.dedup();
        let live = schedule
            .buffers
            .iter()
            .zip(self.offsets)
            .filter(|(b, _)| b.first < phase.end && b.last >= phase.first);
        plan::Phase {
            name: Cow::Owned(phase.name.clone()),
            first: phase.first as u32,
            arena_bytes: live.map(|(b, o)| (o + b.bytes).next_multiple_of(ALIGN)).max().unwrap_or(0),
            lower_bound_bytes: lower_bound(&schedule.buffers, ALIGN, &(phase.first..phase.end)),
            segments: phase.segments.iter().map(|s| self.segment(s)).collect(),
            inputs: phase.inputs.iter().map(|p| self.port(p)).collect(),
            outputs: phase.outputs.iter().map(|p| self.port(p)).collect(),
            schedule: phase.steps.as_ref().map(steps),
            adapter: phase.adapter.map(|(slot, Adapter { strength, rank, merged })| plan::Adapter {
                slot,
                strength,
                rank: (!merged).then_some(rank as u32),
            }),
            image: phase.image.map(|number| number as u32),
            constants: Cow::Owned(constants),
            places: Cow::Owned(Vec::new()),
            kept: Cow::Owned(Vec::new()),
            weight_bytes: 0,
            table_bytes: 0,
        }
    }

    fn segment(&mut self, segment: &Segment) -> plan::Segment {
        let items = segment.items.iter().map(|item| match item {
            Item::Launch(launch) => plan::Item::Launch(self.launch(launch)),
            Item::Loop(l) => plan::Item::Loop(self.inner_loop(l)),
        });
        plan::Segment {
            items: items.collect(),
            name: Cow::Owned(segment.name.clone()),
            repeat: segment.repeat,
        }
    }

    fn inner_loop(&mut self, l: &Loop) -> plan::Loop {
        plan::Loop {
            name: Cow::Owned(l.name.clone()),
            count: l.count as u32,
            columns: l.rows.first().map_or(0, |row| row.len() as u32),
            rows: l.rows.iter().flatten().map(|c| *c as u32).collect(),
            body: l.body.iter().map(|launch| self.launch(launch)).collect(),
            fetches: Cow::Owned(Vec::new()),
        }
    }

    fn launch(&mut self, launch: &Launch) -> plan::Launch {
        plan::Launch {
            kernel: self.kernel(launch),
            queue: launch.queue,
            waits: launch.waits.iter().map(|n| *n as u32).collect(),
            parts: launch.parts.iter().map(|p| self.part(p, &launch.meaning)).collect(),
        }
    }

    fn part(&self, part: &Part, meaning: &Meaning) -> plan::Part {
        let reads: Vec<_> = part.reads.iter().map(|a| self.operand(a)).collect();
        let write = self.operand(&part.write);
        let size = |o: &Operand| o.rows() * o.cols() * o.dtype.bytes();
        let bytes = match (&meaning.ops[..], part.in_place, &reads[..]) {
            // Of a stack that is written over, one row moves.
            ([MeaningOp { op: Op::PutRow {}, .. }], Some(_), [_, row, ..]) => 2 * size(row),
            _ => reads.iter().chain([&write]).map(size).sum(),
        };
        plan::Part {
            reads: Cow::Owned(reads),
            write,
            in_place: part.in_place.map(|i| i as u32),
            path: Cow::Owned(part.path.clone()),
            flops: part.flops,
            bytes,
        }
    }

    fn kernel(&mut self, launch: &Launch) -> u32 {
        let attrs: Vec<Number> = launch.meaning.attrs().into_iter().map(Number::from).collect();
        let key = format!("{} {attrs:?}", launch.kernel);
        let next = self.kernels.len() as u32;
        let id = *self.by_kernel.entry(key).or_insert(next);
        if id == next {
            self.kernels.push(plan::Kernel {
                name: Cow::Borrowed(launch.kernel),
                attrs: Cow::Owned(attrs),
                attrs_text: Cow::Owned(launch.meaning.attrs_text()),
            });
        }
        id
    }

    fn operand(&self, access: &Access) -> plan::Operand {
        let (base, offset) = match access.base {
            Base::Buffer(b) => (plan::Base::Arena, self.offsets[b] + access.offset),
            Base::Constant(c) => (plan::Base::Constant(c as u32), access.offset),
            Base::Column(c) => (plan::Base::Column(c as u32), access.offset),
        };
        let (shape, row_stride) = (dims(&access.shape), access.row_stride as u32);
        plan::Operand { base, offset, step: access.step, dtype: dtype(access.dtype), shape, row_stride }
    }

    fn port(&self, port: &Port) -> plan::Port {
        plan::Port {
            name: Cow::Owned(port.name.clone()),
            offset: self.offsets[port.buffer],
            dtype: dtype(port.dtype),
            shape: dims(&port.shape),
            role: role(&port.role),
            slot: port.slot.clone().map(Cow::Owned),
        }
    }
}
