//! Norms of rows, with the modulation or the sum that follows.

use zoetrope_model_spec::lang::Op;

use crate::{IntRange, Kernel};

const WEIGHTED: Op = Op::RmsNorm { eps: 1e-6, offset: 0.0, groups: 1 };

/// RMS and layer norms.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("rms_norm", "each row over its root mean square")
            .reads("x", &["..", "dim"])
            .or_in_place()
            .case(&[&[5, 64]])
            .case(&[&[2, 3, 17]])
            .means("y", &["..", "dim"], |m, [x]| m.rms(x, 1e-6)),
        Kernel::named(
            "rms_norm_weight",
            "each slice of a row over its root mean square, times (weight + offset)",
        )
        .reads("x", &["tokens", "dim"])
        .or_in_place()
        .reads("weight", &["slice"])
        .case(&[&[5, 64], &[64]])
        .means("y", &["tokens", "dim"], |m, [x, weight]| m.op(WEIGHTED, &[x, weight])),
        Kernel::named("rms_norm_weight_residual", "residual + weighted RMS norm")
            .reads("x", &["tokens", "dim"])
            .reads("weight", &["slice"])
            .reads("residual", &["tokens", "dim"])
            .or_in_place()
            .case(&[&[5, 64], &[64], &[5, 64]])
            .means("y", &["tokens", "dim"], |m, [x, weight, residual]| {
                m.add(residual, m.op(WEIGHTED, &[x, weight]))
            }),
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
        }),
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
        }),
        Kernel::named("layer_norm", "each row without its mean, over its standard deviation")
            .reads("x", &["..", "dim"])
            .case(&[&[5, 64]])
            .means("y", &["..", "dim"], |m, [x]| m.op(Op::LayerNorm { eps: 1e-6 }, &[x])),
        Kernel::named("modulate", "x times (1 + scale) plus shift, one row for all")
            .reads("x", &["tokens", "dim"])
            .reads("scale", &["1", "dim"])
            .reads("shift", &["1", "dim"])
            .case(&[&[5, 64], &[1, 64], &[1, 64]])
            .means("y", &["tokens", "dim"], |m, [x, scale, shift]| m.modulate(x, scale, shift)),
    ]
}
