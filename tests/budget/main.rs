//! Memory budgets: on the demo model with more layers, what is streamed changes no bit of a run; for presets, the table
//! of docs/budgets.md. Several plans of a process bring a weight once.

mod plans;
mod pooled;

use zoetrope::adapters::{Adapters, Given, Merge};
use zoetrope::commands::budgets::{comparison, table};
use zoetrope::demo::adapters::{DISTILLED, STYLE};
use zoetrope::demo::demo_in_memory;
use zoetrope::device::Device;
use zoetrope::eval::{EvalError, Phase};
use zoetrope::model_files::{ModelFiles, tensors_of};
use zoetrope::run::{Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Encoded;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{compile_target, footprints};
use zoetrope_model_spec::lang::Kept;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::{Footprint, Plan};
use zoetrope_test_support::asks_for_long;

use plans::{assert_streams, least, model, resident_and_streamed};

fn text_encoder(weights: Option<Kept>, vram: Option<u64>) -> Result<Phase, EvalError> {
    let (target, model) = model(vram);
    let target = Target { weights, ..target };
    Phase::compile(&target, &model, "text-encode", &[], Options::default())
}

fn prompt(files: &ModelFiles) -> Encoded {
    files.tokenizer().unwrap().encode("a red ball").unwrap()
}

fn bits<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> Vec<u32> {
    tensors.into_iter().flat_map(|t| t.reals().into_iter().map(f32::to_bits)).collect()
}

#[test]
fn a_transformer_that_is_streamed_makes_the_same_clip() {
    let [all, streamed] = resident_and_streamed();
    assert_streams(&streamed, "denoise-1", "transformer_blocks");
    assert_streams(&streamed, "denoise-2", "transformer_blocks");
    let files = demo_in_memory(&tensors_of(&all)).unwrap();
    let clip = |plan: &Plan| {
        let mut session = Session::poisoned(plan, &files).expect("the plan fits");
        let prompt = prompt(&files);
        let request = Request { prompts: vec![&prompt], seed: 7, ..Request::default() };
        let done = run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).expect("it finishes");
        bits(done.latents.values().chain(&done.video).chain(&done.waveform))
    };
    assert!(clip(&streamed) == clip(&all));
}

#[test]
fn a_text_encoder_that_is_streamed_leaves_the_same_states() {
    // Also where they stay encoded: then less is streamed.
    for weights in [None, Some(Kept::Q8_0)] {
        let all = text_encoder(weights, None).unwrap();
        let refused = text_encoder(weights, Some(1 << 20));
        let Err(EvalError::Compile(refused)) = refused else { panic!("a megabyte does") };
        let streamed = text_encoder(weights, Some(least(refused))).unwrap();
        assert_streams(&streamed.plan, "text-encode", "layers");
        assert_eq!(streamed.plan.kept(), weights.into_iter().collect());
        let files = demo_in_memory(&tensors_of(&all.plan)).unwrap();
        let prompt = prompt(&files);
        let ints = |name: &str, v: &[i32]| (name.to_string(), Tensor::int(&[v.len()], v.to_vec()));
        let inputs = Named::from([
            ints("input_ids", &prompt.input_ids),
            ints("attention_mask", &prompt.attention_mask),
        ]);
        let states =
            |phase: &Phase| bits(phase.run(Device::Cpu, &files, &inputs, 2).unwrap().outputs.values());
        assert!(states(&streamed) == states(&all));
    }
}

/// Adapters are merged once into weights that are fetched at every step.
#[test]
fn a_transformer_that_is_streamed_has_the_same_velocities_with_adapters() {
    let velocity = |vram| {
        let (target, model) = model(vram);
        Phase::compile(&target, &model, "velocity", &[], Options::default())
    };
    let all = velocity(None).unwrap();
    let Err(EvalError::Compile(refused)) = velocity(Some(1 << 20)) else { panic!("a megabyte does") };
    let streamed = velocity(Some(least(refused))).unwrap();
    assert_streams(&streamed.plan, "velocity", "transformer_blocks");
    let tensors = tensors_of(&all.plan);
    let files = demo_in_memory(&tensors).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let given = [(DISTILLED, 1.0), (STYLE, -0.5)].map(|(adapter, strength)| {
        let path = folder.path().join(adapter.file);
        std::fs::write(&path, adapter.bytes(&tensors).unwrap()).unwrap();
        Given { path, strength }
    });
    let ports = &all.plan.phases[0].inputs;
    let shape = |name: &str| -> Vec<usize> {
        let port = ports.iter().find(|port| port.name == name).expect("a port of this name");
        port.shape.iter().map(|d| *d as usize).collect()
    };
    let mut inputs = Named::new();
    for stream in ["v", "a"] {
        for name in ["latent", "context", "sigma"].map(|name| format!("{stream}.{name}")) {
            let shape = shape(&name);
            let values = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 1009) as f32 / 1009.0);
            inputs.insert(name, Tensor::real(&shape, values.collect()));
        }
        let tokens = shape(&format!("{stream}.class"))[0];
        inputs.insert(format!("{stream}.timesteps"), Tensor::real(&[1, tokens, 1], vec![0.75; tokens]));
    }
    let velocities = |phase: &Phase, given: &[Given]| {
        let adapters = Adapters::open(given, Merge::Exact).unwrap();
        let weights = adapters.over(&files, &files.checkpoint, &phase.plan).unwrap();
        bits(phase.run(Device::Cpu, &weights, &inputs, 2).unwrap().outputs.values())
    };
    let merged = velocities(&all, &given);
    assert!(velocities(&streamed, &given) == merged);
    assert!(velocities(&all, &[]) != merged);
}

#[test]
fn the_tables_of_the_document_are_fresh() {
    if !asks_for_long("all presets with all budgets") {
        return;
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/budgets.md")).unwrap();
    for (command, table) in [("zoetropec budgets", table()), ("zoetropec budgets --weights", comparison())] {
        let (_, rest) = page.split_once(&format!("<!-- {command} -->\n")).expect("the page has the mark");
        let (block, _) = rest.split_once("<!-- end -->").expect("the page has the second mark");
        let table = table.unwrap();
        assert!(block == table, "{command} prints another table than docs/budgets.md shows:\n{table}");
    }
}

/// What a plan says of other encodings is what their own plans take, and whether there are some.
fn footprints_are_those_of_plans(target: &Target) {
    let compile = |weights, vram| compile_target(&Target { weights, vram, ..target.clone() }, "".as_ref());
    let footprints = footprints(target, "".as_ref()).unwrap();
    let stored: Vec<_> = footprints.iter().map(|footprint| footprint.weights).collect();
    assert_eq!(stored, [None, Some(Kept::Fp8), Some(Kept::Q8_0), Some(Kept::Q4_K)]);
    for Footprint { weights, peak_bytes, least_vram } in footprints {
        assert_eq!(compile(weights, None).unwrap().peak_bytes, peak_bytes, "{weights:?}");
        compile(weights, Some(least_vram)).unwrap();
        if least_vram > 1 << 30 {
            assert!(compile(weights, Some(least_vram - (1 << 30))).is_err(), "{weights:?}");
        }
    }
}

#[test]
fn footprints_of_a_small_plan() {
    footprints_are_those_of_plans(&Target::preset("res-tiny").unwrap());
}

#[test]
fn footprints_of_a_preset() {
    if !asks_for_long("a preset with weights in every encoding") {
        return;
    }
    footprints_are_those_of_plans(&Target::preset("res-4k").unwrap());
}
