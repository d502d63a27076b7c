//! The video decoder and encoder in chunks of time: the bits of those in one piece, on memory that is NaN where it is
//! dead.

use zoetrope::demo::demo_in_memory;
use zoetrope::model_files::tensors_of;
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_compiler::{Options, compile};
use zoetrope_model_spec::ltx::config::ModelConfig;
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::recorder::Recorder;
use zoetrope_model_spec::program::Program;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::Weights;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::asks_for_long;

use crate::model::{Model, folder, target};

/// Six latent frames: enough for every layer to be behind the one before.
fn clip(dtype: &str) -> String {
    format!(
        "width = 64\nheight = 32\nframes = 41\nfps = 24.0\npipeline = \"distilled-single-stage\"\ndtype = \"{dtype}\""
    )
}

/// The decoder of a run.
fn decoder(target: &Target, model: &ModelConfig, chunk: Option<usize>, pixels: Pixels) -> Plan {
    let run =
        compile_levels(target, model, Scope::Phase("video-decode"), &[], Options::default()).unwrap().plan;
    let phases = Recorder { target, model, taps: &[], chunk }.run(pixels).unwrap().phases;
    let mut decode = phases.into_iter().find(|p| p.graph.name == "video-decode").unwrap();
    decode.wiring.takes.clear();
    compile(Program { phases: vec![decode] }, "decoder", run.facts, Options::default()).unwrap()
}

/// The one result of the one phase as bits.
fn bits(plan: &Plan, weights: &dyn Weights) -> Vec<u32> {
    let phase = &plan.phases[0];
    let port = &phase.inputs[0];
    let shape: Vec<usize> = port.shape.iter().map(|d| *d as usize).collect();
    let values = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 1009) as f32 / 252.0 - 2.0);
    let inputs = Named::from([(port.name.to_string(), Tensor::real(&shape, values.collect()))]);
    let mut session = Session::poisoned(plan, weights).unwrap();
    session.run(&phase.name, &inputs, &[], &mut Unwatched).unwrap();
    let result = session.output(&phase.name, &phase.outputs[0].name).unwrap().reals();
    assert!(result.iter().all(|x| x.is_finite()));
    result.iter().map(|x| x.to_bits()).collect()
}

/// Chunked decoders and encoders of the model of `target`, against the whole.
fn same_bits(target: &Target, weights_of: &dyn Fn(&Plan) -> Box<dyn Weights>) {
    let model = dimensions(target, &folder()).unwrap();
    let weights = weights_of(&decoder(target, &model, None, Pixels::Rgb));
    for pixels in [Pixels::Rgb, Pixels::Yuv420] {
        let expected = bits(&decoder(target, &model, None, pixels), &*weights);
        for frames in [1, 2, 3, 5, 6] {
            let have = bits(&decoder(target, &model, Some(frames), pixels), &*weights);
            assert!(have == expected, "{pixels:?} in chunks of {frames} frames, {:?}", target.dtype);
        }
    }
    // The decoder alone moves channels to the front when all frames are there.
    for (phase, chunks) in [("video-decode", &[2][..]), ("video-encode", &[1, 2, 5])] {
        let alone = |decode_chunk| {
            let options = Options { decode_chunk, ..Options::default() };
            compile_levels(target, &model, Scope::Phase(phase), &[], options).unwrap().plan
        };
        let whole = alone(None);
        let weights = weights_of(&whole);
        let expected = bits(&whole, &*weights);
        for frames in chunks {
            let have = bits(&alone(Some(*frames)), &*weights);
            assert!(have == expected, "{phase} in chunks of {frames} frames, {:?}", target.dtype);
        }
    }
}

#[test]
fn small_model() {
    for dtype in ["f32", "bf16"] {
        same_bits(&target(&clip(dtype)), &|_| Box::new(Model::open()));
    }
}

#[test]
fn demo_model() {
    if !asks_for_long("chunks of the demo model") {
        return;
    }
    for dtype in ["f32", "bf16"] {
        let target = Target::parse("demo", &format!("{}\nmodel = \"demo\"", clip(dtype))).unwrap();
        same_bits(&target, &|plan| Box::new(demo_in_memory(&tensors_of(plan)).unwrap()));
    }
}
