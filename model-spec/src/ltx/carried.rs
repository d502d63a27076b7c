//! What a window of a long clip holds of the one before, and leaves for the next: the last latents of both streams.
//!
//! Time goes on in steps of a latent frame and of an audio token, so latents of the window before are those of the next one
//! to the bit. The first cell of a window is another kind: it stands for one frame, or for a quarter of an audio token. So
//! the video's is an image, made of that frame alone, and the audio's is made anew; neither is in the clip.

use super::conditioning::Held;
use super::layout::{audio_latent, audio_tokens};
use crate::lang::{Builder, Dtype, Role, Value};

/// Latents of the window before, port `{name}.carried` of this shape, and how much of them is generated, f32 \[1\]: nothing,
/// or all of it in the first window.
pub(super) fn carried(b: &Builder, name: &str, shape: &[usize]) -> (Value, Value) {
    let latent = b.port(&port(name), Role::Carried, b.dtype(), shape);
    let continues = b.port(&format!("{name}.continues"), Role::Continues, Dtype::F32, &[1]);
    (latent, b.affine(continues, -1.0, 1.0))
}

fn port(name: &str) -> String {
    format!("{name}.carried")
}

/// Holds so many of a stream's audio `tokens`, behind the first, to the last ones of the window before: port `a.carried`
/// [1, channels, held, bins].
pub(super) fn held_audio(b: &Builder, tokens: usize, held: usize, [channels, bins]: [usize; 2]) -> Held {
    let (latent, mask) = carried(b, "a", &[1, channels, held, bins]);
    let is_held = |token: usize| (1..=held).contains(&token);
    let class = (0..tokens).map(|token| i32::from(is_held(token))).collect();
    let row = (0..tokens).map(|token| if is_held(token) { token - 1 } else { held } as i32).collect();
    let width = channels * bins;
    let nothing = b.round(b.constant("a.nothing", &[1, width], vec![0.0; width]));
    let rows = b.concat(&[audio_tokens(b, latent), nothing]);
    Held {
        class: b.index("a.class", &[tokens], class),
        mask: b.concat(&[b.constant("a.generated", &[1], vec![1.0]), mask]),
        clean: b.gather(rows, b.index("a.clean_row", &[tokens], row)),
    }
}

/// Leaves the last so many latent frames of the video's tokens `v` [frames·rows·columns, channels], at output `v.carried`.
pub(super) fn leave_video(b: &Builder, v: Value, frames: usize, [rows, cols]: [usize; 2]) {
    let (tokens, channels) = (frames * rows * cols, b.width(v));
    let last = b.slice(v, 0, b.dim(v, 0) - tokens, tokens);
    let last = b.permute(b.reshape(last, &[frames, rows, cols, channels]), &[3, 0, 1, 2]);
    b.result(&port("v"), Role::Carried, b.reshape(last, &[1, channels, frames, rows, cols]));
}

/// Leaves the last so many tokens of the audio's `a` [tokens, channels·bins], at output `a.carried`.
pub(super) fn leave_audio(b: &Builder, a: Value, tokens: usize, channels: usize) {
    let last = b.slice(a, 0, b.dim(a, 0) - tokens, tokens);
    b.result(&port("a"), Role::Carried, audio_latent(b, last, channels));
}
