//! The `audio_vae` section: the decoder of spectrograms (docs/model/audio.md 2).

use serde_json::json;

use super::super::config::AudioVae;
use super::section::Section;

/// Spectrogram bins of one latent bin, and frames of one latent step.
const SHRINK: usize = 4;

/// The decoder's dimensions.
pub(super) fn read(section: &Section<'_>) -> Option<AudioVae> {
    let params = section.section("model")?.section("params")?;
    // The latent's 25 steps a second follow from this rate, the hop and the shrinking.
    params.fixed("sampling_rate", 16000);
    if let Some(stft) = section.section("preprocessing").and_then(|p| p.section("stft")) {
        stft.fixed("filter_length", 1024);
        stft.fixed("hop_length", 160);
        stft.fixed("win_length", 1024);
    }
    let config = params.section("ddconfig")?;
    config.fixed("double_z", true);
    config.fixed("attn_resolutions", json!([]));
    config.fixed("mid_block_add_attention", false);
    config.fixed("dropout", 0.0);
    config.fixed("norm_type", "pixel");
    config.fixed("causality_axis", "height");
    config.fixed("in_channels", 2);
    config.fixed("out_ch", 2);
    config.fixed_if_present("downsample_time", false);
    let z_channels = config.size("z_channels");
    let channels = config.size("ch");
    let multipliers = config.counts("ch_mult");
    let res_blocks = config.count("num_res_blocks");
    let mel_bins = config.size("mel_bins");
    let (channels, multipliers, mel_bins) = (channels?, multipliers?, mel_bins?);
    let problems = config.problems;
    let shrinks = problems.check(multipliers.len() == 3, || {
        format!(
            "{} has {} levels, 3 wanted (the latent is {SHRINK} times smaller)",
            config.named("ch_mult"),
            multipliers.len()
        )
    });
    let narrow = problems.check(multipliers.iter().all(|&m| channels * m <= 1_000_000), || {
        format!("{} times {} is too much, at most 1000000 wanted", config.named("ch"), "ch_mult")
    });
    let whole = problems.check(mel_bins % SHRINK == 0, || {
        format!("{} is {mel_bins}, a multiple of {SHRINK} wanted", config.named("mel_bins"))
    });
    let vae = AudioVae {
        z_channels: z_channels?,
        latent_bins: mel_bins / SHRINK,
        channels,
        multipliers,
        res_blocks: res_blocks?,
        out_channels: 2,
        mel_bins,
    };
    (shrinks && narrow && whole).then_some(vae)
}
