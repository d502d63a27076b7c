//! A small filter over height and width, per channel.

use zoetrope_model_spec::lang::Op;

use crate::Kernel;
use crate::cuda::{Cuda, Source};

const SOURCE: Source = Source { name: "blur/blur.cu", text: include_str!("blur.cu"), includes: None };

/// Fewer pixels, each a weighted mean.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("blur_down", "fewer rows and columns, by a depthwise convolution with zeros around")
            .reads("x", &["frames", "height", "width", "channels"])
            .reads("filter", &["taps", "across"])
            .case(&[&[2, 5, 6, 3], &[5, 5]])
            .means("y", &["frames", "rows", "columns", "channels"], |m, [x, filter]| {
                m.op(Op::BlurDown { stride: 2 }, &[x, filter])
            })
            .cuda(Cuda::of_units(SOURCE, "blur_down"))
            .cuda_case("2", &[&[2, 7, 9, 70], &[5, 5]])
            .cuda_case("3", &[&[1, 4, 3, 8], &[3, 3]]),
    ]
}
