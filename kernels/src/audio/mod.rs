//! Filters along time, per channel.

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::Kernel;
use crate::cuda::{Cuda, EXACT, Grid, Source, never};

/// A thread for every element of the result.
fn samples(entry: &'static str) -> Cuda {
    Cuda {
        source: Source { name: "audio/audio.cu", text: include_str!("audio.cu"), includes: None },
        entry,
        tolerance: EXACT,
        bakes: &[],
        multiplies: never,
        launch: |_, part| {
            let elements = part.write.rows() * part.write.width();
            Grid { blocks: elements.div_ceil(256), threads: 256, shared: 0 }
        },
    }
}

fn up(m: &Builder, x: Value, filter: Value) -> Value {
    m.op(Op::FilterUp { ratio: 2, pad: 5, crop_left: 15, crop_right: 15 }, &[x, filter])
}

fn down(m: &Builder, x: Value, filter: Value) -> Value {
    m.op(Op::FilterDown { stride: 2, pad_left: 5, pad_right: 6 }, &[x, filter])
}

/// Resampling filters and the anti-aliased activation.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("filter_up", "more samples, by a depthwise transposed convolution")
            .reads("x", &["samples", "channels"])
            .reads("filter", &["taps"])
            .case(&[&[11, 3], &[12]])
            .means("y", &["length", "channels"], |m, [x, filter]| up(m, x, filter))
            .cuda(samples("filter_up"))
            .cuda_case("3 7 42 40", &[&[30, 2], &[43]]),
        Kernel::named("filter_down", "fewer samples, by a depthwise convolution")
            .reads("x", &["samples", "channels"])
            .reads("filter", &["taps"])
            .case(&[&[22, 3], &[12]])
            .means("y", &["length", "channels"], |m, [x, filter]| down(m, x, filter))
            .cuda(samples("filter_down")),
        Kernel::named("snake", "x + sin²(x·e^alpha)/e^beta")
            .reads("x", &["samples", "channels"])
            .reads("alpha", &["channels"])
            .reads("beta", &["channels"])
            .case(&[&[11, 3], &[3], &[3]])
            .means("y", &["samples", "channels"], |m, [x, a, b]| m.op(Op::Snake {}, &[x, a, b]))
            .cuda(samples("snake")),
        Kernel::named("filtered_snake", "snake at twice the rate: filter up, snake, filter down")
            .reads("x", &["samples", "channels"])
            .reads("up", &["taps"])
            .reads("alpha", &["channels"])
            .reads("beta", &["channels"])
            .reads("down", &["taps"])
            .case(&[&[11, 3], &[12], &[3], &[3], &[12]])
            .means("y", &["samples", "channels"], |m, [x, u, a, b, d]| {
                down(m, m.op(Op::Snake {}, &[up(m, x, u), a, b]), d)
            })
            .cuda(samples("filtered_snake"))
            .cuda_case("2 5 15 15 2 5 6", &[&[300, 16], &[12], &[16], &[16], &[12]]),
    ]
}
