//! At the published dimensions, the weights of every component are the tensors that belong to it: each exactly once, of
//! the right shape, none left over.

use zoetrope_model_spec::lang::Source;
use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::TEXT_TOKENS;

use crate::inventory::{assert_same, published};
use crate::tensors_of;

#[test]
fn text_encoder() {
    let graph = crate::text_encoder_of(&ltx_2_3_22b(), TEXT_TOKENS);
    assert_same(&tensors_of(&graph, Source::TextEncoder), &published(&["gemma"]));
}

/// The table of tokens is also what logits are made with: no tensor of its own.
#[test]
fn text_writer() {
    let graph = crate::text_writer_of(&ltx_2_3_22b(), 64);
    assert_same(&tensors_of(&graph, Source::TextEncoder), &published(&["gemma"]));
}

#[test]
fn vision_encoder() {
    let graph = crate::vision_encoder_of(&ltx_2_3_22b());
    let components = ["gemma_vision", "gemma_projector"];
    assert_same(&tensors_of(&graph, Source::TextEncoder), &published(&components));
}

#[test]
fn connectors() {
    let graph = crate::connectors_of(&ltx_2_3_22b(), TEXT_TOKENS);
    let components = ["text_projections", "video_connector", "audio_connector"];
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&components));
}

#[test]
fn video_decoder() {
    let graph = crate::video_decoder_of(&ltx_2_3_22b(), [16, 17, 30]);
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&["video_statistics", "video_decoder"]));
}

#[test]
fn video_encoder() {
    let graph = crate::video_encoder_of(&ltx_2_3_22b(), [121, 544, 960]);
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&["video_statistics", "video_encoder"]));
}

#[test]
fn upscaler() {
    let graph = crate::upscaler_of(&ltx_2_3_22b(), [16, 17, 30]);
    assert_same(&tensors_of(&graph, Source::SpatialUpscaler), &published(&["spatial_upscaler"]));
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&["video_statistics"]));
}

#[test]
fn audio_decoder() {
    let graph = crate::audio_decoder_of(&ltx_2_3_22b(), 126);
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&["audio_statistics", "audio_decoder"]));
}

#[test]
fn audio_encoder() {
    let graph = crate::audio_encoder_of(&ltx_2_3_22b(), [501, 64]);
    assert_same(&tensors_of(&graph, Source::Checkpoint), &published(&["audio_statistics", "audio_encoder"]));
}

#[test]
fn vocoder() {
    let graph = crate::vocoder_of(&ltx_2_3_22b(), 501);
    let mut components = published(&["vocoder", "vocoder_bwe", "vocoder_mel_stft"]);
    // The way back from a spectrum is in the file and nowhere used (docs/model/audio.md 9).
    components.remove("vocoder.mel_stft.stft_fn.inverse_basis").expect("listed");
    assert_same(&tensors_of(&graph, Source::Checkpoint), &components);
}
