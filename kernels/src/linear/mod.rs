//! Products with a weight: `x [rows, k]` times `w [n, k]` transposed, with what follows folded into the epilogue.

mod encoded;

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::cuda::{Cuda, Grid, Hopper, MappedOperand, Part, ROUNDED, Source, two_factors};
use crate::{IntRange, Kernel};

const SOURCE: Source = Source { name: "linear/linear.cu", text: include_str!("linear.cu"), includes: None };
const HOPPER: Source =
    Source { name: "linear/hopper.cu", text: include_str!("hopper.cu"), includes: Some(&SOURCE) };

/// Tiles of the result.
fn tiles(entry: &'static str) -> Cuda {
    let launch = |_: &_, part: &Part| Grid::of_tiles(&part.reads[0], &part.reads[1], &part.write);
    Cuda { source: SOURCE, entry, tolerance: ROUNDED, bakes: &[], multiplies: two_factors, launch }
}

/// The same by warpgroups, for operands that tensor maps describe, and results that are written by fours.
fn warpgroup_tiles(entry: &'static str) -> Hopper {
    let launch = |_: &_, part: &Part| Grid::of_warpgroup_tiles(&part.write);
    Hopper {
        cuda: Cuda { source: HOPPER, entry, tolerance: ROUNDED, bakes: &[], multiplies: two_factors, launch },
        fits: |_, part| part.write.width().is_multiple_of(4),
        maps: |_, part| MappedOperand::of_warpgroup_tiles(&part.write),
        strides: true,
    }
}

fn linear(m: &Builder, x: Value, w: Value, bias: Value) -> Value {
    m.op(Op::Linear {}, &[x, w, bias])
}

/// The products of the model, and those of them that decode their weight.
pub fn declare() -> Vec<Kernel> {
    let plain = plain();
    let decoding = encoded::declare(&plain);
    [plain, decoding].concat()
}

