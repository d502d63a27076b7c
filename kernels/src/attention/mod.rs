//! Attention without a score matrix, with what surrounds it in a block.

use zoetrope_model_spec::lang::{Builder, Op, Value};

use crate::cuda::{Cuda, EXACT, Grid, Hopper, MappedOperand, Part, ROUNDED, Source, UNIT, never};
use crate::{IntRange, Kernel, Meaning, MeaningOp};

mod cases;
mod causal;

use cases::{of_hidden, of_hidden_keys, of_widths};

const ROTARY: Source =
    Source { name: "attention/rotary.cu", text: include_str!("rotary.cu"), includes: None };

const SEEN: Source = Source { name: "attention/seen.cu", text: include_str!("seen.cu"), includes: None };
const ATTENTION: Source =
    Source { name: "attention/attention.cu", text: include_str!("attention.cu"), includes: Some(&SEEN) };
const HOPPER: Source =
    Source { name: "attention/hopper.cu", text: include_str!("hopper.cu"), includes: Some(&ATTENTION) };

/// Blocks of queries of every head on tensor cores, or a warp for a query of a head.
fn attend(entry: &'static str) -> Cuda {
    Cuda {
        source: ATTENTION,
        entry,
        tolerance: ROUNDED,
        bakes: &[],
        multiplies: on_tensor_cores,
        launch: attention_grid,
    }
}

/// The same by warpgroups, for heads of 64 and 128.
fn warpgroups_attend(entry: &'static str) -> Hopper {
    Hopper {
        cuda: Cuda {
            source: HOPPER,
            entry,
            tolerance: ROUNDED,
            bakes: &[],
            multiplies: |_, part| part.starts_with_bf16(3),
            launch: warpgroup_grid,
        },
        fits: |meaning, part| matches!(head_width(meaning, part), 64 | 128),
        maps: |meaning, _| {
            let rows = [128, warpgroup_keys(meaning), warpgroup_keys(meaning)];
            let maps = rows.into_iter().enumerate();
            maps.map(|(operand, rows)| MappedOperand { operand, tile: [rows, 64] }).collect()
        },
        strides: false,
    }
}

fn heads(meaning: &Meaning) -> usize {
    let heads = meaning.ops.iter().find_map(|op| match op.op {
        Op::Attention { heads, .. } => Some(heads),
        _ => None,
    });
    heads.unwrap_or(1)
}

fn head_width(meaning: &Meaning, part: &Part) -> usize {
    part.reads[0].width() / heads(meaning)
}

/// `TensorAttention::takes`: heads of whole eights, of which a block's sums stay in registers.
fn on_tensor_cores(meaning: &Meaning, part: &Part) -> bool {
    let head = head_width(meaning, part);
    part.starts_with_bf16(3) && head.is_multiple_of(8) && head <= 256
}

/// The numbers of `TensorAttention` and `PlainAttention`.
fn attention_grid(meaning: &Meaning, part: &Part) -> Grid {
    let (heads, head, q) = (heads(meaning), head_width(meaning, part), &part.reads[0]);
    if on_tensor_cores(meaning, part) {
        let (threads, keys) = match head {
            ..=64 => (256, 64),
            65..=128 => (256, 48),
            _ => (128, 32),
        };
        let (queries, pitch) = (threads / 2, head.next_multiple_of(16) + 8);
        let blocks = q.rows().div_ceil(queries) * heads;
        return Grid { blocks, threads, shared: (queries + 4 * keys) * pitch * 2 };
    }
    Grid { blocks: (q.rows() * heads).div_ceil(4), threads: 128, shared: 4 * head * 4 }
}

/// Keys of a tile of `WarpgroupAttention`: fewer with a bias.
fn warpgroup_keys(meaning: &Meaning) -> usize {
    let biased = |op: &MeaningOp| matches!(op.op, Op::Attention { .. }) && op.inputs.len() == 4;
    if meaning.ops.iter().any(biased) { 64 } else { 128 }
}

/// The numbers of `WarpgroupAttention`.
fn warpgroup_grid(meaning: &Meaning, part: &Part) -> Grid {
    let blocks = part.reads[0].rows().div_ceil(128) * heads(meaning);
    let barriers = 64 * (256 / warpgroup_keys(meaning));
    Grid { blocks, threads: 3 * 128, shared: 5 * 128 * head_width(meaning, part) * 2 + barriers }
}

