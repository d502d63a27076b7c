//! Random programs with loops, views and in-place sums: the plan that shares memory computes the bits of the plan
//! that does not, dead memory filled with NaN.

use proptest::prelude::*;
use zoetrope_compiler::{Options, compile};
use zoetrope_model_spec::lang::{Builder, Dtype, Value};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_runtime::files::Tensor;
use zoetrope_runtime::plan::{self, Facts, Plan, Source};
use zoetrope_runtime::{Cpu, Executor, Silent, Weights, replay};

const ROWS: usize = 6;
const COLS: usize = 8;

struct NoWeights;

impl Weights for NoWeights {
    fn tensor(&self, _source: Source, _name: &str) -> Option<Tensor<'_>> {
        None
    }
}

/// One step of a random program: what to do, and with which of the values so far.
#[derive(Clone, Debug)]
struct Step {
    what: u8,
    a: usize,
    b: usize,
}

fn steps(n: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..8, 0usize..64, 0usize..64).prop_map(|(what, a, b)| Step { what, a, b });
    prop::collection::vec(step, 1..n)
}

/// Extends `values`, all [ROWS, COLS]; sums are kept small so that nothing overflows.
fn record(b: &Builder, values: &mut Vec<Value>, steps: &[Step]) {
    for step in steps {
        let (x, y) = (values[step.a % values.len()], values[step.b % values.len()]);
        values.push(match step.what {
            0 => b.affine(b.add(x, y), 0.5, 0.25),
            1 => b.sigmoid(b.mul(x, y)),
            2 => b.silu(x),
            3 => b.rms(x, 1e-6),
            4 => b.add(x, b.slice(y, 0, step.a % ROWS, 1)),
            5 => b.permute(b.reshape(x, &[COLS, ROWS]), &[1, 0]),
            6 => {
                // A product's columns, each half normalised where it lies.
                let wide = b.reshape(b.add(x, y), &[ROWS / 2, 2 * COLS]);
                let half = |i: usize| b.rms(b.slice(wide, 1, i * COLS, COLS), 1e-6);
                let halves = b.concat(&[half(step.a % 2), half(step.b % 2)]);
                b.affine(halves, 0.5, 0.0)
            }
            _ => {
                let both = b.concat(&[x, y]);
                b.slice(both, 0, step.b % ROWS, ROWS)
            }
        });
    }
}

fn program(before: &[Step], body: &[Step], after: &[Step], turns: usize) -> Program {
    let b = Builder::new("random", Dtype::F32);
    let mut values = vec![b.input("x", Dtype::F32, &[ROWS, COLS]), b.input("y", Dtype::F32, &[ROWS, COLS])];
    record(&b, &mut values, before);
    let state = [values[values.len() - 1], values[values.len() / 2]];
    let outside = values.clone();
    let mut stack = None;
    let out = b.repeat("turns", turns, &state, |s| {
        let mut inner = outside.clone();
        inner.extend_from_slice(s);
        record(&b, &mut inner, body);
        stack = Some(b.collect("kept", inner[inner.len() / 2]));
        let one = b.affine(inner[inner.len() - 1], 0.5, 0.1);
        // Pieces of the state change places, by an op or as they are.
        let two = if inner.len() % 2 == 0 { b.affine(s[0], 0.5, 0.0) } else { s[0] };
        vec![one, two]
    });
    values.extend(out);
    record(&b, &mut values, after);
    b.output("last", values[values.len() - 1]);
    b.output("state", values[values.len() / 2]);
    if let Some(stack) = stack {
        b.output("kept", b.affine(stack, 1.0, 1.0));
    }
    Program { phases: vec![Phase::alone(b.finish().expect("shapes fit"))] }
}

fn facts() -> Facts {
    let text = |s: &'static str| s.into();
    let dtype = plan::Dtype::F32;
    Facts {
        width: 1,
        height: 1,
        frames: 1,
        fps: 1.0,
        dtype,
        pipeline: text("test"),
        model: text("none"),
        model_version: text("none"),
        notes: Default::default(),
    }
}

fn outputs(plan: &Plan, poisoned: bool) -> Vec<Vec<u8>> {
    let cpu = Cpu::new(plan, &NoWeights).expect("an arena");
    let mut cpu = if poisoned { cpu.poisoned() } else { cpu };
    let phase = &plan.phases[0];
    for (i, port) in phase.inputs.iter().enumerate() {
        let values = (0..ROWS * COLS).map(|j| ((i * 31 + j * 17) % 23) as f32 / 11.5 - 1.0);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        cpu.write(port).copy_from_slice(&bytes);
    }
    replay(plan, phase, true, &mut cpu, &mut Silent).expect("the replay finishes");
    phase.outputs.iter().map(|port| cpu.read(port).to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn sharing_memory_changes_no_bit(
        before in steps(12), body in steps(10), after in steps(12), turns in 1usize..4,
    ) {
        let make = |share| compile(program(&before, &body, &after, turns), "random", facts(), Options { share });
        let (shared, private) = (make(true).expect("compiles"), make(false).expect("compiles"));
        let expected = outputs(&private, false);
        let floats = expected.iter().flatten().copied().collect::<Vec<u8>>();
        prop_assert!(floats.chunks(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite()));
        prop_assert_eq!(outputs(&shared, true), expected);
    }
}
