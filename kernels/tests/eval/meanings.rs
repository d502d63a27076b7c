//! Meanings of several ops, the promises about bits, and what is refused.

use crate::cases::{Random, Storage, Stored, close, run, single};
use crate::naive::{self, Array};
use zoetrope_kernels::eval::{Data, DataMut, EvalError, Operand, Tensor, TensorMut, evaluate};
use zoetrope_kernels::{Meaning, Ref, catalog};
use zoetrope_model_spec::lang::{Builder, Dtype, Op, Value};
use zoetrope_model_spec::ltx::attention::bias_of;
use zoetrope_model_spec::ltx::sampler::{combined, held};

/// A meaning as a kernel's declaration writes it.
fn meaning(inputs: &[Array], f: impl Fn(&Builder, &[Value]) -> Value) -> Meaning {
    let b = Builder::new("test", Dtype::F32);
    let values: Vec<Value> = inputs.iter().map(|a| b.input("x", a.dtype(), &a.shape)).collect();
    let result = f(&b, &values);
    b.output("out", result);
    Meaning::of(&b.finish().unwrap())
}

/// The naive ops one after the other.
pub fn chain(meaning: &Meaning, inputs: &[Array]) -> Array {
    let mut made: Vec<Array> = Vec::new();
    for op in &meaning.ops {
        let find = |r: &Ref| match r {
            Ref::Operand(i) => inputs[*i].clone(),
            Ref::Inner(i) => made[*i].clone(),
        };
        let inputs: Vec<Array> = op.inputs.iter().map(find).collect();
        made.push(naive::evaluate(&op.op, &inputs));
    }
    made.pop().unwrap()
}

fn check(what: &str, inputs: &[Array], in_place: Option<usize>, f: impl Fn(&Builder, &[Value]) -> Value) {
    let meaning = meaning(inputs, f);
    let want = chain(&meaning, inputs);
    for storage in [Storage::F32, Storage::Bf16] {
        for place in [None, in_place] {
            for packs in [false, true] {
                let got = run(&meaning, inputs, &want, storage, (0, place, packs)).unwrap();
                close(what, &got, &want, storage, 3e-6);
            }
        }
    }
}

#[test]
fn transformer_pieces() {
    let mut r = Random(1);
    let (t, d, n) = (301, 48, 70);
    let x = r.reals(&[t, d], -2.0, 2.0);
    let (scale, shift) = (r.reals(&[1, d], -1.0, 1.0), r.reals(&[d], -1.0, 1.0));
    let (w, b) = (r.reals(&[n, d], -1.0, 1.0), r.reals(&[n], -1.0, 1.0));
    check("norm, modulation, linear, gelu", &[x.clone(), scale, shift, w, b], None, |g, v| {
        let modulated = g.modulate(g.rms(v[0], 1e-6), v[1], v[2]);
        g.gelu(g.op(Op::Linear {}, &[modulated, v[3], v[4]]))
    });
    let (y, gate) = (r.reals(&[t, n], -2.0, 2.0), r.reals(&[t, d], -1.0, 1.0));
    let w = r.reals(&[d, n], -0.3, 0.3);
    check("gated residual", &[x.clone(), y, w, gate], Some(0), |g, v| {
        g.add(v[0], g.mul(g.op(Op::Linear {}, &[v[1], v[2]]), v[3]))
    });
    let heads = 4;
    let qkv = [0; 3].map(|_| r.reals(&[t, d], -2.0, 2.0));
    let logits = r.reals(&[t, heads], -2.0, 2.0);
    let [q, k, v] = qkv;
    check("gated attention", &[q, k, v, logits], Some(0), |g, v| {
        let attention = Op::Attention { heads, kv_heads: heads, scale: 0.25, causal: false };
        let gates = g.affine(g.sigmoid(v[3]), 2.0, 0.0);
        g.op(Op::HeadScale { heads }, &[g.op(attention, &v[..3]), gates])
    });
    let weights = Array::new(&[t, t], (0..t * t).map(|i| [0.0, 0.5, 1.0][i % 7 % 3]).collect());
    check("attention by weights", &[x.clone(), weights], Some(0), |g, v| {
        let attention = Op::Attention { heads, kv_heads: heads, scale: 0.25, causal: false };
        g.op(attention, &[v[0], v[0], v[0], bias_of(g, v[1])])
    });
    // Some queries weigh some keys by a number of their own (docs/model/sampling.md 8): a matrix of all of them in f64.
    let own = Array::new(&[t, 1], (0..t).map(|i| [0.0, -1.25, -1e30][i % 3]).collect());
    let share = Array::new(&[t, 1], (0..t).map(|j| f64::from(u8::from(j < 200))).collect());
    let bias = Array::new(&[t], (0..t).map(|j| [-0.5, 0.0, -1e30][j % 5 % 3]).collect());
    check("attention by numbers of queries", &[x.clone(), own, share, bias], Some(0), |g, v| {
        let attention = Op::Attention { heads, kv_heads: heads, scale: 0.25, causal: false };
        g.op(attention, &[v[0], v[0], v[0], g.op(Op::Linear {}, &[v[1], v[2], v[3]])])
    });
    check("attention to what the meaning makes", std::slice::from_ref(&x), Some(0), |g, v| {
        let normed = g.rms(v[0], 1e-6);
        let attention = Op::Attention { heads, kv_heads: heads, scale: 0.25, causal: false };
        g.add(g.op(attention, &[normed, normed, v[0]]), v[0])
    });
    check("x read three ways", &[x], Some(0), |g, v| g.mul(g.add(v[0], v[0]), g.silu(v[0])));
}

