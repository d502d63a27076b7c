//! Group norms over whole clips, with the activation or sum that follows.

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::Kernel;

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
            .means("y", &["..", "channels"], |m, [x, w, bias]| norm(m, x, w, bias)),
        Kernel::named("group_norm_silu", "group norm, SiLU")
            .reads("x", &["..", "channels"])
            .reads("w", &["channels"])
            .reads("bias", &["channels"])
            .case(&[&[2, 3, 4, 8], &[8], &[8]])
            .means("y", &["..", "channels"], |m, [x, w, bias]| m.silu(norm(m, x, w, bias))),
        Kernel::named("group_norm_residual_silu", "SiLU of residual + group norm")
            .reads("x", &["..", "channels"])
            .reads("w", &["channels"])
            .reads("bias", &["channels"])
            .reads("residual", &["..", "channels"])
            .or_in_place()
            .case(&[&[2, 3, 4, 8], &[8], &[8], &[2, 3, 4, 8]])
            .means("y", &["..", "channels"], |m, [x, w, bias, residual]| {
                m.silu(m.add(residual, norm(m, x, w, bias)))
            }),
    ]
}
