//! Adapters that stand beside the weights: the same velocities as with merged weights.

use zoetrope::adapters::{Adapters, Given, Merge, slots_of};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_compiler::{Options, compile};
use zoetrope_model_spec::lang::{AdapterSlot, Builder, Dtype};
use zoetrope_model_spec::ltx::pass_input::PerStream;
use zoetrope_model_spec::ltx::transformer::{Positions, Stream, velocity};
use zoetrope_model_spec::program::{Phase, Program};
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::golden::{Case, rel_l2};

use crate::lora::given;
use crate::model::{Model, folder, input, target};
use crate::transformer::size;

/// The velocities of the clip of the reference, with room for adapters of this rank, or without.
fn plan(target: &Target, rank: Option<usize>) -> Plan {
    let model = dimensions(target, &folder()).unwrap();
    let facts =
        compile_levels(target, &model, Scope::Phase("velocity"), &[], Options::default()).unwrap().plan.facts;
    let b = Builder::new("velocity", target.dtype);
    let cfg = &model.transformer;
    let stream = |name: &str, tokens: usize, channels: usize, width: usize| {
        let port = |what: &str| format!("{name}.{what}");
        let stream = Stream {
            latent: b.input(&port("latent"), b.dtype(), &[tokens, channels]),
            timesteps: b.input(&port("timesteps"), Dtype::F32, &[1]),
            class: b.input(&port("class"), Dtype::I32, &[tokens]),
            sigma: b.input(&port("sigma"), Dtype::F32, &[1]),
            bias: None,
        };
        (stream, b.input(&port("context"), b.dtype(), &[target.text_tokens, width]))
    };
    let (video, context_v) = stream("v", 36, cfg.video_channels, cfg.video.width());
    let (audio, context_a) = stream("a", 17, cfg.audio_channels, cfg.audio.width());
    let context = PerStream { video: context_v, audio: context_a };
    let slot = rank.map(|rank| AdapterSlot { number: 2, rank: Some(rank) });
    let at = Positions::of(&target.size, cfg);
    let made = b.with_adapters(slot, || velocity(&b, cfg, &at, video, audio, context));
    b.output("v.velocity", made.video);
    b.output("a.velocity", made.audio);
    let phase = Phase::alone(b.finish().unwrap());
    compile(Program { phases: vec![phase] }, "velocity", facts, Options::default()).unwrap()
}

/// Velocities of both streams, on memory that is NaN where it is dead.
fn velocities(plan: &Plan, adapters: &Adapters) -> Vec<Vec<f32>> {
    let case = Case::load("lora").unwrap();
    let model = Model::open();
    let weights = adapters.over(&model, &model.checkpoint, plan).unwrap();
    let mut inputs = Named::new();
    for stream in ["v", "a"] {
        for what in ["latent", "context", "sigma"] {
            let mut tensor = input(&case, &format!("in.{stream}.{what}"));
            if what != "sigma" {
                tensor.shape.remove(0);
            }
            inputs.insert(format!("{stream}.{what}"), tensor);
        }
        let timesteps = input(&case, &format!("in.{stream}.timesteps")).reals();
        inputs.insert(format!("{stream}.timesteps"), Tensor::real(&[1], vec![timesteps[0]]));
        inputs.insert(format!("{stream}.class"), Tensor::int(&[timesteps.len()], vec![0; timesteps.len()]));
    }
    let mut session = Session::poisoned(plan, &weights).unwrap();
    session.run("velocity", &inputs, &[], &mut Unwatched).unwrap();
    ["v.velocity", "a.velocity"].map(|name| session.output("velocity", name).unwrap().reals()).to_vec()
}

fn apart(have: &[Vec<f32>], want: &[Vec<f32>]) -> f64 {
    have.iter().zip(want).map(|(have, want)| rel_l2(have, want)).fold(0.0, f64::max)
}

fn sized(dtype: &str) -> Target {
    target(&size(96, 128, 25.0, 37, 1, dtype))
}

/// Two files of different ranks: their ranks side by side where there is room, and in layers that are narrower than
/// both together, their whole change.
#[test]
fn adapters_in_a_slot_are_as_merged_ones() {
    let two = [given("distilled", 0.7), given("style", -0.4)];
    let merged = velocities(&plan(&sized("f32"), None), &Adapters::open(&two, Merge::Exact).unwrap());
    let none = || Adapters::open(&[], Merge::Exact).unwrap();
    for rank in [10, 16, 1000] {
        let plan = plan(&sized("f32"), Some(rank));
        assert_eq!(slots_of(&plan).collect::<Vec<_>>(), [2]);
        let have = velocities(&plan, &none().in_slot(2, &two).unwrap());
        assert!(apart(&have, &merged) < 1e-5, "{rank}: {}", apart(&have, &merged));
    }
    // One merged and one in the slot.
    let both = Adapters::open(&two[1..], Merge::Exact).unwrap().in_slot(2, &two[..1]).unwrap();
    let have = velocities(&plan(&sized("f32"), Some(6)), &both);
    assert!(apart(&have, &merged) < 1e-5, "{}", apart(&have, &merged));
}

#[test]
fn in_bf16_a_slot_is_within_its_rounding() {
    let one = [given("distilled", 1.0)];
    let merged = velocities(&plan(&sized("bf16"), None), &Adapters::open(&one, Merge::Exact).unwrap());
    let slot = Adapters::open(&[], Merge::Exact).unwrap().in_slot(2, &one).unwrap();
    let have = velocities(&plan(&sized("bf16"), Some(6)), &slot);
    assert!(apart(&have, &merged) < 0.03, "{}", apart(&have, &merged));
}

#[test]
fn a_slot_without_room_or_without_adapter_is_said() {
    let plan = plan(&sized("f32"), Some(6));
    let model = Model::open();
    let refused = |given: &[Given]| {
        let adapters = Adapters::open(&[], Merge::Exact).unwrap().in_slot(2, given).unwrap();
        adapters.over(&model, &model.checkpoint, &plan).err().expect("it does not fit").to_string()
    };
    let none = refused(&[]);
    assert!(none.contains("stage 2") && none.contains("--distilled-lora"), "{none}");
    let two = refused(&[given("distilled", 1.0), given("style", 1.0)]);
    assert!(two.contains("attn1.to_q.weight, which is changed with rank 10: there is room for 6"), "{two}");
    // A layer whose rank is full has room for any.
    assert!(!two.contains("to_gate_logits"), "{two}");
}
