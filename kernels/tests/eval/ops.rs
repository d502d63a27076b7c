//! Every op of the evaluator against f64 loops, over fixed and random shapes.

use crate::cases::{Random, Storage, check, close, run, single};
use crate::naive::{self, Array};
use proptest::prelude::*;
use zoetrope_model_spec::lang::{BinaryFn, Dtype, Kept, Op, UnaryFn};

const EXACT: f64 = 0.0;
const CLOSE: f64 = 2e-6;

fn shape(random: &mut Random, axes: usize, below: usize) -> Vec<usize> {
    (0..axes).map(|_| 1 + random.below(below)).collect()
}

fn unary(random: &mut Random) {
    let axes = 1 + random.below(3);
    let s = shape(random, axes, 40);
    for (f, lo, hi) in [
        (UnaryFn::Silu, -20.0, 20.0),
        (UnaryFn::Gelu, -6.0, 6.0),
        (UnaryFn::Sigmoid, -30.0, 30.0),
        (UnaryFn::Exp, -5.0, 5.0),
        (UnaryFn::Log, 1e-5, 10.0),
        (UnaryFn::Sin, -3e4, 3e4),
        (UnaryFn::Cos, -3e4, 3e4),
        (UnaryFn::Sqrt, 0.0, 9.0),
    ] {
        check(&Op::Unary { f }, &[random.reals(&s, lo, hi)], 3e-7);
    }
    check(&Op::Affine { scale: 1.5, offset: -0.25 }, &[random.reals(&s, -3.0, 3.0)], 3e-7);
    check(&Op::Clamp { lo: -1.0, hi: 0.5 }, &[random.reals(&s, -3.0, 3.0)], EXACT);
    check(&Op::Copy {}, &[random.reals(&s, -3.0, 3.0)], EXACT);
    check(&Op::Copy {}, &[random.ints(&s, 1 << 30)], EXACT);
    check(&Op::Cast { to: Dtype::Bf16 }, &[random.reals(&s, -3.0, 3.0)], EXACT);
    check(&Op::Cast { to: Dtype::I32 }, &[random.reals(&s, -300.0, 300.0)], EXACT);
    check(&Op::Cast { to: Dtype::U8 }, &[random.reals(&s, -300.0, 600.0)], EXACT);
    check(&Op::Cast { to: Dtype::F32 }, &[random.ints(&s, 200)], EXACT);
}

fn binary(random: &mut Random) {
    let axes = 1 + random.below(3);
    let s = shape(random, axes, 30);
    let (cols, rows) = (s[axes - 1], s[..axes - 1].iter().product::<usize>());
    for y in [s.clone(), vec![cols], vec![1, cols], vec![rows, 1], vec![1], vec![rows, cols]] {
        for f in [BinaryFn::Add, BinaryFn::Sub, BinaryFn::Mul, BinaryFn::Div] {
            check(&Op::Binary { f }, &[random.reals(&s, -3.0, 3.0), random.reals(&y, 0.5, 3.0)], 3e-7);
        }
    }
}

fn linear(random: &mut Random) {
    let (k, n) = (1 + random.below(500), 1 + random.below(90));
    let rows = shape(random, 2, 25);
    let x = random.reals(&[rows[0], rows[1], k], -1.0, 1.0);
    let (w, b) = (random.reals(&[n, k], -1.0, 1.0), random.reals(&[n], -1.0, 1.0));
    check(&Op::Linear {}, &[x.clone(), w.clone()], CLOSE);
    check(&Op::Linear {}, &[x, w.clone(), b.clone()], CLOSE);
    check(&Op::Linear {}, &[random.reals(&[k], -1.0, 1.0), w, b], CLOSE);
}

