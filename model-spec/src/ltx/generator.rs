//! The generator network of vocoder and bandwidth extension (docs/model/audio.md 8). Audio is [samples, channels].

use super::config::Generator;
use super::conv;
use crate::lang::{Builder, Op, Value};

/// Width of every anti-aliasing filter.
const FILTER_TAPS: usize = 12;

/// Taps of the first and the last convolution.
const OUTER_TAPS: usize = 7;

/// Left and right [samples, 2] of a log-mel spectrogram `mel` [frames, left bins then right bins].
pub fn generator(b: &Builder, cfg: &Generator, mel: Value) -> Value {
    let mut x = conv(b, "conv_pre", mel, cfg.initial_channels, OUTER_TAPS, 1);
    for (i, (rate, taps)) in cfg.upsample_rates.iter().zip(&cfg.upsample_kernels).enumerate() {
        x = b.scope(&format!("ups.{i}"), || lengthen(b, x, *rate, *taps));
        x = mean_of_blocks(b, cfg, i, x);
    }
    let x = b.scope("act_post", || activation(b, x));
    let wave = b.scope("conv_post", || {
        let weight = b.filters("weight", 2, &[OUTER_TAPS], b.width(x));
        b.op(same(OUTER_TAPS, 1), &[x, weight])
    });
    if cfg.clamp { b.clamp(wave, -1.0, 1.0) } else { wave }
}

/// `rate` times the samples of half the channels.
fn lengthen(b: &Builder, x: Value, rate: usize, taps: usize) -> Value {
    let (width, half) = (b.width(x), b.width(x) / 2);
    let (weight, bias) = (b.weight("weight", &[width, half, taps]), b.weight("bias", &[half]));
    b.op(Op::ConvTranspose { stride: rate, pad: (taps - rate) / 2 }, &[x, weight, bias])
}

/// All blocks behind upsampling `number` read the same x.
fn mean_of_blocks(b: &Builder, cfg: &Generator, number: usize, x: Value) -> Value {
    let blocks = cfg.resblock_kernels.len();
    let kinds = cfg.resblock_kernels.iter().zip(&cfg.resblock_dilations);
    let sum = kinds.enumerate().map(|(j, (taps, dilations))| {
        b.scope(&format!("resblocks.{}", number * blocks + j), || amp_block(b, x, *taps, dilations))
    });
    let sum = sum.reduce(|sum, block| b.add(sum, block)).unwrap_or(x);
    b.affine(sum, 1.0 / blocks as f32, 0.0)
}

fn amp_block(b: &Builder, mut x: Value, taps: usize, dilations: &[usize]) -> Value {
    for (j, dilation) in dilations.iter().enumerate() {
        let h = b.scope(&format!("acts1.{j}"), || activation(b, x));
        let h = conv(b, &format!("convs1.{j}"), h, b.width(x), taps, *dilation);
        let h = b.scope(&format!("acts2.{j}"), || activation(b, h));
        let h = conv(b, &format!("convs2.{j}"), h, b.width(x), taps, 1);
        x = b.add(x, h);
    }
    x
}

/// SnakeBeta at twice the rate, so that its overtones do not fold back.
fn activation(b: &Builder, x: Value) -> Value {
    let filter = |name: &str| b.reshape(b.weight(name, &[1, 1, FILTER_TAPS]), &[FILTER_TAPS]);
    let up = Op::FilterUp { ratio: 2, pad: 5, crop_left: 15, crop_right: 15 };
    let x = b.op(up, &[x, filter("upsample.filter")]);
    let (alpha, beta) = (b.weight("act.alpha", &[b.width(x)]), b.weight("act.beta", &[b.width(x)]));
    let x = b.op(Op::Snake {}, &[x, alpha, beta]);
    let down = Op::FilterDown { stride: 2, pad_left: 5, pad_right: 6 };
    b.op(down, &[x, filter("downsample.lowpass.filter")])
}

fn conv(b: &Builder, name: &str, x: Value, out: usize, taps: usize, dilation: usize) -> Value {
    conv::conv(b, name, x, out, &[taps], same(taps, dilation))
}

/// Zeros around, so that the length stays.
fn same(taps: usize, dilation: usize) -> Op {
    let pad = (taps - 1) * dilation / 2;
    Op::Conv { pads: vec![pad; 2], replicate: false, stride: 1, dilation }
}
