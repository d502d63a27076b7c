//! The ops in f64, one element at a time, written from their descriptions alone.

mod encoded;
mod spatial;

use zoetrope_model_spec::lang::{BinaryFn, Dtype, Op, UnaryFn, infer};

/// A value as f64; integers too.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
    /// Set for integers.
    pub ints: bool,
    /// Set for those that are bytes.
    pub bytes: bool,
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Array {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Array { shape: shape.to_vec(), data, ints: false, bytes: false }
    }

    /// Rows of bytes.
    pub fn rows_of_bytes(rows: usize, bytes: &[u8]) -> Array {
        let data = bytes.iter().map(|byte| f64::from(*byte)).collect();
        Array { ints: true, bytes: true, ..Array::new(&[rows, bytes.len() / rows], data) }
    }

    pub fn dtype(&self) -> Dtype {
        match (self.ints, self.bytes) {
            (false, _) => Dtype::F32,
            (true, false) => Dtype::I32,
            (true, true) => Dtype::U8,
        }
    }

    pub fn cols(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    pub fn at(&self, place: &[usize]) -> f64 {
        let flat = place.iter().zip(&self.shape).fold(0, |flat, (p, extent)| {
            assert!(p < extent);
            flat * extent + p
        });
        self.data[flat]
    }
}

/// Every place of a shape, in row-major order.
pub fn places(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, extent| {
        all.iter().flat_map(|p| (0..*extent).map(move |i| [p.as_slice(), &[i]].concat())).collect()
    })
}

fn each_row(x: &Array, f: impl Fn(usize, &[f64]) -> Vec<f64>) -> Vec<f64> {
    x.data.chunks(x.cols()).enumerate().flat_map(|(i, row)| f(i, row)).collect()
}

/// The result of an op.
pub fn evaluate(op: &Op, inputs: &[Array]) -> Array {
    let kinds: Vec<(Dtype, &[usize])> = inputs.iter().map(|a| (a.dtype(), a.shape.as_slice())).collect();
    let (dtype, shape) = infer(op, &kinds).expect("the case fits the op");
    let data = compute(op, inputs, &shape);
    Array { ints: !dtype.is_float(), ..Array::new(&shape, data) }
}