/// docs/model/transformer.md 8: ln(m), and the most negative number for none.
#[test]
fn biases_of_attention_weights() {
    let weights = [0.0, -0.5, f32::MIN_POSITIVE, 1e-3, 0.3, 0.5, 1.0];
    let of = |m: f32| if m > 0.0 { f64::from(m).ln() } else { f64::from(f32::MIN) };
    let inputs = [Array::new(&[1, 7], weights.map(f64::from).to_vec())];
    let meaning = meaning(&inputs, |g, v| bias_of(g, v[0]));
    let got = run(&meaning, &inputs, &inputs[0], Storage::F32, (0, None, false)).unwrap().values();
    for (m, (got, want)) in weights.into_iter().zip(got.into_iter().zip(weights.map(of))) {
        assert!((got - want).abs() <= want.abs() * 1e-7, "of {m}: {got} for {want}");
    }
    assert_eq!(f64::from(f32::MIN), chain(&meaning, &inputs).data[0], "no weight");
}

/// A token with mask 1 keeps its bits, one with mask 0 gets those of what it is held to, and a coefficient of 1 beside 0
/// takes an operand as it is.
#[test]
fn masks_and_coefficients_of_one_and_none_are_exact() {
    let mut r = Random(12);
    let (tokens, d) = (50, 19);
    let third = |a: Array| Array { data: a.data.iter().map(|x| f64::from((x / 3.0) as f32)).collect(), ..a };
    let (x, clean) = (third(r.reals(&[tokens, d], -9.0, 9.0)), third(r.reals(&[tokens, d], -9.0, 9.0)));
    let class = r.ints(&[tokens], 2);
    let inputs = [x.clone(), clean.clone(), Array::new(&[2], vec![0.0, 1.0]), class.clone()];
    // A meaning has no views: the masks come as a column.
    let column = [x.clone(), clean.clone(), Array::new(&[2, 1], vec![0.0, 1.0]), class.clone()];
    let known = catalog();
    let hold = &known.iter().find(|kernel| kernel.name == "held").unwrap().meaning;
    let recorded = meaning(&inputs, |g, v| held(g, v[0], v[1], v[2], v[3]));
    for (meaning, inputs) in [(hold, &column), (&recorded, &inputs)] {
        let got = floats(&run(meaning, inputs, &x, Storage::F32, (0, None, false)).unwrap());
        let given = |i: usize| if class.data[i / d] == 0.0 { clean.data[i] } else { x.data[i] };
        let want = (0..tokens * d).map(|i| (given(i) as f32).to_bits());
        assert!(got.into_iter().eq(want));
    }
    let inputs = [x.clone(), clean.clone(), Array::new(&[1], vec![0.0]), Array::new(&[1], vec![1.0])];
    let take = meaning(&inputs, |g, v| combined(g, &[(v[2], v[0]), (v[3], v[1])]));
    let got = floats(&run(&take, &inputs, &x, Storage::F32, (0, None, false)).unwrap());
    assert!(got.into_iter().eq(clean.data.iter().map(|x| (*x as f32).to_bits())));
}

