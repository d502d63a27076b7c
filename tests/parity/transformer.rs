//! Velocities.

use std::collections::BTreeMap;

use zoetrope::tensors::Named;
use zoetrope_test_support::golden::Case;
use zoetrope_test_support::tensor;

use crate::model::{eval, input, renamed, sample, target};

const STREAMS: [&str; 2] = ["v", "a"];

pub fn inputs(case: &Case, batch: Option<usize>) -> Named {
    let mut out = Named::new();
    let there = |stream: &&str| case.inputs.contains(&format!("in.{stream}.latent"));
    for stream in STREAMS.into_iter().filter(there) {
        for what in ["latent", "timesteps", "sigma", "context"] {
            let whole = input(case, &format!("in.{stream}.{what}"));
            out.insert(format!("{stream}.{what}"), batch.map_or(whole.clone(), |i| sample(&whole, i)));
        }
    }
    out
}

pub fn size(width: usize, height: usize, fps: f64, text: usize, classes: usize, dtype: &str) -> String {
    format!(
        "width = {width}\nheight = {height}\nframes = 17\nfps = {fps:?}\npipeline = \"distilled-single-stage\"\n\
         dtype = \"{dtype}\"\ntext_tokens = {text}\ntimestep_classes = {classes}"
    )
}

/// The reference's tap of an AdaLN vector is that of the first token: the one class there is.
const TAPS: [&str; 16] = [
    "v.patchify",
    "v.embedded_timestep",
    "v.adaln",
    "v.prompt_adaln",
    "v.cross_scale_shift",
    "v.cross_gate",
    "a.patchify",
    "a.embedded_timestep",
    "a.adaln",
    "a.prompt_adaln",
    "a.cross_scale_shift",
    "a.cross_gate",
    "block0.v",
    "block0.a",
    "block1.v",
    "block1.a",
];

fn text_to_video(dtype: &str, scale: f64) {
    let case = Case::load("transformer_t2v").unwrap();
    let out = eval(&target(&size(96, 128, 25.0, 37, 1, dtype)), "velocity", &inputs(&case, None), &TAPS);
    let taps: Vec<String> = TAPS.iter().map(|t| format!("tap.{t}")).collect();
    let own = ["v.velocity", "a.velocity"];
    let names = TAPS.iter().copied().zip(taps.iter().map(String::as_str)).chain(own.map(|n| (n, n)));
    let report =
        case.check(&renamed(&out, &names.collect::<Vec<_>>()), scale).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    println!("{report}");
}

#[test]
fn text_to_video_f32() {
    text_to_video("f32", 1.0);
}

#[test]
fn text_to_video_bf16() {
    text_to_video("bf16", 500.0);
}

#[test]
fn more_tokens_and_odd_counts() {
    let case = Case::load("transformer_long").unwrap();
    let out = eval(&target(&size(224, 192, 24.0, 131, 1, "f32")), "velocity", &inputs(&case, None), &[]);
    let names = [("v.velocity", "v.velocity"), ("a.velocity", "a.velocity")];
    let report = case.check(&renamed(&out, &names), 1.0).unwrap_or_else(|e| panic!("{e}"));
    println!("{report}");
}

#[test]
fn timesteps_of_tokens_and_different_noise_levels() {
    let case = Case::load("transformer_per_token").unwrap();
    let target = target(&size(96, 128, 25.0, 24, 36, "f32"));
    let mut joined: BTreeMap<String, tensor::Tensor> = BTreeMap::new();
    for stream in STREAMS {
        let name = format!("{stream}.velocity");
        let mut values = Vec::new();
        let mut shape = Vec::new();
        for i in 0..2 {
            let out = eval(&target, "velocity", &inputs(&case, Some(i)), &[]);
            shape = [&[2], &out[&name].shape[1..]].concat();
            values.extend(out[&name].reals());
        }
        joined.insert(name, tensor::Tensor::f32(&shape, values));
    }
    let report = case.check(&joined, 1.0).unwrap_or_else(|e| panic!("{e}"));
    println!("{report}");
}
