//! The tiny decoders, which show quickly what a clip will look like (taeltx2_3, docs/model/video-vae.md 11).

use super::conv::per_frame;
use crate::lang::{Builder, Op, Source, Value};

/// How the tensors begin that are a tiny decoder's: what a plan reads of it stands beside the checkpoint.
const PREFIX: &str = "tiny_vae.decoder";
/// Latents are limited to this size, smoothly.
const LIMIT: f32 = 3.0;
/// Channels of the last layers.
const LAST: usize = 64;
/// Pixels of a square that the last layer makes at once.
const PATCH: usize = 4;
/// Memory blocks before each step to larger frames.
const BLOCKS: usize = 3;
/// What a frame more in time is made of is not there for the first latent frame: so many of its frames are left out.
const DROPPED: usize = 7;

/// A published tiny decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyDecoder {
    /// In target files.
    pub name: &'static str,
    /// Channels before each of the three steps to larger frames.
    widths: [usize; 3],
    /// Whether its memory blocks have four convolutions, of groups of this many channels, instead of three.
    group: Option<usize>,
}

impl TinyDecoder {
    /// `taeltx2_3` and `taeltx2_3_wide`.
    pub const ALL: [TinyDecoder; 2] = [
        TinyDecoder { name: "tiny", widths: [256, 128, 64], group: None },
        TinyDecoder { name: "tiny-wide", widths: [1024, 512, 256], group: Some(64) },
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<TinyDecoder> {
        Self::ALL.into_iter().find(|decoder| decoder.name == name)
    }
}

/// Pixels [8·T' − 7, 32·H', 32·W', 3] in −1..1 of a normalised latent `z` [T', H', W', channels].
pub fn decode(b: &Builder, decoder: TinyDecoder, z: Value) -> Value {
    b.component(Source::Checkpoint, PREFIX, || {
        let mut x = relu(b, per_frame(b, "1", limited(b, z), decoder.widths[0], 3, true));
        // Modules have numbers in a row: memory blocks, enlarging in space (without weights) and time, a convolution.
        let mut module = 3;
        let after = decoder.widths[1..].iter().copied().chain([LAST]);
        for width in after {
            for _ in 0..BLOCKS {
                x = b.scope(&module.to_string(), || memory_block(b, decoder.group, x));
                module += 1;
            }
            // Each pixel becomes four equal ones: more frames of few pixels are the same as more frames of many.
            x = upsampled(b, b.scope(&(module + 1).to_string(), || grown(b, x)));
            x = per_frame(b, &(module + 2).to_string(), x, width, 3, false);
            module += 3;
        }
        let x = per_frame(b, &(module + 1).to_string(), relu(b, x), 3 * PATCH * PATCH, 3, true);
        let x = b.op(Op::DepthToSpace { st: 1, sh: PATCH, sw: PATCH, drop: 0 }, &[x]);
        let frames = b.dim(x, 0).saturating_sub(DROPPED);
        b.affine(b.clamp(b.slice(x, 0, DROPPED, frames), 0.0, 1.0), 2.0, -1.0)
    })
}

/// LIMIT·tanh(z / LIMIT), by the logistic function.
fn limited(b: &Builder, z: Value) -> Value {
    b.affine(b.sigmoid(b.affine(z, 2.0 / LIMIT, 0.0)), 2.0 * LIMIT, -LIMIT)
}

fn relu(b: &Builder, x: Value) -> Value {
    b.clamp(x, 0.0, f32::MAX)
}

/// Convolutions of every frame beside the one before it, added to the frame.
fn memory_block(b: &Builder, group: Option<usize>, x: Value) -> Value {
    let (width, both) = (b.width(x), beside_past(b, x));
    let h = match group {
        None => {
            let h = relu(b, per_frame(b, "conv.0", both, width, 3, true));
            let h = relu(b, per_frame(b, "conv.2", h, width, 3, true));
            per_frame(b, "conv.4", h, width, 3, true)
        }
        Some(group) => {
            let h = relu(b, per_frame(b, "conv.0", both, width, 1, true));
            let h = relu(b, grouped(b, "conv.2", h, group));
            let h = relu(b, per_frame(b, "conv.4", h, width, 1, true));
            grouped(b, "conv.6", h, group)
        }
    };
    relu(b, b.add(h, x))
}

/// The channels of every frame, and behind them those of the frame before it, zeros before the first one.
fn beside_past(b: &Builder, x: Value) -> Value {
    let shape = b.shape(x);
    let &[frames, height, width, channels] = shape.as_slice() else { return x };
    let first = b.affine(b.slice(x, 0, 0, 1), 0.0, 0.0);
    let both = match frames {
        1 => b.concat(&[x, first]),
        _ => b.concat(&[x, first, b.slice(x, 0, 0, frames - 1)]),
    };
    let places = frames * height * width;
    let both = b.permute(b.reshape(both, &[2, places, channels]), &[1, 0, 2]);
    b.reshape(both, &[frames, height, width, 2 * channels])
}

/// Twice the frames: of each the first channels are the earlier one.
fn grown(b: &Builder, x: Value) -> Value {
    let shape = b.shape(x);
    let &[frames, height, width, channels] = shape.as_slice() else { return x };
    let x = per_frame(b, "conv", x, 2 * channels, 1, false);
    let pairs = b.permute(b.reshape(x, &[frames, height * width, 2, channels]), &[0, 2, 1, 3]);
    b.reshape(pairs, &[2 * frames, height, width, channels])
}

/// Twice the rows and columns, each pixel four times.
fn upsampled(b: &Builder, x: Value) -> Value {
    let shape = b.shape(x);
    let &[frames, height, width, channels] = shape.as_slice() else { return x };
    // Rows of all frames are one picture.
    let x = b.op(Op::Upsample {}, &[b.reshape(x, &[frames * height, width, channels])]);
    b.reshape(x, &[frames, 2 * height, 2 * width, channels])
}

/// A 3×3 convolution of every frame in which a group of channels sees itself alone.
fn grouped(b: &Builder, name: &str, x: Value, group: usize) -> Value {
    let shape = b.shape(x);
    let &[frames, height, width, channels] = shape.as_slice() else { return x };
    let (groups, places) = (channels / group, frames * height * width);
    let (weight, bias) =
        b.scope(name, || (b.filters("weight", channels, &[3, 3], group), b.weight("bias", &[channels])));
    let apart = b.permute(b.reshape(x, &[places, groups, group]), &[1, 0, 2]);
    let each = |g: usize| {
        let x = b.reshape(b.slice(apart, 0, g, 1), &[frames, height, width, group]);
        let weight = b.reshape(b.slice(weight, 0, g * group, group), &[group, 1, 3, 3, group]);
        let y = b.op(
            Op::Conv { pads: vec![0, 0, 1, 1, 1, 1], replicate: false, stride: 1, dilation: 1 },
            &[x, weight, b.slice(bias, 0, g * group, group)],
        );
        b.reshape(y, &[1, places, group])
    };
    let together = b.concat(&(0..groups).map(each).collect::<Vec<_>>());
    b.reshape(b.permute(together, &[1, 0, 2]), &[frames, height, width, channels])
}
