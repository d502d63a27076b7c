//! Random programs with loops, views and in-place sums: the plan that shares memory computes the bits of the plan
//! that does not, dead memory filled with NaN; and so do the plan without loops, and for clips the plan that makes a
//! few frames at a time.

use proptest::prelude::*;
use zoetrope_compiler::passes::{chunk, fuse, unroll};
use zoetrope_compiler::{Error, Options, compile};
use zoetrope_kernels::catalog;
use zoetrope_model_spec::lang::{Builder, Dtype, Graph, Op, Value};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_runtime::files::Tensor;
use zoetrope_runtime::null::Null;
use zoetrope_runtime::plan::{self, Facts, Item, Plan, Source};
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

fn program(before: &[Step], body: &[Step], after: &[Step], iterations: usize) -> Graph {
    let b = Builder::new("random", Dtype::F32);
    let mut values = vec![b.input("x", Dtype::F32, &[ROWS, COLS]), b.input("y", Dtype::F32, &[ROWS, COLS])];
    record(&b, &mut values, before);
    let state = [values[values.len() - 1], values[values.len() / 2]];
    let outside = values.clone();
    let rows: Vec<Value> = (0..iterations)
        .map(|iteration| {
            b.constant(&format!("row.{iteration}"), &[1, COLS], vec![iteration as f32 / 4.0; COLS])
        })
        .collect();
    let mut stack = None;
    let out = b.repeat("iterations", 0..iterations, &state, |s| {
        let mut inner = outside.clone();
        inner.extend_from_slice(s);
        inner.push(b.add(s[0], b.per_iteration("row", &rows)));
        inner.push(b.mul(s[1], b.iteration(b.slice(outside[0], 0, 0, iterations))));
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
    b.finish().expect("shapes fit")
}

fn outputs(plan: &Plan, poisoned: bool) -> Vec<Vec<u8>> {
    let cpu = Cpu::new(plan, &NoWeights).expect("an arena");
    let mut cpu = if poisoned { cpu.poisoned() } else { cpu };
    let phase = &plan.phases[0];
    for (i, port) in phase.inputs.iter().enumerate() {
        let elements = port.shape.iter().product::<u32>() as usize;
        let values = (0..elements).map(|j| ((i * 31 + j * 17) % 23) as f32 / 11.5 - 1.0);
        let wide = port.dtype == plan::Dtype::F32;
        // The upper half of an f32 is a bf16.
        let bytes: Vec<u8> =
            values.flat_map(|x| x.to_le_bytes()[if wide { 0 } else { 2 }..].to_vec()).collect();
        cpu.write(port, &bytes).unwrap();
    }
    replay(&mut cpu, phase, true, &mut Silent).expect("the replay finishes");
    phase.outputs.iter().map(|port| cpu.read(port).unwrap().to_vec()).collect()
}

fn is_launch(item: &Item) -> bool {
    matches!(item, Item::Launch(_))
}

fn plan_of(graph: &Graph, share: bool) -> Plan {
    let program = Program { phases: vec![Phase::alone(graph.clone())] };
    compile(program, "random", Facts::without_clip(plan::Dtype::F32), Options { share, ..Options::default() })
        .expect("compiles")
}

/// A convolution over time of `x` [frames, 2, 3, COLS].
fn conv(b: &Builder, x: Value, out: usize) -> Value {
    conv_of(b, x, out, [1, 1])
}

/// One that repeats so many frames in front and behind.
fn conv_of(b: &Builder, x: Value, out: usize, [before, after]: [usize; 2]) -> Value {
    let numbers = |n: usize| (0..n).map(|i| (i * 7919 % 101) as f32 / 1010.0 - 0.05).collect::<Vec<_>>();
    let w = b.constant("w", &[out, 3, 3, 3, COLS], numbers(out * COLS * 27));
    let pads = vec![before, after, 1, 1, 1, 1];
    let op = Op::Conv { pads, replicate: true, stride: 1, dilation: 1 };
    b.op(op, &[x, w, b.constant("bias", &[out], numbers(out))])
}

/// An encoder of a clip of `frames`: causal convolutions, residual blocks, frames that fold where they can, sums.
fn encoder(dtype: Dtype, frames: usize, steps: &[Step]) -> Graph {
    const CAUSAL: [usize; 2] = [2, 0];
    let b = Builder::new("clip", dtype);
    let video = b.input("video", dtype, &[frames, 2, 3, COLS]);
    let mut values = vec![conv_of(&b, b.affine(video, 0.5, 0.1), COLS, CAUSAL)];
    for step in steps {
        let x = values[values.len() - 1];
        let active = |x| b.silu(b.rms(x, 1e-8));
        let fold = |x, repeat| b.op(Op::SpaceToDepth { st: 2, sh: 1, sw: 1, repeat }, &[x]);
        let odd = b.dim(x, 0) % 2 == 1;
        values.push(match step.what {
            0 => conv_of(&b, x, COLS, CAUSAL),
            1 => {
                let h = active(conv_of(&b, active(x), COLS, CAUSAL));
                b.add(x, conv_of(&b, h, COLS, CAUSAL))
            }
            2 | 3 if odd => {
                let h = fold(conv_of(&b, x, COLS / 2, [3, 0]), 0);
                b.add(h, b.op(Op::GroupMean { size: 2 }, &[fold(x, 1)]))
            }
            // Neither behind a convolution nor beside one.
            4 if odd => b.op(Op::GroupMean { size: 2 }, &[fold(active(x), 1)]),
            _ => {
                let y = values[step.a % values.len()];
                if b.dim(y, 0) == b.dim(x, 0) { b.add(x, y) } else { b.affine(x, 0.5, 0.25) }
            }
        });
    }
    let last = values[values.len() - 1];
    let (mean, std) =
        (b.constant("mean", &[COLS], vec![0.25; COLS]), b.constant("std", &[COLS], vec![0.5; COLS]));
    b.output("latent", b.permute(b.div(b.sub(last, mean), std), &[3, 0, 1, 2]));
    b.output("middle", values[values.len() / 2]);
    b.finish().expect("shapes fit")
}

/// A decoder of a clip of `frames`: convolutions, residual blocks, frames that unfold, sums over several layers.
fn decoder(dtype: Dtype, frames: usize, steps: &[Step]) -> Graph {
    let b = Builder::new("clip", dtype);
    let latent = b.input("latent", dtype, &[frames, 2, 3, COLS]);
    let mut values = vec![conv(&b, b.affine(latent, 0.5, 0.1), COLS)];
    for step in steps {
        let x = values[values.len() - 1];
        let active = |x| b.silu(b.rms(x, 1e-8));
        values.push(match step.what {
            0 => conv(&b, x, COLS),
            1 => b.add(x, conv(&b, active(conv(&b, active(x), COLS)), COLS)),
            2 if b.dim(x, 0) < 12 => {
                let unfold = Op::DepthToSpace { st: 2, sh: 1, sw: 1, drop: 1 };
                b.op(unfold, &[conv(&b, x, 2 * COLS)])
            }
            3 => active(x),
            4 => b.affine(x, 0.5, 0.25),
            _ => {
                let y = values[step.a % values.len()];
                if b.dim(y, 0) == b.dim(x, 0) { b.add(x, y) } else { conv(&b, active(x), COLS) }
            }
        });
    }
    let (last, middle) = (values[values.len() - 1], values[values.len() / 2]);
    b.output("last", b.clamp(b.affine(last, 0.5, 0.5), 0.0, 1.0));
    b.output("moved", b.permute(last, &[3, 0, 1, 2]));
    b.output("middle", middle);
    b.finish().expect("shapes fit")
}

fn chunked(graph: Graph, frames: usize) -> Result<Graph, Error> {
    chunk(fuse(graph, &catalog())?, frames)
}

fn flops(plan: &Plan) -> u64 {
    let mut null = Null::new(plan);
    replay(&mut null, &plan.phases[0], true, &mut Silent).expect("nothing to fail");
    null.flops
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn neither_sharing_nor_unrolling_changes_a_bit(
        before in steps(12), body in steps(10), after in steps(12), iterations in 1usize..4,
    ) {
        let looped = program(&before, &body, &after, iterations);
        let (shared, private) = (plan_of(&looped, true), plan_of(&looped, false));
        let straight = plan_of(&unroll(looped), true);
        let expected = outputs(&private, false);
        let floats = expected.iter().flatten().copied().collect::<Vec<u8>>();
        prop_assert!(floats.chunks(4).all(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite()));
        prop_assert_eq!(&outputs(&shared, true), &expected);
        prop_assert!(straight.phases[0].segments.iter().all(|s| s.items.iter().all(is_launch)));
        prop_assert_eq!(&outputs(&straight, true), &expected);
    }

    #[test]
    fn a_clip_is_encoded_in_chunks_as_in_one_piece(
        frames in 1usize..26, together in 1usize..5, steps in steps(7), narrow: bool,
    ) {
        let graph = encoder(if narrow { Dtype::Bf16 } else { Dtype::F32 }, frames, &steps);
        let whole = plan_of(&graph, true);
        let chunked = plan_of(&chunked(graph, together).expect("all ops are known"), true);
        prop_assert_eq!(flops(&chunked), flops(&whole));
        prop_assert_eq!(outputs(&chunked, true), outputs(&whole, true));
    }

    #[test]
    fn a_clip_in_chunks_is_the_clip(
        frames in 1usize..9, together in 1usize..6, steps in steps(7), narrow: bool,
    ) {
        let graph = decoder(if narrow { Dtype::Bf16 } else { Dtype::F32 }, frames, &steps);
        let whole = plan_of(&graph, true);
        let chunked = plan_of(&chunked(graph, together).expect("all ops are known"), true);
        prop_assert_eq!(flops(&chunked), flops(&whole));
        prop_assert_eq!(outputs(&chunked, true), outputs(&whole, true));
    }
}

#[test]
fn an_op_that_mixes_frames_is_refused_by_name_and_path() {
    let b = Builder::new("clip", Dtype::F32);
    let x = conv(&b, b.input("latent", Dtype::F32, &[5, 2, 3, COLS]), COLS);
    b.output("y", b.scope("some.place", || b.slice(x, 0, 1, 3)));
    let refused = chunked(b.finish().expect("shapes fit"), 2).expect_err("slices are not known");
    assert!(matches!(refused, Error::Chunk { op, path } if op.starts_with("slice") && path == "some.place"));
}
