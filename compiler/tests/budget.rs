//! Plans for a memory budget: random loops and budgets give the bits of the plan that has all weights in memory, and
//! the verifier refuses plans whose fetches were changed.

#[path = "budget/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use zoetrope_compiler::{Error, Options, compile, verify};
use zoetrope_model_spec::lang::{Builder, Dtype, Value};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_runtime::files::{FileDtype, NewTensor, Tensor, TensorFile, write_tensors};
use zoetrope_runtime::plan::{self, ALIGN, Facts, Fetch, Item, Loop, Origin, Plan, Repeat, Segment, Source};
use zoetrope_runtime::{Cpu, Executor, Observer, Weights, replay};

const COLS: usize = 24;
const STEPS: u32 = 3;

/// A model of two loops, or three: layers that run once, and blocks that two phases run in every step, where they may
/// fall into two loops.
#[derive(Clone, Debug)]
struct Model {
    layers: usize,
    blocks: usize,
    /// Blocks of the second loop.
    more: usize,
    /// Rows of the weights of a layer or block.
    rows: Vec<usize>,
}

fn models() -> impl Strategy<Value = Model> {
    (1usize..9, 1usize..9, 0usize..7, prop::collection::vec(1usize..40, 1..4))
        .prop_map(|(layers, blocks, more, rows)| Model { layers, blocks, more, rows })
}

/// An iteration: the state, changed by every weight of the iteration and by one that all iterations share.
fn iteration(b: &Builder, of: &str, model: &Model, x: Value, shared: Value) -> Value {
    let table = b.constant("table", &[COLS], vec![0.25; COLS]);
    let mix = |x: Value, (i, rows): (usize, &usize)| {
        let weight = b.weight(&format!("{of}.*.w{i}"), &[*rows, COLS]);
        let one = b.slice(weight, 0, rows - 1, 1);
        b.affine(b.mul(b.add(b.sigmoid(x), one), shared), 0.5, 0.1)
    };
    b.add(model.rows.iter().enumerate().fold(x, mix), table)
}

fn program(model: &Model) -> Program {
    let once = |name: &str, of: &str, count: usize| {
        let b = Builder::new(name, Dtype::F32);
        let x = b.input("x", Dtype::F32, &[5, COLS]);
        let shared = b.weight("shared", &[COLS]);
        let out = b.repeat(of, 0..count, &[x], |s| vec![iteration(&b, of, model, s[0], shared)]);
        b.output("y", out[0]);
        Phase::alone(b.finish().expect("shapes fit"))
    };
    let steps = |name: &str| {
        let b = Builder::new(name, Dtype::F32);
        let x = b.input("x", Dtype::F32, &[5, COLS]);
        let shared = b.weight("shared", &[COLS]);
        let some = |iterations: Range<usize>, s: &[Value]| {
            b.repeat("blocks", iterations, s, |s| vec![iteration(&b, "blocks", model, s[0], shared)])
        };
        let out = b.steps("step", &[b.silu(x)], |s| match model.more {
            0 => some(0..model.blocks, s),
            more => some(model.blocks..model.blocks + more, &some(0..model.blocks, s)),
        });
        b.output("y", b.silu(out[0]));
        Phase::alone(b.finish().expect("shapes fit"))
    };
    let between = once("between", "res", 1);
    Program { phases: vec![once("encode", "layers", model.layers), steps("first"), between, steps("second")] }
}

fn made(model: &Model, vram: Option<u64>) -> Result<Plan, Error> {
    let facts = Facts { vram, reserve_bytes: 1 << 10, ..Facts::without_clip(plan::Dtype::F32) };
    compile(program(model), "small", facts, Options::default())
}

/// Every weight of a plan, with values that tell them apart.
struct File(TensorFile);

impl File {
    fn of(plan: &Plan) -> File {
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (i, c) in plan.constants.iter().enumerate() {
            if let Origin::Weight { tensors: names, .. } = &c.origin {
                let shape: Vec<usize> = c.shape.iter().map(|d| *d as usize).collect();
                let values = (0..shape.iter().product()).map(|j| ((i * 37 + j * 11) % 29) as f32 / 29.0);
                tensors.push((names[0].0.to_string(), shape, values.flat_map(f32::to_le_bytes).collect()));
            }
        }
        tensors.sort();
        let dtype = FileDtype::F32;
        let new: Vec<_> =
            tensors.iter().map(|(name, shape, bytes)| NewTensor { name, dtype, shape, bytes }).collect();
        File(TensorFile::from_bytes("weights", write_tensors(&[], &new)).expect("a file"))
    }
}

