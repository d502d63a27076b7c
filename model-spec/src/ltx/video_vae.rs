//! The video VAE's convolutional decoder (docs/model/video-vae.md 4, 6).

use super::config::{DecoderBlock, VideoVae};
use super::conv;
use super::sequence::sequence;
use super::statistics::Statistics;
use crate::lang::{Builder, Op, Source, Value};

const PIXEL_NORM_EPS: f32 = 1e-8;

/// Pixels [frames, height, width, 3], about −1..1, of a normalised latent `z` [T', H', W', channels].
pub fn decode(b: &Builder, cfg: &VideoVae, z: Value) -> Value {
    let z = Statistics::of(b, "vae", cfg.latent_channels).denormalize(b, z);
    b.component(Source::Checkpoint, "vae.decoder", || {
        let mut x = conv(b, "conv_in.conv", z, widest(cfg));
        for (i, up_block) in cfg.blocks.iter().enumerate() {
            x = b.scope(&format!("up_blocks.{i}"), || block(b, *up_block, x));
        }
        let x = conv(b, "conv_out.conv", norm_silu(b, x), cfg.out_channels * cfg.patch * cfg.patch);
        b.op(Op::Unpatchify { patch: cfg.patch }, &[x])
    })
}

/// Channels of the first block: the base, multiplied by what the blocks divide by on the way.
fn widest(cfg: &VideoVae) -> usize {
    let divided_by = |block: &DecoderBlock| match block {
        DecoderBlock::Res { .. } => 1,
        DecoderBlock::Up { multiplier, .. } => *multiplier,
    };
    cfg.base_channels * cfg.blocks.iter().map(divided_by).product::<usize>()
}

fn block(b: &Builder, block: DecoderBlock, x: Value) -> Value {
    match block {
        DecoderBlock::Res { layers } => sequence(b, "res_blocks", layers, x, |x| res_block(b, conv, x)),
        DecoderBlock::Up { time, space, multiplier } => {
            let x = conv(b, "conv.conv", x, b.width(x) * time * space * space / multiplier);
            // The first latent frame stands for one frame only, so what doubles time drops the first result.
            b.op(Op::DepthToSpace { st: time, sh: space, sw: space, drop: time - 1 }, &[x])
        }
    }
}

/// A convolution by the name of its weights, to so many channels.
pub(super) type Conv = fn(&Builder, &str, Value, usize) -> Value;

pub(super) fn res_block(b: &Builder, conv: Conv, x: Value) -> Value {
    let h = conv(b, "conv1.conv", norm_silu(b, x), b.width(x));
    let h = conv(b, "conv2.conv", norm_silu(b, h), b.width(x));
    b.add(x, h)
}

pub(super) fn norm_silu(b: &Builder, x: Value) -> Value {
    b.silu(b.rms(x, PIXEL_NORM_EPS))
}

/// 3×3×3, edge frames repeated in time, zeros around in space.
fn conv(b: &Builder, name: &str, x: Value, out: usize) -> Value {
    let same = Op::Conv { pads: vec![1; 6], replicate: true, stride: 1, dilation: 1 };
    conv::conv(b, name, x, out, &[3, 3, 3], same)
}
