//! Gemma 3's language model up to its hidden states (docs/model/text.md 2).

use super::config::Gemma;
use super::rope::Rotary;
use super::sequence::sequence;
use crate::lang::{Builder, Op, Source, Value};

/// All hidden states [layers + 1, tokens, hidden]: the scaled embedding, the output of every layer but the last,
/// and the last one's after the final norm. `input_ids` and `attention_mask` are i32 \[tokens\], padding in front.
pub fn text_encoder(b: &Builder, cfg: &Gemma, input_ids: Value, attention_mask: Value) -> Value {
    b.component(Source::TextEncoder, "language_model.model", || {
        let x = embedding(b, cfg, input_ids);
        let reaches = Reach::of_layers(b, cfg, b.dim(x, 0));
        let mut states = x;
        let x = sequence(b, "layers", cfg.layers, x, |x| {
            states = b.collect("hidden_states", x);
            let reach = Reach::of_iteration(b, &reaches);
            b.may_keep(|| layer(b, cfg, &reach, attention_mask, x))
        });
        let last = norm(b, cfg, "norm", x);
        b.concat(&[states, b.reshape(last, &[1, b.dim(x, 0), cfg.hidden])])
    })
}

/// Rows of the table times sqrt(hidden), which is rounded to the run's dtype first: 62 for 3840 in bf16.
fn embedding(b: &Builder, cfg: &Gemma, input_ids: Value) -> Value {
    let table = b.scope("embed_tokens", || b.weight("weight", &[cfg.vocab, cfg.hidden]));
    let scale = b.constant("embed_scale", &[1], vec![(cfg.hidden as f64).sqrt() as f32]);
    b.mul(b.gather(table, input_ids), b.round(scale))
}

fn layer(b: &Builder, cfg: &Gemma, reach: &Reach, valid: Value, x: Value) -> Value {
    let h = norm(b, cfg, "input_layernorm", x);
    let h = b.scope("self_attn", || attention(b, cfg, reach, valid, h));
    let x = b.add(x, norm(b, cfg, "post_attention_layernorm", h));
    let h = norm(b, cfg, "pre_feedforward_layernorm", x);
    let h = b.scope("mlp", || mlp(b, cfg, h));
    b.add(x, norm(b, cfg, "post_feedforward_layernorm", h))
}

/// Grouped-query attention, causal and within the layer's window, to tokens that are not padding.
fn attention(b: &Builder, cfg: &Gemma, reach: &Reach, valid: Value, x: Value) -> Value {
    let (heads, kv_heads) = (cfg.heads.heads, cfg.kv_heads);
    let q = b.linear_no_bias("q_proj", x, cfg.heads.width());
    let k = b.linear_no_bias("k_proj", x, kv_heads * cfg.heads.head_dim);
    let v = b.linear_no_bias("v_proj", x, kv_heads * cfg.heads.head_dim);
    let q = reach.rotate(b, heads, head_norm(b, cfg, "q_norm", heads, q));
    let k = reach.rotate(b, kv_heads, head_norm(b, cfg, "k_norm", kv_heads, k));
    let scale = (1.0 / cfg.query_pre_attn_scalar.sqrt()) as f32;
    let attention = Op::Attention { heads, kv_heads, scale, causal: true };
    let o = b.op(attention, &[q, k, v, valid, reach.window]);
    b.linear_no_bias("o_proj", o, cfg.hidden)
}

fn mlp(b: &Builder, cfg: &Gemma, x: Value) -> Value {
    let gate = b.gelu(b.linear_no_bias("gate_proj", x, cfg.intermediate));
    let up = b.linear_no_bias("up_proj", x, cfg.intermediate);
    b.linear_no_bias("down_proj", b.mul(gate, up), cfg.hidden)
}

fn norm(b: &Builder, cfg: &Gemma, name: &str, x: Value) -> Value {
    head_norm(b, cfg, name, 1, x)
}

/// RMS norm of every head by itself, times 1 + weight.
fn head_norm(b: &Builder, cfg: &Gemma, name: &str, heads: usize, x: Value) -> Value {
    let weight = b.scope(name, || b.weight("weight", &[b.width(x) / heads]));
    b.op(Op::RmsNorm { eps: cfg.norm_eps, offset: 1.0, groups: heads }, &[x, weight])
}

/// What tells a global layer from a sliding one: rotary tables [tokens, head_dim/2], one row a position, and the
/// attention window \[1\].
#[derive(Clone, Copy)]
struct Reach {
    rope: Rotary,
    window: Value,
}

impl Reach {
    /// Of every layer in order.
    fn of_layers(b: &Builder, cfg: &Gemma, tokens: usize) -> Vec<Reach> {
        let local = inverse_frequencies(cfg.heads.head_dim, cfg.rope_local_theta, 1.0);
        let sliding = Reach::new(b, "sliding", &local, tokens, cfg.sliding_window);
        let slow = inverse_frequencies(cfg.heads.head_dim, cfg.rope_theta, cfg.rope_factor);
        let global = Reach::new(b, "global", &slow, tokens, tokens);
        let is_global = |layer: usize| (layer + 1).is_multiple_of(cfg.sliding_window_pattern);
        (0..cfg.layers).map(|layer| if is_global(layer) { global } else { sliding }).collect()
    }

    /// Positions count from the first token, padding included.
    fn new(b: &Builder, name: &str, inv_freq: &[f32], tokens: usize, window: usize) -> Reach {
        let angles =
            (0..tokens).flat_map(|position| inv_freq.iter().map(move |f| position as f32 * f)).collect();
        b.scope(name, || {
            let angle = b.constant("angle", &[tokens, inv_freq.len()], angles);
            let index = b.index("position", &[tokens, 1], (0..tokens as i32).collect());
            let rope = Rotary { cos: b.round(b.cos(angle)), sin: b.round(b.sin(angle)), index };
            Reach { rope, window: b.index("window", &[1], vec![window as i32]) }
        })
    }

    /// Of the current iteration of the loop over `layers`.
    fn of_iteration(b: &Builder, layers: &[Reach]) -> Reach {
        let pick = |name: &str, field: fn(&Reach) -> Value| {
            b.per_iteration(name, &layers.iter().map(field).collect::<Vec<_>>())
        };
        let (cos, sin) = (pick("cos", |r| r.rope.cos), pick("sin", |r| r.rope.sin));
        Reach { rope: Rotary { cos, sin, index: layers[0].rope.index }, window: pick("window", |r| r.window) }
    }

    /// `x` [tokens, heads·head_dim] rotated, all heads alike.
    fn rotate(&self, b: &Builder, heads: usize, x: Value) -> Value {
        b.op(Op::Rope { heads, shared: true }, &[x, self.rope.cos, self.rope.sin, self.rope.index])
    }
}

/// 1/theta^(2j/d) for j = 0..d/2, divided by `factor`. Exponent, power and both quotients are f32 numbers, as in
/// the reference.
fn inverse_frequencies(head_dim: usize, theta: f64, factor: f64) -> Vec<f32> {
    let exponent = |j: usize| (2 * j) as f32 / head_dim as f32;
    let power = |j: usize| libm::pow(theta, f64::from(exponent(j))) as f32;
    (0..head_dim / 2).map(|j| 1.0 / power(j) / factor as f32).collect()
}
