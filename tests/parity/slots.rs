//! Adapters that stand beside the weights: the same velocities as with merged weights.

use zoetrope::adapters::{Adapters, Given, Merge, slots_of};
use zoetrope::demo::adapters::{DISTILLED, STYLE};
use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::tensors_of;
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_compiler::{Error, Options, compile, select};
use zoetrope_kernels::cuda::Class;
use zoetrope_model_spec::lang::{AdapterSlot, Builder, Dtype};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::pass_input::PerStream;
use zoetrope_model_spec::ltx::transformer::{Positions, Stream, velocity};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::Weights;
use zoetrope_runtime::files::TensorSet;
use zoetrope_runtime::plan::{Facts, Origin, Plan, Source};
use zoetrope_test_support::golden::rel_l2;

use crate::lora::given;
use crate::model::{Model, folder, target};
use crate::transformer::size;

/// The velocities of a clip, with room for adapters of this rank, or without, in so much memory.
fn compiled(
    target: &Target,
    cfg: &ModelConfig,
    rank: Option<usize>,
    vram: Option<u64>,
) -> Result<Plan, Error> {
    let alone = compile_levels(target, cfg, Scope::Phase("velocity"), &[], Options::default()).unwrap();
    let facts = Facts { vram, ..alone.plan.facts };
    let b = Builder::new("velocity", target.dtype);
    let cfg = &cfg.transformer;
    let stream = |name: &str, tokens: usize, channels: usize, width: usize| {
        let port = |what: &str| format!("{name}.{what}");
        let stream = Stream {
            latent: b.input(&port("latent"), b.dtype(), &[tokens, channels]),
            timesteps: b.input(&port("timesteps"), Dtype::F32, &[1]),
            class: b.input(&port("class"), Dtype::I32, &[tokens]),
            sigma: b.input(&port("sigma"), Dtype::F32, &[1]),
            bias: None,
            bias_from_outside: None,
        };
        (stream, b.input(&port("context"), b.dtype(), &[target.text_tokens, width]))
    };
    let (video, context_v) = stream("v", target.size.video_tokens(), cfg.video_channels, cfg.video.width());
    let (audio, context_a) = stream("a", target.size.audio_tokens(), cfg.audio_channels, cfg.audio.width());
    let context = PerStream { video: context_v, audio: context_a };
    let slot = rank.map(|rank| AdapterSlot { number: 2, rank: Some(rank) });
    let at = Positions::of(&target.size, cfg);
    let made = b.with_adapters(slot, || velocity(&b, cfg, &at, video, audio, context));
    b.output("v.velocity", made.video);
    b.output("a.velocity", made.audio);
    let phase = Phase::alone(b.finish().unwrap());
    compile(Program { phases: vec![phase] }, "velocity", facts, Options::default())
}

/// The same of the small model's files.
fn plan(dtype: &str, rank: Option<usize>) -> Plan {
    let target = target(&size(96, 128, 25.0, 37, 1, dtype));
    compiled(&target, &dimensions(&target, &folder()).unwrap(), rank, None).unwrap()
}

/// Velocities of both streams for some latents and contexts, on memory that is NaN where it is dead.
fn velocities(
    plan: &Plan,
    adapters: &Adapters,
    files: &dyn Weights,
    checkpoint: &TensorSet,
) -> Vec<Vec<f32>> {
    let weights = adapters.over(files, checkpoint, plan).unwrap();
    let mut inputs = Named::new();
    for port in plan.phases[0].inputs.iter() {
        let shape: Vec<usize> = port.shape.iter().map(|d| *d as usize).collect();
        let count = shape.iter().product();
        let some = (0..count).map(|i: usize| (i * 7919 % 1009) as f32 / 504.0 - 1.0);
        let tensor = match port.name.rsplit_once('.') {
            Some((_, "class")) => Tensor::int(&shape, vec![0; count]),
            Some((_, "sigma" | "timesteps")) => Tensor::real(&shape, vec![0.75; count]),
            _ => Tensor::real(&shape, some.collect()),
        };
        inputs.insert(port.name.to_string(), tensor);
    }
    let mut session = Session::poisoned(plan, &weights).unwrap();
    session.run("velocity", &inputs, &[], &mut Unwatched).unwrap();
    ["v.velocity", "a.velocity"].map(|name| session.output("velocity", name).unwrap().reals()).to_vec()
}

/// The same on the small model.
fn small(plan: &Plan, adapters: &Adapters) -> Vec<Vec<f32>> {
    let model = Model::open();
    velocities(plan, adapters, &model, &model.checkpoint)
}

fn merged(given: &[Given]) -> Adapters {
    Adapters::open(given, Merge::Exact).unwrap()
}

fn in_slot(given: &[Given]) -> Adapters {
    merged(&[]).in_slot(2, given).unwrap()
}

fn apart(have: &[Vec<f32>], want: &[Vec<f32>]) -> f64 {
    have.iter().zip(want).map(|(have, want)| rel_l2(have, want)).fold(0.0, f64::max)
}

