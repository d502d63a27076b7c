//! The components of a model by the beginnings of their tensors' names (docs/model/checkpoint.md 1.5 and 2).

use std::collections::{BTreeMap, BTreeSet};

use zoetrope_runtime::plan::Source;

use crate::model_files::{ModelFiles, Wanted};

/// Tensors of one component that the files have and the plan does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unneeded {
    /// The source.
    pub source: Source,
    /// The component of the model.
    pub component: &'static str,
    /// How many tensors.
    pub tensors: usize,
    /// Their bytes in the files.
    pub bytes: u64,
}

const CHECKPOINT: [(&str, &str); 15] = [
    ("model.diffusion_model.video_embeddings_connector.", "video connector"),
    ("model.diffusion_model.audio_embeddings_connector.", "audio connector"),
    ("model.diffusion_model.", "transformer"),
    ("text_embedding_projection.", "text projections"),
    ("vae.encoder.", "video encoder"),
    ("vae.decoder.", "video decoder"),
    ("vae.per_channel_statistics.", "video statistics"),
    ("tiny_vae.decoder.", "tiny decoder"),
    ("tiny_vae.encoder.", "tiny encoder"),
    ("audio_vae.encoder.", "audio encoder"),
    ("audio_vae.decoder.", "audio decoder"),
    ("audio_vae.per_channel_statistics.", "audio statistics"),
    ("vocoder.vocoder.", "vocoder"),
    ("vocoder.bwe_generator.", "bandwidth extension"),
    ("vocoder.mel_stft.", "spectrogram of the bandwidth extension"),
];

/// What the text encoder sees images with.
const VISION: [(&str, &str); 2] =
    [("vision_tower.", "vision tower"), ("multi_modal_projector.", "vision projector")];

const TEXT_ENCODER: [(&str, &str); 3] = [("language_model.", "language model"), VISION[0], VISION[1]];

/// Whether the text encoder sees images with a tensor.
pub fn is_of_vision(source: Source, tensor: &str) -> bool {
    source == Source::TextEncoder && VISION.iter().any(|(prefix, _)| tensor.starts_with(prefix))
}

/// The component of the model that a tensor belongs to.
pub fn component(source: Source, tensor: &str) -> &'static str {
    let table: &[(&str, &str)] = match source {
        Source::Checkpoint | Source::Merged(_) => &CHECKPOINT,
        Source::TextEncoder => &TEXT_ENCODER,
        Source::SpatialUpscaler | Source::SpatialUpscalerX1_5 | Source::TemporalUpscaler => {
            &[("", "upscaler")]
        }
        Source::Adapter(_) => &[("", "adapter")],
    };
    table.iter().find(|(prefix, _)| tensor.starts_with(prefix)).map_or("unknown", |(_, component)| component)
}

/// What the files have beyond `wanted`, in the order of the tables above.
pub fn unneeded(wanted: &[Wanted], files: &ModelFiles) -> Vec<Unneeded> {
    let wanted: BTreeSet<(Source, &str)> = wanted.iter().map(|w| (w.source, w.tensor.as_str())).collect();
    let mut found: BTreeMap<(Source, &'static str), (usize, u64)> = BTreeMap::new();
    for source in Source::FILES {
        for (name, tensor) in
            files.source(source).iter().filter(|(name, _)| !wanted.contains(&(source, name)))
        {
            let (tensors, bytes) = found.entry((source, component(source, name))).or_default();
            *tensors += 1;
            *bytes += tensor.bytes.len() as u64;
        }
    }
    let rows = found.into_iter();
    rows.map(|((source, component), (tensors, bytes))| Unneeded { source, component, tensors, bytes })
        .collect()
}
