//! Upscaler, encoders and decoders of video and audio, vocoder, the denoising loop.

use std::path::Path;

use zoetrope::device::Device;
use zoetrope::media::{Image, Sound};
use zoetrope::tensors::{Named, Tensor};
use zoetrope_test_support::golden::Case;

use crate::model::{Model, compiled, eval, input, renamed, target, target_with};

fn size(width: usize, height: usize, frames: usize, fps: f64, dtype: &str) -> String {
    format!(
        "width = {width}\nheight = {height}\nframes = {frames}\nfps = {fps:?}\n\
         pipeline = \"distilled-single-stage\"\ndtype = \"{dtype}\"\ntext_tokens = 29"
    )
}

fn one(name: &str, tensor: Tensor) -> Named {
    Named::from([(name.to_string(), tensor)])
}

fn holds(case: &Case, outputs: &Named, names: &[(&str, &str)], scale: f64) {
    let report = case.check(&renamed(outputs, names), scale).unwrap_or_else(|e| panic!("{e}"));
    println!("{report}");
}

fn upscale(dtype: &str, scale: f64) {
    let case = Case::load("upsampler").unwrap();
    // Kind, the size that it makes of 96x160 pixels and 17 frames, and its file.
    let kinds = [
        ("spatial_x2", (192, 320, 17), "spatial-upscaler-x2"),
        ("spatial_x1.5", (160, 256, 17), "spatial-upscaler-x1.5"),
        ("temporal_x2", (96, 160, 33), "temporal-upscaler-x2"),
    ];
    for (kind, (width, height, frames), file) in kinds {
        let file = format!("ltx-2.3-tiny-{file}.safetensors");
        let model = Model::with_upscaler(&file);
        let target = target_with(&size(width, height, frames, 25.0, dtype), &file);
        let phase = compiled(&target, "upscale", &[]);
        let inputs = one("v.latent", input(&case, "in.latent"));
        let out = phase.run(Device::Cpu, &model, &inputs, 1).unwrap().outputs;
        holds(&case, &out, &[("v.latent", &format!("{kind}.latent"))], scale);
    }
}

#[test]
fn upscalers_f32() {
    upscale("f32", 1.0);
}

#[test]
fn upscalers_bf16() {
    upscale("bf16", 500.0);
}

fn decode(dtype: &str, scale: f64) {
    let case = Case::load("vae_decode").unwrap();
    for (i, (width, height, frames)) in [(32, 64, 9), (96, 64, 1)].into_iter().enumerate() {
        let latent = input(&case, &format!("in.latent{i}"));
        let out = eval(
            &target(&size(width, height, frames, 24.0, dtype)),
            "video-decode",
            &one("v.latent", latent),
            &[],
        );
        holds(&case, &out, &[("video", &format!("video{i}"))], scale);
    }
}

#[test]
fn video_decoder_f32() {
    decode("f32", 1.0);
}

#[test]
fn video_decoder_bf16() {
    decode("bf16", 500.0);
}

fn encode(dtype: &str, scale: f64) {
    let case = Case::load("vae_encode").unwrap();
    for (i, (width, height, frames)) in [(96, 64, 9), (64, 96, 1)].into_iter().enumerate() {
        let pixels = input(&case, &format!("in.video{i}_u8"));
        let video = pixels.reals().iter().map(|x| x / 127.5 - 1.0).collect();
        let out = eval(
            &target(&size(width, height, frames, 24.0, dtype)),
            "video-encode",
            &one("video", Tensor::real(&pixels.shape, video)),
            &[],
        );
        holds(&case, &out, &[("v.latent", &format!("latent{i}"))], scale);
    }
}

#[test]
fn video_encoder_f32() {
    encode("f32", 1.0);
}

#[test]
fn video_encoder_bf16() {
    encode("bf16", 500.0);
}

/// From a file to its latent.
fn image(dtype: &str, scale: f64) {
    let case = Case::load("image").unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gamma/image.png");
    let image = Image::open(&file, 0).unwrap();
    for (name, width, height) in [("64x96", 96, 64), ("96x64", 64, 96)] {
        let video = Tensor::real(&[1, 3, 1, height, width], image.fit(width, height));
        let target = target(&size(width, height, 1, 24.0, dtype));
        let out = eval(&target, "video-encode", &one("video", video.clone()), &[]);
        let made =
            Named::from([("tensor".to_string(), video), ("latent".to_string(), out["v.latent"].clone())]);
        let names = ["tensor", "latent"].map(|what| (what, format!("{name}.{what}")));
        holds(&case, &made, &names.each_ref().map(|(ours, theirs)| (*ours, theirs.as_str())), scale);
    }
}

