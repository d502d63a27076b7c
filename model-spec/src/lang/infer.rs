//! The shape and dtype of every op's result.

use super::{Dtype, Op};

/// Two facts of an op that do not fit together, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError(pub String);

type Shape = Vec<usize>;

fn want(holds: bool, message: impl FnOnce() -> String) -> Result<(), ShapeError> {
    if holds { Ok(()) } else { Err(ShapeError(message())) }
}

/// Number of inputs an op takes, from and to.
fn arity(op: &Op) -> (usize, usize) {
    match op {
        Op::Unary { .. }
        | Op::Affine { .. }
        | Op::Clamp { .. }
        | Op::Cast { .. }
        | Op::Decode { .. }
        | Op::LayerNorm { .. }
        | Op::Sinusoid { .. }
        | Op::DepthToSpace { .. }
        | Op::Unpatchify { .. }
        | Op::SpaceToDepth { .. }
        | Op::Patchify { .. }
        | Op::GroupMean { .. }
        | Op::Yuv420 {}
        | Op::Upsample {}
        | Op::Normal { .. }
        | Op::Reshape { .. }
        | Op::Slice { .. }
        | Op::Permute { .. }
        | Op::Iteration {}
        | Op::Copy {} => (1, 1),
        Op::RmsNorm { .. } | Op::Deviation {} | Op::Standardize {} => (1, 2),
        Op::Binary { .. }
        | Op::OuterAdd {}
        | Op::Gather {}
        | Op::HeadScale { .. }
        | Op::MaskRows {}
        | Op::FilterUp { .. }
        | Op::FilterDown { .. }
        | Op::BlurDown { .. } => (2, 2),
        Op::Linear {} | Op::Conv { .. } => (2, 3),
        Op::GroupNorm { .. } | Op::PlaceRegisters {} | Op::ConvTranspose { .. } | Op::Snake {} => (3, 3),
        Op::Rope { .. } | Op::PutRow {} => (4, 4),
        Op::Attention { causal, .. } => [(3, 4), (5, 6)][usize::from(*causal)],
        Op::Concat {} => (1, usize::MAX),
    }
}

/// The result of `op` on inputs of these dtypes and shapes.
///
/// # Errors
/// Says which rule of the op the inputs break.
pub fn infer(op: &Op, inputs: &[(Dtype, &[usize])]) -> Result<(Dtype, Shape), ShapeError> {
    let (lo, hi) = arity(op);
    want((lo..=hi).contains(&inputs.len()), || {
        format!("{} takes {lo} inputs, not {}", op.name(), inputs.len())
    })?;
    want(inputs.iter().all(|(_, s)| !s.is_empty()), || format!("{} has an operand without axes", op.name()))?;
    let shapes: Vec<_> = inputs.iter().map(|(_, s)| *s).collect();
    let shape = result_shape(op, &shapes)?;
    let dtype = match op {
        Op::Cast { to } => *to,
        Op::Normal { .. } | Op::Deviation {} | Op::Decode { .. } => Dtype::F32,
        // A bf16 value combined with an f32 one keeps f32 until the spec rounds it.
        Op::Binary { .. } if inputs.iter().any(|(d, _)| *d == Dtype::F32) => Dtype::F32,
        _ => inputs[0].0,
    };
    Ok((dtype, shape))
}

