//! Gemma 3's language model: its hidden states, and what it writes (docs/model/text.md 2, 5).

use super::config::Gemma;
use super::rope::Rotary;
use super::sequence::sequence;
use crate::lang::{Builder, Op, Source, Value};

/// All hidden states [layers + 1, tokens, hidden]: the scaled embedding, the output of every layer but the last,
/// and the last one's after the final norm. `input_ids` and `attention_mask` are i32 \[tokens\], padding in front.
pub fn text_encoder(b: &Builder, cfg: &Gemma, input_ids: Value, attention_mask: Value) -> Value {
    b.component(Source::TextEncoder, PREFIX, || {
        let x = embedding(b, cfg, table(b, cfg), input_ids);
        let reaches = Reach::of_layers(b, cfg, b.dim(x, 0));
        let mut states = x;
        let x = sequence(b, "layers", cfg.layers, x, |x| {
            states = b.collect("hidden_states", x);
            let reach = Reach::of_iteration(b, &reaches);
            layer(b, cfg, &reach, x, |[q, k, v]| attention(b, cfg, &[q, k, v, attention_mask, reach.window]))
        });
        let last = norm(b, cfg, "norm", x);
        b.concat(&[states, b.reshape(last, &[1, b.dim(x, 0), cfg.hidden])])
    })
}

/// What tokens are attended to by, of all layers, in rows of their places: keys and values, [layers, rows, kv_width]
/// each.
#[derive(Clone, Copy)]
pub struct Cache {
    pub keys: Value,
    pub values: Value,
}

impl Cache {
    /// The width of its rows.
    pub fn width(cfg: &Gemma) -> usize {
        cfg.kv_heads * cfg.heads.head_dim
    }
}

/// An image among the tokens of a text.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// What stands for it, [tokens, hidden].
    pub image: Value,
    /// The row of every token, i32 \[rows\]: of the ids' own, and behind those of the image's.
    pub rows: Value,
    /// The last token that each one sees, i32 \[rows\]: itself, or in the image its last. It never falls.
    pub until: Value,
}

/// The cache of a text with a row for each of its ids. `input_ids` and `attention_mask` are i32 \[rows\], padding
/// behind: the rows of padding mean nothing.
pub fn read(
    b: &Builder,
    cfg: &Gemma,
    input_ids: Value,
    attention_mask: Value,
    shown: Option<Shown>,
) -> Cache {
    b.component(Source::TextEncoder, PREFIX, || {
        let ids = embedding(b, cfg, table(b, cfg), input_ids);
        // The embedding scale is that of ids alone.
        let x = shown.map_or(ids, |shown| b.gather(b.concat(&[ids, shown.image]), shown.rows));
        let reaches = Reach::of_layers(b, cfg, b.dim(x, 0));
        let mut cache = Cache { keys: x, values: x };
        sequence(b, "layers", cfg.layers, x, |x| {
            let reach = Reach::of_iteration(b, &reaches);
            layer(b, cfg, &reach, x, |[q, k, v]| {
                cache = Cache { keys: b.collect("keys", k), values: b.collect("values", v) };
                let until = shown.map(|shown| shown.until);
                let inputs = [q, k, v, attention_mask, reach.window].into_iter().chain(until);
                attention(b, cfg, &inputs.collect::<Vec<_>>())
            })
        });
        cache
    })
}