#[test]
fn image_to_latent_f32() {
    image("f32", 1.0);
}

#[test]
fn image_to_latent_bf16() {
    image("bf16", 500.0);
}

/// 9 frames at 25 fps are 9 audio tokens.
fn audio(dtype: &str, scale: f64) {
    let case = Case::load("audio_decode").unwrap();
    let target = target(&size(32, 32, 9, 25.0, dtype));
    let mel = eval(&target, "audio-decode", &one("a.latent", input(&case, "in.latent")), &[]);
    holds(&case, &mel, &[("mel", "mel")], scale);
    // The vocoder is f32 in every run, so it is held on the mel of this run only where that one is f32.
    let taps = ["waveform16k", "bwe_residual", "skip48k"];
    let loud = eval(&target, "vocode", &one("mel", input(&case, "in.loud_mel")), &["waveform16k"]);
    holds(&case, &loud, &[("waveform16k", "loud.waveform16k"), ("waveform", "loud.waveform")], scale);
    if dtype == "f32" {
        let wave = eval(&target, "vocode", &one("mel", mel["mel"].clone()), &taps);
        let names: Vec<_> = taps.iter().chain(&["waveform"]).map(|n| (*n, *n)).collect();
        holds(&case, &wave, &names, scale);
    }
}

#[test]
fn audio_decoder_and_vocoder_f32() {
    audio("f32", 1.0);
}

#[test]
fn audio_decoder_and_vocoder_bf16() {
    audio("bf16", 250.0);
}

fn denoise(dtype: &str, scale: f64) {
    let case = Case::load("denoise_t2v_distilled").unwrap();
    let contexts = Case::load("denoise_contexts").unwrap();
    let inputs = Named::from([
        ("v.noise".to_string(), input(&case, "in.noise.v")),
        ("a.noise".to_string(), input(&case, "in.noise.a")),
        ("sigmas".to_string(), input(&case, "in.sigmas")),
        ("v.context".to_string(), input(&contexts, "in.context.v")),
        ("a.context".to_string(), input(&contexts, "in.context.a")),
    ]);
    let out = eval(&target(&size(96, 128, 17, 25.0, dtype)), "denoise", &inputs, &[]);
    holds(&case, &out, &[("v.latent", "final.v"), ("a.latent", "final.a")], scale);
}

#[test]
fn distilled_loop_f32() {
    denoise("f32", 1.0);
}

#[test]
fn distilled_loop_bf16() {
    denoise("bf16", 500.0);
}

/// From a wave at 22.05 kHz to its latent. 9 frames at 28 a second are 8 audio tokens.
fn sound(dtype: &str, scale: f64) {
    let case = Case::load("audio_encode").unwrap();
    let wave = input(&case, "in.waveform").reals();
    let (left, right) = wave.split_at(wave.len() / 2);
    let sound =
        Sound::new(case.facts["sampling_rate"].as_u64().unwrap() as u32, [left.to_vec(), right.to_vec()]);
    let resampled = sound.at(16_000).channels().concat();
    let mel = sound.spectrogram(32);
    // The encoder is causal: of 32 rows the last three are not wanted.
    let rows: Vec<f32> = mel.chunks_exact(32 * 64).flat_map(|channel| channel[..29 * 64].to_vec()).collect();
    let target = target(&size(32, 32, 9, 28.0, dtype));
    let out = eval(&target, "audio-encode", &one("mel", Tensor::real(&[1, 2, 29, 64], rows)), &[]);
    let made = Named::from([
        ("resampled".to_string(), Tensor::real(&[1, 2, resampled.len() / 2], resampled)),
        ("mel".to_string(), Tensor::real(&[1, 2, 32, 64], mel)),
        ("latent".to_string(), out["a.latent"].clone()),
    ]);
    let names = ["resampled", "mel", "latent"].map(|name| (name, name));
    holds(&case, &made, &names, if dtype == "f32" { 1.0 } else { scale });
}

#[test]
fn sound_to_latent_f32() {
    sound("f32", 1.0);
}

#[test]
fn sound_to_latent_bf16() {
    sound("bf16", 250.0);
}
