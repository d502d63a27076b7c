//! Group norms over whole clips, with the activation or sum that follows.

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::cuda::{Cuda, EXACT, Grid, Part, Source, never};
use crate::{Kernel, Meaning};

/// A block for every group.
fn groups(entry: &'static str) -> Cuda {
    let source =
        Source { name: "group_norm/group_norm.cu", text: include_str!("group_norm.cu"), includes: None };
    let launch = |meaning: &Meaning, _: &Part| {
        let groups = match meaning.ops[0].op {
            Op::GroupNorm { groups, .. } => groups,
            _ => 1,
        };
        let threads = 1024;
        Grid { blocks: groups, threads, shared: threads / 32 * 8 }
    };
    Cuda { source, entry, tolerance: EXACT, bakes: &[], multiplies: never, launch }
}

fn norm(m: &Builder, x: Value, w: Value, bias: Value) -> Value {
    m.op(Op::GroupNorm { groups: 4, eps: 1e-5 }, &[x, w, bias])
}

/// Group norms.
pub fn declare() -> Vec<Kernel> {
    vec![
        Kernel::named("group_norm", "statistics over all positions and the channels of a group")
            .reads("x", &["..", "channels"])
            .reads("w", &["channels"])
            .reads("bias", &["channels"])
            .case(&[&[2, 3, 4, 8], &[8], &[8]])
            .means("y", &["..", "channels"], |m, [x, w, bias]| norm(m, x, w, bias))
            .cuda(groups("group_norm"))
            .cuda_case("3 1e-5", &[&[9, 5, 60], &[60], &[60]]),
        Kernel::named("group_norm_silu", "group norm, SiLU")
            .reads("x", &["..", "channels"])
            .reads("w", &["channels"])
            .reads("bias", &["channels"])
            .case(&[&[2, 3, 4, 8], &[8], &[8]])
            .means("y", &["..", "channels"], |m, [x, w, bias]| m.silu(norm(m, x, w, bias)))
            .cuda(groups("group_norm_silu")),
        Kernel::named("group_norm_residual_silu", "SiLU of residual + group norm")
            .reads("x", &["..", "channels"])
            .reads("w", &["channels"])
            .reads("bias", &["channels"])
            .reads("residual", &["..", "channels"])
            .or_in_place()
            .case(&[&[2, 3, 4, 8], &[8], &[8], &[2, 3, 4, 8]])
            .means("y", &["..", "channels"], |m, [x, w, bias, residual]| {
                m.silu(m.add(residual, norm(m, x, w, bias)))
            })
            .cuda(groups("group_norm_residual_silu"))
            .cuda_case("2 1e-5 0 0", &[&[9, 50, 64], &[64], &[64], &[9, 50, 64]]),
    ]
}
