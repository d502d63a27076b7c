//! The video VAE's encoder (docs/model/video-vae.md 4, 5).

use super::config::{EncoderBlock, VideoVae};
use super::conv::conv;
use super::sequence::sequence;
use super::statistics::Statistics;
use super::video_vae::{norm_silu, res_block};
use crate::lang::{Builder, Op, Source, Value};

/// The normalised latent [T', H', W', channels] of `video` [3, frames, height, width], about −1..1. Frames are 8k + 1.
pub fn encode(b: &Builder, cfg: &VideoVae, video: Value) -> Value {
    let means = b.component(Source::Checkpoint, "vae.encoder", || {
        let x = b.op(Op::Patchify { patch: cfg.patch }, &[video]);
        let mut x = causal(b, "conv_in.conv", x, cfg.encoder.base_channels);
        for (i, down_block) in cfg.encoder.blocks.iter().enumerate() {
            x = b.scope(&format!("down_blocks.{i}"), || block(b, *down_block, x));
        }
        means(b, norm_silu(b, x), cfg.latent_channels)
    });
    Statistics::of(b, "vae", cfg.latent_channels).normalize(b, means)
}

fn block(b: &Builder, block: EncoderBlock, x: Value) -> Value {
    match block {
        EncoderBlock::Res { layers } => sequence(b, "res_blocks", layers, x, |x| res_block(b, causal, x)),
        EncoderBlock::Down { time, space, multiplier } => down(b, [time, space], multiplier, x),
    }
}

/// Positions fold into channels, behind a convolution and beside it. What halves time sees the first frame once more,
/// because a latent frame stands for eight of the video and the first one for one.
fn down(b: &Builder, [time, space]: [usize; 2], multiplier: usize, x: Value) -> Value {
    let (folded, again) = (time * space * space, time - 1);
    let fold = |x, repeat| b.op(Op::SpaceToDepth { st: time, sh: space, sw: space, repeat }, &[x]);
    let h = conv(b, "conv.conv", x, b.width(x) * multiplier / folded, &[3, 3, 3], causal_op(2 + again));
    let skip = b.op(Op::GroupMean { size: folded / multiplier }, &[fold(x, again)]);
    b.add(fold(h, 0), skip)
}

/// The last convolution. Behind the means it has one channel more, a variance that nobody reads: it is not computed.
fn means(b: &Builder, x: Value, channels: usize) -> Value {
    b.scope("conv_out.conv", || {
        let weight = b.filters("weight", channels + 1, &[3, 3, 3], b.width(x));
        let bias = b.weight("bias", &[channels + 1]);
        let [weight, bias] = [weight, bias].map(|w| b.slice(w, 0, 0, channels));
        b.op(causal_op(2), &[x, weight, bias])
    })
}

/// 3×3×3, the first frame repeated in front, zeros around in space.
fn causal(b: &Builder, name: &str, x: Value, out: usize) -> Value {
    conv(b, name, x, out, &[3, 3, 3], causal_op(2))
}

/// `before` copies of the first frame in front; with two of them a frame sees itself and the two before.
fn causal_op(before: usize) -> Op {
    Op::Conv { pads: vec![before, 0, 1, 1, 1, 1], replicate: true, stride: 1, dilation: 1 }
}