fn result_shape(op: &Op, s: &[&[usize]]) -> Result<Shape, ShapeError> {
    let x = s[0];
    let last = x[x.len() - 1];
    let dim = |i: usize, axis: usize| s.get(i).and_then(|t| t.get(axis)).copied().unwrap_or(0);
    match op {
        Op::Unary { .. }
        | Op::Affine { .. }
        | Op::Clamp { .. }
        | Op::Cast { .. }
        | Op::LayerNorm { .. }
        | Op::Copy {} => Ok(x.to_vec()),
        Op::Binary { .. } => {
            let rows = |t: &[usize]| t[..t.len() - 1].iter().product::<usize>();
            let (y, cols) = (s[1], s[1][s[1].len() - 1]);
            let fits = x == y || ((rows(y) == 1 || rows(y) == rows(x)) && (cols == 1 || cols == last));
            want(fits, || format!("{y:?} does not broadcast to {x:?}"))?;
            Ok(x.to_vec())
        }
        Op::Decode { kept, columns } => {
            let row = kept.row_bytes(*columns);
            want(x.len() == 2 && row == Some(last), || {
                format!("rows of {last} bytes are not {columns} columns in {kept}")
            })?;
            Ok(vec![x[0], *columns])
        }
        Op::Linear {} => {
            want(s[1].len() == 2 && dim(1, 1) == last, || {
                format!("weight {:?} does not fit rows of {last}", s[1])
            })?;
            want(s.len() < 3 || s[2] == [dim(1, 0)], || {
                format!("bias {:?} does not fit weight {:?}", s[2], s[1])
            })?;
            Ok([&x[..x.len() - 1], &[dim(1, 0)]].concat())
        }
        Op::RmsNorm { groups, .. } => {
            want(*groups > 0 && last.is_multiple_of(*groups), || {
                format!("{last} features do not fall into {groups} groups")
            })?;
            want(s.len() < 2 || s[1] == [last / groups], || {
                format!("weight {:?} does not fit {last}/{groups}", s[1])
            })?;
            Ok(x.to_vec())
        }
        Op::GroupNorm { groups, .. } => {
            want(*groups > 0 && last.is_multiple_of(*groups), || {
                format!("{last} channels do not fall into {groups} groups")
            })?;
            want(s[1] == [last] && s[2] == [last], || {
                format!("affine {:?} does not fit {last} channels", s[1])
            })?;
            Ok(x.to_vec())
        }
        Op::Deviation {} | Op::Standardize {} => {
            let elements = x.iter().product::<usize>();
            want(elements > 1, || format!("{x:?} has no deviation"))?;
            want(s.len() < 2 || s[1] == [elements / last], || {
                format!("visible {:?} does not fit the rows of {x:?}", s[1])
            })?;
            Ok(if *op == (Op::Deviation {}) { vec![1] } else { x.to_vec() })
        }
        Op::Gather {} => {
            want(s[1].len() == 1, || format!("index {:?} is not a list", s[1]))?;
            Ok([&[dim(1, 0)], &x[1..]].concat())
        }
        Op::HeadScale { heads } => {
            want(*heads > 0 && last.is_multiple_of(*heads) && s[1] == [dim(0, 0), *heads], || {
                format!("factors {:?} do not fit {heads} heads of {x:?}", s[1])
            })?;
            Ok(x.to_vec())
        }
        Op::Rope { heads, shared } => {
            want(*heads > 0 && last.is_multiple_of(2 * heads), || {
                format!("{last} features are not {heads} heads of pairs")
            })?;
            let pairs = if *shared { last / (2 * heads) } else { last / 2 };
            let tables = s[1].len() == 2 && s[1] == s[2] && s[3].len() == 2 && dim(3, 0) == dim(0, 0);
            want(tables && dim(3, 1) * dim(1, 1) <= pairs, || {
                format!("tables {:?} and index {:?} do not fit {x:?}", s[1], s[3])
            })?;
            Ok(x.to_vec())
        }
        Op::Attention { heads, kv_heads, .. } => attention(s, *heads, *kv_heads),
        Op::Sinusoid { half } => Ok([x, &[2 * half]].concat()),
        Op::MaskRows {} => {
            want(s[1] == [dim(0, 0)], || format!("mask {:?} does not fit {x:?}", s[1]))?;
            Ok(x.to_vec())
        }
        Op::PlaceRegisters {} => {
            let fits =
                x.len() == 2 && s[1] == [x[0]] && s[2].len() == 2 && dim(2, 1) == last && dim(2, 0) > 0;
            want(fits, || format!("registers {:?} and mask {:?} do not fit {x:?}", s[2], s[1]))?;
            Ok(x.to_vec())
        }
        Op::Conv { pads, stride, dilation, .. } => conv(s, pads, *stride, *dilation),
        Op::ConvTranspose { stride, pad } => {
            want(
                x.len() == 2 && x[0] > 0 && s[1].len() == 3 && dim(1, 0) == last && s[2] == [dim(1, 1)],
                || format!("weight {:?} and bias {:?} do not fit {x:?}", s[1], s[2]),
            )?;
            let full = (x[0] - 1) * stride + dim(1, 2);
            want(full > 2 * pad, || format!("padding {pad} leaves nothing"))?;
            Ok(vec![full - 2 * pad, dim(1, 1)])
        }
        Op::DepthToSpace { st, sh, sw, drop } => {
            let n = st * sh * sw;
            want(x.len() == 4 && n > 0 && last.is_multiple_of(n) && x[0] * st > *drop, || {
                format!("{x:?} does not unfold")
            })?;
            Ok(vec![x[0] * st - drop, x[1] * sh, x[2] * sw, last / n])
        }
        Op::Unpatchify { patch } => {
            let n = patch * patch;
            want(x.len() == 4 && n > 0 && last.is_multiple_of(n), || {
                format!("{x:?} does not unpatchify by {patch}")
            })?;
            Ok(vec![x[0], x[1] * patch, x[2] * patch, last / n])
        }
        Op::SpaceToDepth { st, sh, sw, repeat } => {
            let n = st * sh * sw;
            let fits = x.len() == 4
                && n > 0
                && (x[0] + repeat).is_multiple_of(*st)
                && x[1].is_multiple_of(*sh)
                && x[2].is_multiple_of(*sw);
            want(fits, || format!("{x:?} with {repeat} frames in front does not fold by {st}, {sh}, {sw}"))?;
            Ok(vec![(x[0] + repeat) / st, x[1] / sh, x[2] / sw, last * n])
        }
        Op::Patchify { patch } => {
            let fits =
                x.len() == 4 && *patch > 0 && x[2].is_multiple_of(*patch) && x[3].is_multiple_of(*patch);
            want(fits, || format!("{x:?} does not patchify by {patch}"))?;
            Ok(vec![x[1], x[2] / patch, x[3] / patch, x[0] * patch * patch])
        }
        Op::GroupMean { size } => {
            want(*size > 0 && last.is_multiple_of(*size), || {
                format!("{last} channels do not fall into groups of {size}")
            })?;
            Ok([&x[..x.len() - 1], &[last / size]].concat())
        }
        Op::Yuv420 {} => {
            // Two lines of chroma fill one.
            let fits = x.len() == 4 && x[1].is_multiple_of(4) && x[2].is_multiple_of(2) && last == 3;
            want(fits, || format!("{x:?} are not frames of RGB with sides that 4:2:0 takes"))?;
            Ok(vec![x[0], x[1] / 2 * 3, x[2]])
        }
        Op::Upsample {} => {
            want(x.len() == 3, || format!("{x:?} is not [height, width, channels]"))?;
            Ok(vec![2 * x[0], 2 * x[1], x[2]])
        }
        Op::FilterUp { ratio, pad, crop_left, crop_right } => {
            want(x.len() == 2 && x[0] > 0 && s[1].len() == 1, || {
                format!("{x:?} is not [samples, channels]")
            })?;
            let full = (x[0] + 2 * pad - 1) * ratio + dim(1, 0);
            want(full > crop_left + crop_right, || {
                format!("cropping {crop_left} and {crop_right} leaves nothing")
            })?;
            Ok(vec![full - crop_left - crop_right, last])
        }
        Op::FilterDown { stride, pad_left, pad_right } => {
            let padded = x[0] + pad_left + pad_right;
            let fits = x.len() == 2 && s[1].len() == 1 && padded >= dim(1, 0) && *stride > 0;
            want(fits, || format!("filter {:?} does not fit {x:?}", s[1]))?;
            Ok(vec![(padded - dim(1, 0)) / stride + 1, last])
        }
        Op::BlurDown { stride } => {
            let square = x.len() == 4 && s[1].len() == 2 && dim(1, 0) == dim(1, 1);
            let fits = square && dim(1, 0) % 2 == 1 && *stride > 0;
            want(fits, || format!("filter {:?} does not fit {x:?}", s[1]))?;
            Ok(vec![x[0], x[1].div_ceil(*stride), x[2].div_ceil(*stride), last])
        }
        Op::Snake {} => {
            want(s[1] == [last] && s[2] == [last], || format!("alpha {:?} does not fit {x:?}", s[1]))?;
            Ok(x.to_vec())
        }
        Op::Normal { shape, .. } => {
            want(x == [2], || format!("seed {x:?} is not two words"))?;
            Ok(shape.clone())
        }
        Op::Reshape { shape } => {
            want(shape.iter().product::<usize>() == x.iter().product::<usize>(), || {
                format!("{x:?} does not hold {shape:?}")
            })?;
            Ok(shape.clone())
        }
        Op::Slice { axis, start, len } => {
            want(*axis < x.len() && start + len <= x[*axis] && *len > 0, || {
                format!("{start}..{} is outside axis {axis} of {x:?}", start + len)
            })?;
            let mut out = x.to_vec();
            out[*axis] = *len;
            Ok(out)
        }
        Op::PutRow {} => {
            let fits = x.len() == 3 && s[1] == [1, last] && s[2] == [1] && s[3] == [1];
            want(fits, || format!("row {:?} does not fit {x:?}", s[1]))?;
            Ok(x.to_vec())
        }
        Op::Iteration {} => {
            want(x.len() > 1, || format!("{x:?} has no entries of iterations"))?;
            Ok(x[1..].to_vec())
        }
        Op::OuterAdd {} => {
            want(x.len() == 2 && s[1].len() == 2 && dim(1, 1) == last, || {
                format!("rows of {x:?} and {:?} do not add", s[1])
            })?;
            Ok(vec![x[0], dim(1, 0), last])
        }
        Op::Permute { axes } => {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            want(sorted.iter().copied().eq(0..x.len()), || format!("{axes:?} is no order of {x:?}"))?;
            Ok(axes.iter().map(|a| x[*a]).collect())
        }
        Op::Concat {} => {
            want(s.iter().all(|t| t[1..] == x[1..]), || format!("{s:?} do not join"))?;
            Ok([&[s.iter().map(|t| t[0]).sum()], &x[1..]].concat())
        }
    }
}

