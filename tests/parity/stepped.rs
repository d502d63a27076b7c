//! Denoising loops beside the plain one: an image that is held, and other solvers.

use zoetrope::tensors::{Named, Tensor};
use zoetrope_model_spec::ltx::schedule::skipping;
use zoetrope_model_spec::target::Target;
use zoetrope_test_support::golden::{Case, rel_l2};

use zoetrope::adapters::{Given, Merge};

use crate::guided::scales;
use crate::lora::{evaluated, given};
use crate::model::{compiled, eval, input, renamed, target};
use crate::parts::region;

/// Stages of 17 frames of 96x128 at 25 fps; `more` are further lines of the target file.
fn stage(dtype: &str, pipeline: &str, more: &str) -> Target {
    target(&format!(
        "width = 96\nheight = 128\nframes = 17\nfps = 25\ntext_tokens = 29\ndtype = \"{dtype}\"\n\
         pipeline = \"{pipeline}\"\n{more}"
    ))
}

/// Noise, levels, contexts, and the scales of a guided case.
fn inputs(case: &Case) -> Named {
    let contexts = Case::load("denoise_contexts").unwrap();
    let mut inputs = Named::from([("sigmas".to_string(), input(case, "in.sigmas"))]);
    for stream in ["v", "a"] {
        if let Some(guiders) = case.facts.get("guiders") {
            inputs.extend(scales(&guiders[stream], &format!("{stream}.")));
        }
        inputs.insert(format!("{stream}.noise"), input(case, &format!("in.noise.{stream}")));
        for (ours, theirs) in [("context", ""), ("context.negative", "_neg")] {
            let theirs = format!("in.context.{stream}{theirs}");
            inputs.insert(format!("{stream}.{ours}"), input(&contexts, &theirs));
        }
    }
    inputs
}

/// Runs the loop of a case with adapters; `more` are inputs beside the usual ones, or instead of them.
fn holds(name: &str, target: &Target, adapters: &[Given], more: impl FnOnce(&Case) -> Named, scale: f64) {
    let case = Case::load(name).unwrap();
    let mut inputs = inputs(&case);
    inputs.extend(more(&case));
    let out = evaluated(&compiled(target, "denoise", &[]), adapters, Merge::Official, &inputs);
    // A frozen stream is left as it was: it is no output.
    let names = [("v.latent", "final.v"), ("a.latent", "final.a")];
    let out =
        renamed(&out, &names.into_iter().filter(|(ours, _)| out.contains_key(*ours)).collect::<Vec<_>>());
    println!("{}", case.check(&out, scale).unwrap_or_else(|e| panic!("{e}")));
}

fn number(value: f32) -> Tensor {
    Tensor::real(&[1], vec![value])
}

const DTYPES: [(&str, f64); 2] = [("f32", 1.0), ("bf16", 500.0)];

#[test]
fn an_image_is_the_first_frame() {
    for (dtype, scale) in DTYPES {
        for name in ["denoise_i2v", "denoise_i2v_soft"] {
            let image = |case: &Case| {
                let strength = case.facts["strength"].as_f64().unwrap() as f32;
                Named::from([
                    ("v.image".to_string(), input(case, "in.image_latent")),
                    ("v.image_strength".to_string(), number(strength)),
                ])
            };
            holds(name, &stage(dtype, "one-stage", "guidance = { stg_blocks = [1] }"), &[], image, scale);
        }
    }
}

#[test]
fn gradient_estimation_goes_by_two_velocities() {
    for (dtype, scale) in DTYPES {
        let target = stage(dtype, "distilled-single-stage", "stage = [{ solver = \"gradient-estimation\" }]");
        holds("denoise_gradient_estimation", &target, &[], |_| Named::new(), scale);
    }
}

