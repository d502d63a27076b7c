//! From prompt to final latents, frames and audio.

use std::collections::BTreeMap;

use zoetrope::run::{Request, run};
use zoetrope::session::{Session, Unwatched};
use zoetrope::tensors::{Named, Tensor};
use zoetrope::tokenize::Tokenizer;
use zoetrope_compiler::Options;
use zoetrope_compiler::frontend::{Scope, compile_levels, dimensions};
use zoetrope_model_spec::ltx::decode::Pixels;
use zoetrope_runtime::plan::Plan;
use zoetrope_test_support::golden::{Case, rel_l2};
use zoetrope_test_support::tensor;
use zoetrope_test_support::yuv420::yuv420;

use crate::model::{Model, eval, folder, input, target};

/// The numbers of what a run leaves.
fn reals(made: &Option<Tensor>) -> Vec<f32> {
    made.as_ref().expect("a clip has both").reals()
}

/// `same`: how far the picture and the sound may be from what single phases make of the latents; `slack`: how far
/// the encoder's numbers, of 255, may be from the picture's.
fn distilled(dtype: &str, scale: f64, same: f64, slack: f64) {
    let case = Case::load("e2e_distilled").unwrap();
    let fields = format!(
        "width = 128\nheight = 64\nframes = 9\nfps = 25\npipeline = \"distilled\"\ndtype = \"{dtype}\""
    );
    let target = target(&fields);
    let model = dimensions(&target, &folder()).unwrap();
    let plan =
        |pixels| compile_levels(&target, &model, Scope::Run(pixels), &[], Options::default()).unwrap().plan;
    let prompt = zoetrope_test_support::prompts().unwrap().remove(0);
    let tokenizer = Tokenizer::from_file(&folder().join("gemma-3-tiny/tokenizer.json")).unwrap();
    let noise: Named = [1, 2]
        .into_iter()
        .flat_map(|stage| {
            ["v", "a"].map(|s| (format!("stage{stage}.{s}.noise"), format!("in.stage{stage}.noise.{s}")))
        })
        .map(|(ours, theirs)| (ours, input(&case, &theirs)))
        .collect();
    let files = Model::open();
    let encoded = tokenizer.encode(&prompt).unwrap();
    let request = Request { prompts: vec![&encoded], tensors: noise, ..Request::default() };
    let clip = |plan: &Plan| {
        let mut session = Session::new(plan, &files).unwrap();
        run(&mut session, &request, &mut Unwatched, &mut |_, _| Ok(())).unwrap()
    };
    let done = clip(&plan(Pixels::Rgb));
    let latents: BTreeMap<String, tensor::Tensor> = [1, 2]
        .into_iter()
        .flat_map(|stage| {
            ["v", "a"].map(|s| (format!("stage{stage}.{s}.latent"), format!("stage{stage}.final.{s}")))
        })
        .map(|(ours, theirs)| {
            (theirs, tensor::Tensor::f32(&done.latents[&ours].shape, done.latents[&ours].reals()))
        })
        .collect();
    println!("{}", case.check(&latents, scale).unwrap_or_else(|e| panic!("{e}")));

    // The picture and the sound are what the decoders, each held by a case of its own, make of these latents.
    let one = |name: &str, t: &Tensor| Named::from([(name.to_string(), t.clone())]);
    let video =
        &eval(&target, "video-decode", &one("v.latent", &done.latents["stage2.v.latent"]), &[])["video"];
    let mel = &eval(&target, "audio-decode", &one("a.latent", &done.latents["stage2.a.latent"]), &[])["mel"];
    let wave = &eval(&target, "vocode", &one("mel", mel), &[])["waveform"];
    let (frames, pixels) = (9, 64 * 128);
    let planar = video.reals();
    let expected: Vec<f32> = (0..frames * pixels)
        .flat_map(|i| [0, 1, 2].map(|c| ((planar[c * frames * pixels + i] + 1.0) * 0.5).clamp(0.0, 1.0)))
        .collect();
    assert!(rel_l2(&reals(&done.video), &expected) <= same, "picture");
    assert!(rel_l2(&reals(&done.waveform), &wave.reals()) <= same, "sound");

    // What the encoder gets is the same picture in 8 bits: the truncation may fall one number lower or higher.
    let encoded = clip(&plan(Pixels::Yuv420));
    assert_eq!(encoded.latents, done.latents);
    let (have, want) = (reals(&encoded.video), yuv420(&reals(&done.video), 128, 64));
    assert_eq!(have.len(), want.len());
    let apart = have.iter().zip(&want).map(|(have, want)| f64::from(*have) - want);
    let worst = apart.fold((0.0f64, 0.0f64), |(lo, hi), x| (lo.min(x), hi.max(x)));
    // Truncated: never above, and less than one below, but for roundings.
    assert!(worst.0 > -1.0 - slack && worst.1 < slack, "{worst:?}");
}

#[test]
fn prompt_to_clip_f32() {
    distilled("f32", 1.0, 1e-6, 1e-3);
}

/// In bf16 the picture's last rounding differs: RGB is stored after the map to 0..1, while the encoder's numbers are
/// made of what was stored before it.
#[test]
fn prompt_to_clip_bf16() {
    distilled("bf16", 50.0, 5e-3, 1.0);
}