impl Weights for File {
    fn tensor(&self, _source: Source, name: &str) -> Option<Tensor<'_>> {
        self.0.get(name)
    }
}

struct Steps;

impl<E> Observer<E> for Steps {
    fn steps(&mut self, _segment: &Segment) -> u32 {
        STEPS
    }
}

/// What every phase makes of the same inputs.
fn outputs(plan: &Plan) -> Vec<Vec<u8>> {
    let file = File::of(plan);
    let mut cpu = Cpu::new(plan, &file).expect("an arena").poisoned();
    let mut out = Vec::new();
    for phase in plan.phases.iter() {
        for port in phase.inputs.iter() {
            let values = (0..port.bytes() / 4).map(|j| (j * 17 % 23) as f32 / 11.5 - 1.0);
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            cpu.write(port, &bytes).unwrap();
        }
        replay(&mut cpu, phase, true, &mut Steps).expect("the replay finishes");
        out.extend(phase.outputs.iter().map(|port| cpu.read(port).unwrap().to_vec()));
    }
    out
}

fn streamed(plan: &Plan) -> usize {
    plan.phases.iter().flat_map(|p| p.fetches()).count()
}

/// Bytes of a phase's constants, counted anew: whole constants that stay, and the span of those that share.
fn counted(plan: &Plan, phase: &plan::Phase) -> u64 {
    let room = |c: &u32| plan.constants[*c as usize].bytes().next_multiple_of(ALIGN);
    let streamed: BTreeSet<u32> = phase.fetches().flat_map(|(_, f)| f.constants.iter().copied()).collect();
    let resident = phase.constants.iter().chain(phase.kept.iter()).filter(|c| !streamed.contains(c));
    let place = |c: &u32| phase.places[phase.constants.binary_search(c).unwrap()];
    let ring = |l: &Loop| {
        let all = || l.fetches.iter().flat_map(|f| f.constants.iter());
        let from = all().map(place).min().unwrap_or(0);
        all().map(|c| place(c) + room(c)).max().unwrap_or(0) - from
    };
    let loops = phase.segments.iter().flat_map(|s| s.items.iter()).filter_map(|item| match item {
        Item::Loop(l) => Some(l),
        Item::Launch(_) => None,
    });
    resident.map(room).sum::<u64>() + loops.map(ring).sum::<u64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_budget_changes_no_bit(model in models(), percent in 10u64..105) {
        let whole = made(&model, None).expect("compiles");
        let sums = whole.phases.iter().map(plan::Phase::peak_bytes);
        prop_assert_eq!(sums.max(), Some(whole.peak_bytes), "keeping costs nothing");
        prop_assert_eq!(streamed(&whole), 0);
        let vram = whole.peak_bytes * percent / 100 + (1 << 10);
        let plan = match made(&model, Some(vram)) {
            Ok(plan) => plan,
            Err(Error::Budget { arena, weights, tables, reserve, .. }) => {
                let least = arena + weights + tables + reserve;
                prop_assert!(least > vram);
                prop_assert!(made(&model, Some(least - ALIGN)).is_err());
                made(&model, Some(least)).expect("what the error says is enough")
            }
            Err(other) => panic!("{other}"),
        };
        prop_assert!(plan.peak_bytes + plan.facts.reserve_bytes <= plan.facts.vram.unwrap());
        for phase in plan.phases.iter() {
            prop_assert_eq!(counted(&plan, phase), phase.weight_bytes + phase.table_bytes);
            prop_assert!(phase.peak_bytes() <= plan.peak_bytes);
        }
        prop_assert_eq!(outputs(&plan), outputs(&whole));
    }
}

/// Six layers and eight blocks of 3 kB in about half the memory: all loops but one are streamed.
fn half() -> Plan {
    let model = Model { layers: 6, blocks: 8, more: 0, rows: vec![20, 11] };
    let whole = made(&model, None).expect("compiles");
    made(&model, Some(whole.peak_bytes / 2 + (2 << 10))).expect("half is enough")
}

/// The loop of a phase that is streamed.
fn ring<'p>(plan: &'p mut Plan, phase: &str) -> (Repeat, &'p mut Loop) {
    let phase = plan.phases.to_mut().iter_mut().find(|p| p.name == phase).expect("a phase");
    let segments = phase.segments.to_mut().iter_mut();
    let mut items = segments.flat_map(|s| s.items.to_mut().iter_mut().map(|item| (s.repeat, item)));
    let found = items.find_map(|(repeat, item)| match item {
        Item::Loop(l) if !l.fetches.is_empty() => Some((repeat, l)),
        _ => None,
    });
    found.expect("a streamed loop")
}

