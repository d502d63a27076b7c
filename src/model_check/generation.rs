//! What model this is instead, where names of tensors tell.

use zoetrope_runtime::plan::Source;

use super::Problem;
use crate::model_files::{ModelFiles, Wanted};

const TRANSFORMER: &str = "model.diffusion_model.";
const CONNECTOR: &str = "video_embeddings_connector";

/// A name that another model has, and what that is.
const OTHERS: [(Source, &str, &str); 5] = [
    (Source::Checkpoint, "model.diffusion_model.caption_projection.linear_1.weight", "LTX-2.0, LTX-2.3"),
    (Source::Checkpoint, "text_embedding_projection.aggregate_embed.weight", "LTX-2.0, LTX-2.3"),
    (Source::Checkpoint, "model.diffusion_model.keyframes_abs_pos_embedding", "LTX-2.5, LTX-2.3"),
    (Source::TextEncoder, "language_model.model.layers.0.layer_scalar", "Gemma 4, Gemma 3"),
    (Source::TextEncoder, "language_model.model.layers.0.layer_scalar.weight", "Gemma 4, Gemma 3"),
];

/// The other models among the files that `searchable` accepts.
pub fn others(wanted: &[Wanted], files: &ModelFiles, searchable: impl Fn(Source) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |message: String| problems.push(Problem::Config { message });
    let reads = |source, name: &str| wanted.iter().any(|w| w.source == source && w.tensor.contains(name));
    let has = |source, name: &str| files.source(source).get(name).is_some();
    for (source, name, models) in OTHERS {
        if reads(source, "") && searchable(source) && has(source, name) {
            say(format!("{}: {name} is there: this is {models} wanted", source.name()));
        }
    }
    if !searchable(Source::Checkpoint) {
        return problems;
    }
    let audio = "audio_adaln_single.linear.weight";
    let video = "adaln_single.linear.weight";
    let checkpoint = |name: &str| has(Source::Checkpoint, &format!("{TRANSFORMER}{name}"));
    if reads(Source::Checkpoint, audio) && checkpoint(video) && !checkpoint(audio) {
        say(format!("checkpoint: {audio} is missing: this is LTX-Video, which has no audio, LTX-2.3 wanted"));
    }
    let connectors = files.checkpoint.iter().any(|(name, _)| name.contains(CONNECTOR));
    if reads(Source::Checkpoint, CONNECTOR) && !connectors {
        say(format!(
            "checkpoint: no file has the connectors ({CONNECTOR}.*): give theirs with one more --checkpoint"
        ));
    }
    problems
}
