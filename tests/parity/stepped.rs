//! Denoising loops beside the plain one: an image that is held, and other solvers.

use zoetrope::tensors::{Named, Tensor};
use zoetrope_model_spec::ltx::schedule::skipping;
use zoetrope_model_spec::target::Target;
use zoetrope_test_support::golden::Case;

use zoetrope::adapters::{Given, Merge};

use crate::guided::scales;
use crate::lora::{evaluated, given};
use crate::model::{compiled, input, renamed, target};

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
    let out = renamed(&out, &[("v.latent", "final.v"), ("a.latent", "final.a")]);
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