#[test]
fn a_place_takes_the_next_iteration_when_the_last_is_done() {
    let mut plan = half();
    let shape = |l: &Loop| l.fetches.iter().map(|f| (f.after, f.iteration)).collect::<Vec<_>>();
    const BEGIN: u32 = Fetch::AT_ONCE;
    let (repeat, l) = ring(&mut plan, "encode");
    assert_eq!((repeat, l.count), (Repeat::Once, 6));
    assert_eq!(shape(l), [(BEGIN, 0), (BEGIN, 2), (0, 3), (2, 5)]);
    let (repeat, l) = ring(&mut plan, "first");
    assert_eq!((repeat, l.count), (Repeat::Steps, 8));
    // The last ones are for the next step.
    let expected = [(BEGIN, 0), (BEGIN, 1), (0, 3), (1, 4), (3, 5), (4, 7), (5, 0), (7, 1)];
    assert_eq!(shape(l), expected);
}

#[test]
fn changed_fetches_are_refused() {
    let good = half();
    verify::memory(&good).expect("it was checked before");
    for phase in ["encode", "first", "second"] {
        let count = ring(&mut good.clone(), phase).1.fetches.len();
        for i in 0..count {
            let refused = |what: &str, change: &dyn Fn(&mut Vec<Fetch>, u32)| {
                let mut plan = good.clone();
                let l = ring(&mut plan, phase).1;
                change(l.fetches.to_mut(), l.count);
                let told = verify::memory(&plan).map_err(|e| e.to_string());
                assert!(told.is_err(), "{phase}: fetch {i} {what}");
            };
            refused("is missing", &|f, _| _ = f.remove(i));
            refused("is for another iteration", &|f, n| f[i].iteration = (f[i].iteration + 1) % n);
            refused("brings half", &|f, _| _ = f[i].constants.to_mut().pop());
            let after = ring(&mut good.clone(), phase).1.fetches[i].after;
            if after != Fetch::AT_ONCE && after > 0 {
                refused("is too early", &|f, _| f[i].after -= 1);
            }
            let other = (i + 1) % count;
            refused("has its weights swapped", &|f, _| {
                let taken = f[i].constants.clone();
                f[i].constants = std::mem::replace(&mut f[other].constants, taken);
            });
        }
    }
}

#[test]
fn wrong_places_are_refused() {
    let good = half();
    let refused = |what: &str, change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        assert!(verify::memory(&plan).is_err(), "{what}");
    };
    refused("a constant over another", &|p| {
        let places = p.phases.to_mut()[0].places.to_mut();
        places[1] = places[0];
    });
    refused("a constant in the arena", &|p| p.phases.to_mut()[0].places.to_mut()[0] = 0);
    refused("one that is not aligned", &|p| p.phases.to_mut()[0].places.to_mut()[0] += 8);
    refused("less weights than there are", &|p| p.phases.to_mut()[1].weight_bytes -= ALIGN);
    refused("less memory than a phase takes", &|p| p.peak_bytes -= ALIGN);
    refused("more memory than the card has", &|p| p.facts.vram = Some(p.peak_bytes));
    let kept = good.phases[2].kept[0];
    refused("a kept constant that moves", &|p| {
        let i = p.phases[3].constants.binary_search(&kept).unwrap();
        p.phases.to_mut()[3].places.to_mut()[i] += ALIGN;
    });
    refused("a kept constant that nobody reads before", &|p| p.phases.to_mut()[0].kept.to_mut().push(kept));
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_the_smallest_that_is_not() {
    // Twelve blocks of 0.9 GB: two places take 1.8 GB.
    let model = Model { layers: 1, blocks: 12, more: 0, rows: vec![9_500_000] };
    let error = made(&model, Some(1 << 30)).expect_err("two places do not fit").to_string();
    let expected = "target small does not fit into 1 GiB\n  \
        have  phase first takes 1.82 GB at least: arena 1.02 kB, weights 1.82 GB, tables 256 B; the driver keeps 1.02 kB\n  \
        help  the smallest budget that does is 2 GiB";
    assert_eq!(error, expected);
    assert!(made(&model, Some(2 << 30)).is_ok());
}
