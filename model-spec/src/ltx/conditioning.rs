//! What a stage is told of the clip, lowered to what each token has: a clean value, and how much of it is held
//! (docs/model/pipelines.md 2.4).

use super::pipeline::video_tokens;
use super::recipe::Item;
use super::sizes::Size;
use crate::lang::{Builder, Dtype, Role, Value};

/// What holds tokens of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Which class each token belongs to, i32 [tokens].
    pub class: Value,
    /// How much of a class is generated, f32 [classes]: 1 all, 0 nothing. Class 0 is all of it.
    pub mask: Value,
    /// What tokens are held to, [tokens, channels]; zeros where nothing is.
    pub clean: Value,
}

impl Held {
    /// Noise levels of the classes where the stream has `sigma`, f32 [classes].
    pub fn timesteps(&self, b: &Builder, sigma: Value) -> Value {
        b.mul(self.mask, sigma)
    }
}

/// What `items` hold of the video of a stage; `None` without any. Latents of images come in at ports `v.image`,
/// [1, channels, 1, rows, columns], their strengths at `v.image_strength`.
pub fn held_video(b: &Builder, size: Size, channels: usize, items: &[Item]) -> Option<Held> {
    if items.is_empty() {
        return None;
    }
    let [frames, rows, cols] = size.latent();
    let (frame, tokens) = (rows * cols, frames * rows * cols);
    // Rows of clean values: those of all items, then one of zeros.
    let (mut clean, mut masks) = (Vec::new(), vec![b.constant("generated", &[1], vec![1.0])]);
    let mut class = vec![0; tokens];
    let mut row = vec![None; tokens];
    for item in items {
        match item {
            Item::FirstFrame => {
                let role = Role::Tensor { default: Some(0.0) };
                let image = b.port("v.image", role, b.dtype(), &[1, channels, 1, rows, cols]);
                let strength = b.port("v.image_strength", Role::Strength { number: 0 }, Dtype::F32, &[1]);
                for token in 0..frame {
                    class[token] = masks.len() as i32;
                    row[token] = Some((clean.len() * frame + token) as i32);
                }
                clean.push(video_tokens(b, image));
                masks.push(b.affine(strength, -1.0, 1.0));
            }
        }
    }
    let none = (clean.len() * frame) as i32;
    clean.push(b.round(b.constant("nothing", &[1, channels], vec![0.0; channels])));
    let row = b.index("v.clean_row", &[tokens], row.into_iter().map(|row| row.unwrap_or(none)).collect());
    Some(Held {
        class: b.index("v.class", &[tokens], class),
        mask: b.tap("v.denoise_mask", b.concat(&masks)),
        clean: b.tap("v.clean_latent", b.gather(b.concat(&clean), row)),
    })
}
