//! Two configurations compared, in the keys of the files that they were read from.

use std::fmt::Debug;

use super::super::config::{
    AudioVae, Connector, DecoderBlock, EncoderBlock, Gemma, Generator, Heads, ModelConfig, Transformer,
    Upscaler, VideoEncoder, VideoVae, Vision, Vocoder,
};

/// Lines of what differs, under the path of a section.
struct Lines(Vec<String>);

impl Lines {
    fn field<T: PartialEq + Debug>(&mut self, key: impl AsRef<str>, found: &T, wanted: &T) {
        if found != wanted {
            self.0.push(format!("{} is {found:?}, {wanted:?} wanted", key.as_ref()));
        }
    }

    fn heads(&mut self, heads: &str, head_dim: &str, found: Heads, wanted: Heads) {
        self.field(heads, &found.heads, &wanted.heads);
        self.field(head_dim, &found.head_dim, &wanted.head_dim);
    }
}

/// Every key in which `found` is not `wanted`, with both values. The models' names do not count.
pub fn differences(found: &ModelConfig, wanted: &ModelConfig) -> Vec<String> {
    // Taken apart, so that a new part does not compile until it is compared.
    let ModelConfig {
        name: _,
        transformer: transformers,
        video_connector,
        audio_connector,
        gemma: language_model,
        video_vae: video,
        audio_vae: spectrogram,
        vocoder: wave,
        upscaler: upscaled,
    } = found;
    let mut lines = Lines(Vec::new());
    transformer(&mut lines, transformers, &wanted.transformer);
    connector(&mut lines, "connector", video_connector, &wanted.video_connector);
    connector(&mut lines, "audio_connector", audio_connector, &wanted.audio_connector);
    gemma(&mut lines, language_model, &wanted.gemma);
    video_vae(&mut lines, video, &wanted.video_vae);
    audio_vae(&mut lines, spectrogram, &wanted.audio_vae);
    vocoder(&mut lines, wave, &wanted.vocoder);
    upscaler(&mut lines, upscaled, &wanted.upscaler);
    lines.0
}

fn transformer(lines: &mut Lines, found: &Transformer, wanted: &Transformer) {
    let Transformer {
        video,
        audio,
        layers,
        video_channels,
        audio_channels,
        norm_eps,
        theta,
        video_max_pos,
        audio_max_pos,
        timestep_scale,
        cross_timestep_scale,
    } = found;
    let [heads, head_dim] = ["transformer.num_attention_heads", "transformer.attention_head_dim"];
    lines.heads(heads, head_dim, *video, wanted.video);
    let [heads, head_dim] = ["transformer.audio_num_attention_heads", "transformer.audio_attention_head_dim"];
    lines.heads(heads, head_dim, *audio, wanted.audio);
    lines.field("transformer.num_layers", layers, &wanted.layers);
    lines.field("transformer.in_channels", video_channels, &wanted.video_channels);
    lines.field("transformer.audio_out_channels", audio_channels, &wanted.audio_channels);
    lines.field("transformer.norm_eps", norm_eps, &wanted.norm_eps);
    lines.field("transformer.positional_embedding_theta", theta, &wanted.theta);
    lines.field("transformer.positional_embedding_max_pos", video_max_pos, &wanted.video_max_pos);
    lines.field("transformer.audio_positional_embedding_max_pos", audio_max_pos, &wanted.audio_max_pos);
    lines.field("transformer.timestep_scale_multiplier", timestep_scale, &wanted.timestep_scale);
    lines.field(
        "transformer.av_ca_timestep_scale_multiplier",
        cross_timestep_scale,
        &wanted.cross_timestep_scale,
    );
}

/// `which` begins the keys of the connector's own numbers.
fn connector(lines: &mut Lines, which: &str, found: &Connector, wanted: &Connector) {
    let Connector { heads, layers, registers, max_pos, theta, norm_eps } = found;
    let key = |name: &str| format!("transformer.{which}_{name}");
    lines.heads(&key("num_attention_heads"), &key("attention_head_dim"), *heads, wanted.heads);
    lines.field(key("num_layers"), layers, &wanted.layers);
    lines.field(key("positional_embedding_max_pos"), max_pos, &wanted.max_pos);
    lines.field(key("num_learnable_registers"), registers, &wanted.registers);
    lines.field(key("positional_embedding_theta"), theta, &wanted.theta);
    lines.field(key("norm_eps"), norm_eps, &wanted.norm_eps);
}

