//! Names in the diffusers format (docs/model-files.md): what its writer calls tensors, and what the checkpoint does.

use super::names::TRANSFORMER;

/// Components of a transformer's paths as diffusers calls them, and as the checkpoint does.
const WORDS: [(&str, &str); 14] = [
    ("proj_in", "patchify_proj"),
    ("audio_proj_in", "audio_patchify_proj"),
    ("time_embed", "adaln_single"),
    ("audio_time_embed", "audio_adaln_single"),
    ("prompt_adaln", "prompt_adaln_single"),
    ("audio_prompt_adaln", "audio_prompt_adaln_single"),
    ("av_cross_attn_video_scale_shift", "av_ca_video_scale_shift_adaln_single"),
    ("av_cross_attn_video_a2v_gate", "av_ca_a2v_gate_adaln_single"),
    ("av_cross_attn_audio_scale_shift", "av_ca_audio_scale_shift_adaln_single"),
    ("av_cross_attn_audio_v2a_gate", "av_ca_v2a_gate_adaln_single"),
    ("video_a2v_cross_attn_scale_shift_table", "scale_shift_table_a2v_ca_video"),
    ("audio_a2v_cross_attn_scale_shift_table", "scale_shift_table_a2v_ca_audio"),
    ("norm_q", "q_norm"),
    ("norm_k", "k_norm"),
];
/// The same, only at the beginning of a path.
const FIRST_WORDS: [(&str, &str); 4] = [
    ("video_connector", "video_embeddings_connector"),
    ("audio_connector", "audio_embeddings_connector"),
    ("video_text_proj_in", "text_embedding_projection.video_aggregate_embed"),
    ("audio_text_proj_in", "text_embedding_projection.audio_aggregate_embed"),
];
const VOCODER_WORDS: [(&str, &str); 5] = [
    ("upsamplers", "ups"),
    ("resnets", "resblocks"),
    ("conv_in", "conv_pre"),
    ("conv_out", "conv_post"),
    ("act_out", "act_post"),
];

/// A component of a model in the diffusers format: a folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Transformer, connectors, or text projections.
    Transformer,
    VideoVae,
    AudioVae,
    Vocoder,
}

/// The folders of components of a checkpoint in a model's folder.
pub const FOLDERS: [&str; 5] = ["transformer", "connectors", "vae", "audio_vae", "vocoder"];
/// What lies in such a folder.
pub const MODEL_INDEX: &str = "model_index.json";

impl Part {
    /// The component whose names these are; `None` for other formats.
    pub fn of<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<Part> {
        let any = |sign: &dyn Fn(&str) -> bool| names.clone().any(sign);
        let begins = |sign: &str| any(&|name| name.starts_with(sign));
        match () {
            () if begins("video_connector.") || begins("audio_connector.") => Some(Part::Transformer),
            () if any(&|name| name.starts_with("transformer_blocks.") && name.contains(".norm_q.")) => {
                Some(Part::Transformer)
            }
            () if begins("latents_mean") && begins("decoder.up.") => Some(Part::AudioVae),
            () if begins("latents_mean") => Some(Part::VideoVae),
            () if begins("vocoder.resnets.") || begins("bwe_generator.resnets.") => Some(Part::Vocoder),
            () => None,
        }
    }

    /// The checkpoint's name of a tensor.
    pub fn official(self, name: &str) -> String {
        match self {
            Part::Transformer => {
                let path = path(name);
                let prefix = if path.starts_with("text_embedding_projection.") { "" } else { TRANSFORMER };
                format!("{prefix}{path}")
            }
            Part::VideoVae => format!("vae.{}", video_vae(name)),
            Part::AudioVae => format!("audio_vae.{}", statistics(name).unwrap_or(name)),
            Part::Vocoder => {
                let words = words(name, &VOCODER_WORDS);
                format!("vocoder.{}", words.replace(".downsample.", ".downsample.lowpass."))
            }
        }
    }
}

/// A path of the transformer, the connectors or the projections, in the checkpoint's words.
pub fn path(path: &str) -> String {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some((_, official)) = FIRST_WORDS.iter().find(|(theirs, _)| *theirs == first) else {
        return words(path, &WORDS);
    };
    let rest = words(rest, &WORDS);
    match rest.strip_prefix("transformer_blocks.") {
        Some(rest) => format!("{official}.transformer_1d_blocks.{rest}"),
        None if rest.is_empty() => (*official).to_string(),
        None => format!("{official}.{rest}"),
    }
}

fn words(path: &str, table: &[(&str, &str)]) -> String {
    let word = |theirs: &str| {
        let found = table.iter().find(|(other, _)| *other == theirs);
        found.map_or(theirs.to_string(), |(_, official)| (*official).to_string())
    };
    path.split('.').map(word).collect::<Vec<_>>().join(".")
}

