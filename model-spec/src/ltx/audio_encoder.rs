//! The audio VAE's encoder (docs/model/audio.md 4, 5). Maps are [time, frequency, channels].

use super::audio_vae::{conv, norm_silu, res_block};
use super::config::AudioVae;
use super::conv;
use super::statistics::Statistics;
use crate::lang::{Builder, Op, Source, Value};

/// The normalised tokens [T', channels·bins] of the log-mel spectrogram `mel` [time, mel bins, left and right]. Of 4T' − 3
/// to 4T' rows.
pub fn encode(b: &Builder, cfg: &AudioVae, mel: Value) -> Value {
    let means = b.component(Source::Checkpoint, "audio_vae.encoder", || {
        let width = |level: usize| cfg.channels * cfg.multipliers[level];
        let top = cfg.multipliers.len() - 1;
        let mut x = conv(b, "conv_in.conv", mel, cfg.channels);
        for level in 0..=top {
            x = b.scope(&format!("down.{level}"), || down(b, cfg, x, width(level), level < top));
        }
        let x = b.scope("mid.block_1", || res_block(b, x, width(top)));
        let x = b.scope("mid.block_2", || res_block(b, x, width(top)));
        means(b, norm_silu(b, x), cfg.z_channels)
    });
    let tokens = patchify(b, means);
    Statistics::of(b, "audio_vae", cfg.z_channels * cfg.latent_bins).normalize(b, tokens)
}

/// A token holds the frequencies of channel 0, then those of channel 1, and so on.
fn patchify(b: &Builder, z: Value) -> Value {
    let [time, bins, channels] = [0, 1, 2].map(|axis| b.dim(z, axis));
    b.reshape(b.permute(z, &[0, 2, 1]), &[time, channels * bins])
}

/// One resolution: its blocks, then half of it in both axes unless it is the last.
fn down(b: &Builder, cfg: &AudioVae, mut x: Value, width: usize, downsample: bool) -> Value {
    for i in 0..cfg.res_blocks {
        x = b.scope(&format!("block.{i}"), || res_block(b, x, width));
    }
    if !downsample {
        return x;
    }
    // Causal in time; in frequency the row of zeros lies behind. A convolution strides along its last axis alone, so every
    // second row in time is dropped after it.
    let halving = Op::Conv { pads: vec![2, 0, 0, 1], replicate: false, stride: 2, dilation: 1 };
    let x = conv::conv(b, "downsample.conv", x, width, &[3, 3], halving);
    let (rows, bins) = (b.dim(x, 0), b.dim(x, 1));
    let kept: Vec<i32> = (0..rows as i32).step_by(2).collect();
    let shape = [kept.len(), bins, width];
    let kept = b.index("kept", &[kept.len()], kept);
    b.reshape(b.gather(b.reshape(x, &[rows, bins * width]), kept), &shape)
}

/// The last convolution. Behind the means it has as many variances, which nobody reads: they are not computed.
fn means(b: &Builder, x: Value, channels: usize) -> Value {
    b.scope("conv_out.conv", || {
        let weight = b.filters("weight", 2 * channels, &[3, 3], b.width(x));
        let bias = b.weight("bias", &[2 * channels]);
        let [weight, bias] = [weight, bias].map(|w| b.slice(w, 0, 0, channels));
        let causal = Op::Conv { pads: vec![2, 0, 1, 1], replicate: false, stride: 1, dilation: 1 };
        b.op(causal, &[x, weight, bias])
    })
}
