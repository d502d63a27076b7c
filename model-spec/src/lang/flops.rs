//! What an op costs: floating-point operations (2 per multiply-add) and bytes of operands.

use super::{Info, Op};

/// Operations of the products and convolutions in `op`, counted as docs/model/sizes.md counts them: full taps also
/// at borders, no causal saving; everything else is free.
pub fn flops(op: &Op, inputs: &[&Info], output: &Info) -> u64 {
    let size = |info: &Info| info.elements() as u64;
    match op {
        Op::Linear {} => 2 * size(output) * inputs[0].shape.last().copied().unwrap_or(0) as u64,
        Op::Attention { .. } => 4 * size(output) * inputs[1].shape[0] as u64,
        Op::Conv { .. } => 2 * size(output) * inputs[1].shape[1..].iter().product::<usize>() as u64,
        Op::ConvTranspose { .. } => {
            2 * size(inputs[0]) * inputs[1].shape[1..].iter().product::<usize>() as u64
        }
        _ => 0,
    }
}

/// Bytes of all operands and the result, each once.
pub fn bytes(inputs: &[&Info], output: &Info) -> u64 {
    inputs.iter().map(|i| i.bytes() as u64).sum::<u64>() + output.bytes() as u64
}
