//! The latent upscalers: spatial ×2 and ×1.5, temporal ×2 (docs/model/upsampler.md 2, 3).

use super::config::{Enlarges, Upscaler};
use super::conv;
use super::sequence::sequence;
use super::sizes::{SPACE, Size, TIME};
use super::statistics::Statistics;
use crate::lang::{Builder, Op, Source, Value};

const NORM_GROUPS: usize = 32;
const NORM_EPS: f32 = 1e-5;

impl Enlarges {
    pub const ALL: [Enlarges; 3] = [Enlarges::SpaceX2, Enlarges::SpaceX1_5, Enlarges::TimeX2];

    /// As users say it.
    pub fn name(self) -> &'static str {
        match self {
            Enlarges::SpaceX2 => "spatial-x2",
            Enlarges::SpaceX1_5 => "spatial-x1.5",
            Enlarges::TimeX2 => "temporal-x2",
        }
    }

    /// How large something is that it is going to enlarge.
    pub fn smaller(self) -> &'static str {
        match self {
            Enlarges::SpaceX2 => "half size",
            Enlarges::SpaceX1_5 => "two thirds of the size",
            Enlarges::TimeX2 => "half the frames",
        }
    }

    /// The file of its weights.
    pub fn source(self) -> Source {
        match self {
            Enlarges::SpaceX2 => Source::SpatialUpscaler,
            Enlarges::SpaceX1_5 => Source::SpatialUpscalerX1_5,
            Enlarges::TimeX2 => Source::TemporalUpscaler,
        }
    }

    /// Latent frames, rows and columns of an enlarged latent.
    pub fn latent(self, [frames, rows, columns]: [usize; 3]) -> [usize; 3] {
        match self {
            Enlarges::SpaceX2 => [frames, 2 * rows, 2 * columns],
            Enlarges::SpaceX1_5 => [frames, (3 * rows).div_ceil(2), (3 * columns).div_ceil(2)],
            Enlarges::TimeX2 => [2 * frames - 1, rows, columns],
        }
    }

    /// The latent rows or columns of which it makes so many; `None` where none are.
    pub fn cells_before(self, cells: usize) -> Option<usize> {
        let before = match self {
            Enlarges::SpaceX2 => cells / 2,
            Enlarges::SpaceX1_5 => 2 * cells / 3,
            Enlarges::TimeX2 => cells,
        };
        let [_, after, _] = self.latent([1, before, 1]);
        (before > 0 && after == cells).then_some(before)
    }

    /// The latent frames of which it makes so many; `None` where none are. One frame alone has nothing between to be added.
    pub fn frames_before(self, frames: usize) -> Option<usize> {
        match self {
            Enlarges::SpaceX2 | Enlarges::SpaceX1_5 => Some(frames),
            Enlarges::TimeX2 => (frames >= 3 && frames % 2 == 1).then_some(frames.div_ceil(2)),
        }
    }

    /// The size of which this one is made; `None` where none is.
    pub fn before(self, size: Size) -> Option<Size> {
        let [frames, rows, columns] = size.latent();
        let stride = if self == Enlarges::TimeX2 { 2 * size.stride } else { size.stride };
        Some(Size {
            width: SPACE * self.cells_before(columns)?,
            height: SPACE * self.cells_before(rows)?,
            frames: TIME * (self.frames_before(frames)? - 1) + 1,
            fps: size.fps,
            stride,
        })
    }
}

/// A normalised latent `z` [T', H', W', channels], enlarged and normalised again.
pub fn upscale(b: &Builder, cfg: &Upscaler, z: Value) -> Value {
    let statistics = Statistics::of(b, "vae", cfg.channels);
    let x = statistics.denormalize(b, z);
    let x = b.component(cfg.enlarges.source(), "", || network(b, cfg, x));
    statistics.normalize(b, x)
}

fn network(b: &Builder, cfg: &Upscaler, x: Value) -> Value {
    let blocks = |name: &str, x: Value| sequence(b, name, cfg.blocks_per_stage, x, |x| res_block(b, x));
    let x = b.silu(norm(b, "initial_norm", conv(b, "initial_conv", x, cfg.mid_channels)));
    let x = blocks("res_blocks", x);
    let x = b.scope("upsampler", || match cfg.enlarges {
        Enlarges::SpaceX2 => pixel_shuffle(b, "0", x, 2),
        Enlarges::SpaceX1_5 => blur_down(b, pixel_shuffle(b, "conv", x, 3)),
        Enlarges::TimeX2 => frame_shuffle(b, x),
    });
    let x = blocks("post_upsample_res_blocks", x);
    conv(b, "final_conv", x, cfg.channels)
}

/// Norms follow the convolutions and the last SiLU follows the sum.
fn res_block(b: &Builder, x: Value) -> Value {
    let h = b.silu(norm(b, "norm1", conv(b, "conv1", x, b.width(x))));
    let h = norm(b, "norm2", conv(b, "conv2", h, b.width(x)));
    b.silu(b.add(x, h))
}

/// A 3×3 convolution of every frame to `side`² times the channels, which become the pixels of a square.
fn pixel_shuffle(b: &Builder, name: &str, x: Value, side: usize) -> Value {
    let x = conv::per_frame(b, name, x, side * side * b.width(x), 3, true);
    b.op(Op::DepthToSpace { st: 1, sh: side, sw: side, drop: 0 }, &[x])
}

/// Half of the rows and columns, blurred by the filter in the file.
fn blur_down(b: &Builder, x: Value) -> Value {
    const TAPS: usize = 5;
    let filter = b.scope("blur_down", || b.weight("kernel", &[1, 1, TAPS, TAPS]));
    b.op(Op::BlurDown { stride: 2 }, &[x, b.reshape(filter, &[TAPS, TAPS])])
}

/// A 3×3×3 convolution to twice the channels, which become two frames; of the first pair only the second.
fn frame_shuffle(b: &Builder, x: Value) -> Value {
    let x = conv(b, "0", x, 2 * b.width(x));
    b.op(Op::DepthToSpace { st: 2, sh: 1, sw: 1, drop: 1 }, &[x])
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