fn norms(random: &mut Random) {
    let (rows, groups, slice) = (1 + random.below(50), 1 + random.below(4), 1 + random.below(70));
    let n = groups * slice;
    let x = random.reals(&[rows, n], -2.0, 2.0);
    let w = random.reals(&[slice], -1.0, 1.0);
    check(&Op::RmsNorm { eps: 1e-6, offset: 0.0, groups }, std::slice::from_ref(&x), CLOSE);
    check(&Op::RmsNorm { eps: 1e-6, offset: 1.0, groups }, &[x.clone(), w], CLOSE);
    check(&Op::LayerNorm { eps: 1e-3 }, &[x], CLOSE);
    let axes = shape(random, 3, 6);
    let x = random.reals(&[axes[0], axes[1], axes[2], n], -1.0, 3.0);
    let (w, b) = (random.reals(&[n], -1.0, 1.0), random.reals(&[n], -1.0, 1.0));
    check(&Op::Deviation {}, std::slice::from_ref(&x), CLOSE);
    check(&Op::Standardize {}, std::slice::from_ref(&x), CLOSE);
    // Some rows are hidden, or all of them.
    for most in [1.0, 0.5] {
        let visible = random.reals(&[axes[0] * axes[1] * axes[2]], 0.0, most);
        check(&Op::Deviation {}, &[x.clone(), visible.clone()], CLOSE);
        check(&Op::Standardize {}, &[x.clone(), visible], CLOSE);
    }
    check(&Op::GroupNorm { groups, eps: 1e-5 }, &[x, w, b], CLOSE);
}

fn by_token(random: &mut Random) {
    let (tokens, heads, half) = (1 + random.below(40), 1 + random.below(4), 1 + random.below(20));
    let n = heads * 2 * half;
    let x = random.reals(&[tokens, n], -2.0, 2.0);
    check(&Op::HeadScale { heads }, &[x.clone(), random.reals(&[tokens, heads], -2.0, 2.0)], 3e-7);
    check(&Op::MaskRows {}, &[x.clone(), random.ints(&[tokens], 2)], EXACT);
    let registers = 1 + random.below(6);
    let registers = random.reals(&[registers, n], -2.0, 2.0);
    check(&Op::PlaceRegisters {}, &[x.clone(), random.ints(&[tokens], 2), registers], EXACT);
    for shared in [false, true] {
        let pairs = if shared { half } else { n / 2 };
        let axes = 1 + random.below(3.min(pairs));
        let (table, rows) = (1 + random.below(pairs / axes), 1 + random.below(9));
        let [c, s] = [0; 2].map(|_| random.reals(&[rows, table], -1.0, 1.0));
        check(&Op::Rope { heads, shared }, &[x.clone(), c, s, random.ints(&[tokens, axes], rows)], 1e-6);
    }
    let index = 1 + random.below(50);
    let index = random.ints(&[index], tokens);
    check(&Op::Gather {}, &[x, index.clone()], EXACT);
    check(&Op::Gather {}, &[random.reals(&[tokens], -2.0, 2.0), index.clone()], EXACT);
    check(&Op::Gather {}, &[random.reals(&[tokens, 3, 5], -2.0, 2.0), index.clone()], EXACT);
    check(&Op::Gather {}, &[random.ints(&[tokens, 3], 1 << 30), index], EXACT);
    check(&Op::Sinusoid { half }, &[random.reals(&[tokens], 0.0, 1000.0)], 3e-7);
}