fn gemma(lines: &mut Lines, found: &Gemma, wanted: &Gemma) {
    let Gemma {
        hidden,
        layers,
        heads,
        kv_heads,
        intermediate,
        vocab,
        norm_eps,
        query_pre_attn_scalar,
        sliding_window,
        sliding_window_pattern,
        rope_theta,
        rope_factor,
        rope_local_theta,
        vision: tower,
    } = found;
    let key = |name: &str| format!("Gemma's config.json: text_config.{name}");
    lines.field(key("hidden_size"), hidden, &wanted.hidden);
    lines.field(key("num_hidden_layers"), layers, &wanted.layers);
    lines.heads(&key("num_attention_heads"), &key("head_dim"), *heads, wanted.heads);
    lines.field(key("num_key_value_heads"), kv_heads, &wanted.kv_heads);
    lines.field(key("intermediate_size"), intermediate, &wanted.intermediate);
    lines.field(key("vocab_size"), vocab, &wanted.vocab);
    lines.field(key("rms_norm_eps"), norm_eps, &wanted.norm_eps);
    lines.field(key("query_pre_attn_scalar"), query_pre_attn_scalar, &wanted.query_pre_attn_scalar);
    lines.field(key("sliding_window"), sliding_window, &wanted.sliding_window);
    lines.field(key("sliding_window_pattern"), sliding_window_pattern, &wanted.sliding_window_pattern);
    lines.field(key("rope_theta"), rope_theta, &wanted.rope_theta);
    lines.field(key("rope_scaling.factor"), rope_factor, &wanted.rope_factor);
    lines.field(key("rope_local_base_freq"), rope_local_theta, &wanted.rope_local_theta);
    match (tower, &wanted.vision) {
        (Ok(found), Ok(wanted)) => vision(lines, found, wanted),
        (Err(why), Ok(_)) => lines.0.push(why.clone()),
        (_, Err(_)) => {}
    }
}

fn vision(lines: &mut Lines, found: &Vision, wanted: &Vision) {
    let Vision { image_side, patch, layers, heads, intermediate, norm_eps, tokens_side: _ } = found;
    let key = |name: &str| format!("Gemma's config.json: vision_config.{name}");
    lines.field(key("image_size"), image_side, &wanted.image_side);
    lines.field(key("patch_size"), patch, &wanted.patch);
    lines.field(key("num_hidden_layers"), layers, &wanted.layers);
    lines.field(key("num_attention_heads"), &heads.heads, &wanted.heads.heads);
    lines.field(key("hidden_size"), &heads.width(), &wanted.heads.width());
    lines.field(key("intermediate_size"), intermediate, &wanted.intermediate);
    lines.field(key("layer_norm_eps"), norm_eps, &wanted.norm_eps);
    lines.field("Gemma's config.json: mm_tokens_per_image", &found.tokens(), &wanted.tokens());
}

fn video_vae(lines: &mut Lines, found: &VideoVae, wanted: &VideoVae) {
    let VideoVae { latent_channels, out_channels, patch, base_channels, blocks: decoder, encoder } = found;
    let VideoEncoder { base_channels: encoder_channels, blocks: encoder } = encoder;
    lines.field("vae.latent_channels", latent_channels, &wanted.latent_channels);
    lines.field("vae.out_channels", out_channels, &wanted.out_channels);
    lines.field("vae.patch_size", patch, &wanted.patch);
    lines.field("vae.decoder_base_channels", base_channels, &wanted.base_channels);
    lines.field("vae.encoder_base_channels", encoder_channels, &wanted.encoder.base_channels);
    // The file has both in the order of the encoder.
    let decoded = [decoder, &wanted.blocks].map(|blocks| blocks.iter().rev().map(decoder_block).collect());
    blocks(lines, "vae.decoder_blocks", decoded);
    let encoded = [encoder, &wanted.encoder.blocks].map(|blocks| blocks.iter().map(encoder_block).collect());
    blocks(lines, "vae.encoder_blocks", encoded);
}

/// Blocks found and wanted, as the file names them.
fn blocks(lines: &mut Lines, key: &str, [found, wanted]: [Vec<String>; 2]) {
    lines.field(format!("{key}, how many,"), &found.len(), &wanted.len());
    let pairs = found.iter().zip(&wanted).enumerate().filter(|_| found.len() == wanted.len());
    for (number, (found, wanted)) in pairs.filter(|(_, (found, wanted))| found != wanted) {
        lines.0.push(format!("{key}.{number} is {found}, {wanted} wanted"));
    }
}

