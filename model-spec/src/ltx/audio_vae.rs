//! The audio VAE's decoder, and the blocks that it shares with its encoder (docs/model/audio.md 4, 6). Maps are
//! [time, frequency, channels].

use super::config::AudioVae;
use super::conv;
use super::statistics::Statistics;
use crate::lang::{Builder, Op, Source, Value};

const PIXEL_NORM_EPS: f32 = 1e-6;

/// The log-mel spectrogram [4T' − 3, mel bins, left and right] of normalised tokens `z` [T', channels·bins].
pub fn decode(b: &Builder, cfg: &AudioVae, z: Value) -> Value {
    let z = Statistics::of(b, "audio_vae", cfg.z_channels * cfg.latent_bins).denormalize(b, z);
    let z = unpatchify(b, cfg, z);
    b.component(Source::Checkpoint, "audio_vae.decoder", || {
        let width = |level: usize| cfg.channels * cfg.multipliers[level];
        let top = cfg.multipliers.len() - 1;
        let x = conv(b, "conv_in.conv", z, width(top));
        let x = b.scope("mid.block_1", || res_block(b, x, width(top)));
        let mut x = b.scope("mid.block_2", || res_block(b, x, width(top)));
        for level in (0..=top).rev() {
            x = b.scope(&format!("up.{level}"), || up(b, cfg, x, width(level), level > 0));
        }
        conv(b, "conv_out.conv", norm_silu(b, x), cfg.out_channels)
    })
}

/// A token holds the frequencies of channel 0, then those of channel 1, and so on.
fn unpatchify(b: &Builder, cfg: &AudioVae, z: Value) -> Value {
    let z = b.reshape(z, &[b.dim(z, 0), cfg.z_channels, cfg.latent_bins]);
    b.permute(z, &[0, 2, 1])
}

/// One resolution: its blocks, then ×2 in both axes unless it is the last.
fn up(b: &Builder, cfg: &AudioVae, mut x: Value, width: usize, upsample: bool) -> Value {
    for i in 0..=cfg.res_blocks {
        x = b.scope(&format!("block.{i}"), || res_block(b, x, width));
    }
    if !upsample {
        return x;
    }
    // The first row is dropped after this convolution: the same as one row of zeros less in front of it.
    let later = Op::Conv { pads: vec![1, 0, 1, 1], replicate: false, stride: 1, dilation: 1 };
    conv::conv(b, "upsample.conv.conv", b.op(Op::Upsample {}, &[x]), width, &[3, 3], later)
}

pub(super) fn res_block(b: &Builder, x: Value, width: usize) -> Value {
    let h = conv(b, "conv1.conv", norm_silu(b, x), width);
    let h = conv(b, "conv2.conv", norm_silu(b, h), width);
    let shortcut = if b.width(x) == width { x } else { pointwise(b, "nin_shortcut.conv", x, width) };
    b.add(shortcut, h)
}

pub(super) fn norm_silu(b: &Builder, x: Value) -> Value {
    b.silu(b.rms(x, PIXEL_NORM_EPS))
}

/// 3×3, causal in time.
pub(super) fn conv(b: &Builder, name: &str, x: Value, out: usize) -> Value {
    let causal = Op::Conv { pads: vec![2, 0, 1, 1], replicate: false, stride: 1, dilation: 1 };
    conv::conv(b, name, x, out, &[3, 3], causal)
}

fn pointwise(b: &Builder, name: &str, x: Value, out: usize) -> Value {
    let pointwise = Op::Conv { pads: vec![0; 4], replicate: false, stride: 1, dilation: 1 };
    conv::conv(b, name, x, out, &[1, 1], pointwise)
}
