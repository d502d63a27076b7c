//! Results have the documented shapes, at the published dimensions and at odd ones.

use zoetrope_model_spec::lang::{Builder, Dtype, Graph};
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::vocoder;

use crate::odd::odd;

fn results(graph: &Graph) -> Vec<(Dtype, Vec<usize>)> {
    let info = |value| (graph.info(value).dtype, graph.info(value).shape.clone());
    graph.outputs.iter().map(|output| info(output.value)).collect()
}

fn bf16(shape: &[usize]) -> (Dtype, Vec<usize>) {
    (Dtype::Bf16, shape.to_vec())
}

fn f32(shape: &[usize]) -> (Dtype, Vec<usize>) {
    (Dtype::F32, shape.to_vec())
}

#[test]
fn text_encoder() {
    assert_eq!(results(&crate::text_encoder_of(&ltx_2_3_22b(), 1024)), [bf16(&[49, 1024, 3840])]);
    assert_eq!(results(&crate::text_encoder_of(&odd(), 11)), [bf16(&[5, 11, 101])]);
}

#[test]
fn vision_encoder() {
    assert_eq!(results(&crate::vision_encoder_of(&ltx_2_3_22b())), [bf16(&[256, 3840])]);
    assert_eq!(results(&crate::vision_encoder_of(&odd())), [bf16(&[9, 101])]);
}

#[test]
fn connectors() {
    let (v, a) = (bf16(&[1024, 4096]), bf16(&[1024, 2048]));
    assert_eq!(results(&crate::connectors_of(&ltx_2_3_22b(), 1024)), [v.clone(), a.clone(), v, a]);
    let (v, a) = (bf16(&[11, 30]), bf16(&[11, 18]));
    assert_eq!(results(&crate::connectors_of(&odd(), 11)), [v.clone(), a.clone(), v, a]);
}

#[test]
fn features_can_be_tapped() {
    assert_eq!(crate::connectors_of(&odd(), 11).tap_names, ["v.features", "a.features"]);
}

#[test]
fn video_decoder() {
    let frames = crate::video_decoder_of(&ltx_2_3_22b(), [16, 17, 30]);
    assert_eq!(results(&frames), [bf16(&[121, 544, 960, 3])]);
    let one = crate::video_decoder_of(&ltx_2_3_22b(), [1, 1, 1]);
    assert_eq!(results(&one), [bf16(&[1, 32, 32, 3])]);
    // Twice to 2t - 1 frames; two times ×2 and the patch in space.
    assert_eq!(results(&crate::video_decoder_of(&odd(), [4, 3, 5])), [bf16(&[13, 36, 60, 3])]);
}

#[test]
fn video_encoder() {
    let latent = crate::video_encoder_of(&ltx_2_3_22b(), [121, 544, 960]);
    assert_eq!(results(&latent), [bf16(&[16, 17, 30, 128])]);
    let image = crate::video_encoder_of(&ltx_2_3_22b(), [1, 32, 32]);
    assert_eq!(results(&image), [bf16(&[1, 1, 1, 128])]);
    // Twice to (t + 1)/2 frames; the patch and two times ½ in space.
    assert_eq!(results(&crate::video_encoder_of(&odd(), [13, 36, 60])), [bf16(&[4, 3, 5, 7])]);
}

#[test]
fn upscaler() {
    assert_eq!(results(&crate::upscaler_of(&ltx_2_3_22b(), [16, 17, 30])), [bf16(&[16, 34, 60, 128])]);
    assert_eq!(results(&crate::upscaler_of(&odd(), [3, 5, 1])), [bf16(&[3, 10, 2, 7])]);
}

#[test]
fn audio_decoder() {
    assert_eq!(results(&crate::audio_decoder_of(&ltx_2_3_22b(), 126)), [bf16(&[501, 64, 2])]);
    assert_eq!(results(&crate::audio_decoder_of(&odd(), 1)), [bf16(&[1, 20, 2])]);
}

#[test]
fn audio_encoder() {
    assert_eq!(results(&crate::audio_encoder_of(&ltx_2_3_22b(), [501, 64])), [bf16(&[126, 128])]);
    // Up to three rows more than 4T - 3 make no token more.
    assert_eq!(results(&crate::audio_encoder_of(&ltx_2_3_22b(), [504, 64])), [bf16(&[126, 128])]);
    assert_eq!(results(&crate::audio_encoder_of(&ltx_2_3_22b(), [1, 64])), [bf16(&[1, 128])]);
}

#[test]
fn vocoder_at_both_rates() {
    assert_eq!(results(&crate::vocoder_of(&ltx_2_3_22b(), 501)), [f32(&[240_480, 2])]);
    // Six samples a frame, doubled.
    assert_eq!(results(&crate::vocoder_of(&odd(), 7)), [f32(&[84, 2])]);
}

#[test]
fn the_waves_inside_the_vocoder_can_be_tapped() {
    let taps = ["waveform16k", "bwe_residual", "skip48k"];
    let b = Builder::new("component", Dtype::Bf16).with_taps(&taps.map(String::from));
    let mel = b.input("mel", Dtype::F32, &[501, 64, 2]);
    vocoder::vocode(&b, &ltx_2_3_22b().vocoder, mel);
    let graph = b.finish().expect("recorded");
    assert_eq!(graph.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), taps);
    assert_eq!(results(&graph), [f32(&[2, 80_160]), f32(&[2, 240_480]), f32(&[2, 240_480])]);
}

#[test]
fn the_vocoder_computes_in_f32_in_any_run() {
    let graph = crate::vocoder_of(&odd(), 7);
    let rounded = graph.values.iter().filter(|info| info.dtype == Dtype::Bf16);
    assert_eq!(rounded.map(|info| info.path.as_str()).collect::<Vec<_>>(), ["mel"]);
}
