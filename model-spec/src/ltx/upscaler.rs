//! The spatial ×2 latent upscaler (docs/model/upsampler.md 2, 3).

use super::config::Upscaler;
use super::conv;
use super::sequence::sequence;
use super::statistics::Statistics;
use crate::lang::{Builder, Op, Source, Value};

const NORM_GROUPS: usize = 32;
const NORM_EPS: f32 = 1e-5;

/// A normalised latent `z` [T', H', W', channels] at twice the height and width, normalised again.
pub fn upscale(b: &Builder, cfg: &Upscaler, z: Value) -> Value {
    let statistics = Statistics::of(b, "vae", cfg.channels);
    let x = statistics.denormalize(b, z);
    let x = b.component(Source::SpatialUpscaler, "", || network(b, cfg, x));
    statistics.normalize(b, x)
}

fn network(b: &Builder, cfg: &Upscaler, x: Value) -> Value {
    let blocks = |name: &str, x: Value| sequence(b, name, cfg.blocks_per_stage, x, |x| res_block(b, x));
    let x = b.silu(norm(b, "initial_norm", conv(b, "initial_conv", x, cfg.mid_channels)));
    let x = blocks("res_blocks", x);
    let x = b.scope("upsampler", || pixel_shuffle(b, x));
    let x = blocks("post_upsample_res_blocks", x);
    conv(b, "final_conv", x, cfg.channels)
}

/// Norms follow the convolutions and the last SiLU follows the sum.
fn res_block(b: &Builder, x: Value) -> Value {
    let h = b.silu(norm(b, "norm1", conv(b, "conv1", x, b.width(x))));
    let h = norm(b, "norm2", conv(b, "conv2", h, b.width(x)));
    b.silu(b.add(x, h))
}

/// A 3×3 convolution of every frame to four times the channels, which become the 2×2 pixels of one.
fn pixel_shuffle(b: &Builder, x: Value) -> Value {
    let width = b.width(x);
    let x = b.scope("0", || {
        let weight = b.reshape(b.filters("weight", 4 * width, &[3, 3], width), &[4 * width, 1, 3, 3, width]);
        let per_frame = Op::Conv { pads: vec![0, 0, 1, 1, 1, 1], replicate: false, stride: 1, dilation: 1 };
        b.op(per_frame, &[x, weight, b.weight("bias", &[4 * width])])
    });
    b.op(Op::DepthToSpace { st: 1, sh: 2, sw: 2, drop: 0 }, &[x])
}

fn norm(b: &Builder, name: &str, x: Value) -> Value {
    b.scope(name, || {
        let (weight, bias) = (b.weight("weight", &[b.width(x)]), b.weight("bias", &[b.width(x)]));
        b.op(Op::GroupNorm { groups: NORM_GROUPS, eps: NORM_EPS }, &[x, weight, bias])
    })
}

/// 3×3×3 with zeros around, also in time.
fn conv(b: &Builder, name: &str, x: Value, out: usize) -> Value {
    let same = Op::Conv { pads: vec![1; 6], replicate: false, stride: 1, dilation: 1 };
    conv::conv(b, name, x, out, &[3, 3, 3], same)
}
