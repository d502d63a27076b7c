//! A plan of nothing but the declared cases of all kernels: every case is a launch, every operand an input, every result
//! an output.

use std::borrow::Cow;

use zoetrope_kernels::{Kernel, Meaning, Ref, Sample};
use zoetrope_model_spec::lang::{Attr, BinaryFn, Def, Dtype, Info, Op, UnaryFn, flops, infer};
use zoetrope_runtime::plan::{
    self, ALIGN, Base, Facts, Item, Launch, Number, Operand, Part, Phase, Plan, Port, Repeat, Segment,
};

use crate::demo::random::Stream;
use crate::tensors::{Named, Tensor};

/// The name of the one phase.
pub const PHASE: &str = "kernels";

/// One launch of the plan.
pub struct Case {
    pub kernel: &'static str,
    pub dtype: Dtype,
    /// How far the result may be from the CPU's, relative to its largest element.
    pub tolerance: f64,
    pub flops: u64,
    pub bytes: u64,
}

/// The plan, its cases in the order of its launches, and random operands.
pub struct Cases {
    pub plan: Plan,
    pub cases: Vec<Case>,
    pub inputs: Named,
}

/// The name of the result of launch `number`.
pub fn output(number: usize) -> String {
    format!("{number}")
}

/// All cases of the kernels that a card computes, as f32 and as bf16.
pub fn cases(catalog: &[Kernel]) -> Cases {
    let mut made = Making::default();
    for kernel in catalog {
        let Some(cuda) = kernel.cuda else { continue };
        for sample in kernel.samples() {
            for (dtype, tolerance) in [
                (Dtype::F32, cuda.tolerance.f32),
                // Both sides round to the storage, which may differ by one place.
                (Dtype::Bf16, cuda.tolerance.bf16 + 1.0 / 128.0),
            ] {
                made.add(kernel, &sample, dtype, tolerance);
            }
        }
    }
    made.finish()
}

#[derive(Default)]
struct Making {
    kernels: Vec<plan::Kernel>,
    items: Vec<Item>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    cases: Vec<Case>,
    values: Named,
    end: u64,
}

impl Making {
    fn add(&mut self, kernel: &Kernel, sample: &Sample, dtype: Dtype, tolerance: f64) {
        let Sample { meaning, shapes, ints } = sample;
        let number = self.items.len();
        let mut reads = Vec::new();
        let mut random = Stream::named(&format!("{} {number}", kernel.name));
        for (i, shape) in shapes.iter().enumerate() {
            let count = shape.iter().product();
            let (stored, tensor) = match ints[i] {
                Some(ints) => {
                    let below = |n: usize| (random.next().abs() * 1e6) as usize % n;
                    (plan::Dtype::I32, Tensor::int(shape, ints.draw(count, shapes, below)))
                }
                None => {
                    let real = |x: f64| if wants_positive(meaning) { x.abs() + 0.25 } else { x };
                    (
                        stored(dtype),
                        Tensor::real(shape, (0..count).map(|_| real(random.next()) as f32).collect()),
                    )
                }
            };
            let (operand, port) = self.place(format!("{number}.{i}"), stored, shape);
            reads.push(operand);
            self.inputs.push(port);
            self.values.insert(format!("{number}.{i}"), tensor);
        }
        let (shape, flops) = result(meaning, shapes, dtype);
        let (write, port) = self.place(output(number), stored(meaning.stores(dtype)), &shape);
        self.outputs.push(port);
        let bytes = reads.iter().chain([&write]).map(|o| o.extent()).sum();
        self.cases.push(Case { kernel: kernel.name, dtype, tolerance, flops, bytes });
        let attrs = meaning.attrs().into_iter().map(|attr| match attr {
            Attr::Int(i) => Number::Int(i),
            Attr::Real(x) => Number::Real(x),
        });
        self.kernels.push(plan::Kernel { name: Cow::Borrowed(kernel.name), attrs: attrs.collect() });
        let path = Cow::Borrowed(kernel.name);
        let part = Part { reads: reads.into(), write, in_place: None, path, flops, bytes };
        let launch =
            Launch { kernel: number as u32, lane: 0, waits: Cow::Borrowed(&[]), parts: vec![part].into() };
        self.items.push(Item::Launch(launch));
    }

