//! Whole runs that enlarge a video: a given clip, and between two stages, on latents that the official code upscaled.

use zoetrope::run::{Finished, Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_runtime::Error;
use zoetrope_runtime::plan::{Plan, Role};
use zoetrope_test_support::golden::{Case, rel_l2};

use crate::model::{Model, eval, folder, input, renamed, target, target_with};

/// How an upscaler is called in a target, the size that it makes of 96x160 pixels and 17 frames, its file and its result.
const KINDS: [(&str, [usize; 3], &str, &str); 3] = [
    ("spatial-x2", [192, 320, 17], "spatial-upscaler-x2", "spatial_x2.latent"),
    ("spatial-x1.5", [160, 256, 17], "spatial-upscaler-x1.5", "spatial_x1.5.latent"),
    ("temporal-x2", [96, 160, 33], "temporal-upscaler-x2", "temporal_x2.latent"),
];

fn fields([width, height, frames]: [usize; 3], pipeline: &str, upscaler: Option<&str>) -> String {
    let upscaler = upscaler.map(|name| format!("upscaler = \"{name}\"\n")).unwrap_or_default();
    format!(
        "width = {width}\nheight = {height}\nframes = {frames}\nfps = 50\npipeline = \"{pipeline}\"\ndtype = \"f32\"\n\
         {upscaler}"
    )
}

fn plan(fields: &str, file: &str) -> Plan {
    let target = target_with(fields, &format!("ltx-2.3-tiny-{file}.safetensors"));
    let model = dimensions(&target, &folder()).unwrap();
    compile_levels(&target, &model, Scope::Run(Pixels::Rgb), &[], Options::default()).unwrap().plan
}

/// A run from these slots on; where `stops`, it ends behind the phase that enlarges.
fn made(plan: &Plan, file: &str, slots: Named, stops: bool) -> (Named, Option<Finished>) {
    let model = Model::with_upscaler(&format!("ltx-2.3-tiny-{file}.safetensors"));
    let request = Request { tensors: slots, ..Request::default() };
    let mut latents = Named::new();
    let mut keep = |phase: &str, left: &Named| {
        latents.extend(left.clone());
        if stops && phase == "upscale" {
            Err(Error::NoPhase("no more is wanted".to_string()))
        } else {
            Ok(())
        }
    };
    let finished = run(&mut Session::poisoned(plan, &model).unwrap(), &request, &mut Unwatched, &mut keep);
    assert_eq!(finished.is_err(), stops);
    (latents, finished.ok())
}

fn holds(case: &Case, latents: &Named, wanted: &str) {
    let report = case.check(&renamed(latents, &[("upscaled.v.latent", wanted)]), 1.0);
    println!("{}", report.unwrap_or_else(|e| panic!("{e}")));
}

#[test]
fn a_given_clip_is_enlarged_as_the_official_code_does_it() {
    let case = Case::load("upsampler").unwrap();
    for (upscaler, size, file, wanted) in KINDS {
        let plan = plan(&fields(size, "upscale", Some(upscaler)), file);
        assert_eq!(plan.results(), [Role::Video]);
        // It takes what it enlarges: 17 frames of 96x160.
        let footage = plan.phases[0].inputs.iter().find(|port| port.role == Role::Footage).unwrap();
        assert_eq!(footage.shape[..], [1, 3, 17, 160, 96]);
        let slots = Named::from([("given0.v.latent".to_string(), input(&case, "in.latent"))]);
        let long = upscaler == "temporal-x2";
        let (latents, finished) = made(&plan, file, slots, !long);
        holds(&case, &latents, wanted);
        let Some(video) = finished.and_then(|finished| finished.video) else { continue };
        // The clip is what the decoder makes of the enlarged latents.
        let alone = target(&fields(size, "distilled-single-stage", None));
        let inputs = Named::from([("v.latent".to_string(), latents["upscaled.v.latent"].clone())]);
        let decoded = eval(&alone, "video-decode", &inputs, &[])["video"].reals();
        let [width, height, frames] = size;
        let plane = width * height;
        let rgb = (0..frames * plane).flat_map(|pixel| {
            let (frame, at) = (pixel / plane, pixel % plane);
            let of = |channel: usize| decoded[(channel * frames + frame) * plane + at];
            [0, 1, 2].map(|channel| ((of(channel) + 1.0) / 2.0).clamp(0.0, 1.0))
        });
        assert_eq!(video.shape, [frames, height, width, 3]);
        assert!(rel_l2(&video.reals(), &rgb.collect::<Vec<_>>()) < 1e-5);
    }
}

/// What stage 1 leaves is given, so the official code's latents lie between the stages.
#[test]
fn between_stages_too() {
    let case = Case::load("upsampler").unwrap();
    for (upscaler, size, file, wanted) in KINDS {
        let plan = plan(&fields(size, "distilled", Some(upscaler)), file);
        let port = |phase: &str, name: &str| {
            plan.phase(phase).unwrap().inputs.iter().find(|port| port.name == name).unwrap().clone()
        };
        // Both stages have the clip's sound, and the second one begins from what is enlarged.
        let sound = |phase: &str| port(phase, "a.noise").shape;
        assert_eq!(sound("denoise-1"), sound("denoise-2"));
        assert_eq!(port("denoise-1", "v.noise").shape[1], 3 * 5 * 3, "{upscaler}");
        assert_eq!(port("denoise-2", "v.initial").slot.as_deref(), Some("upscaled.v.latent"));
        let latent = port("denoise-2", "a.initial").shape.iter().map(|n| *n as usize).collect::<Vec<_>>();
        let zeros = |shape: &[usize]| Tensor::real(shape, vec![0.0; shape.iter().product()]);
        let mut slots = Named::from([
            ("stage1.v.latent".to_string(), input(&case, "in.latent")),
            ("stage1.a.latent".to_string(), zeros(&latent)),
        ]);
        for name in ["v.context", "a.context"] {
            let shape: Vec<usize> = port("denoise-2", name).shape.iter().map(|n| *n as usize).collect();
            slots.insert(name.to_string(), zeros(&shape));
        }
        holds(&case, &made(&plan, file, slots, true).0, wanted);
    }
}
