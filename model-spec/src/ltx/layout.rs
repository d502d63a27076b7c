//! Latents as the ports of phases have them, and as the model's layers read them: channels last, no batch.

use crate::lang::{Builder, Value};

/// What a decoder makes, as RGB in 0..1.
pub(super) fn rgb(b: &Builder, decoded: Value) -> Value {
    b.clamp(b.affine(decoded, 0.5, 0.5), 0.0, 1.0)
}

/// [1, c, f, h, w] → [f, h, w, c].
pub(super) fn channels_last(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    b.permute(b.reshape(z, &shape[1..]), &[1, 2, 3, 0])
}

/// [1, c, f, h, w] → [f·h·w, c].
pub(super) fn video_tokens(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    b.reshape(channels_last(b, z), &[shape[2..].iter().product(), shape[1]])
}

/// [1, c, t, f] → [t, c·f].
pub(super) fn audio_tokens(b: &Builder, z: Value) -> Value {
    let shape = b.shape(z);
    let tokens = b.permute(b.reshape(z, &shape[1..]), &[1, 0, 2]);
    b.reshape(tokens, &[shape[2], shape[1] * shape[3]])
}

/// [t, channels·f] → [1, channels, t, f]: what [`audio_tokens`] undoes.
pub(super) fn audio_latent(b: &Builder, tokens: Value, channels: usize) -> Value {
    let (t, bins) = (b.dim(tokens, 0), b.width(tokens) / channels);
    let latent = b.permute(b.reshape(tokens, &[t, channels, bins]), &[1, 0, 2]);
    b.reshape(latent, &[1, channels, t, bins])
}