fn attention(s: &[&[usize]], heads: usize, kv_heads: usize) -> Result<Shape, ShapeError> {
    let (q, k, v) = (s[0], s[1], s[2]);
    let grouped = heads > 0 && kv_heads > 0 && heads.is_multiple_of(kv_heads);
    want(grouped && q.len() == 2 && k.len() == 2 && v == k, || {
        format!("{heads} heads over {kv_heads} of {q:?}, {k:?}")
    })?;
    let fits = q[1].is_multiple_of(heads) && k[1] == q[1] / heads * kv_heads;
    want(fits, || format!("keys {k:?} and values {v:?} do not fit {q:?}"))?;
    match &s[3..] {
        [bias] => want(*bias == [q[0], k[0]] || *bias == [1, k[0]], || {
            format!("bias {bias:?} does not fit {q:?} and {k:?}")
        })?,
        [valid, window] => want(*valid == [k[0]] && *window == [1] && q[0] == k[0], || {
            format!("mask {valid:?} does not fit {k:?}")
        })?,
        [valid, window, place] => {
            let fits = *valid == [k[0]] && *window == [1] && *place == [1] && q[0] <= k[0];
            let until = *valid == [k[0]] && *window == [1] && *place == [q[0]] && q[0] == k[0];
            want(fits || until, || format!("mask {valid:?} and place {place:?} do not fit {q:?} and {k:?}"))?;
        }
        _ => {}
    }
    Ok(q.to_vec())
}

fn conv(s: &[&[usize]], pads: &[usize], stride: usize, dilation: usize) -> Result<Shape, ShapeError> {
    let (x, w) = (s[0], s[1]);
    let axes = x.len() - 1;
    let fits =
        (1..=3).contains(&axes) && w.len() == axes + 2 && w[axes + 1] == x[axes] && pads.len() == 2 * axes;
    want(fits, || format!("weight {w:?} with padding {pads:?} does not fit {x:?}"))?;
    want(s.len() < 3 || s[2] == [w[0]], || format!("bias {:?} does not fit weight {w:?}", s[2]))?;
    let mut out = Vec::with_capacity(axes + 1);
    for axis in 0..axes {
        let (step, spread) = if axis + 1 == axes { (stride, dilation) } else { (1, 1) };
        let padded = x[axis] + pads[2 * axis] + pads[2 * axis + 1];
        let reach = (w[axis + 1].max(1) - 1) * spread + 1;
        want(step > 0 && padded >= reach, || format!("{x:?} is smaller than the kernel {w:?}"))?;
        out.push((padded - reach) / step + 1);
    }
    out.push(w[0]);
    Ok(out)
}