#[test]
fn convolution_pieces() {
    let mut r = Random(2);
    let (x, w) = (r.reals(&[3, 6, 7, 8], -2.0, 2.0), r.reals(&[8, 3, 3, 3, 8], -0.3, 0.3));
    let bias = r.reals(&[8], -1.0, 1.0);
    let conv = Op::Conv { pads: vec![1; 6], replicate: true, stride: 1, dilation: 1 };
    check("half a residual block", &[x.clone(), w.clone(), bias.clone(), x.clone()], Some(3), |g, v| {
        let h = g.silu(g.rms(v[0], 1e-8));
        g.add(v[3], g.op(conv.clone(), &[h, v[1], v[2]]))
    });
    check(
        "a residual block's input in the result's place",
        &[x.clone(), w.clone(), bias.clone()],
        Some(0),
        |g, v| {
            let h = g.silu(g.rms(v[0], 1e-8));
            g.add(v[0], g.op(conv.clone(), &[h, v[1], v[2]]))
        },
    );
    check("up", &[x.clone(), w.clone(), bias.clone()], None, |g, v| {
        g.op(Op::DepthToSpace { st: 2, sh: 2, sw: 1, drop: 1 }, &[g.op(conv.clone(), v)])
    });
    let (gamma, beta) = (r.reals(&[8], -1.0, 1.0), r.reals(&[8], -1.0, 1.0));
    check("norm after, with a skip", &[x.clone(), gamma, beta, w, bias], Some(0), |g, v| {
        let h = g.op(conv.clone(), &[v[0], v[3], v[4]]);
        let h = g.op(Op::GroupNorm { groups: 4, eps: 1e-5 }, &[h, v[1], v[2]]);
        g.silu(g.add(h, v[0]))
    });
    let (l, c) = (50, 6);
    let samples = r.reals(&[l, c], -2.0, 2.0);
    let taps = r.reals(&[12], -0.5, 0.5);
    let (alpha, beta) = (r.reals(&[c], -1.0, 1.0), r.reals(&[c], -1.0, 1.0));
    check("an anti-aliased activation", &[samples, taps, alpha, beta], Some(0), |g, v| {
        let up = g.op(Op::FilterUp { ratio: 2, pad: 5, crop_left: 15, crop_right: 15 }, &[v[0], v[1]]);
        let active = g.op(Op::Snake {}, &[up, v[2], v[3]]);
        g.op(Op::FilterDown { stride: 2, pad_left: 5, pad_right: 6 }, &[active, v[1]])
    });
    check("views and moves", &[x], None, |g, v| {
        let tokens = g.reshape(g.permute(v[0], &[1, 2, 0, 3]), &[42, 24]);
        g.slice(g.concat(&[tokens, g.affine(tokens, -1.0, 0.5)]), 0, 11, 40)
    });
}

/// Rows `from..to` of an array of rows.
fn rows_of(a: &Array, from: usize, to: usize) -> Array {
    let inner = a.data.len() / a.shape[0];
    Array::new(&[&[to - from], &a.shape[1..]].concat(), a.data[from * inner..to * inner].to_vec())
}

fn floats(stored: &Stored) -> Vec<u32> {
    stored.values().iter().map(|x| (*x as f32).to_bits()).collect()
}

#[test]
fn a_row_of_a_product_has_the_same_bits_in_any_chunk() {
    let mut r = Random(3);
    let (t, k, n) = (700, 900, 75);
    let x = r.reals(&[t, k], -1.0, 1.0);
    let (w, b) = (r.reals(&[n, k], -1.0, 1.0), r.reals(&[n], -1.0, 1.0));
    let linear = single(&Op::Linear {}, 3);
    let go = |from: usize, to: usize| {
        let like = Array::new(&[to - from, n], vec![0.0; (to - from) * n]);
        let inputs = [rows_of(&x, from, to), w.clone(), b.clone()];
        floats(&run(&linear, &inputs, &like, Storage::F32, (0, None, false)).unwrap())
    };
    let whole = go(0, t);
    for (from, to) in [(0, 1), (0, 13), (256, 512), (512, 700), (3, 7), (699, 700), (1, 700)] {
        assert!(go(from, to) == whole[from * n..to * n], "rows {from}..{to}");
    }
}