/// What a token at a place leaves and makes of the cache of those before it: the cache with its row, and the logits of the
/// token that follows, [1, vocab]. `token` and `place` are i32 \[1\]. Rows from `place` on mean nothing.
pub fn write(b: &Builder, cfg: &Gemma, cache: Cache, token: Value, place: Value) -> (Cache, Value) {
    b.component(Source::TextEncoder, PREFIX, || {
        let (rows, table) = (b.dim(cache.keys, 1), table(b, cfg));
        let x = embedding(b, cfg, table, token);
        let index = b.reshape(place, &[1, 1]);
        let reaches = Reach::of_layers(b, cfg, rows).into_iter();
        let reaches: Vec<Reach> = reaches.map(|reach| reach.at(index)).collect();
        let seen = b.index("valid", &[rows], vec![1; rows]);
        let entries: Vec<Value> = (0..cfg.layers).map(|i| b.index("layer", &[1], vec![i as i32])).collect();
        let state = b.repeat("layers", 0..cfg.layers, &[x, cache.keys, cache.values], |state| {
            let (reach, entry) = (Reach::of_iteration(b, &reaches), b.per_iteration("layer", &entries));
            let (mut keys, mut values) = (state[1], state[2]);
            let put = |stack: Value, row: Value| b.op(Op::PutRow {}, &[stack, row, entry, place]);
            let x = b.scope("layers.*", || {
                layer(b, cfg, &reach, state[0], |[q, k, v]| {
                    (keys, values) = (put(keys, k), put(values, v));
                    let [k, v] = [keys, values].map(|stack| b.iteration(stack));
                    attention(b, cfg, &[q, k, v, seen, reach.window, place])
                })
            });
            vec![x, keys, values]
        });
        let last = norm(b, cfg, "norm", state[0]);
        let logits = b.scope("embed_tokens", || b.op(Op::Linear {}, &[last, table]));
        (Cache { keys: state[1], values: state[2] }, logits)
    })
}

/// What the names of its weights begin with.
const PREFIX: &str = "language_model.model";

/// A row for every token: what it is on the way in, and what it is told by on the way out.
fn table(b: &Builder, cfg: &Gemma) -> Value {
    b.scope("embed_tokens", || b.weight("weight", &[cfg.vocab, cfg.hidden]))
}

/// Rows of the table times sqrt(hidden), which is rounded to the run's dtype first: 62 for 3840 in bf16.
fn embedding(b: &Builder, cfg: &Gemma, table: Value, input_ids: Value) -> Value {
    let scale = b.constant("embed_scale", &[1], vec![(cfg.hidden as f64).sqrt() as f32]);
    b.mul(b.gather(table, input_ids), b.round(scale))
}

/// `attend` gets queries, keys and values, rotated.
fn layer(
    b: &Builder,
    cfg: &Gemma,
    reach: &Reach,
    x: Value,
    attend: impl FnOnce([Value; 3]) -> Value,
) -> Value {
    b.may_keep(|| {
        let h = norm(b, cfg, "input_layernorm", x);
        let h = b.scope("self_attn", || self_attention(b, cfg, reach, h, attend));
        let x = b.add(x, norm(b, cfg, "post_attention_layernorm", h));
        let h = norm(b, cfg, "pre_feedforward_layernorm", x);
        let h = b.scope("mlp", || mlp(b, cfg, h));
        b.add(x, norm(b, cfg, "post_feedforward_layernorm", h))
    })
}

/// The projections around attention.
fn self_attention(
    b: &Builder,
    cfg: &Gemma,
    reach: &Reach,
    x: Value,
    attend: impl FnOnce([Value; 3]) -> Value,
) -> Value {
    let (heads, kv_heads) = (cfg.heads.heads, cfg.kv_heads);
    let q = b.linear_no_bias("q_proj", x, cfg.heads.width());
    let k = b.linear_no_bias("k_proj", x, kv_heads * cfg.heads.head_dim);
    let v = b.linear_no_bias("v_proj", x, kv_heads * cfg.heads.head_dim);
    let q = reach.rotate(b, heads, head_norm(b, cfg, "q_norm", heads, q));
    let k = reach.rotate(b, kv_heads, head_norm(b, cfg, "k_norm", kv_heads, k));
    let o = attend([q, k, v]);
    b.linear_no_bias("o_proj", o, cfg.hidden)
}

/// Grouped-query attention, causal and within the layer's window, to tokens that are not padding. `inputs` are those of
/// [`Op::Attention`].
fn attention(b: &Builder, cfg: &Gemma, inputs: &[Value]) -> Value {
    let scale = (1.0 / cfg.query_pre_attn_scalar.sqrt()) as f32;
    let (heads, kv_heads) = (cfg.heads.heads, cfg.kv_heads);
    b.op(Op::Attention { heads, kv_heads, scale, causal: true }, inputs)
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

    /// Of tokens at these places, i32 [tokens, 1].
    fn at(self, index: Value) -> Reach {
        Reach { rope: Rotary { index, ..self.rope }, ..self }
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
