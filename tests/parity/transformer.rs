//! Velocities.

use std::collections::BTreeMap;

use zoetrope::tensors::Named;
use zoetrope_test_support::golden::Case;
use zoetrope_test_support::tensor;

use crate::model::{eval, input, renamed, sample, target};

const STREAMS: [&str; 2] = ["v", "a"];

fn inputs(case: &Case, batch: Option<usize>) -> Named {
    let mut out = Named::new();
    for stream in STREAMS {
        for what in ["latent", "timesteps", "sigma", "context"] {
            let whole = input(case, &format!("in.{stream}.{what}"));
            out.insert(format!("{stream}.{what}"), batch.map_or(whole.clone(), |i| sample(&whole, i)));
        }
    }
    out
}

fn size(width: usize, height: usize, fps: f64, text: usize, classes: usize, dtype: &str) -> String {
    format!(
        "width = {width}\nheight = {height}\nframes = 17\nfps = {fps:?}\npipeline = \"distilled-single-stage\"\n\
         dtype = \"{dtype}\"\ntext_tokens = {text}\ntimestep_classes = {classes}"
    )
}

fn text_to_video(dtype: &str, scale: f64) {
    let case = Case::load("transformer_t2v").unwrap();
    let taps = ["block0.v", "block0.a", "block1.v", "block1.a"];
    let out = eval(&target(&size(96, 128, 25.0, 37, 1, dtype)), "velocity", &inputs(&case, None), &taps);
    let names: Vec<(String, String)> = taps
        .iter()
        .map(|t| ((*t).to_string(), format!("tap.{t}")))
        .chain(["v.velocity", "a.velocity"].map(|n| (n.to_string(), n.to_string())))
        .collect();
    let names: Vec<_> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let report = case.check(&renamed(&out, &names), scale).unwrap_or_else(|e| panic!("{e}"));
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
