//! Guided runs in two stages, the second with an adapter of its own.

use std::collections::BTreeMap;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::device::Device;
use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::steps::Steps;
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::golden::{Case, rel_l2};
use zoetrope_test_support::tensor;

use crate::lora::given;
use crate::model::{Model, compiled, folder, input, renamed, target};

/// 9 frames of 128x64 at 25 fps; the adapter merged into weights of its stage, or in a slot.
fn clip(dtype: &str, merged: bool) -> Target {
    target(&format!(
        "width = 128\nheight = 64\nframes = 9\nfps = 25\npipeline = \"two-stage\"\ndtype = \"{dtype}\"\n\
         text_tokens = 33\nstage = [{{}}, {{ adapter = {{ merged = {merged}, rank = 12 }} }}]"
    ))
}

fn plan(dtype: &str) -> Plan {
    let target = clip(dtype, true);
    let model = dimensions(&target, &folder()).unwrap();
    compile_levels(&target, &model, Scope::Run(Pixels::Rgb), &[], Options::default()).unwrap().plan
}

fn made(plan: &Plan, merge: Merge, request: &Request<'_>) -> Finished {
    let model = Model::open();
    let adapters = Adapters::open(&[], merge).unwrap().in_slot(2, &[given("distilled", 1.0)]).unwrap();
    let weights = adapters.over(&model, &model.checkpoint, plan).unwrap();
    let mut session = Session::poisoned(plan, &weights).unwrap();
    run(&mut session, request, &mut Unwatched, &mut |_, _| Ok(())).unwrap()
}

fn noise(case: &Case) -> Named {
    let of = |stage: usize| {
        ["v", "a"]
            .map(|s| (format!("stage{stage}.{s}.noise"), input(case, &format!("in.stage{stage}.noise.{s}"))))
    };
    [1, 2].into_iter().flat_map(of).collect()
}

/// The latents under the names of a case.
fn latents(done: &Finished) -> BTreeMap<String, tensor::Tensor> {
    let stages = [1, 2].into_iter().flat_map(|stage| {
        ["v", "a"].map(|s| (format!("stage{stage}.{s}.latent"), format!("stage{stage}.final.{s}")))
    });
    let all = stages.chain([("upscaled.v.latent".to_string(), "upscaled.v".to_string())]);
    all.map(|(ours, theirs)| {
        let latent = &done.latents[&ours];
        (theirs, tensor::Tensor::f32(&latent.shape, latent.reals()))
    })
    .collect()
}

/// Phase by phase, because the case has contexts of 33 tokens.
fn phases(dtype: &str, merged: bool, merge: Merge) -> BTreeMap<String, tensor::Tensor> {
    let case = Case::load("two_stage").unwrap();
    let target = clip(dtype, merged);
    let evaluated = |phase: &str, adapters: &[Given], inputs: &Named| {
        let phase = compiled(&target, phase, &[]);
        let model = Model::open();
        let adapters = Adapters::open(&[], merge).unwrap().in_slot(2, adapters).unwrap();
        let weights = adapters.over(&model, &model.checkpoint, &phase.plan).unwrap();
        phase.run(Device::Cpu, &weights, inputs, 1).unwrap().outputs
    };
    let stage = |number: usize, more: Named| {
        let given = |name: &str| input(&case, &format!("in.{name}"));
        let mut inputs = Named::from([
            ("v.image".to_string(), given(&format!("image_latent_{number}"))),
            ("v.image_strength".to_string(), Tensor::real(&[1], vec![1.0])),
            ("sigmas".to_string(), given(&format!("stage{number}.sigmas"))),
        ]);
        for stream in ["v", "a"] {
            inputs.insert(format!("{stream}.noise"), given(&format!("stage{number}.noise.{stream}")));
            inputs.insert(format!("{stream}.context"), given(&format!("context.{stream}")));
            inputs.insert(format!("{stream}.context.negative"), given(&format!("context.{stream}_neg")));
        }
        inputs.extend(more);
        inputs
    };
    let first = evaluated("denoise-1", &[], &stage(1, Named::new()));
    let upscaled =
        evaluated("upscale", &[], &Named::from([("v.latent".to_string(), first["v.latent"].clone())]));
    let initial = [("v.initial", &upscaled["v.latent"]), ("a.initial", &first["a.latent"])];
    let initial = initial.map(|(name, latent)| (name.to_string(), latent.clone()));
    let second = evaluated("denoise-2", &[given("distilled", 1.0)], &stage(2, initial.into()));
    let mut out = renamed(&upscaled, &[("v.latent", "upscaled.v")]);
    out.extend(renamed(&first, &[("v.latent", "stage1.final.v"), ("a.latent", "stage1.final.a")]));
    out.extend(renamed(&second, &[("v.latent", "stage2.final.v"), ("a.latent", "stage2.final.a")]));
    out
}

#[test]
fn an_image_in_two_guided_stages() {
    let case = Case::load("two_stage").unwrap();
    for (dtype, scale) in [("f32", 1.0), ("bf16", 500.0)] {
        let have = phases(dtype, true, Merge::Official);
        println!("{}", case.check(&have, scale).unwrap_or_else(|e| panic!("{e}")));
    }
    // Exact, where the official merge rounds to bf16.
    let [merged, beside] = [true, false].map(|merged| phases("f32", merged, Merge::Exact));
    let last = |all: &BTreeMap<String, tensor::Tensor>| all["stage2.final.v"].as_f32().to_vec();
    let apart = [
        rel_l2(&last(&beside), &last(&merged)),
        rel_l2(&last(&beside), case.tensor("stage2.final.v").as_f32()),
    ];
    assert!(apart[0] < 1e-5 && apart[1] < 2e-2, "{apart:?}");
}

#[test]
fn from_prompts_to_pixels_and_waveform() {
    let case = Case::load("e2e").unwrap();
    let tokenizer = Tokenizer::from_file(&folder().join("gemma-3-tiny/tokenizer.json")).unwrap();
    let prompts = zoetrope_test_support::prompts().unwrap();
    let [prompt, negative] = [0, 1].map(|i| tokenizer.encode(&prompts[i]).unwrap());
    let request = Request {
        prompts: vec![&prompt, &negative],
        steps: Steps { count: Some(4), skip: 0 },
        tensors: noise(&case),
        ..Request::default()
    };
    for (dtype, scale) in [("f32", 1.0), ("bf16", 500.0)] {
        let done = made(&plan(dtype), Merge::Official, &request);
        let mut have = latents(&done);
        for (name, made) in [("video", &done.video), ("audio", &done.waveform)] {
            let made = made.as_ref().expect("a clip has both");
            have.insert(name.to_string(), tensor::Tensor::f32(&made.shape, made.reals()));
        }
        println!("{}", case.check(&have, scale).unwrap_or_else(|e| panic!("{e}")));
    }
}
