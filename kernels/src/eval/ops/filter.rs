//! Depthwise filters along the first axis.

use crate::eval::scratch::Scratch;
use crate::eval::step::{Prepared, Setup, fresh};

/// Edges repeated `pad` times, transposed convolution with stride `ratio`, times `ratio`, the first `crop` samples
/// dropped (docs/model/audio.md 8, 9): y[n] = ratio·Σᵢ padded[i]·g[n + crop − i·ratio].
pub(crate) fn up<'a>(setup: &Setup<'a, '_>, ratio: usize, pad: usize, crop: usize) -> Prepared<'a> {
    let (x, g, n) = (setup.input(0).tensor()?, setup.input(1).values()?, setup.cols());
    let length = x.rows();
    fresh(move |panel, out| {
        let mut row = Scratch::new(n);
        for (place, out) in panel.rows.clone().zip(out.chunks_exact_mut(n.max(1))) {
            out.fill(0.0);
            let at = place + crop;
            // The i with 0 ≤ at − i·ratio < k.
            let first = (at + 1).saturating_sub(g.len()).div_ceil(ratio);
            for i in first..(at / ratio + 1).min(length + 2 * pad) {
                x.load(i.saturating_sub(pad).min(length - 1), 0..n, &mut row);
                accumulate(out, &row, g[at - i * ratio]);
            }
            out.iter_mut().for_each(|x| *x *= ratio as f32);
        }
    })
}

/// Edges repeated, then y[n] = Σⱼ padded[n·stride + j]·f[j].
pub(crate) fn down<'a>(setup: &Setup<'a, '_>, stride: usize, pad: usize) -> Prepared<'a> {
    let (x, f, n) = (setup.input(0).tensor()?, setup.input(1).values()?, setup.cols());
    let length = x.rows();
    fresh(move |panel, out| {
        let mut row = Scratch::new(n);
        for (place, out) in panel.rows.clone().zip(out.chunks_exact_mut(n.max(1))) {
            out.fill(0.0);
            for (j, f) in f.iter().enumerate() {
                let i = (place * stride + j).saturating_sub(pad).min(length - 1);
                x.load(i, 0..n, &mut row);
                accumulate(out, &row, *f);
            }
        }
    })
}

fn accumulate(out: &mut [f32], x: &[f32], factor: f32) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += x * factor);
}