    /// Memory of its own.
    fn place(&mut self, name: String, dtype: plan::Dtype, shape: &[usize]) -> (Operand, Port) {
        let offset = self.end;
        let shape: plan::List<u32> = shape.iter().map(|n| *n as u32).collect();
        let row_stride = shape.last().copied().unwrap_or(1);
        let operand = Operand { base: Base::Arena, offset, step: 0, dtype, shape: shape.clone(), row_stride };
        self.end = (offset + operand.extent()).next_multiple_of(ALIGN);
        (operand, Port { name: name.into(), offset, dtype, shape, per_step: false, slot: None })
    }

    fn finish(self) -> Cases {
        let segment =
            Segment { name: Cow::Borrowed("all"), repeat: Repeat::Once, items: Cow::Owned(self.items) };
        let phase = Phase {
            name: Cow::Borrowed(PHASE),
            first: 0,
            segments: vec![segment].into(),
            inputs: Cow::Owned(self.inputs),
            outputs: Cow::Owned(self.outputs),
            constants: Cow::Borrowed(&[]),
            places: Cow::Borrowed(&[]),
            kept: Cow::Borrowed(&[]),
            weight_bytes: 0,
            table_bytes: 0,
            arena_bytes: self.end,
            lower_bound_bytes: self.end,
        };
        let facts = Facts {
            width: 0,
            height: 0,
            frames: 0,
            fps: 0.0,
            dtype: plan::Dtype::Bf16,
            pipeline: Cow::Borrowed("none"),
            model: Cow::Borrowed("none"),
            model_version: Cow::Borrowed(""),
            notes: Cow::Borrowed(&[]),
            decode_chunk: None,
            vram: None,
            reserve_bytes: 0,
        };
        let plan = Plan {
            name: Cow::Borrowed("selftest"),
            made_by: Cow::Borrowed("the declared cases of the kernels"),
            facts,
            kernels: Cow::Owned(self.kernels),
            constants: Cow::Borrowed(&[]),
            tables: Cow::Borrowed(&[]),
            phases: vec![phase].into(),
            buffers: Cow::Borrowed(&[]),
            arena_bytes: self.end,
            peak_bytes: self.end,
        };
        Cases { plan, cases: self.cases, inputs: self.values }
    }
}

fn stored(dtype: Dtype) -> plan::Dtype {
    match dtype {
        Dtype::F32 => plan::Dtype::F32,
        Dtype::Bf16 => plan::Dtype::Bf16,
        Dtype::I32 => plan::Dtype::I32,
        Dtype::U8 => plan::Dtype::U8,
    }
}

/// Operands are kept from zero and below it where a function wants that.
fn wants_positive(meaning: &Meaning) -> bool {
    let wants = |op: &Op| {
        matches!(op, Op::Unary { f: UnaryFn::Log | UnaryFn::Sqrt } | Op::Binary { f: BinaryFn::Div })
    };
    meaning.ops.iter().any(|op| wants(&op.op))
}

/// The shape of the result, and the operations of all ops.
fn result(meaning: &Meaning, shapes: &[Vec<usize>], dtype: Dtype) -> (Vec<usize>, u64) {
    let info = |shape: Vec<usize>| Info { path: String::new(), dtype, shape, def: Def::Op };
    let operands: Vec<Info> = shapes.iter().map(|shape| info(shape.clone())).collect();
    let (mut made, mut total): (Vec<Info>, u64) = (Vec::new(), 0);
    for op in &meaning.ops {
        let inputs: Vec<&Info> = op
            .inputs
            .iter()
            .map(|r| match r {
                Ref::Operand(i) => &operands[*i],
                Ref::Inner(i) => &made[*i],
            })
            .collect();
        let shapes: Vec<_> = inputs.iter().map(|i| (i.dtype, i.shape.as_slice())).collect();
        let (_, shape) = infer(&op.op, &shapes).expect("a declared case fits its meaning");
        let output = info(shape);
        total += flops(&op.op, &inputs, &output);
        made.push(output);
    }
    (made.pop().map(|info| info.shape).unwrap_or_default(), total)
}