/// A thread for every few pairs of every head.
fn rope_grid(meaning: &Meaning, part: &Part) -> Grid {
    let heads = meaning.ops.iter().find_map(|op| match op.op {
        Op::Rope { heads, .. } => Some(heads),
        _ => None,
    });
    let (heads, x) = (heads.unwrap_or(1), &part.reads[0]);
    let units = x.rows() * heads * (x.width() / (2 * heads)).div_ceil(UNIT);
    Grid { blocks: units.div_ceil(256), threads: 256, shared: 0 }
}

/// A team of threads for every slice of the norm.
fn norm_grid(meaning: &Meaning, part: &Part) -> Grid {
    let slices = match meaning.ops[0].op {
        Op::RmsNorm { groups, .. } => groups,
        _ => 1,
    };
    Grid::of_slices(&part.reads[0], slices)
}

/// To q, k and v, and a bias where there is one.
fn attention(m: &Builder, heads: usize, inputs: &[Value]) -> Value {
    m.op(Op::Attention { heads, kv_heads: heads, scale: 0.125, causal: false }, inputs)
}

/// Attention, with every head scaled by its gate.
fn gated(m: &Builder, heads: usize, inputs: &[Value], logits: Value) -> Value {
    let gates = m.affine(m.sigmoid(logits), 2.0, 0.0);
    m.op(Op::HeadScale { heads }, &[attention(m, heads, inputs), gates])
}

/// A bias of few numbers for every query and every key: never a matrix of queries by keys in memory.
fn low_rank(m: &Builder, own: Value, share: Value, bias: Value) -> Value {
    m.op(Op::Linear {}, &[own, share, bias])
}

