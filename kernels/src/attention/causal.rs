//! Attention to what stands before, as a language model has it: in a window, to an end of its own, from some place on.

use zoetrope_model_spec::lang::{Op, Value};

use super::cases::{of_few_queries, of_long_window, of_masks, of_spans, of_widths};
use super::{ATTENTION, attend, head_width, heads, warpgroups_attend};
use crate::cuda::{Cuda, EXACT, Grid, Part, Source, never};
use crate::{IntRange, Kernel, Meaning};

const PLACED: Source =
    Source { name: "attention/placed.cu", text: include_str!("placed.cu"), includes: Some(&ATTENTION) };

/// The numbers of `attention_causal_at`: a block for every query of every head, whose warps meet in shared memory.
fn placed_grid(meaning: &Meaning, part: &Part) -> Grid {
    let (threads, warps) = (256, 256 / 32);
    let blocks = part.reads[0].rows() * heads(meaning);
    Grid { blocks, threads, shared: warps * (2 + head_width(meaning, part)) * 4 }
}

/// Causal attention.
pub fn declare() -> Vec<Kernel> {
    vec![
        of_long_window(of_masks(of_widths(
            Kernel::named("attention_causal", "causal attention in a window, to valid keys, heads in groups")
                .reads("q", &["tokens", "width"])
                .or_in_place()
                .reads("k", &["tokens", "inner"])
                .reads("v", &["tokens", "inner"])
                .reads_ints("valid", &["tokens"], IntRange::Below(2))
                .reads_ints("window", &["1"], IntRange::Below(9))
                .case(&[&[19, 64], &[19, 32], &[19, 32], &[19], &[1]])
                .means("y", &["tokens", "width"], |m, [q, k, v, valid, window]| {
                    let op = Op::Attention { heads: 4, kv_heads: 2, scale: 0.25, causal: true };
                    m.op(op, &[q, k, v, valid, window])
                })
                .cuda(attend("attention_causal"))
                .hopper(warpgroups_attend("attention_causal")),
            |kernel, head, (_, tokens)| {
                let (q, kv) = ([tokens, 2 * head], [tokens, head]);
                kernel
                    .cuda_case("2 1 0.1 1", &[&q, &kv, &kv, &[tokens], &[1]])
                    .with("window", IntRange::Just(40))
            },
        )))
        .cuda_case("2 1 0.0625 1", &[&[80, 512], &[80, 256], &[80, 256], &[80], &[1]])
        .cuda_case("4 2 0.125 1", &[&[290, 256], &[290, 128], &[290, 128], &[290], &[1]])
        .cuda_case("4 2 0.25 1", &[&[150, 64], &[150, 32], &[150, 32], &[150], &[1]]),
        of_spans(of_widths(
            Kernel::named(
                "attention_causal_until",
                "attention_causal of queries that see up to a key of their own, behind them in places",
            )
            .reads("q", &["tokens", "width"])
            .or_in_place()
            .reads("k", &["tokens", "inner"])
            .reads("v", &["tokens", "inner"])
            .reads_ints("valid", &["tokens"], IntRange::Below(2))
            .reads_ints("window", &["1"], IntRange::Below(9))
            .reads_ints("until", &["tokens"], IntRange::Until(4, 7))
            .case(&[&[19, 64], &[19, 32], &[19, 32], &[19], &[1], &[19]])
            .means("y", &["tokens", "width"], |m, inputs: [Value; 6]| {
                let op = Op::Attention { heads: 4, kv_heads: 2, scale: 0.25, causal: true };
                m.op(op, &inputs)
            })
            .cuda(attend("attention_causal_until"))
            .hopper(warpgroups_attend("attention_causal_until")),
            |kernel, head, (_, tokens)| {
                let (q, kv) = ([tokens, 2 * head], [tokens, head]);
                kernel
                    .cuda_case("2 1 0.1 1", &[&q, &kv, &kv, &[tokens], &[1], &[tokens]])
                    .with("window", IntRange::Just(40))
            },
        )),
        of_few_queries(
            Kernel::named(
                "attention_causal_at",
                "attention_causal of queries that stand from a place on among the keys",
            )
            .reads("q", &["queries", "width"])
            .or_in_place()
            .reads("k", &["keys", "inner"])
            .reads("v", &["keys", "inner"])
            .reads_ints("valid", &["keys"], IntRange::Below(2))
            .reads_ints("window", &["1"], IntRange::Below(9))
            .reads_ints("place", &["1"], IntRange::RowsOf(1))
            .case(&[&[2, 64], &[19, 32], &[19, 32], &[19], &[1], &[1]])
            .means("y", &["queries", "width"], |m, inputs: [Value; 6]| {
                let op = Op::Attention { heads: 4, kv_heads: 2, scale: 0.25, causal: true };
                m.op(op, &inputs)
            })
            .cuda(Cuda {
                source: PLACED,
                entry: "attention_causal_at",
                tolerance: EXACT,
                bakes: &[],
                multiplies: never,
                launch: placed_grid,
            }),
        ),
    ]
}