fn statistics(name: &str) -> Option<&'static str> {
    match name {
        "latents_mean" => Some("per_channel_statistics.mean-of-means"),
        "latents_std" => Some("per_channel_statistics.std-of-means"),
        _ => None,
    }
}

/// Blocks that change the size are on their own in the checkpoint, and counted with the others.
fn video_vae(name: &str) -> String {
    if let Some(name) = statistics(name) {
        return name.to_string();
    }
    let name = words(name, &[("resnets", "res_blocks")]);
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<u32>().ok();
    match parts.as_slice() {
        ["encoder", "mid_block", rest @ ..] => format!("encoder.down_blocks.8.{}", rest.join(".")),
        ["decoder", "mid_block", rest @ ..] => format!("decoder.up_blocks.0.{}", rest.join(".")),
        ["encoder", "down_blocks", i, "downsamplers", "0", rest @ ..] if number(i).is_some() => {
            format!("encoder.down_blocks.{}.{}", 2 * number(i).unwrap_or(0) + 1, rest.join("."))
        }
        ["encoder", "down_blocks", i, rest @ ..] if number(i).is_some() => {
            format!("encoder.down_blocks.{}.{}", 2 * number(i).unwrap_or(0), rest.join("."))
        }
        ["decoder", "up_blocks", i, "upsamplers", "0", rest @ ..] if number(i).is_some() => {
            format!("decoder.up_blocks.{}.{}", 2 * number(i).unwrap_or(0) + 1, rest.join("."))
        }
        ["decoder", "up_blocks", i, rest @ ..] if number(i).is_some() => {
            format!("decoder.up_blocks.{}.{}", 2 * number(i).unwrap_or(0) + 2, rest.join("."))
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::Part;

    #[test]
    fn every_part_is_known_by_its_names() {
        let said = |names: &[&str], wanted: &[&str]| {
            let part = Part::of(names.iter().copied()).unwrap();
            let official: Vec<String> = names.iter().map(|name| part.official(name)).collect();
            assert_eq!(official, wanted);
        };
        said(
            &["proj_in.bias", "transformer_blocks.7.attn1.norm_q.weight", "time_embed.linear.weight"],
            &[
                "model.diffusion_model.patchify_proj.bias",
                "model.diffusion_model.transformer_blocks.7.attn1.q_norm.weight",
                "model.diffusion_model.adaln_single.linear.weight",
            ],
        );
        said(
            &["video_connector.transformer_blocks.0.attn1.norm_k.weight", "audio_text_proj_in.bias"],
            &[
                "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.attn1.k_norm.weight",
                "text_embedding_projection.audio_aggregate_embed.bias",
            ],
        );
        said(
            &[
                "latents_mean",
                "decoder.mid_block.resnets.0.conv1.conv.bias",
                "decoder.up_blocks.1.upsamplers.0.conv.conv.bias",
                "decoder.up_blocks.1.resnets.2.conv1.conv.bias",
                "encoder.down_blocks.2.downsamplers.0.conv.conv.bias",
                "encoder.down_blocks.2.resnets.0.conv2.conv.bias",
                "encoder.mid_block.resnets.0.conv1.conv.bias",
            ],
            &[
                "vae.per_channel_statistics.mean-of-means",
                "vae.decoder.up_blocks.0.res_blocks.0.conv1.conv.bias",
                "vae.decoder.up_blocks.3.conv.conv.bias",
                "vae.decoder.up_blocks.4.res_blocks.2.conv1.conv.bias",
                "vae.encoder.down_blocks.5.conv.conv.bias",
                "vae.encoder.down_blocks.4.res_blocks.0.conv2.conv.bias",
                "vae.encoder.down_blocks.8.res_blocks.0.conv1.conv.bias",
            ],
        );
        said(
            &["latents_mean", "decoder.up.0.block.0.conv1.conv.bias", "decoder.conv_in.conv.bias"],
            &[
                "audio_vae.per_channel_statistics.mean-of-means",
                "audio_vae.decoder.up.0.block.0.conv1.conv.bias",
                "audio_vae.decoder.conv_in.conv.bias",
            ],
        );
        said(
            &[
                "bwe_generator.conv_in.bias",
                "vocoder.resnets.0.acts1.0.downsample.filter",
                "mel_stft.mel_basis",
            ],
            &[
                "vocoder.bwe_generator.conv_pre.bias",
                "vocoder.vocoder.resblocks.0.acts1.0.downsample.lowpass.filter",
                "vocoder.mel_stft.mel_basis",
            ],
        );
        let official = ["model.diffusion_model.transformer_blocks.0.attn1.q_norm.weight", "vae.decoder.x"];
        assert_eq!(Part::of(official.into_iter()), None);
    }
}
