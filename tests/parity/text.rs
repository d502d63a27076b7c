//! From token ids to contexts.

use zoetrope::tensors::{Named, Tensor};
use zoetrope_test_support::golden::Case;
use zoetrope_test_support::tensor;

use crate::model::{eval, input, target};

const TARGET: &str =
    "width = 64\nheight = 64\nframes = 9\nfps = 24\npipeline = \"distilled-single-stage\"\ndtype = \"f32\"";

/// Rows `rows` of one [rows, width] slice of a tensor.
fn rows(t: &Tensor, slice: usize, rows: impl Iterator<Item = usize>) -> tensor::Tensor {
    let (height, width) = (t.shape[t.shape.len() - 2], t.shape[t.shape.len() - 1]);
    let values = t.reals();
    let at = |row: usize| (slice * height + row) * width;
    let picked: Vec<f32> = rows.flat_map(|row| values[at(row)..at(row) + width].to_vec()).collect();
    tensor::Tensor::f32(&[picked.len() / width, width], picked)
}

fn text(dtype: &str, scale: f64) {
    let tokens = Case::load("tokenizer").unwrap();
    let (gemma, features) = (Case::load("gemma").unwrap(), Case::load("text_features").unwrap());
    let connectors = Case::load("text_connectors").unwrap();
    let target = target(&TARGET.replace("f32", dtype));
    for p in ["p0", "p1"] {
        let mask = input(&tokens, &format!("{p}.attention_mask"));
        let ids = input(&tokens, &format!("{p}.input_ids"));
        let valid = mask.reals().iter().filter(|m| **m != 0.0).count();
        let inputs =
            Named::from([("input_ids".to_string(), ids), ("attention_mask".to_string(), mask.clone())]);
        let hidden = eval(&target, "text-encode", &inputs, &[])["hidden"].clone();
        let own: Vec<_> = (0..hidden.shape[0])
            .map(|layer| (format!("{p}.hidden.{layer}"), rows(&hidden, layer, 1024 - valid..1024)))
            .collect();
        println!("{}", gemma.check(&own.into_iter().collect(), scale).unwrap_or_else(|e| panic!("{e}")));

        let inputs = Named::from([("hidden".to_string(), hidden), ("attention_mask".to_string(), mask)]);
        let out = eval(&target, "connect", &inputs, &["v.features", "a.features"]);
        let own = [("v.features", "video_features"), ("a.features", "audio_features")]
            .map(|(ours, theirs)| (format!("{p}.{theirs}"), rows(&out[ours], 0, 1024 - valid..1024)));
        println!("{}", features.check(&own.into_iter().collect(), scale).unwrap_or_else(|e| panic!("{e}")));

        let kept = input(&connectors, &format!("in.{p}.rows")).reals();
        let own = [("v.context", "video_encoding"), ("a.context", "audio_encoding")].map(|(ours, theirs)| {
            (format!("{p}.{theirs}"), rows(&out[ours], 0, kept.iter().map(|r| *r as usize)))
        });
        println!("{}", connectors.check(&own.into_iter().collect(), scale).unwrap_or_else(|e| panic!("{e}")));
    }
}

#[test]
fn prompt_to_contexts_f32() {
    text("f32", 1.0);
}

#[test]
fn prompt_to_contexts_bf16() {
    text("bf16", 500.0);
}
