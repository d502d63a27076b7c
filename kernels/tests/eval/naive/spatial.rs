//! The ops that look at neighbouring positions or move elements.

use zoetrope_model_spec::lang::Op;

use super::{Array, places};

pub fn compute(op: &Op, inputs: &[Array], shape: &[usize]) -> Vec<f64> {
    let x = &inputs[0];
    let each = |f: &dyn Fn(&[usize]) -> f64| places(shape).iter().map(|p| f(p)).collect::<Vec<_>>();
    match op {
        Op::Conv { pads, replicate, stride, dilation } => {
            each(&|p| conv(inputs, p, pads, *replicate, *stride, *dilation))
        }
        Op::ConvTranspose { stride, pad } => {
            let (w, k) = (&inputs[1], inputs[1].shape[2]);
            let mut out =
                inputs[2].data.iter().copied().cycle().take(shape[0] * shape[1]).collect::<Vec<_>>();
            for i in 0..x.shape[0] {
                for j in 0..k {
                    let Some(p) = (i * stride + j).checked_sub(*pad).filter(|p| *p < shape[0]) else {
                        continue;
                    };
                    for o in 0..shape[1] {
                        let sum: f64 = (0..x.shape[1]).map(|c| x.at(&[i, c]) * w.at(&[c, o, j])).sum();
                        out[p * shape[1] + o] += sum;
                    }
                }
            }
            out
        }
        Op::DepthToSpace { st, sh, sw, drop } => each(&|p| {
            let (t, h, w, c) = (p[0] + drop, p[1], p[2], p[3]);
            let (a, b, d) = (t % st, h % sh, w % sw);
            x.at(&[t / st, h / sh, w / sw, ((c * st + a) * sh + b) * sw + d])
        }),
        Op::Unpatchify { patch } => each(&|p| {
            let (row, column) = (p[1] % patch, p[2] % patch);
            x.at(&[p[0], p[1] / patch, p[2] / patch, p[3] * patch * patch + column * patch + row])
        }),
        Op::SpaceToDepth { st, sh, sw, repeat } => each(&|p| {
            let (c, offset) = (p[3] / (st * sh * sw), p[3] % (st * sh * sw));
            let frame = (p[0] * st + offset / (sh * sw)).saturating_sub(*repeat);
            x.at(&[frame, p[1] * sh + offset / sw % sh, p[2] * sw + offset % sw, c])
        }),
        Op::Patchify { patch } => each(&|p| {
            let (c, column, row) = (p[3] / (patch * patch), p[3] / patch % patch, p[3] % patch);
            x.at(&[c, p[0], p[1] * patch + row, p[2] * patch + column])
        }),
        Op::Yuv420 {} => each(&|p| yuv420(x, p)),
        Op::Upsample {} => each(&|p| x.at(&[p[0] / 2, p[1] / 2, p[2]])),
        Op::FilterUp { ratio, pad, crop_left, .. } => {
            let g = &inputs[1].data;
            let l = x.shape[0];
            let mut full = vec![0.0; ((l + 2 * pad - 1) * ratio + g.len()) * shape[1]];
            for i in 0..l + 2 * pad {
                for (j, g) in g.iter().enumerate() {
                    for c in 0..shape[1] {
                        let edge = i.saturating_sub(*pad).min(l - 1);
                        full[(i * ratio + j) * shape[1] + c] += x.at(&[edge, c]) * g * *ratio as f64;
                    }
                }
            }
            full[crop_left * shape[1]..][..shape[0] * shape[1]].to_vec()
        }
        Op::FilterDown { stride, pad_left, .. } => each(&|p| {
            let tap = |j: usize| (p[0] * stride + j).saturating_sub(*pad_left).min(x.shape[0] - 1);
            inputs[1].data.iter().enumerate().map(|(j, f)| f * x.at(&[tap(j), p[1]])).sum()
        }),
        Op::BlurDown { stride } => each(&|p| {
            let filter = &inputs[1];
            let near = |axis: usize, tap: usize| {
                let at = (p[axis] * stride + tap).checked_sub(filter.shape[0] / 2);
                at.filter(|at| *at < x.shape[axis])
            };
            let taps = (0..filter.shape[0]).flat_map(|i| (0..filter.shape[1]).map(move |j| (i, j)));
            let seen = taps.filter_map(|(i, j)| Some((near(1, i)?, near(2, j)?, filter.at(&[i, j]))));
            seen.map(|(line, column, weight)| weight * x.at(&[p[0], line, column, p[3]])).sum()
        }),
        Op::Slice { axis, start, .. } => each(&|p| {
            let mut p = p.to_vec();
            p[*axis] += start;
            x.at(&p)
        }),
        Op::Permute { axes } => each(&|p| {
            let mut from = vec![0; p.len()];
            axes.iter().zip(p).for_each(|(axis, i)| from[*axis] = *i);
            x.at(&from)
        }),
        Op::Concat {} => inputs.iter().flat_map(|a| a.data.clone()).collect(),
        _ => panic!("{} is not one of these", op.name()),
    }
}

fn conv(
    inputs: &[Array],
    p: &[usize],
    pads: &[usize],
    replicate: bool,
    stride: usize,
    dilation: usize,
) -> f64 {
    let (x, w) = (&inputs[0], &inputs[1]);
    let axes = p.len() - 1;
    let o = p[axes];
    let mut sum = inputs.get(2).map_or(0.0, |b| b.data[o]);
    for tap in places(&w.shape[1..=axes]) {
        let mut at: Vec<usize> = Vec::new();
        for axis in 0..axes {
            let last = axis + 1 == axes;
            let (stride, dilation) = if last { (stride, dilation) } else { (1, 1) };
            let place = (p[axis] * stride + tap[axis] * dilation) as i64 - pads[2 * axis] as i64;
            let end = x.shape[axis] as i64 - 1;
            if replicate && axis == 0 {
                at.push(place.clamp(0, end) as usize);
            } else if (0..=end).contains(&place) {
                at.push(place as usize);
            }
        }
        if at.len() == axes {
            for c in 0..x.cols() {
                sum += x.at(&[at.as_slice(), &[c]].concat()) * w.at(&[&[o], tap.as_slice(), &[c]].concat());
            }
        }
    }
    sum
}

/// Number `p[2]` of line `p[1]` of a frame's planes, luma over blue over red difference.
fn yuv420(x: &Array, p: &[usize]) -> f64 {
    let (height, width) = (x.shape[1], x.shape[2]);
    let weighed = |line: usize, column: usize, factors: [f64; 3]| {
        (0..3).map(|c| factors[c] * x.at(&[p[0], line, column, c])).sum::<f64>()
    };
    let at = p[1] * width + p[2];
    let Some(at) = at.checked_sub(height * width) else {
        return weighed(p[1], p[2], [0.2126, 0.7152, 0.0722]) * 219.0 + 16.0;
    };
    let plane = height * width / 4;
    let factors = [[-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]][at / plane];
    let (line, column) = (at % plane / (width / 2), at % plane % (width / 2));
    let square = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let sum: f64 = square.iter().map(|(i, j)| weighed(2 * line + i, 2 * column + j, factors)).sum();
    sum / 4.0 * 224.0 + 128.0
}