#[test]
fn skipped_steps_repeat_a_prediction() {
    for (dtype, scale) in DTYPES {
        let sigmas = |case: &Case| {
            let sigmas = skipping(&input(case, "in.sigmas").reals(), 1);
            Named::from([("sigmas".to_string(), Tensor::real(&[sigmas.len()], sigmas))])
        };
        let target = stage(dtype, "one-stage", "guidance = { stg_blocks = [1] }");
        holds("denoise_skip_step", &target, &[], sigmas, scale);
    }
}

#[test]
fn res_2s_evaluates_twice_a_step() {
    for (dtype, scale) in DTYPES {
        let noise = |case: &Case| {
            let noise = |stream: &str| {
                (format!("{stream}.step_noise"), input(case, &format!("in.sde_noise.{stream}")))
            };
            Named::from(["v", "a"].map(noise))
        };
        let more = "stage = [{ solver = \"res_2s\", guidance = { stg_blocks = [] } }]";
        let adapters = [given("distilled", 0.25)];
        holds("denoise_hq_res2s", &stage(dtype, "one-stage", more), &adapters, noise, scale);
    }
}

/// Audio that is given goes into the loop without noise, and the video alone is denoised.
#[test]
fn frozen_audio_is_heard() {
    for (dtype, scale) in DTYPES {
        let audio = |case: &Case| Named::from([("a.initial".to_string(), input(case, "in.audio_latent"))]);
        let more = "stage = [{ audio = \"frozen\", guidance = { stg_blocks = [1] } }]";
        holds("denoise_audio_frozen", &stage(dtype, "one-stage", more), &[], audio, scale);
    }
}

/// What lies outside of a span of time stays what it is, in both streams.
#[test]
fn a_region_is_made_anew() {
    for (dtype, scale) in DTYPES {
        let clip = |case: &Case| {
            let given = [("v.initial", "in.video_latent"), ("a.initial", "in.audio_latent")];
            let given = given.map(|(ours, theirs)| (ours.to_string(), input(case, theirs)));
            given.into_iter().chain(region(0.2, 0.45)).collect()
        };
        let target = stage(dtype, "distilled-single-stage", "stage = [{ region = true }]");
        holds("denoise_retake", &target, &[], clip, scale);
    }
}

/// A reference at half the size stands behind the clip; the two attend to each other with a strength of 0.6.
#[test]
fn a_reference_is_attended_to() {
    for (dtype, scale) in DTYPES {
        let reference = |case: &Case| {
            Named::from([
                ("v.reference1".to_string(), input(case, "in.reference_latent")),
                ("v.reference1_attention".to_string(), number(0.6)),
            ])
        };
        let more = "stage = [{ references = [{ downscale = 2, attention = true }] }]";
        let target = stage(dtype, "distilled-single-stage", more);
        // The adapter whose metadata say that its references are half as large.
        holds("denoise_ic_lora", &target, &[given("style", 1.0)], reference, scale);
    }
}

/// The same strength for every token of a mask: each query of the reference has its own.
#[test]
fn a_mask_of_one_strength_is_that_strength() {
    for (dtype, scale) in DTYPES {
        let reference = |case: &Case| {
            Named::from([
                ("v.reference1".to_string(), input(case, "in.reference_latent")),
                ("v.reference1_attention".to_string(), Tensor::real(&[3, 2, 2], vec![0.6; 12])),
            ])
        };
        let more = "stage = [{ references = [{ downscale = 2, mask = true }] }]";
        let target = stage(dtype, "distilled-single-stage", more);
        holds("denoise_ic_lora", &target, &[given("style", 1.0)], reference, scale);
    }
}

/// Images of frame 0 and of the last one, the second with strength 0.85.
fn keyframes(case: &Case) -> Named {
    Named::from([
        ("v.keyframe1".to_string(), input(case, "in.keyframe0")),
        ("v.keyframe2".to_string(), input(case, "in.keyframe1")),
        ("v.keyframe2_frame".to_string(), number(16.0)),
        ("v.keyframe2_strength".to_string(), number(0.85)),
    ])
}