fn plain() -> Vec<Kernel> {
    vec![
        Kernel::named("linear", "x·wᵀ")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .case(&[&[5, 32], &[48, 32]])
            .case(&[&[2, 3, 17], &[9, 17]])
            .means("y", &["..", "n"], |m, [x, w]| m.op(Op::Linear {}, &[x, w]))
            .cuda(tiles("linear"))
            .hopper(warpgroup_tiles("linear"))
            // More tiles than blocks run at a time.
            .cuda_case("", &[&[17100, 8], &[8, 8]])
            .cuda_case("", &[&[150, 72], &[200, 72]]),
        Kernel::named("linear_bias", "x·wᵀ + bias")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .case(&[&[7, 64], &[80, 64], &[80]])
            .case(&[&[1, 33], &[5, 33], &[5]])
            .means("y", &["..", "n"], |m, [x, w, bias]| linear(m, x, w, bias))
            .cuda(tiles("linear_bias"))
            .hopper(warpgroup_tiles("linear_bias"))
            .cuda_case("", &[&[150, 72], &[200, 72], &[200]])
            // More steps than stages.
            .cuda_case("", &[&[70, 520], &[136, 520], &[136]]),
        Kernel::named("linear_bias_gelu", "gelu(x·wᵀ + bias)")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .case(&[&[7, 64], &[80, 64], &[80]])
            .means("y", &["..", "n"], |m, [x, w, bias]| m.gelu(linear(m, x, w, bias)))
            .cuda(tiles("linear_bias_unary"))
            .hopper(warpgroup_tiles("linear_bias_unary"))
            .cuda_case("1", &[&[150, 72], &[200, 72], &[200]]),
        Kernel::named("linear_bias_silu", "silu(x·wᵀ + bias)")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .case(&[&[3, 64], &[80, 64], &[80]])
            .means("y", &["..", "n"], |m, [x, w, bias]| m.silu(linear(m, x, w, bias)))
            .cuda(tiles("linear_bias_unary"))
            .hopper(warpgroup_tiles("linear_bias_unary")),
        Kernel::named("silu_linear_bias", "silu(x)·wᵀ + bias")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .case(&[&[3, 64], &[80, 64], &[80]])
            .means("y", &["..", "n"], |m, [x, w, bias]| linear(m, m.silu(x), w, bias))
            .cuda(tiles("unary_linear_bias"))
            .cuda_case("0", &[&[150, 72], &[200, 72], &[200]]),
        Kernel::named("linear_bias_residual", "residual + x·wᵀ + bias")
            .reads("x", &["tokens", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .reads("residual", &["tokens", "n"])
            .or_in_place()
            .case(&[&[7, 64], &[80, 64], &[80], &[7, 80]])
            .means("y", &["tokens", "n"], |m, [x, w, bias, residual]| m.add(residual, linear(m, x, w, bias)))
            .cuda(tiles("linear_bias_residual"))
            .hopper(warpgroup_tiles("linear_bias_residual"))
            // Wide tiles.
            .cuda_case("0", &[&[130, 40], &[2056, 40], &[2056], &[130, 2056]])
            .cuda_case("0", &[&[150, 72], &[200, 72], &[200], &[150, 200]]),
        Kernel::named("linear_bias_residual_gelu", "gelu(partial + x·wᵀ + bias): the second of two products")
            .reads("x", &["tokens", "k"])
            .reads("w", &["n", "k"])
            .reads("bias", &["n"])
            .reads("partial", &["tokens", "n"])
            .or_in_place()
            .case(&[&[7, 64], &[80, 64], &[80], &[7, 80]])
            .means("y", &["tokens", "n"], |m, [x, w, bias, partial]| {
                m.gelu(m.add(partial, linear(m, x, w, bias)))
            })
            .cuda(tiles("linear_bias_residual_unary"))
            .hopper(warpgroup_tiles("linear_bias_residual_unary"))
            .cuda_case("0 1", &[&[150, 72], &[200, 72], &[200], &[150, 200]]),
        Kernel::named(
            "linear_bias_gate_residual",
            "residual + (x·wᵀ + bias)·gate, one gate row for all tokens",
        )
        .reads("x", &["tokens", "k"])
        .reads("w", &["n", "k"])
        .reads("bias", &["n"])
        .reads("gate", &["1", "n"])
        .reads("residual", &["tokens", "n"])
        .or_in_place()
        .case(&[&[7, 64], &[80, 64], &[80], &[1, 80], &[7, 80]])
        .means("y", &["tokens", "n"], |m, [x, w, bias, gate, residual]| {
            m.add(residual, m.mul(linear(m, x, w, bias), gate))
        })
        .cuda(tiles("linear_bias_gate_residual"))
        .hopper(warpgroup_tiles("linear_bias_gate_residual"))
        .cuda_case("2 0", &[&[150, 72], &[200, 72], &[200], &[1, 200], &[150, 200]]),
        Kernel::named(
            "linear_bias_class_gate_residual",
            "residual + (x·wᵀ + bias)·gate, the gate row of each token's class",
        )
        .reads("x", &["tokens", "k"])
        .reads("w", &["n", "k"])
        .reads("bias", &["n"])
        .reads("gate", &["classes", "n"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(3))
        .reads("residual", &["tokens", "n"])
        .or_in_place()
        .case(&[&[7, 64], &[80, 64], &[80], &[3, 80], &[7], &[7, 80]])
        .means("y", &["tokens", "n"], |m, [x, w, bias, gate, class, residual]| {
            m.add(residual, m.mul(linear(m, x, w, bias), m.gather(gate, class)))
        })
        .cuda(tiles("linear_bias_class_gate_residual"))
        .hopper(warpgroup_tiles("linear_bias_class_gate_residual"))
        .cuda_case("2 0", &[&[150, 72], &[200, 72], &[200], &[3, 200], &[150], &[150, 200]]),
        Kernel::named(
            "linear_bias_partial_gate_residual",
            "residual + (partial + x·wᵀ + bias)·gate, one gate row for all tokens",
        )
        .reads("x", &["tokens", "k"])
        .reads("w", &["n", "k"])
        .reads("bias", &["n"])
        .reads("partial", &["tokens", "n"])
        .reads("gate", &["1", "n"])
        .reads("residual", &["tokens", "n"])
        .or_in_place()
        .case(&[&[7, 64], &[80, 64], &[80], &[7, 80], &[1, 80], &[7, 80]])
        .means("y", &["tokens", "n"], |m, [x, w, bias, partial, gate, residual]| {
            m.add(residual, m.mul(m.add(partial, linear(m, x, w, bias)), gate))
        })
        .cuda(tiles("linear_bias_partial_gate_residual"))
        .hopper(warpgroup_tiles("linear_bias_partial_gate_residual"))
        .cuda_case("0 2 0", &[&[150, 72], &[200, 72], &[200], &[150, 200], &[1, 200], &[150, 200]]),
        Kernel::named(
            "linear_bias_partial_class_gate_residual",
            "residual + (partial + x·wᵀ + bias)·gate, the gate row of each token's class",
        )
        .reads("x", &["tokens", "k"])
        .reads("w", &["n", "k"])
        .reads("bias", &["n"])
        .reads("partial", &["tokens", "n"])
        .reads("gate", &["classes", "n"])
        .reads_ints("class", &["tokens"], IntRange::RowsOf(4))
        .reads("residual", &["tokens", "n"])
        .or_in_place()
        .case(&[&[7, 64], &[80, 64], &[80], &[7, 80], &[3, 80], &[7], &[7, 80]])
        .means("y", &["tokens", "n"], |m, [x, w, bias, partial, gate, class, residual]| {
            m.add(residual, m.mul(m.add(partial, linear(m, x, w, bias)), m.gather(gate, class)))
        })
        .cuda(tiles("linear_bias_partial_class_gate_residual"))
        .hopper(warpgroup_tiles("linear_bias_partial_class_gate_residual"))
        .cuda_case("0 2 0", &[&[150, 72], &[200, 72], &[200], &[150, 200], &[3, 200], &[150], &[150, 200]]),
        Kernel::named("linear_gelu", "gelu(x·wᵀ)")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .case(&[&[7, 64], &[80, 64]])
            .means("y", &["..", "n"], |m, [x, w]| m.gelu(m.op(Op::Linear {}, &[x, w])))
            .cuda(tiles("linear_unary"))
            .hopper(warpgroup_tiles("linear_unary")),
        Kernel::named("linear_times", "factor·(x·wᵀ): the second half of a gated unit")
            .reads("x", &["tokens", "k"])
            .reads("w", &["n", "k"])
            .reads("factor", &["tokens", "n"])
            .or_in_place()
            .case(&[&[7, 64], &[80, 64], &[7, 80]])
            .means("y", &["tokens", "n"], |m, [x, w, factor]| m.mul(factor, m.op(Op::Linear {}, &[x, w])))
            .cuda(tiles("linear_times"))
            .hopper(warpgroup_tiles("linear_times")),
        Kernel::named("linear_clamp_log", "log(clamp(x·wᵀ)): mel energies")
            .reads("x", &["..", "k"])
            .reads("w", &["n", "k"])
            .case(&[&[2, 5, 33], &[16, 33]])
            .means("y", &["..", "n"], |m, [x, w]| {
                m.log(m.clamp(m.op(Op::Linear {}, &[x, w]), 1e-5, f32::MAX))
            })
            .cuda(tiles("linear_clamp_log"))
            .hopper(warpgroup_tiles("linear_clamp_log")),
    ]
}