fn attention(random: &mut Random) {
    let (kv_heads, group, d) = (1 + random.below(3), 1 + random.below(3), 1 + random.below(40));
    let heads = kv_heads * group;
    let (tq, tk) = (1 + random.below(80), 1 + random.below(500));
    let (few, place) = (1 + random.below(tk), random.below(tk));
    let scale = 1.0 / (d as f32).sqrt();
    let mut qkv = |q: usize, k: usize| {
        let kv = [0; 2].map(|_| random.reals(&[k, kv_heads * d], -3.0, 3.0));
        let [k, v] = kv;
        vec![random.reals(&[q, heads * d], -3.0, 3.0), k, v]
    };
    let plain = qkv(tq, tk);
    check(&Op::Attention { heads, kv_heads, scale, causal: false }, &plain, CLOSE);
    let mut biased = qkv(tq, tk);
    let mut causal = qkv(tk, tk);
    let mut placed = qkv(few, tk);
    biased.push(random.reals(&[tq, tk], -4.0, 4.0));
    check(&Op::Attention { heads, kv_heads, scale, causal: false }, &biased, CLOSE);
    biased[3] = random.reals(&[1, tk], -4.0, 4.0);
    check(&Op::Attention { heads, kv_heads, scale, causal: false }, &biased, CLOSE);
    let window = 1 + random.below(tk + 3);
    causal.push(random.ints(&[tk], 3));
    causal.push(Array { ints: true, ..Array::new(&[1], vec![window as f64]) });
    check(&Op::Attention { heads, kv_heads, scale, causal: true }, &causal, CLOSE);
    // Each up to a key of its own.
    let mut spanned = causal.clone();
    let (first, span) = (random.below(tk), 1 + random.below(tk));
    let last = |i: usize| if (first..first + span).contains(&i) { (first + span).min(tk) - 1 } else { i };
    let until = (0..tk).map(|i| last(i) as f64).collect();
    spanned.push(Array { ints: true, ..Array::new(&[tk], until) });
    check(&Op::Attention { heads, kv_heads, scale, causal: true }, &spanned, CLOSE);
    // Fewer queries than keys, from some place on.
    let place = Array { ints: true, ..Array::new(&[1], vec![place as f64]) };
    placed.extend([causal[3].clone(), causal[4].clone(), place]);
    check(&Op::Attention { heads, kv_heads, scale, causal: true }, &placed, CLOSE);
}

fn rows_replaced(random: &mut Random) {
    let [n, rows, d] = shape(random, 3, 30)[..] else { panic!("three axes") };
    let (x, y) = (random.reals(&[n, rows, d], -2.0, 2.0), random.reals(&[1, d], -2.0, 2.0));
    let [entry, row] = [n, rows].map(|below| random.ints(&[1], below));
    check(&Op::PutRow {}, &[x, y, entry, row], EXACT);
}

fn convolutions(random: &mut Random) {
    for axes in 1..=3 {
        let (cin, cout) = (1 + random.below(20), 1 + random.below(50));
        let (stride, dilation, replicate) = (1 + random.below(2), 1 + random.below(3), random.below(2) == 1);
        let kernel = shape(random, axes, 3);
        let pads: Vec<usize> = (0..2 * axes).map(|_| random.below(3)).collect();
        // Large enough for the taps of the last axis.
        let mut x: Vec<usize> = kernel.iter().map(|k| k + random.below(5)).collect();
        x[axes - 1] += (kernel[axes - 1] - 1) * dilation + random.below(20);
        x.push(cin);
        let w = random.reals(&[&[cout], kernel.as_slice(), &[cin]].concat(), -1.0, 1.0);
        let x = random.reals(&x, -1.0, 1.0);
        let op = Op::Conv { pads, replicate, stride, dilation };
        check(&op, &[x.clone(), w.clone()], CLOSE);
        check(&op, &[x, w, random.reals(&[cout], -1.0, 1.0)], CLOSE);
    }
    let (l, cin, cout, k) =
        (1 + random.below(30), 1 + random.below(9), 1 + random.below(40), 1 + random.below(12));
    let (stride, pad) = (1 + random.below(6), random.below((k - 1) / 2 + 1));
    let inputs = [
        random.reals(&[l, cin], -1.0, 1.0),
        random.reals(&[cin, cout, k], -1.0, 1.0),
        random.reals(&[cout], -1.0, 1.0),
    ];
    check(&Op::ConvTranspose { stride, pad }, &inputs, CLOSE);
}

fn filters(random: &mut Random) {
    let (l, c, k) = (1 + random.below(40), 1 + random.below(30), 1 + random.below(12));
    let x = random.reals(&[l, c], -2.0, 2.0);
    let taps = random.reals(&[k], -1.0, 1.0);
    let (ratio, pad) = (1 + random.below(3), random.below(8));
    let full = (l + 2 * pad - 1) * ratio + k;
    let crop_left = random.below(full);
    let crop_right = random.below(full - crop_left);
    check(&Op::FilterUp { ratio, pad, crop_left, crop_right }, &[x.clone(), taps.clone()], CLOSE);
    let (stride, pad_left, pad_right) = (1 + random.below(3), k + random.below(4), random.below(6));
    check(&Op::FilterDown { stride, pad_left, pad_right }, &[x.clone(), taps], CLOSE);
    check(&Op::Snake {}, &[x, random.reals(&[c], -1.0, 2.0), random.reals(&[c], -1.0, 2.0)], CLOSE);
}