fn compute(op: &Op, inputs: &[Array], shape: &[usize]) -> Vec<f64> {
    let x = &inputs[0];
    let map = |f: &dyn Fn(f64) -> f64| x.data.iter().map(|x| f(*x)).collect::<Vec<_>>();
    let n = x.cols();
    match op {
        Op::Unary { f } => map(&|x| match f {
            UnaryFn::Silu => x / (1.0 + (-x).exp()),
            UnaryFn::Gelu => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }
            UnaryFn::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            UnaryFn::Exp => x.exp(),
            UnaryFn::Log => x.ln(),
            UnaryFn::Sin => x.sin(),
            UnaryFn::Cos => x.cos(),
            UnaryFn::Sqrt => x.sqrt(),
        }),
        Op::Binary { f } => {
            let y = &inputs[1];
            let whole = |i: usize| {
                let row = if y.rows() == 1 { 0 } else { i / n };
                let column = if y.cols() == 1 { 0 } else { i % n };
                y.data[row * y.cols() + column]
            };
            let apply = |(i, x): (usize, &f64)| match f {
                BinaryFn::Add => x + whole(i),
                BinaryFn::Sub => x - whole(i),
                BinaryFn::Mul => x * whole(i),
                BinaryFn::Div => x / whole(i),
            };
            x.data.iter().enumerate().map(apply).collect()
        }
        Op::Affine { scale, offset } => map(&|x| x * f64::from(*scale) + f64::from(*offset)),
        Op::Clamp { lo, hi } => map(&|x| x.max(f64::from(*lo)).min(f64::from(*hi))),
        Op::Cast { to } => map(&|v| match to {
            Dtype::F32 | Dtype::Bf16 => v,
            Dtype::I32 => v.trunc(),
            Dtype::U8 => v.trunc().clamp(0.0, 255.0),
        }),
        Op::Copy {} | Op::Reshape { .. } => x.data.clone(),
        Op::OuterAdd {} => {
            let rows = |a: &Array| a.data.chunks(a.shape[1]).map(<[f64]>::to_vec).collect::<Vec<_>>();
            let (a, b) = (rows(x), rows(&inputs[1]));
            let sum = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(p, q)| p + q).collect::<Vec<_>>();
            a.iter().flat_map(|p| b.iter().flat_map(move |q| sum(p, q))).collect()
        }
        Op::Decode { kept, columns } => each_row(x, |_, row| {
            let bytes: Vec<u8> = row.iter().map(|byte| *byte as u8).collect();
            encoded::row(*kept, &bytes, *columns)
        }),
        Op::Linear {} => each_row(x, |_, row| {
            let (w, bias) = (&inputs[1], inputs.get(2));
            let dot = |o: usize| (0..n).map(|i| row[i] * w.at(&[o, i])).sum::<f64>();
            (0..w.shape[0]).map(|o| dot(o) + bias.map_or(0.0, |b| b.data[o])).collect()
        }),
        Op::RmsNorm { eps, offset, groups } => each_row(x, |_, row| {
            let slice = n / groups;
            let scale = |c: usize| inputs.get(1).map_or(1.0, |w| w.data[c % slice] + f64::from(*offset));
            let mean = |c: usize| {
                let first = c / slice * slice;
                row[first..first + slice].iter().map(|x| x * x).sum::<f64>() / slice as f64
            };
            (0..n).map(|c| row[c] / (mean(c) + f64::from(*eps)).sqrt() * scale(c)).collect()
        }),
        Op::LayerNorm { eps } => each_row(x, |_, row| {
            let mean = row.iter().sum::<f64>() / n as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            row.iter().map(|x| (x - mean) / (variance + f64::from(*eps)).sqrt()).collect()
        }),
        Op::Deviation {} => vec![spread(x, inputs.get(1)).1],
        Op::Standardize {} => {
            let (mean, deviation) = spread(x, inputs.get(1));
            let standard = |x: &f64| if deviation == 0.0 { 0.0 } else { (x - mean) / deviation };
            x.data.iter().map(standard).collect()
        }
        Op::GroupNorm { groups, eps } => {
            let size = n / groups;
            let of =
                |g: usize| x.data.iter().enumerate().filter(move |(i, _)| i % n / size == g).map(|(_, x)| *x);
            let count = (x.rows() * size) as f64;
            let mean: Vec<f64> = (0..*groups).map(|g| of(g).sum::<f64>() / count).collect();
            let spread =
                |g: usize| of(g).map(|x| (x - mean[g]).powi(2)).sum::<f64>() / count + f64::from(*eps);
            let spread: Vec<f64> = (0..*groups).map(spread).collect();
            let one = |(i, x): (usize, &f64)| {
                let (c, g) = (i % n, i % n / size);
                (x - mean[g]) / spread[g].sqrt() * inputs[1].data[c] + inputs[2].data[c]
            };
            x.data.iter().enumerate().map(one).collect()
        }
        Op::Gather {} => {
            let inner: usize = x.shape[1..].iter().product();
            inputs[1].data.iter().flat_map(|i| x.data[*i as usize * inner..][..inner].to_vec()).collect()
        }
        Op::HeadScale { heads } => {
            let head = n / heads;
            each_row(x, |i, row| {
                row.iter().enumerate().map(|(c, x)| x * inputs[1].at(&[i, c / head])).collect()
            })
        }
        Op::Rope { heads, shared } => rope(inputs, *heads, *shared),
        Op::Attention { heads, kv_heads, scale, causal } => {
            attention(inputs, *heads, *kv_heads, f64::from(*scale), *causal)
        }
        Op::Sinusoid { half } => {
            let one = |t: f64, i: usize| {
                // Exponent, frequency and product are f32 by definition: the angle reaches 1000.
                let exponent = -(10000f64.ln()) as f32 * (i % half) as f32 / *half as f32;
                let f = f64::from(exponent).exp() as f32;
                let angle = f64::from(t as f32 * f);
                if i < *half { angle.cos() } else { angle.sin() }
            };
            x.data.iter().flat_map(|t| (0..2 * half).map(move |i| one(*t, i))).collect()
        }
        Op::MaskRows {} => {
            let inner = x.data.len() / x.shape[0];
            let one = |(i, x): (usize, &f64)| if inputs[1].data[i / inner] == 0.0 { 0.0 } else { *x };
            x.data.iter().enumerate().map(one).collect()
        }
        Op::PlaceRegisters {} => {
            let valid: Vec<usize> = (0..x.shape[0]).filter(|i| inputs[1].data[*i] != 0.0).collect();
            let registers = &inputs[2];
            (0..x.shape[0])
                .flat_map(|p| {
                    (0..n).map(move |c| (p, c)).map(|(p, c)| match valid.get(p) {
                        Some(row) => x.at(&[*row, c]),
                        None => registers.at(&[p % registers.shape[0], c]),
                    })
                })
                .collect()
        }
        Op::PutRow {} => {
            let row = inputs[2].data[0] as usize * x.shape[1] + inputs[3].data[0] as usize;
            each_row(x, |i, old| if i == row { inputs[1].data.clone() } else { old.to_vec() })
        }
        Op::GroupMean { size } => {
            x.data.chunks(*size).map(|g| g.iter().sum::<f64>() / *size as f64).collect()
        }
        Op::Snake {} => {
            let one = |(i, x): (usize, &f64)| {
                let (alpha, beta) = (inputs[1].data[i % n], inputs[2].data[i % n]);
                x + (x * alpha.exp()).sin().powi(2) / (beta.exp() + 1e-9)
            };
            x.data.iter().enumerate().map(one).collect()
        }
        Op::Normal { .. } => panic!("random numbers have their own tests"),
        _ => spatial::compute(op, inputs, shape),
    }
}