/// Two files of different ranks: their ranks side by side where there is room, and in layers that are narrower than
/// both together, their whole change.
#[test]
fn adapters_in_a_slot_are_as_merged_ones() {
    let two = [given("distilled", 0.7), given("style", -0.4)];
    let want = small(&plan("f32", None), &merged(&two));
    for rank in [10, 16, 1000] {
        let plan = plan("f32", Some(rank));
        assert_eq!(slots_of(&plan).collect::<Vec<_>>(), [2]);
        let have = small(&plan, &in_slot(&two));
        assert!(apart(&have, &want) < 1e-5, "{rank}: {}", apart(&have, &want));
    }
    // One merged and one in the slot.
    let both = merged(&two[1..]).in_slot(2, &two[..1]).unwrap();
    let have = small(&plan("f32", Some(6)), &both);
    assert!(apart(&have, &want) < 1e-5, "{}", apart(&have, &want));
}

#[test]
fn in_bf16_a_slot_is_within_its_rounding() {
    let one = [given("distilled", 1.0)];
    let want = small(&plan("bf16", None), &merged(&one));
    let have = small(&plan("bf16", Some(6)), &in_slot(&one));
    assert!(apart(&have, &want) < 0.03, "{}", apart(&have, &want));
}

/// What reads one input is one product, of weights and of adapters; the second products add in place.
#[test]
fn a_slot_costs_two_narrow_products_and_nothing_else() {
    let plan = plan("bf16", Some(6));
    let tensors = |constant: u32| match &plan.constants[constant as usize].origin {
        Origin::Weight { source, tensors, .. } => Some((*source, tensors.len())),
        Origin::Table { .. } => None,
    };
    let here: Vec<_> = plan.phases[0].constants.iter().filter_map(|c| tensors(*c)).collect();
    for source in [Source::Checkpoint, Source::Adapter(2)] {
        // Both blocks' self-attention of both streams: q, k, v and the gates.
        assert_eq!(here.iter().filter(|of| **of == (source, 4)).count(), 4, "{source:?}");
    }
    let kernel = |name: &str| plan.kernels.iter().position(|k| k.name == name).map(|at| at as u32);
    let adds = kernel("linear_bias_residual");
    for (launch, _) in plan.phases[0].launches().filter(|(launch, _)| Some(launch.kernel) == adds) {
        assert!(launch.parts.iter().all(|part| part.in_place == Some(3)), "{}", launch.path());
    }
    for name in ["linear_bias_residual_gelu", "linear_bias_partial_class_gate_residual"] {
        assert!(kernel(name).is_some(), "{name}");
    }
    assert!(kernel("mul").is_none() && kernel("gelu").is_none());
    for class in [Class::Portable, Class::Hopper] {
        select(&plan, class).unwrap();
    }
}

/// The demo model with more blocks: their adapters are fetched with them.
#[test]
fn streamed_blocks_bring_their_adapters() {
    let target = Target::preset("res-tiny").unwrap();
    let mut cfg = dimensions(&target, &folder()).unwrap();
    cfg.transformer.layers = 10;
    let with = |vram| compiled(&target, &cfg, Some(16), vram);
    let all = with(None).unwrap();
    let Err(Error::Budget { arena, weights, tables, reserve, .. }) = with(Some(1 << 20)) else {
        panic!("a megabyte is too little")
    };
    let streamed = with(Some(arena + weights + tables + reserve)).unwrap();
    let fetched = streamed.phases[0].fetches().flat_map(|(_, fetch)| fetch.constants.iter());
    let adapters = fetched.filter(|constant| {
        let origin = &streamed.constants[**constant as usize].origin;
        matches!(origin, Origin::Weight { source: Source::Adapter(2), .. })
    });
    assert!(adapters.count() > 0);
    let folder = tempfile::tempdir().unwrap();
    let tensors = tensors_of(&all);
    let given = [(DISTILLED, 1.0), (STYLE, -0.5)].map(|(adapter, strength)| {
        let path = folder.path().join(adapter.file);
        std::fs::write(&path, adapter.bytes(&tensors).unwrap()).unwrap();
        Given { path, strength }
    });
    let files = demo_in_memory(&tensors).unwrap();
    let run = |plan: &Plan| velocities(plan, &in_slot(&given), &files, &files.checkpoint);
    assert!(run(&streamed) == run(&all));
}

#[test]
fn a_slot_without_room_or_without_adapter_is_said() {
    let plan = plan("f32", Some(6));
    let model = Model::open();
    let refused = |given: &[Given]| {
        let adapters = in_slot(given);
        adapters.over(&model, &model.checkpoint, &plan).err().expect("it does not fit").to_string()
    };
    let none = refused(&[]);
    assert!(none.contains("stage 2") && none.contains("--distilled-lora"), "{none}");
    let two = refused(&[given("distilled", 1.0), given("style", 1.0)]);
    assert!(two.contains("attn1.to_q.weight, which is changed with rank 10: there is room for 6"), "{two}");
    // A layer whose rank is full has room for any.
    assert!(!two.contains("to_gate_logits"), "{two}");
}