#[test]
fn keyframes_stand_behind_the_clip() {
    for (dtype, scale) in DTYPES {
        let target = stage(dtype, "distilled-single-stage", "keyframes = 2");
        holds("denoise_keyframes", &target, &[], keyframes, scale);
    }
}

/// Room for more images than there are changes nothing: guided or not, whatever is in it.
#[test]
fn what_is_hidden_counts_for_nothing() {
    let case = Case::load("denoise_keyframes").unwrap();
    for (pipeline, more) in [("distilled-single-stage", ""), ("one-stage", "guidance = { stg_blocks = [1] }")]
    {
        let loops = |room: usize| {
            let target = stage("f32", pipeline, &format!("keyframes = {room}\n{more}"));
            let phase = compiled(&target, "denoise", &[]);
            let mut given = inputs(&case);
            given.extend(keyframes(&case));
            let noise = given["v.noise"].reals();
            let rows: Vec<f32> = (0..(36 + 12 * room) * 128).map(|i| noise[i % noise.len()]).collect();
            given.insert("v.noise".to_string(), Tensor::real(&[1, 36 + 12 * room, 128], rows));
            evaluated(&phase, &[], Merge::Exact, &given)
        };
        let (exact, roomy) = (loops(2), loops(5));
        for name in ["v.latent", "a.latent"] {
            let apart = rel_l2(&roomy[name].reals(), &exact[name].reals());
            assert!(apart < 2e-6, "{pipeline} {name}: {apart}");
        }
    }
}

/// A case, how many keyframes its target has room for, and what is given.
type Conditioned<'a> = (&'a str, usize, &'a [(&'a str, Tensor)]);

/// What images make of tokens: masks, the first channels of clean values, and where the appended ones are.
#[test]
fn images_become_facts_of_tokens() {
    let case = Case::load("conditioning").unwrap();
    let of = |name: &str| input(&case, &format!("in.{name}"));
    let cases: [Conditioned<'_>; 2] = [
        (
            "keyframes",
            2,
            &[
                ("v.keyframe1", of("img")),
                ("v.keyframe2", of("img2")),
                ("v.keyframe2_frame", number(16.0)),
                ("v.keyframe2_strength", number(0.8)),
            ],
        ),
        (
            "image_and_keyframe",
            1,
            &[
                ("v.image", of("img")),
                ("v.keyframe1", of("img2")),
                ("v.keyframe1_frame", number(8.0)),
                ("v.keyframe1_strength", number(0.9)),
            ],
        ),
    ];
    for (name, keyframes, given) in cases {
        let inputs: Named = given.iter().map(|(port, tensor)| (port.to_string(), tensor.clone())).collect();
        let target = stage("f32", "distilled-single-stage", &format!("keyframes = {keyframes}"));
        let out = eval(&target, "conditioning", &inputs, &[]);
        let golden = |what: &str| case.tensor(&format!("{name}.{what}")).as_f32().to_vec();
        assert!(rel_l2(&out["v.denoise_mask"].reals(), &golden("denoise_mask")) < 1e-6, "{name}");
        let clean = out["v.clean_latent"].reals();
        let clean: Vec<f32> = clean.chunks(128).flat_map(|row| row[..8].to_vec()).collect();
        assert_eq!(clean, golden("clean_latent"), "{name}");
        // [3, tokens, 2], with all keyframes behind each other.
        let out = &out;
        let axes = |axis: usize| -> Vec<f32> {
            let one = |i: usize| out[&format!("v.keyframe{i}_positions")].reals()[24 * axis..][..24].to_vec();
            (1..=keyframes).flat_map(one).collect()
        };
        let positions: Vec<f32> = [axes(0), axes(1), axes(2)].concat();
        assert!(rel_l2(&positions, &golden("extra_positions")) < 1e-6, "{name}: {positions:?}");
    }
}
