//! Norms of rows, with the modulation or the sum that follows.

use zoetrope_model_spec::lang::Op;

use crate::cuda::{Cuda, EXACT, Grid, Part, Source, never};
use crate::{IntRange, Kernel, Meaning};

const SOURCE: Source =
    Source { name: "rms_norm/rms_norm.cu", text: include_str!("rms_norm.cu"), includes: None };

/// A team of threads for every slice of a row.
fn norm(entry: &'static str) -> Cuda {
    let launch = |meaning: &Meaning, part: &Part| {
        let slices = match meaning.ops[0].op {
            Op::RmsNorm { groups, .. } => groups,
            _ => 1,
        };
        Grid::of_slices(&part.reads[0], slices)
    };
    Cuda { source: SOURCE, entry, tolerance: EXACT, bakes: &[], multiplies: never, launch }
}

const WEIGHTED: Op = Op::RmsNorm { eps: 1e-6, offset: 0.0, groups: 1 };

/// RMS and layer norms.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("rms_norm", "each row over its root mean square")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 64]])
            .case(&[&[2, 3, 17]])
            .means("y", &["..", "dim"], |m, [x]| m.rms(x, 1e-6))
            .cuda(norm("rms_norm"))
            .cuda_case("1e-6 0.0 4", &[&[5, 64]])
            .cuda_case("1e-6 0.0 1", &[&[3, 1100]]),
        Kernel::named(
            "rms_norm_weight",
            "each slice of a row over its root mean square, times (weight + offset)",
        )
        .reads("x", &["tokens", "dim"])
        .or_in_place()
        .reads("weight", &["slice"])
        .case(&[&[5, 64], &[64]])
        .means("y", &["tokens", "dim"], |m, [x, weight]| m.op(WEIGHTED, &[x, weight]))
        .cuda(norm("rms_norm_weight"))
        .cuda_case("1e-6 1.0 4", &[&[5, 96], &[24]])
        .cuda_case("1e-6 1.0 1", &[&[3, 2048], &[2048]]),
        Kernel::named("rms_norm_weight_residual", "residual + weighted RMS norm")
            .reads("x", &["tokens", "dim"])
            .reads("weight", &["slice"])
            .reads("residual", &["tokens", "dim"])
            .or_in_place()
            .case(&[&[5, 64], &[64], &[5, 64]])
            .means("y", &["tokens", "dim"], |m, [x, weight, residual]| {
                m.add(residual, m.op(WEIGHTED, &[x, weight]))
            })
            .cuda(norm("rms_norm_weight_residual"))
            .cuda_case("1e-6 1.0 1 0", &[&[3, 1032], &[1032], &[3, 1032]]),
        Kernel::named(
            "rms_norm_modulate",
            "RMS norm, times (1 + scale) plus shift, the rows of each token's class",
        )
        .reads("x", &["tokens", "dim"])
        .reads("scale", &["classes", "dim"])
        .reads("shift", &["classes", "dim"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(1))
        .case(&[&[5, 64], &[2, 64], &[2, 64], &[5]])
        .means("y", &["tokens", "dim"], |m, [x, scale, shift, class]| {
            m.modulate(m.rms(x, 1e-6), m.gather(scale, class), m.gather(shift, class))
        })
        .cuda(norm("rms_norm_modulate")),
        Kernel::named(
            "layer_norm_modulate",
            "layer norm, times (1 + scale) plus shift, the rows of each token's class",
        )
        .reads("x", &["tokens", "dim"])
        .reads("scale", &["classes", "dim"])
        .reads("shift", &["classes", "dim"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(1))
        .case(&[&[5, 64], &[2, 64], &[2, 64], &[5]])
        .means("y", &["tokens", "dim"], |m, [x, scale, shift, class]| {
            let n = m.op(Op::LayerNorm { eps: 1e-6 }, &[x]);
            m.modulate(n, m.gather(scale, class), m.gather(shift, class))
        })
        .cuda(norm("layer_norm_modulate")),
        Kernel::named("layer_norm", "each row without its mean, over its standard deviation")
            .reads("x", &["..", "dim"])
            .case(&[&[5, 64]])
            .means("y", &["..", "dim"], |m, [x]| m.op(Op::LayerNorm { eps: 1e-6 }, &[x]))
            .cuda(norm("layer_norm"))
            .cuda_case("1e-6", &[&[3, 1100]]),
        Kernel::named("layer_norm_affine", "layer norm, times weight plus bias")
            .reads("x", &["..", "dim"])
            .reads("weight", &["dim"])
            .reads("bias", &["dim"])
            .case(&[&[5, 64], &[64], &[64]])
            .means("y", &["..", "dim"], |m, [x, weight, bias]| {
                m.add(m.mul(m.op(Op::LayerNorm { eps: 1e-6 }, &[x]), weight), bias)
            })
            .cuda(norm("layer_norm_affine"))
            .cuda_case("1e-6 2 0", &[&[3, 1152], &[1152], &[1152]]),
        Kernel::named("modulate", "x times (1 + scale) plus shift, one row for all")
            .reads("x", &["tokens", "dim"])
            .reads("scale", &["1", "dim"])
            .reads("shift", &["1", "dim"])
            .case(&[&[5, 64], &[1, 64], &[1, 64]])
            .means("y", &["tokens", "dim"], |m, [x, scale, shift]| m.modulate(x, scale, shift))
            .cuda(Cuda::of_units(SOURCE, "modulate")),
    ]
}