/// Mean and deviation of all elements, or of those in rows for which `visible` is over a half.
fn spread(x: &Array, visible: Option<&Array>) -> (f64, f64) {
    let sees = |row: usize| visible.is_none_or(|visible| visible.data[row] > 0.5);
    let seen = x.data.iter().enumerate().filter(|(i, _)| sees(i / x.cols())).map(|(_, x)| *x);
    let seen: Vec<f64> = seen.collect();
    let count = seen.len() as f64;
    if count < 2.0 {
        return (0.0, 0.0);
    }
    let mean = seen.iter().sum::<f64>() / count;
    let squares = seen.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0)).sqrt())
}

fn rope(inputs: &[Array], heads: usize, shared: bool) -> Vec<f64> {
    let [x, cos, sin, index] = inputs else { panic!("four inputs") };
    let (n, axes, table) = (x.cols(), index.shape[1], cos.shape[1]);
    let d = n / heads;
    let pairs = if shared { d / 2 } else { n / 2 };
    let front = pairs - axes * table;
    let angle = |token: usize, head: usize, j: usize| {
        let pair = if shared { j } else { head * d / 2 + j };
        if pair < front {
            return (1.0, 0.0);
        }
        let p = pair - front;
        let row = index.at(&[token, p % axes]) as usize;
        (cos.at(&[row, p / axes]), sin.at(&[row, p / axes]))
    };
    let one = |token: usize, c: usize| {
        let (head, j) = (c / d, c % d);
        let (cos, sin) = angle(token, head, j % (d / 2));
        if j < d / 2 {
            x.at(&[token, c]) * cos - x.at(&[token, c + d / 2]) * sin
        } else {
            x.at(&[token, c]) * cos + x.at(&[token, c - d / 2]) * sin
        }
    };
    (0..x.shape[0]).flat_map(|t| (0..n).map(move |c| (t, c))).map(|(t, c)| one(t, c)).collect()
}

fn attention(inputs: &[Array], heads: usize, kv_heads: usize, scale: f64, causal: bool) -> Vec<f64> {
    let [q, k, v] = &inputs[..3] else { panic!("three inputs") };
    let d = q.cols() / heads;
    let seen = |i: usize, j: usize| {
        !causal || {
            let window = inputs[4].data[0] as i64;
            // Where the first query stands, or of each query the last key.
            let (first, until) = match inputs.get(5) {
                Some(until) if until.data.len() > 1 => (0, Some(until.data[i] as usize)),
                place => (place.map_or(0, |place| place.data[0] as usize), None),
            };
            let i = i + first;
            inputs[3].data[j] != 0.0 && i as i64 - window < j as i64 && j <= until.unwrap_or(i)
        }
    };
    // −∞ − −∞ is no number.
    let more = |i: usize, j: usize| match inputs.get(3) {
        Some(bias) if !causal => bias.at(&[i % bias.rows(), j]).max(f64::from(f32::MIN)),
        _ => 0.0,
    };
    let mut out = Vec::new();
    for i in 0..q.shape[0] {
        for h in 0..heads {
            let kv = h * kv_heads / heads;
            let keys: Vec<usize> = (0..k.shape[0]).filter(|j| seen(i, *j)).collect();
            let score = |j: &usize| {
                let product: f64 = (0..d).map(|c| q.at(&[i, h * d + c]) * k.at(&[*j, kv * d + c])).sum();
                scale * product + more(i, *j)
            };
            let scores: Vec<f64> = keys.iter().map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for c in 0..d {
                let sum: f64 = keys.iter().zip(&weights).map(|(j, w)| w * v.at(&[*j, kv * d + c])).sum();
                out.push(if keys.is_empty() { 0.0 } else { sum / total });
            }
        }
    }
    out
}
