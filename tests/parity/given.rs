//! Runs for given sound and video: what is not made anew stays what it is, to the bit.

use std::collections::BTreeMap;

use zoetrope::demo::{TOKENIZER, demo_in_memory};
use zoetrope::device::Device;
use zoetrope::eval::Phase;
use zoetrope::model_files::tensors_of;
use zoetrope::run::{Finished, Frames, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::steps::Steps;
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::lang::Dtype;
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_model_spec::ltx::recipe::{Recipe, StageLevels};
use zoetrope_model_spec::ltx::sizes::Size;
use zoetrope_model_spec::target::Target;
use zoetrope_runtime::plan::Role;

const SIZE: Size = Size { width: 64, height: 64, frames: 17, fps: 25.0, stride: 1 };

fn target(recipe: &str) -> Target {
    let recipe = Recipe::named(recipe).unwrap();
    Target { recipe, size: SIZE, dtype: Dtype::F32, ..Target::preset("res-tiny").unwrap() }
}

fn waves(shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|i| (i as f32 * 0.003).sin());
    Tensor::real(shape, values.collect())
}

fn footage(width: usize, height: usize) -> Tensor {
    waves(&[3, SIZE.frames, height, width])
}

fn spectrogram(rows: usize) -> Tensor {
    waves(&[2, rows, 64])
}

/// A run of two steps; of each stream `spans` are made anew. Without a sound where `silent`.
fn made(target: &Target, spans: &[(&str, [f32; 2])], silent: bool) -> Finished {
    let model = dimensions(target, "".as_ref()).unwrap();
    let plan =
        compile_levels(target, &model, Scope::Run(Pixels::Yuv420), &[], Options::default()).unwrap().plan;
    let files = demo_in_memory(&tensors_of(&plan)).unwrap();
    let prompt = Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap().encode("a red ball").unwrap();
    let number = |name: String, at: f32| (name, Tensor::real(&[1], vec![at]));
    let ends = spans.iter().flat_map(|(stream, [start, end])| {
        [number(format!("{stream}.region_start"), *start), number(format!("{stream}.region_end"), *end)]
    });
    let reference = |frames: usize, width: usize, height: usize| waves(&[3, frames, height, width]);
    let request = Request {
        references: BTreeMap::from([(1, Box::new(reference) as Frames<'_>)]),
        prompts: vec![&prompt, &prompt],
        steps: Steps { count: Some(2), skip: 0 },
        footage: Some(Box::new(footage)),
        spectrogram: (!silent).then(|| Box::new(spectrogram) as Box<dyn Fn(usize) -> Tensor>),
        tensors: ends.collect(),
        ..Request::default()
    };
    let done =
        run(&mut Session::poisoned(&plan, &files).unwrap(), &request, &mut Unwatched, &mut |_, _| Ok(()));
    let done = done.unwrap();
    let leaves = |role: Role| plan.results().contains(&role);
    assert_eq!(
        (done.video.is_some(), done.waveform.is_some()),
        (leaves(Role::Video), leaves(Role::Waveform))
    );
    done
}

/// Latents of what is given, by phases of their own.
fn encoded(target: &Target) -> [Vec<f32>; 2] {
    let model = dimensions(target, "".as_ref()).unwrap();
    let inputs = Named::from([
        ("video".to_string(), footage(64, 64)),
        ("mel".to_string(), spectrogram(4 * SIZE.audio_tokens() - 3)),
    ]);
    [("video-encode", "video", "v.latent"), ("audio-encode", "mel", "a.latent")].map(
        |(phase, input, output)| {
            let phase = Phase::compile(target, &model, phase, &[], Options::default()).unwrap();
            let files = demo_in_memory(&tensors_of(&phase.plan)).unwrap();
            let inputs = Named::from([(input.to_string(), inputs[input].clone())]);
            phase.run(Device::Cpu, &files, &inputs, 1).unwrap().outputs[output].reals()
        },
    )
}

/// Which steps in time of a latent [channels, time, ..] differ; `inner` elements are one step of a channel.
fn changed(made: &[f32], given: &[f32], time: usize, inner: usize) -> Vec<usize> {
    let differs = |t: &usize| {
        let of = |values: &[f32]| -> Vec<u32> {
            let step = values.chunks_exact(time * inner).flat_map(|channel| &channel[t * inner..][..inner]);
            step.map(|x| x.to_bits()).collect()
        };
        of(made) != of(given)
    };
    (0..time).filter(differs).collect()
}

#[test]
fn a_retake_changes_its_span_alone() {
    let given = encoded(&target("retake"));
    // Cells of video begin at 0, 1 and 9 frames; of sound at 0, 0.01, 0.05 s and so on.
    let span = [0.1, 0.3];
    let sound: Vec<usize> =
        (0..17).filter(|t| (4 * t + 1) as f32 > 10.0 && ((4 * t) as f32 - 3.0) < 30.0).collect();
    for (recipe, spans) in [
        ("retake", &[("v", span), ("a", span)][..]),
        ("retake-video", &[("v", span)]),
        ("retake-audio", &[("a", span)]),
        ("retake-dev", &[("v", span), ("a", span)]),
    ] {
        let latents = made(&target(recipe), spans, false).latents;
        let of = |name: &str| latents.get(name).map(Tensor::reals);
        if let Some(video) = of("stage1.v.latent") {
            assert_eq!(changed(&video, &given[0], 3, 4), [1], "{recipe}");
        }
        if let Some(audio) = of("stage1.a.latent") {
            assert_eq!(changed(&audio, &given[1], 17, 16), sound, "{recipe}");
        }
        let left = ["stage1.v.latent", "stage1.a.latent"].map(|name| latents.contains_key(name));
        assert_eq!(left, ["v", "a"].map(|stream| spans.iter().any(|(of, _)| *of == stream)), "{recipe}");
    }
    // Without a sound, all of it is made; nothing of it is left to be heard from before.
    let latents = made(&target("retake"), &[("v", [0.1, 0.3]), ("a", [-1.0, 9.0])], true).latents;
    let audio = latents["stage1.a.latent"].reals();
    assert_eq!(changed(&audio, &[0.0; 17 * 128], 17, 16), (0..17).collect::<Vec<_>>());
}

/// The sound of the first stage is the clip's, and heard by the second one, which makes video alone.
#[test]
fn a_dub_makes_its_sound_in_the_first_stage() {
    let mut dub = target("dub");
    let few = |sigmas: &[f32]| StageLevels::List(sigmas.to_vec());
    (dub.recipe.stages[0].levels, dub.recipe.stages[1].levels) = (few(&[1.0, 0.5, 0.0]), few(&[0.5, 0.0]));
    let done = made(&dub, &[], false);
    assert!(done.waveform.is_some() && done.video.is_some());
    let names: Vec<&String> = done.latents.keys().collect();
    assert_eq!(names, ["stage1.a.latent", "stage1.v.latent", "stage2.v.latent", "upscaled.v.latent"]);
    // The reference is heard in the first stage.
    let silent = made(&dub, &[], true);
    assert_ne!(silent.latents["stage1.a.latent"], done.latents["stage1.a.latent"]);
}

#[test]
fn a_given_sound_is_nothing_to_be_made() {
    let mut target = target("audio-to-video");
    target.recipe.stages.iter_mut().for_each(|stage| stage.adapter = None);
    let done = made(&target, &[], false);
    assert!(done.waveform.is_none() && done.video.is_some());
    let names: Vec<&String> = done.latents.keys().collect();
    assert_eq!(names, ["stage1.v.latent", "stage2.v.latent", "upscaled.v.latent"]);
}
