//! A plan of cases: each is a phase of one launch, with its operands as inputs and its result as output. All of them begin
//! at the same address, so memory is that of the largest.

use std::borrow::Cow;

use zoetrope_model_spec::lang::Dtype;
use zoetrope_runtime::plan::{
    self, ALIGN, Base, Facts, Item, Launch, Number, Operand, Part, Phase, Plan, Port, Repeat, Segment,
};

use super::cases::Case;

/// The plan; phases and launches in the order of the cases.
pub fn plan(cases: &[Case]) -> Plan {
    let phases: Vec<Phase> = cases.iter().enumerate().map(|(number, case)| phase(number, case)).collect();
    let arena_bytes = phases.iter().map(|phase| phase.arena_bytes).max().unwrap_or(0);
    let kernel = |case: &Case| {
        let attrs = case.meaning.attrs().into_iter().map(Number::from);
        plan::Kernel {
            name: Cow::Borrowed(case.kernel),
            attrs: attrs.collect(),
            attrs_text: Cow::Owned(case.meaning.attrs_text()),
        }
    };
    Plan {
        name: Cow::Borrowed("selftest"),
        made_by: Cow::Borrowed("the cases of the kernels"),
        facts: Facts::without_clip(plan::Dtype::Bf16),
        kernels: cases.iter().map(kernel).collect(),
        constants: Cow::Borrowed(&[]),
        tables: Cow::Borrowed(&[]),
        phases: phases.into(),
        buffers: Cow::Borrowed(&[]),
        arena_bytes,
        peak_bytes: arena_bytes,
    }
}

fn phase(number: usize, case: &Case) -> Phase {
    let mut end = 0;
    let mut place = |name: String, dtype: Dtype, shape: &[usize]| {
        let (offset, dtype) = (end, stored(dtype));
        let shape: plan::List<u32> = shape.iter().map(|n| *n as u32).collect();
        let row_stride = shape.last().copied().unwrap_or(1);
        let operand = Operand { base: Base::Arena, offset, step: 0, dtype, shape: shape.clone(), row_stride };
        end = (offset + operand.extent()).next_multiple_of(ALIGN);
        (
            operand,
            Port {
                name: name.into(),
                offset,
                dtype,
                shape,
                role: plan::Role::Tensor { default: None },
                slot: None,
            },
        )
    };
    let reads = case.reads.iter().enumerate();
    let (reads, inputs): (Vec<_>, Vec<_>) =
        reads.map(|(i, read)| place(i.to_string(), read.dtype, &read.shape)).unzip();
    let (write, output) = place("result".to_string(), case.stores(), &case.write);
    let (flops, bytes, path) = (case.flops, case.bytes, Cow::Owned(case.name.clone()));
    let part = Part { reads: reads.into(), write, in_place: None, path, flops, bytes };
    let launch =
        Launch { kernel: number as u32, queue: 0, waits: Cow::Borrowed(&[]), parts: Cow::Owned(vec![part]) };
    let items = Cow::Owned(vec![Item::Launch(launch)]);
    Phase {
        name: number.to_string().into(),
        first: number as u32,
        segments: vec![Segment { name: Cow::Borrowed("all"), repeat: Repeat::Once, items }].into(),
        inputs: inputs.into(),
        outputs: vec![output].into(),
        schedule: None,
        adapter: None,
        image: None,
        constants: Cow::Borrowed(&[]),
        places: Cow::Borrowed(&[]),
        kept: Cow::Borrowed(&[]),
        weight_bytes: 0,
        table_bytes: 0,
        arena_bytes: end,
        lower_bound_bytes: end,
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