/// Attention, its gates, and rotary positions.
pub fn declare() -> Vec<Kernel> {
    let mut kernels = vec![
        of_widths(
            Kernel::named("attention", "softmax(scale·q·kᵀ)·v per head")
                .reads("q", &["queries", "width"])
                .or_in_place()
                .reads("k", &["keys", "inner"])
                .reads("v", &["keys", "inner"])
                .case(&[&[9, 64], &[21, 64], &[21, 64]])
                .means("y", &["queries", "width"], |m, [q, k, v]| attention(m, 2, &[q, k, v]))
                .cuda(attend("attention"))
                .hopper(warpgroups_attend("attention")),
            |kernel, head, (queries, keys)| {
                kernel.cuda_case("1 1 0.1 0", &[&[queries, head], &[keys, head], &[keys, head]])
            },
        )
        // Half of a last sixteen.
        .cuda_case("2 2 0.11785113 0", &[&[130, 144], &[100, 144], &[100, 144]])
        .cuda_case("2 2 0.125 0", &[&[70, 128], &[130, 128], &[130, 128]]),
        of_widths(
            Kernel::named(
                "attention_gate",
                "attention, each head of each query scaled by factor·sigmoid(logit)",
            )
            .reads("q", &["queries", "width"])
            .or_in_place()
            .reads("k", &["keys", "inner"])
            .reads("v", &["keys", "inner"])
            .reads("logits", &["queries", "heads"])
            .case(&[&[9, 64], &[21, 64], &[21, 64], &[9, 2]])
            .means("y", &["queries", "width"], |m, [q, k, v, logits]| gated(m, 2, &[q, k, v], logits))
            .cuda(attend("attention_gate"))
            .hopper(warpgroups_attend("attention_gate")),
            |kernel, head, (keys, queries)| {
                let shapes: [&[usize]; 4] = [&[queries, head], &[keys, head], &[keys, head], &[queries, 1]];
                kernel.cuda_case("2 2.0 0.0 1 1 0.1 0 1", &shapes)
            },
        )
        .cuda_case("2 2.0 0.0 1 1 0.088388346 0 1", &[&[70, 128], &[67, 128], &[67, 128], &[70, 1]])
        .cuda_case("2 2.0 0.0 2 2 0.088388346 0 2", &[&[150, 256], &[400, 256], &[400, 256], &[150, 2]]),
        of_hidden(of_widths(
            Kernel::named("attention_bias", "softmax(scale·q·kᵀ + bias)·v per head")
                .reads("q", &["queries", "width"])
                .or_in_place()
                .reads("k", &["keys", "inner"])
                .reads("v", &["keys", "inner"])
                .reads("bias", &["queries", "keys"])
                .case(&[&[9, 64], &[21, 64], &[21, 64], &[9, 21]])
                .means("y", &["queries", "width"], |m, inputs: [Value; 4]| attention(m, 2, &inputs))
                .cuda(attend("attention_bias"))
                .hopper(warpgroups_attend("attention_bias")),
            |kernel, head, (queries, keys)| {
                let shapes: [&[usize]; 4] =
                    [&[queries, head], &[keys, head], &[keys, head], &[queries, keys]];
                kernel.cuda_case("1 1 0.1 0", &shapes)
            },
        )),
        Kernel::named(
            "attention_bias_gate",
            "attention with a bias, each head of each query scaled by factor·sigmoid(logit)",
        )
        .reads("q", &["queries", "width"])
        .or_in_place()
        .reads("k", &["keys", "inner"])
        .reads("v", &["keys", "inner"])
        .reads("bias", &["queries", "keys"])
        .reads("logits", &["queries", "heads"])
        .case(&[&[9, 64], &[21, 64], &[21, 64], &[9, 21], &[9, 2]])
        .means("y", &["queries", "width"], |m, [q, k, v, bias, logits]| gated(m, 2, &[q, k, v, bias], logits))
        .cuda(attend("attention_bias_gate"))
        .hopper(warpgroups_attend("attention_bias_gate"))
        .cuda_case(
            "2 2.0 0.0 2 2 0.088388346 0 2",
            &[&[90, 256], &[210, 256], &[210, 256], &[90, 210], &[90, 2]],
        )
        .hides("bias", 20, 100),
        of_hidden_keys(of_widths(
            Kernel::named("attention_key_bias", "softmax(scale·q·kᵀ + bias)·v per head, one bias for all queries")
                .reads("q", &["queries", "width"])
                .or_in_place()
                .reads("k", &["keys", "inner"])
                .reads("v", &["keys", "inner"])
                .reads("bias", &["1", "keys"])
                .case(&[&[9, 64], &[21, 64], &[21, 64], &[1, 21]])
                .means("y", &["queries", "width"], |m, inputs: [Value; 4]| attention(m, 2, &inputs))
                .cuda(attend("attention_key_bias"))
                .hopper(warpgroups_attend("attention_key_bias")),
            |kernel, head, (queries, keys)| {
                let shapes: [&[usize]; 4] = [&[queries, head], &[keys, head], &[keys, head], &[1, keys]];
                kernel.cuda_case("1 1 0.1 0", &shapes)
            },
        )),
        Kernel::named(
            "attention_key_bias_gate",
            "attention with one bias for all queries, each head of each query scaled by factor·sigmoid(logit)",
        )
        .reads("q", &["queries", "width"])
        .or_in_place()
        .reads("k", &["keys", "inner"])
        .reads("v", &["keys", "inner"])
        .reads("bias", &["1", "keys"])
        .reads("logits", &["queries", "heads"])
        .case(&[&[9, 64], &[21, 64], &[21, 64], &[1, 21], &[9, 2]])
        .means("y", &["queries", "width"], |m, [q, k, v, bias, logits]| gated(m, 2, &[q, k, v, bias], logits))
        .cuda(attend("attention_key_bias_gate"))
        .hopper(warpgroups_attend("attention_key_bias_gate"))
        .cuda_case(
            "2 2.0 0.0 2 2 0.088388346 0 2",
            &[&[90, 256], &[210, 256], &[210, 256], &[1, 210], &[90, 2]],
        )
        .hides("bias", 1, 100),
        of_widths(
            Kernel::named(
                "attention_low_rank_bias",
                "softmax(scale·q·kᵀ + own·shareᵀ + bias)·v per head, a number of its own for every query",
            )
            .reads("q", &["queries", "width"])
            .or_in_place()
            .reads("k", &["keys", "inner"])
            .reads("v", &["keys", "inner"])
            .reads("own", &["queries", "rank"])
            .reads("share", &["keys", "rank"])
            .reads("bias", &["keys"])
            .case(&[&[9, 64], &[21, 64], &[21, 64], &[9, 1], &[21, 1], &[21]])
            .means("y", &["queries", "width"], |m, [q, k, v, own, share, bias]| {
                attention(m, 2, &[q, k, v, low_rank(m, own, share, bias)])
            })
            .cuda(attend("attention_low_rank_bias"))
            .hopper(warpgroups_attend("attention_low_rank_bias")),
            |kernel, head, (queries, keys)| {
                let rank = 1 + head % 3;
                let own: [&[usize]; 3] = [&[queries, rank], &[keys, rank], &[keys]];
                let shapes: [&[usize]; 3] = [&[queries, head], &[keys, head], &[keys, head]];
                kernel.cuda_case("1 1 0.1 0", &[shapes, own].concat())
            },
        )
        .cuda_case(
            "2 2 0.125 0",
            &[&[90, 128], &[230, 128], &[230, 128], &[90, 1], &[230, 1], &[230]],
        )
        .hides("bias", 1, 70),
        Kernel::named(
            "attention_low_rank_bias_gate",
            "attention with a number of its own for every query, each head of each query scaled by factor·sigmoid(logit)",
        )
        .reads("q", &["queries", "width"])
        .or_in_place()
        .reads("k", &["keys", "inner"])
        .reads("v", &["keys", "inner"])
        .reads("own", &["queries", "rank"])
        .reads("share", &["keys", "rank"])
        .reads("bias", &["keys"])
        .reads("logits", &["queries", "heads"])
        .case(&[&[9, 64], &[21, 64], &[21, 64], &[9, 1], &[21, 1], &[21], &[9, 2]])
        .means("y", &["queries", "width"], |m, [q, k, v, own, share, bias, logits]| {
            gated(m, 2, &[q, k, v, low_rank(m, own, share, bias)], logits)
        })
        .cuda(attend("attention_low_rank_bias_gate"))
        .hopper(warpgroups_attend("attention_low_rank_bias_gate"))
        .cuda_case(
            "2 2.0 0.0 2 2 0.088388346 0 2",
            &[&[90, 256], &[210, 256], &[210, 256], &[90, 1], &[210, 1], &[210], &[90, 2]],
        )
        .hides("bias", 1, 100),
        Kernel::named("head_gate", "each head of each token scaled by factor·sigmoid(logit)")
            .reads("x", &["tokens", "width"])
            .or_in_place()
            .reads("logits", &["tokens", "heads"])
            .case(&[&[9, 64], &[9, 2]])
            .means("y", &["tokens", "width"], |m, [x, logits]| {
                m.op(Op::HeadScale { heads: 2 }, &[x, m.affine(m.sigmoid(logits), 2.0, 0.0)])
            })
            .cuda(Cuda::of_units(ROTARY, "head_gate"))
            .cuda_case("2 2.0 0.0 4", &[&[9, 64], &[9, 4]]),
        Kernel::named("rope", "split rotary embedding from per-axis tables")
            .reads("x", &["tokens", "width"])
            .or_in_place()
            .reads("cos", &["positions", "n"])
            .reads("sin", &["positions", "n"])
            .reads_ints("index", &["tokens", "axes"], IntRange::RowsOf(1))
            .case(&[&[6, 32], &[5, 5], &[5, 5], &[6, 3]])
            .means("y", &["tokens", "width"], |m, [x, cos, sin, index]| {
                m.op(Op::Rope { heads: 2, shared: false }, &[x, cos, sin, index])
            })
            .cuda(Cuda { launch: rope_grid, ..Cuda::of_units(ROTARY, "rope") })
            .cuda_case("4 1", &[&[6, 64], &[7, 8], &[7, 8], &[6, 1]])
            .cuda_case("3 0", &[&[6, 42], &[5, 7], &[5, 7], &[6, 3]]),
        Kernel::named("rms_norm_rope", "weighted RMS norm, then split rotary embedding")
            .reads("x", &["tokens", "width"])
            .or_in_place()
            .reads("weight", &["slice"])
            .reads("cos", &["positions", "n"])
            .reads("sin", &["positions", "n"])
            .reads_ints("index", &["tokens", "axes"], IntRange::RowsOf(2))
            .case(&[&[6, 32], &[32], &[5, 5], &[5, 5], &[6, 3]])
            .means("y", &["tokens", "width"], |m, [x, weight, cos, sin, index]| {
                let n = m.op(Op::RmsNorm { eps: 1e-6, offset: 0.0, groups: 1 }, &[x, weight]);
                m.op(Op::Rope { heads: 2, shared: false }, &[n, cos, sin, index])
            })
            .cuda(Cuda {
                source: ROTARY,
                entry: "rms_norm_rope",
                tolerance: EXACT,
                bakes: &[],
                multiplies: never,
                launch: norm_grid,
            })
            .cuda_case("1e-6 1.0 4 4 1", &[&[6, 64], &[16], &[7, 8], &[7, 8], &[6, 1]])
            .cuda_case("1e-6 0.0 1 32 0", &[&[3, 2048], &[2048], &[7, 341], &[7, 341], &[3, 3]]),
    ];
    kernels.extend(causal::declare());
    kernels
}