#[test]
fn a_frame_of_a_convolution_has_the_same_bits_in_any_clip() {
    let mut r = Random(4);
    let (frames, h, w, cin, cout) = (7, 9, 20, 50, 37);
    let x = r.reals(&[frames, h, w, cin], -1.0, 1.0);
    let weight = r.reals(&[cout, 3, 3, 3, cin], -1.0, 1.0);
    // No padding in time: a clip is cut with its neighbours.
    let conv =
        single(&Op::Conv { pads: vec![0, 0, 1, 1, 1, 1], replicate: false, stride: 1, dilation: 1 }, 2);
    let go = |from: usize, to: usize| {
        let like = Array::new(&[to - from, h, w, cout], vec![0.0; (to - from) * h * w * cout]);
        let inputs = [rows_of(&x, from, to + 2), weight.clone()];
        floats(&run(&conv, &inputs, &like, Storage::F32, (0, None, false)).unwrap())
    };
    let whole = go(0, 5);
    let frame = h * w * cout;
    for (from, to) in [(0, 1), (1, 2), (2, 5), (4, 5), (0, 3)] {
        assert!(go(from, to) == whole[from * frame..to * frame], "frames {from}..{to}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut r = Random(5);
    let (t, d) = (400, 64);
    let x = r.reals(&[t, d], -2.0, 2.0);
    let (w, small) = (r.reals(&[d, d], -0.3, 0.3), r.reals(&[5, d], -2.0, 2.0));
    let norm = [r.reals(&[d], -1.0, 1.0), r.reals(&[d], -1.0, 1.0)];
    let attention = Op::Attention { heads: 4, kv_heads: 2, scale: 0.25, causal: false };
    let kv = [0; 2].map(|_| r.reals(&[t, d / 2], -2.0, 2.0));
    let jobs: Vec<(Meaning, Vec<Array>, Array)> = vec![
        (single(&Op::Linear {}, 2), vec![x.clone(), w.clone()], x.clone()),
        // More columns than lie together in a packed weight.
        (
            single(&Op::Linear {}, 2),
            vec![small, r.reals(&[600, d], -0.3, 0.3)],
            Array::new(&[5, 600], vec![0.0; 3000]),
        ),
        (single(&attention, 3), vec![x.clone(), kv[0].clone(), kv[1].clone()], x.clone()),
        (
            single(&Op::GroupNorm { groups: 8, eps: 1e-5 }, 3),
            vec![r.reals(&[5000, d], -1.0, 2.0), norm[0].clone(), norm[1].clone()],
            Array::new(&[5000, d], vec![0.0; 5000 * d]),
        ),
    ];
    for (meaning, inputs, like) in &jobs {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            floats(&pool.install(|| run(meaning, inputs, like, Storage::F32, (0, None, false))).unwrap())
        };
        let one = with(1);
        assert!([2, 3, 16].into_iter().all(|threads| with(threads) == one), "{}", meaning.ops[0].op.name());
    }
}

#[test]
fn random_numbers_do_not_depend_on_their_neighbours() {
    let seed = Array { ints: true, ..Array::new(&[2], vec![7.0, -3.0]) };
    let draw = |shape: &[usize], stream: usize| {
        let op = Op::Normal { stream, shape: shape.to_vec() };
        let like = Array::new(shape, vec![0.0; shape.iter().product()]);
        floats(
            &run(&single(&op, 1), std::slice::from_ref(&seed), &like, Storage::F32, (0, None, false))
                .unwrap(),
        )
    };
    let long = draw(&[50_000], 0);
    assert_eq!(draw(&[10_000, 5], 0), long);
    assert_eq!(draw(&[7, 3], 0), long[..21]);
    assert_ne!(draw(&[7, 3], 1), long[..21]);
}

/// Luma of numbers is that of limited range, and that of a pixel that is none is 0: who looks at planes can tell them apart.
#[test]
fn luma_is_of_limited_range_or_was_no_number() {
    let known = catalog();
    let meaning = &known.iter().find(|kernel| kernel.name == "rgb_to_yuv420").unwrap().meaning;
    let luma = |rgb: [f32; 3]| {
        let (pixels, mut planes) = ([rgb; 8].concat(), [7; 12]);
        let x = Tensor { data: Data::F32(&pixels), shape: &[1, 4, 2, 3], row_stride: 3 };
        let out = TensorMut { data: DataMut::U8(&mut planes), shape: &[1, 6, 2] };
        evaluate(meaning, &[Operand::Tensor(x)], &[], out).unwrap();
        assert!(planes[..8].iter().all(|y| *y == planes[0]));
        planes[0]
    };
    let levels = [f32::NEG_INFINITY, -2.0, -1.0, -0.999, 0.0, 0.3, 1.0, f32::MAX, f32::INFINITY];
    for (red, green, blue) in
        levels.iter().flat_map(|r| levels.iter().flat_map(move |g| levels.map(|b| (*r, *g, b))))
    {
        assert!((16..=235).contains(&luma([red, green, blue])), "{red} {green} {blue}");
    }
    assert_eq!([luma([-1.0; 3]), luma([1.0; 3])], [16, 235]);
    for channel in 0..3 {
        let mut pixel = [0.5; 3];
        pixel[channel] = f32::NAN;
        assert_eq!(luma(pixel), 0, "channel {channel}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut r = Random(6);
    let x = r.reals(&[4, 6], -1.0, 1.0);
    let fails = |op: Op, inputs: &[Array], shape: &[usize]| {
        let like = Array::new(shape, vec![0.0; shape.iter().product()]);
        run(&single(&op, inputs.len()), inputs, &like, Storage::F32, (0, None, false)).err().unwrap()
    };
    let index = |values: &[f64]| Array { ints: true, ..Array::new(&[values.len()], values.to_vec()) };
    let error = fails(Op::Gather {}, &[x.clone(), index(&[0.0, 4.0])], &[2, 6]);
    assert_eq!(error, EvalError::Index { op: "gather", index: 4, rows: 4 });
    let error = fails(Op::Gather {}, &[x.clone(), index(&[-1.0])], &[1, 6]);
    assert_eq!(error, EvalError::Index { op: "gather", index: -1, rows: 4 });
    let error = fails(Op::Gather {}, &[x.clone(), Array::new(&[1], vec![0.0])], &[1, 6]);
    assert!(matches!(error, EvalError::InputDtype { op: "gather", input: 1, .. }));
    let rope = [x.clone(), r.reals(&[2, 1], 0.0, 1.0), r.reals(&[2, 1], 0.0, 1.0)];
    let places = Array { ints: true, ..Array::new(&[4, 1], vec![0.0, 1.0, 2.0, 0.0]) };
    let error = fails(Op::Rope { heads: 1, shared: false }, &[rope.as_slice(), &[places]].concat(), &[4, 6]);
    assert_eq!(error, EvalError::Index { op: "rope", index: 2, rows: 2 });
    assert!(matches!(
        fails(Op::Linear {}, &[x.clone(), r.reals(&[3, 5], 0.0, 1.0)], &[4, 3]),
        EvalError::Shape(_)
    ));
    assert!(matches!(fails(Op::Copy {}, std::slice::from_ref(&x), &[6, 4]), EvalError::Result { .. }));
    assert!(matches!(fails(Op::Copy {}, &[Array::new(&[0, 6], vec![])], &[0, 6]), EvalError::Shape(_)));
    let filter = Op::FilterUp { ratio: 0, pad: 0, crop_left: 0, crop_right: 0 };
    assert!(matches!(fails(filter, &[x.clone(), r.reals(&[3], 0.0, 1.0)], &[3, 6]), EvalError::Shape(_)));
    let missing = single(&Op::Copy {}, 1);
    let mut out = [0.0f32; 24];
    let mut go = |meaning: &Meaning, operands: &[Operand<'_>]| {
        let data = zoetrope_kernels::eval::DataMut::F32(&mut out);
        evaluate(meaning, operands, &[], TensorMut { data, shape: &[4, 6] }).err().unwrap()
    };
    assert_eq!(go(&missing, &[]), EvalError::MissingOperand { index: 0, given: 0 });
    assert_eq!(go(&Meaning { ops: vec![] }, &[]), EvalError::Empty);
    let stored = Stored::new(&x, Storage::F32, 0);
    let short = Tensor { data: stored.data(), shape: &[4, 6], row_stride: 7 };
    assert!(matches!(go(&missing, &[Operand::Tensor(short)]), EvalError::Storage { index: 0, .. }));
}
