//! The attention module of transformer and connectors (docs/model/transformer.md 7).

use super::config::Heads;
use super::rope::Rotary;
use crate::lang::{Builder, Dtype, Op, Value};

/// What an attention knows of its tokens beside their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'a> {
    /// Where queries are.
    pub q: Option<&'a Rotary>,
    /// Where keys are.
    pub k: Option<&'a Rotary>,
    /// What is added to the scores of all heads, f32 [tokens, keys], or [1, keys] where that is the same for all tokens, or
    /// [groups, keys].
    pub bias: Option<Value>,
    /// Which queries have each row of the bias, in order; empty where it has no groups.
    pub groups: &'a [Group],
}

/// Queries in a row that have a row of a bias in common.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub tokens: usize,
    /// What each of them has beside it.
    pub own: Option<OwnBias>,
}

/// A number of each query that is added to its scores of some keys: never a matrix of queries by keys.
#[derive(Clone, Copy, Debug)]
pub struct OwnBias {
    /// f32 [tokens, 1].
    pub number: Value,
    /// How much of it is added to the score of each key, f32 [keys, 1].
    pub share: Value,
}

/// Gated multi-head attention of `x` [tokens, d] to `context` [keys, d'], result [tokens, d]: q and k normalised
/// over all heads together and rotated where they have places; every head of every query scaled by
/// 2·sigmoid(`to_gate_logits`(x)).
pub fn gated(b: &Builder, heads: Heads, eps: f32, x: Value, context: Value, places: Places<'_>) -> Value {
    let v = b.linear("to_v", context, heads.width());
    let k = b.linear("to_k", context, heads.width());
    let q = b.linear("to_q", x, heads.width());
    let k = rotated(b, heads, norm(b, "k_norm", k, eps), places.k);
    let q = rotated(b, heads, norm(b, "q_norm", q, eps), places.q);
    let scale = 1.0 / (heads.head_dim as f32).sqrt();
    let attention = Op::Attention { heads: heads.heads, kv_heads: heads.heads, scale, causal: false };
    let attended =
        |q: Value, bias: Option<Value>| b.op(attention.clone(), &[&[q, k, v], bias.as_slice()].concat());
    let attended = match places.bias {
        // A row for each group of queries: never a matrix of tokens by tokens.
        Some(bias) if !places.groups.is_empty() => {
            let firsts = places.groups.iter().scan(0, |next, group| {
                *next += group.tokens;
                Some(*next - group.tokens)
            });
            let parts = firsts.zip(places.groups).enumerate().map(|(number, (first, group))| {
                let row = b.slice(bias, 0, number, 1);
                let row = group.own.map_or(row, |own| {
                    let row = b.reshape(row, &[b.width(bias)]);
                    b.op(Op::Linear {}, &[own.number, own.share, row])
                });
                attended(b.slice(q, 0, first, group.tokens), Some(row))
            });
            b.concat(&parts.collect::<Vec<_>>())
        }
        bias => attended(q, bias),
    };
    project(b, heads, x, attended)
}

/// Gated self-attention with every token's own value in place of what it would attend to, result [tokens, d]: neither q
/// nor k is needed (docs/model/transformer.md 7, perturbed self-attention).
pub fn perturbed(b: &Builder, heads: Heads, x: Value) -> Value {
    let v = b.linear("to_v", x, heads.width());
    project(b, heads, x, v)
}

/// The bias of scores for attention weights in 0..=1: ln(m), and for none the most negative number
/// (docs/model/transformer.md 8). Always f32, of which bf16 would make −∞. Weights are normal numbers or none.
pub fn bias_of(b: &Builder, weights: Value) -> Value {
    let weights = b.cast(weights, Dtype::F32);
    let logarithms = b.log(b.clamp(weights, f32::MIN_POSITIVE, 1.0));
    // 1 where the weight is none, and 0 from the smallest normal number on.
    let hidden = b.clamp(b.affine(weights, -1.0 / f32::MIN_POSITIVE, 1.0), 0.0, 1.0);
    b.add(logarithms, b.affine(hidden, f32::MIN, 0.0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::rope::{self, Axis};

    /// Kernels are matched on this order: norm then rotation, attention then gate.
    #[test]
    fn ops_that_fuse_follow_each_other() {
        let b = Builder::new("test", Dtype::Bf16);
        let heads = Heads { heads: 3, head_dim: 10 };
        let (x, context) = (b.input("x", Dtype::Bf16, &[5, 18]), b.input("context", Dtype::Bf16, &[7, 11]));
        let axis = Axis { mids: vec![0.5; 5], max_pos: 20.0 };
        let rope = rope::axial(&b, "rope", heads.width(), &[axis], 10_000.0, (0..5).collect());
        let out = gated(&b, heads, 1e-6, x, context, Places { q: Some(&rope), ..Places::default() });
        assert_eq!(b.shape(out), [5, 18]);
        let graph = b.finish().expect("recorded");
        let labels: Vec<_> = graph.statements().iter().map(|(_, stmt)| stmt.op.label()).collect();
        let tables = ["cos", "cast", "sin", "cast"];
        let inner = ["linear", "linear", "linear", "rms_norm", "rms_norm", "rope", "attention"];
        let outer = ["linear", "sigmoid", "affine", "head_scale", "linear"];
        assert_eq!(labels, [&tables[..], &inner, &outer].concat());
    }
}
