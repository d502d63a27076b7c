//! How files that others split or saved again name their tensors (docs/model/checkpoint.md 1.7 and 2).

use zoetrope_runtime::files::Rename;

const fn keep(prefix: &'static str) -> Rename {
    Rename { sign: prefix, from: prefix, to: prefix }
}

const fn rename(sign: &'static str, from: &'static str, to: &'static str) -> Rename {
    Rename { sign, from, to }
}

pub const TRANSFORMER: &str = "model.diffusion_model.";

/// Components on their own lose prefixes: `diffusion_model.`, `velocity_model.`, `model.` or nothing stands before the
/// transformer's names, nothing before those of one VAE, of the text projections, or of the vocoder.
pub const CHECKPOINT: &[Rename] = &[
    rename("model.transformer_blocks.", "model.", TRANSFORMER),
    keep("model."),
    keep("text_embedding_projection."),
    keep("vae."),
    keep("audio_vae."),
    // In a whole file `vocoder.` stands before all three components, in a file of its own before the base generator.
    rename("bwe_generator.", "", "vocoder."),
    keep("vocoder."),
    rename("diffusion_model.", "diffusion_model.", TRANSFORMER),
    rename("velocity_model.", "velocity_model.", TRANSFORMER),
    rename(
        "video_aggregate_embed.",
        "video_aggregate_embed.",
        "text_embedding_projection.video_aggregate_embed.",
    ),
    rename(
        "audio_aggregate_embed.",
        "audio_aggregate_embed.",
        "text_embedding_projection.audio_aggregate_embed.",
    ),
    // A tiny decoder counts its layers; its own names begin with `decoder.`, and with `encoder.` what nobody reads.
    rename("decoder.22.", "", "tiny_vae."),
    // The two VAEs share names at the top; below, only one has these.
    rename("decoder.up_blocks.", "", "vae."),
    rename("encoder.down_blocks.", "", "vae."),
    rename("decoder.up.", "", "audio_vae."),
    rename("encoder.down.", "", "audio_vae."),
    rename("transformer_blocks.", "", TRANSFORMER),
    rename(
        "video_embeddings_connector.",
        "video_embeddings_connector.",
        "model.diffusion_model.video_embeddings_connector.",
    ),
    rename(
        "audio_embeddings_connector.",
        "audio_embeddings_connector.",
        "model.diffusion_model.audio_embeddings_connector.",
    ),
];

/// Newer writers put `model.` in front, and a language model without its vision tower has fewer levels.
pub const TEXT_ENCODER: &[Rename] = &[
    rename("model.language_model.", "model.language_model.", "language_model.model."),
    rename("model.vision_tower.", "model.vision_tower.", "vision_tower."),
    rename("model.multi_modal_projector.", "model.multi_modal_projector.", "multi_modal_projector."),
    rename("model.embed_tokens.", "model.", "language_model.model."),
    rename("vision_model.", "vision_model.", "vision_tower.vision_model."),
];

#[cfg(test)]
mod tests {
    use super::{CHECKPOINT, TEXT_ENCODER, TRANSFORMER};
    use zoetrope_runtime::files::{FileDtype, NewTensor, Rename, TensorFile, TensorSet, write_tensors};

    fn read(names: &[&str], renames: &[Rename]) -> Vec<String> {
        let tensors: Vec<NewTensor<'_>> = names
            .iter()
            .map(|name| NewTensor { name, dtype: FileDtype::U8, shape: &[0], bytes: &[] })
            .collect();
        let file = TensorFile::from_bytes("m", write_tensors(&[], &tensors)).unwrap();
        TensorSet::new(vec![file], renames).iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn a_whole_checkpoint_keeps_its_names() {
        let names = [
            "audio_vae.decoder.up.0.block.0.conv1.conv.weight",
            "audio_vae.per_channel_statistics.mean-of-means",
            "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight",
            "model.diffusion_model.video_embeddings_connector.learnable_registers",
            "text_embedding_projection.video_aggregate_embed.bias",
            "vae.decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",
            "vocoder.bwe_generator.conv_pre.weight",
            "vocoder.mel_stft.mel_basis",
            "vocoder.vocoder.conv_pre.weight",
        ];
        assert_eq!(read(&names, CHECKPOINT), names);
    }

    #[test]
    fn components_get_their_prefixes_back() {
        let same = |names: &[&str], prefix: &str| {
            let wanted: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
            assert_eq!(read(names, CHECKPOINT), wanted);
        };
        same(
            &["patchify_proj.weight", "scale_shift_table", "transformer_blocks.0.attn1.to_q.weight"],
            "model.diffusion_model.",
        );
        let others = ["velocity_model.proj_out.bias", "velocity_model.transformer_blocks.0.ff.net.2.bias"];
        let wanted =
            ["proj_out.bias", "transformer_blocks.0.ff.net.2.bias"].map(|n| format!("{TRANSFORMER}{n}"));
        assert_eq!(read(&others, CHECKPOINT), wanted);
        let others = ["model.proj_out.bias", "model.transformer_blocks.0.ff.net.2.bias"];
        assert_eq!(read(&others, CHECKPOINT), wanted);
        same(&["diffusion_model.adaln_single.linear.bias", "diffusion_model.proj_out.bias"], "model.");
        same(&["audio_embeddings_connector.learnable_registers"], "model.diffusion_model.");
        same(&["audio_aggregate_embed.bias", "video_aggregate_embed.bias"], "text_embedding_projection.");
        same(
            &[
                "decoder.conv_in.conv.bias",
                "decoder.up_blocks.1.conv.conv.bias",
                "per_channel_statistics.std-of-means",
            ],
            "vae.",
        );
        same(
            &[
                "decoder.conv_in.conv.bias",
                "decoder.up.1.upsample.conv.conv.bias",
                "per_channel_statistics.std-of-means",
            ],
            "audio_vae.",
        );
        same(&["bwe_generator.conv_pre.bias", "mel_stft.mel_basis", "vocoder.conv_pre.bias"], "vocoder.");
    }

    #[test]
    fn gemma_has_three_spellings() {
        let official =
            ["language_model.model.embed_tokens.weight", "language_model.model.layers.0.mlp.up_proj.weight"];
        let newer =
            ["model.language_model.embed_tokens.weight", "model.language_model.layers.0.mlp.up_proj.weight"];
        let text = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"];
        for names in [official, newer, text] {
            assert_eq!(read(&names, TEXT_ENCODER), official);
        }
        assert_eq!(read(&["model.vision_tower.x"], TEXT_ENCODER), ["vision_tower.x"]);
    }
}
