//! The attention module of transformer and connectors (docs/model/transformer.md 7).

use super::config::Heads;
use super::rope::Rotary;
use crate::lang::{Builder, Op, Value};

/// Gated multi-head attention of `x` [tokens, d] to `context` [keys, d'], result [tokens, d]: q and k normalised
/// over all heads together and rotated where a table is given; every head of every query scaled by
/// 2·sigmoid(`to_gate_logits`(x)).
pub fn gated(
    b: &Builder,
    heads: Heads,
    eps: f32,
    x: Value,
    context: Value,
    q_rope: Option<&Rotary>,
    k_rope: Option<&Rotary>,
) -> Value {
    let v = b.linear("to_v", context, heads.width());
    let k = b.linear("to_k", context, heads.width());
    let q = b.linear("to_q", x, heads.width());
    let k = rotated(b, heads, norm(b, "k_norm", k, eps), k_rope);
    let q = rotated(b, heads, norm(b, "q_norm", q, eps), q_rope);
    let scale = 1.0 / (heads.head_dim as f32).sqrt();
    let attention = Op::Attention { heads: heads.heads, kv_heads: heads.heads, scale, causal: false };
    project(b, heads, x, b.op(attention, &[q, k, v]))
}

/// The module under spatio-temporal guidance, which puts the value of a token in the place of softmax(q·kᵀ)·v
/// (docs/model/transformer.md 7): no q and no k, gates and output projection as always.
pub fn gated_values(b: &Builder, heads: Heads, x: Value) -> Value {
    project(b, heads, x, b.linear("to_v", x, heads.width()))
}

/// Gates, made from the x that feeds `to_q`, and the output projection back to the width of x.
fn project(b: &Builder, heads: Heads, x: Value, attended: Value) -> Value {
    let gates = b.affine(b.sigmoid(b.linear("to_gate_logits", x, heads.heads)), 2.0, 0.0);
    let attended = b.op(Op::HeadScale { heads: heads.heads }, &[attended, gates]);
    b.linear("to_out.0", attended, b.width(x))
}

fn norm(b: &Builder, name: &str, x: Value, eps: f32) -> Value {
    let weight = b.scope(name, || b.weight("weight", &[b.width(x)]));
    b.op(Op::RmsNorm { eps, offset: 0.0, groups: 1 }, &[x, weight])
}

fn rotated(b: &Builder, heads: Heads, x: Value, rope: Option<&Rotary>) -> Value {
    rope.map_or(x, |rope| rope.rotate(b, heads.heads, x))
}