fn moves(random: &mut Random) {
    let s = shape(random, 4, 5);
    let c = s[3];
    let (st, sh, sw, p) =
        (1 + random.below(2), 1 + random.below(2), 1 + random.below(2), 1 + random.below(3));
    let drop = random.below(s[0] * st);
    let with = |random: &mut Random, c: usize| random.reals(&[s[0], s[1], s[2], c], -2.0, 2.0);
    check(&Op::DepthToSpace { st, sh, sw, drop }, &[with(random, c * st * sh * sw)], EXACT);
    check(&Op::Unpatchify { patch: p }, &[with(random, c * p * p)], EXACT);
    let repeat = random.below(4);
    // Frames that fill whole groups with those in front.
    let frames = s[0] * st + (st - repeat % st) % st;
    let folds = random.reals(&[frames, s[1] * sh, s[2] * sw, c], -2.0, 2.0);
    check(&Op::SpaceToDepth { st, sh, sw, repeat }, &[folds], EXACT);
    check(&Op::Patchify { patch: p }, &[random.reals(&[c, s[0], s[1] * p, s[2] * p], -2.0, 2.0)], EXACT);
    let size = 1 + random.below(8);
    check(&Op::GroupMean { size }, &[with(random, c * size)], CLOSE);
    let (stride, k) = (1 + random.below(3), 1 + 2 * random.below(3));
    check(&Op::BlurDown { stride }, &[with(random, c), random.reals(&[k, k], -1.0, 1.0)], CLOSE);
    check(&Op::Upsample {}, &[random.reals(&s[1..], -2.0, 2.0)], EXACT);
    check(&Op::Yuv420 {}, &[random.reals(&[s[0], 4 * s[1], 2 * s[2], 3], 0.0, 1.0)], CLOSE);
    for axes in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [1, 3, 0, 2], [2, 0, 3, 1]] {
        check(&Op::Permute { axes: axes.to_vec() }, &[with(random, c)], EXACT);
        check(&Op::Permute { axes: axes.to_vec() }, &[random.ints(&s, 1 << 30)], EXACT);
    }
    for (axis, extent) in s.iter().enumerate() {
        let start = random.below(*extent);
        let len = 1 + random.below(extent - start);
        check(&Op::Slice { axis, start, len }, &[with(random, c)], EXACT);
    }
    check(&Op::Reshape { shape: vec![s[3] * s[0], s[1], s[2]] }, &[with(random, c)], EXACT);
    check(&Op::Reshape { shape: vec![s.iter().product()] }, &[with(random, c)], EXACT);
    let pieces: Vec<Array> = (1..4).map(|t| random.reals(&[t, s[1], s[2]], -2.0, 2.0)).collect();
    check(&Op::Concat {}, &pieces, EXACT);
    let pieces: Vec<Array> = (1..4).map(|t| random.ints(&[t], 1 << 30)).collect();
    check(&Op::Concat {}, &pieces, EXACT);
}

macro_rules! properties {
    ($( $name:ident )*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn fixed() {
                (0..4).for_each(|seed| super::$name(&mut Random(seed)));
            }

            proptest! {
                #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
                #[test]
                fn random(seed in any::<u64>()) {
                    super::$name(&mut Random(seed));
                }
            }
        }
    )* };
}

properties! { unary binary linear norms by_token attention rows_replaced convolutions filters moves }

#[test]
fn cosines_of_large_angles() {
    let angles: Vec<f64> = (0..4000).map(|i| f64::from((i as f32 - 2000.0) * 31.415_9)).collect();
    let angles = Array::new(&[2000, 2], angles);
    for f in [UnaryFn::Cos, UnaryFn::Sin] {
        let op = Op::Unary { f };
        let want = naive::evaluate(&op, std::slice::from_ref(&angles));
        let got = run(&single(&op, 1), std::slice::from_ref(&angles), &want, Storage::F32, (0, None, false));
        close(op.name(), &got.unwrap(), &want, Storage::F32, 5e-8);
    }
}

