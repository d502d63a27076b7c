//! What becomes of decoded frames on the way out of the card.

use zoetrope_model_spec::lang::{Dtype, Op};

use crate::cuda::{Cuda, Grid, Part, Source};
use crate::{Kernel, Meaning};

const SOURCE: Source = Source { name: "frames/frames.cu", text: include_str!("frames.cu"), includes: None };

/// A thread for every 2×2 pixels.
fn grid(_: &Meaning, part: &Part) -> Grid {
    let squares = part.reads[0].rows() / 4;
    Grid { blocks: squares.div_ceil(256), threads: 256, shared: 0 }
}

/// Frames as encoders take them.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("rgb_to_yuv420", "x·scale + offset, limited, as planes of 8-bit 4:2:0, truncated")
            .reads("x", &["frames", "height", "width", "3"])
            .case(&[&[2, 4, 6, 3]])
            .means("y", &["frames", "lines", "width"], |m, [x]| {
                let rgb = m.clamp(m.affine(x, 0.5, 0.5), 0.0, 1.0);
                let planes = m.clamp(m.op(Op::Yuv420 {}, &[rgb]), 0.0, 255.0);
                m.op(Op::Cast { to: Dtype::U8 }, &[planes])
            })
            .cuda(Cuda { launch: grid, ..Cuda::of_units(SOURCE, "rgb_to_yuv420") })
            .cuda_case("0.5 0.5 0.0 1.0 0.0 255.0 3", &[&[3, 12, 70, 3]]),
    ]
}