fn decoder_block(block: &DecoderBlock) -> String {
    match *block {
        DecoderBlock::Res { layers } => res_x(layers),
        DecoderBlock::Up { time, space, multiplier } => compress("", [time, space], multiplier),
    }
}

fn encoder_block(block: &EncoderBlock) -> String {
    match *block {
        EncoderBlock::Res { layers } => res_x(layers),
        EncoderBlock::Down { time, space, multiplier } => compress("_res", [time, space], multiplier),
    }
}

fn res_x(layers: usize) -> String {
    format!("res_x with num_layers {layers}")
}

fn compress(end: &str, [time, space]: [usize; 2], multiplier: usize) -> String {
    let kind = match (time > 1, space > 1) {
        (true, false) => "compress_time",
        (false, true) => "compress_space",
        _ => "compress_all",
    };
    format!("{kind}{end} with multiplier {multiplier}")
}

fn audio_vae(lines: &mut Lines, found: &AudioVae, wanted: &AudioVae) {
    let AudioVae { z_channels, latent_bins, channels, multipliers, res_blocks, out_channels, mel_bins } =
        found;
    let key = |name: &str| format!("audio_vae.model.params.ddconfig.{name}");
    lines.field(key("z_channels"), z_channels, &wanted.z_channels);
    lines.field(key("ch"), channels, &wanted.channels);
    lines.field(key("ch_mult"), multipliers, &wanted.multipliers);
    lines.field(key("num_res_blocks"), res_blocks, &wanted.res_blocks);
    lines.field(key("out_ch"), out_channels, &wanted.out_channels);
    lines.field(key("mel_bins"), mel_bins, &wanted.mel_bins);
    if mel_bins == &wanted.mel_bins {
        lines.field(key("mel_bins of the latent"), latent_bins, &wanted.latent_bins);
    }
}

fn vocoder(lines: &mut Lines, found: &Vocoder, wanted: &Vocoder) {
    let Vocoder { base, bwe, mel_bins, input_rate, output_rate, hop, n_fft } = found;
    generator(lines, "vocoder.vocoder.", base, &wanted.base);
    generator(lines, "vocoder.bwe.", bwe, &wanted.bwe);
    lines.field("vocoder.bwe.num_mels", mel_bins, &wanted.mel_bins);
    lines.field("vocoder.bwe.input_sampling_rate", input_rate, &wanted.input_rate);
    lines.field("vocoder.bwe.output_sampling_rate", output_rate, &wanted.output_rate);
    lines.field("vocoder.bwe.hop_length", hop, &wanted.hop);
    lines.field("vocoder.bwe.n_fft", n_fft, &wanted.n_fft);
}

fn generator(lines: &mut Lines, path: &str, found: &Generator, wanted: &Generator) {
    let Generator {
        initial_channels,
        upsample_rates,
        upsample_kernels,
        resblock_kernels,
        resblock_dilations,
        clamp,
    } = found;
    let key = |name: &str| format!("{path}{name}");
    lines.field(key("upsample_initial_channel"), initial_channels, &wanted.initial_channels);
    lines.field(key("upsample_rates"), upsample_rates, &wanted.upsample_rates);
    lines.field(key("upsample_kernel_sizes"), upsample_kernels, &wanted.upsample_kernels);
    lines.field(key("resblock_kernel_sizes"), resblock_kernels, &wanted.resblock_kernels);
    lines.field(key("resblock_dilation_sizes"), resblock_dilations, &wanted.resblock_dilations);
    lines.field(key("apply_final_activation"), clamp, &wanted.clamp);
}

fn upscaler(lines: &mut Lines, found: &Upscaler, wanted: &Upscaler) {
    let Upscaler { enlarges, channels, mid_channels, blocks_per_stage } = found;
    lines.field("upscaler: enlarges", &enlarges.name(), &wanted.enlarges.name());
    lines.field("upscaler: in_channels", channels, &wanted.channels);
    lines.field("upscaler: mid_channels", mid_channels, &wanted.mid_channels);
    lines.field("upscaler: num_blocks_per_stage", blocks_per_stage, &wanted.blocks_per_stage);
}