#[test]
fn a_query_that_sees_nothing_gives_zeros() {
    let mut random = Random(5);
    let (t, heads, d) = (300, 2, 8);
    let mut inputs: Vec<Array> = (0..3).map(|_| random.reals(&[t, heads * d], -3.0, 3.0)).collect();
    // Left padding, as a text encoder has it.
    let valid = (0..t).map(|i| f64::from(u8::from(i >= 211))).collect();
    inputs.push(Array { ints: true, ..Array::new(&[t], valid) });
    inputs.push(Array { ints: true, ..Array::new(&[1], vec![20.0]) });
    check(&Op::Attention { heads, kv_heads: heads, scale: 0.3, causal: true }, &inputs, CLOSE);
}

#[test]
fn attention_with_extreme_scores() {
    let mut random = Random(6);
    let (t, d) = (400, 4);
    let inputs: Vec<Array> = (0..3).map(|_| random.reals(&[t, d], -60.0, 60.0)).collect();
    check(&Op::Attention { heads: 1, kv_heads: 1, scale: 1.0, causal: false }, &inputs, 1e-5);
}

/// The bias of what is not seen, as official code has it: its keys have no weight, unless all are such.
#[test]
fn lowest_biases() {
    let mut random = Random(7);
    let (tq, tk, d) = (130, 450, 8);
    let op = Op::Attention { heads: 1, kv_heads: 1, scale: 0.3, causal: false };
    // Queries that see nothing, the first keys, the last ones, or one key.
    let sees = |query: usize, key: usize| match query % 4 {
        0 => false,
        1 => key < 2 * query,
        2 => key >= 200 + query,
        _ => key == 3 * query,
    };
    for lowest in [f64::from(f32::MIN), half::bf16::MIN.to_f64(), f64::NEG_INFINITY] {
        let mut inputs = vec![random.reals(&[tq, d], -3.0, 3.0)];
        inputs.extend((0..2).map(|_| random.reals(&[tk, d], -3.0, 3.0)));
        let mut bias = random.reals(&[tq, tk], -2.0, 0.0);
        let hidden = bias.data.iter_mut().enumerate().filter(|(i, _)| !sees(i / tk, i % tk));
        hidden.for_each(|(_, bias)| *bias = lowest);
        inputs.push(bias);
        check(&op, &inputs, CLOSE);
        // What no query sees is as good as not there.
        let rest = |a: &Array| Array::new(&[300, a.cols()], a.data[..300 * a.cols()].to_vec());
        let visible = [inputs[0].clone(), rest(&inputs[1]), rest(&inputs[2])];
        let ends = (0..tk).map(|key| if key < 300 { 0.0 } else { lowest });
        let common = Array::new(&[1, tk], ends.collect());
        let hidden = [&inputs[..3], &[common]].concat();
        check(&op, &hidden, CLOSE);
        let (few, all) = (naive::evaluate(&op, &visible), naive::evaluate(&op, &hidden));
        assert!(few.data.iter().zip(&all.data).all(|(few, all)| (few - all).abs() < 1e-12));
        let (want, v) = (naive::evaluate(&op, &inputs), &inputs[2]);
        for c in 0..d {
            let mean = (0..tk).map(|key| v.at(&[key, c])).sum::<f64>() / tk as f64;
            assert!(
                (want.at(&[64, c]) - mean).abs() < 1e-12,
                "a query that sees nothing weighs all keys alike"
            );
            assert_eq!(want.at(&[3, c]), v.at(&[9, c]), "a query that sees one key");
        }
    }
}

/// Rows that stay encoded: each kind, of one block and of several.
#[test]
fn decode() {
    let mut r = Random(31);
    for kept in Kept::ALL {
        for columns in [kept.granule(), 3 * kept.granule()] {
            let rows = crate::catalog::encoded(&mut r, kept, 5, columns);
            check(&Op::Decode { kept, columns }, &[rows], CLOSE);
        }
    }
}
