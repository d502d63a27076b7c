//! Depthwise filters along the first axis.
//!
//! Samples of one phase lie together in a window, so that a tap is one long product of a number and a run of the
//! window, whatever the number of channels.

use multiversion::multiversion;

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;
use crate::eval::{EvalError, Tensor};

/// Samples `step` apart of x with its edges repeated: sample i of the window is x at `first + i·step − pad`, zeros
/// outside the repeated edges.
fn fill(window: &mut [f32], x: &Tensor<'_>, [before, after]: [usize; 2], first: isize, step: usize) {
    let (length, n) = (x.rows(), x.cols());
    for (i, out) in window.chunks_exact_mut(n).enumerate() {
        match usize::try_from(first + (i * step) as isize) {
            Ok(at) if at < before + length + after => {
                x.load(at.saturating_sub(before).min(length - 1), 0..n, out)
            }
            _ => out.fill(0.0),
        }
    }
}

/// `out[i] = Σ factor·window[offset + i]`, in the order of `taps`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn accumulate(out: &mut [f32], window: &[f32], taps: &[(usize, f32)]) {
    const RUN: usize = 64;
    let mut at = 0;
    for out in out.chunks_mut(RUN) {
        let mut sums = [0.0f32; RUN];
        for (offset, factor) in taps {
            let from = &window[offset + at..][..out.len()];
            if let Ok(from) = <&[f32; RUN]>::try_from(from) {
                sums.iter_mut().zip(from).for_each(|(sum, x)| *sum = x.mul_add(*factor, *sum));
            } else {
                sums.iter_mut().zip(from).for_each(|(sum, x)| *sum = x.mul_add(*factor, *sum));
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
        at += RUN;
    }
}

/// Edges repeated `pad` times, transposed convolution with stride `ratio`, times `ratio`, the first `crop` samples
/// dropped (docs/model/audio.md 8, 9): y\[p\] = ratio·Σᵢ padded\[i\]·g[p + crop − i·ratio].
pub(crate) fn up<'a>(setup: &Setup<'a, '_>, ratio: usize, pad: usize, crop: usize) -> Prepared<'a> {
    let (x, g, n) = (setup.input(0).tensor()?, setup.input(1).values()?, setup.cols());
    if ratio == 0 {
        return Err(EvalError::Shape("a filter that makes no samples of one".to_string()));
    }
    fresh(move |panel, out| {
        let padded = panel.rows.start + crop..panel.rows.end + crop;
        for phase in 0..ratio {
            // Outputs of this phase, by (p + crop) / ratio.
            let (first, last) = (before(padded.start, ratio, phase), before(padded.end, ratio, phase));
            let taps: Vec<f32> = g.iter().skip(phase).step_by(ratio).map(|g| g * ratio as f32).collect();
            let reach = taps.len().saturating_sub(1);
            let mut window = Scratch::new((last - first + reach) * n);
            fill(&mut window, &x, [pad, pad], first as isize - reach as isize, 1);
            let taps: Vec<_> = taps.iter().rev().enumerate().map(|(i, g)| (i * n, *g)).collect();
            let mut phase_rows = Scratch::new((last - first) * n);
            accumulate(&mut phase_rows, &window, &taps);
            for (q, phase_rows) in (first..last).zip(phase_rows.chunks_exact(n)) {
                out[(q * ratio + phase - padded.start) * n..][..n].copy_from_slice(phase_rows);
            }
        }
    })
}

/// How many numbers below `end` are `phase` modulo `ratio`.
fn before(end: usize, ratio: usize, phase: usize) -> usize {
    (end + ratio - 1 - phase) / ratio
}

/// Edges repeated, then y\[p\] = Σⱼ padded[p·stride + j]·f\[j\].
pub(crate) fn down<'a>(setup: &Setup<'a, '_>, stride: usize, pads: [usize; 2]) -> Prepared<'a> {
    let (x, f, n) = (setup.input(0).tensor()?, setup.input(1).values()?, setup.cols());
    fresh(move |panel, out| {
        // One window for each phase of the samples, all of the same length.
        let phases = stride.min(f.len());
        let each = (panel.rows.len() + f.len().div_ceil(stride)) * n;
        let mut window = Scratch::new(phases * each);
        for (phase, window) in window.chunks_exact_mut(each).enumerate() {
            fill(window, &x, pads, (panel.rows.start * stride + phase) as isize, stride);
        }
        let place = |j: usize| j % stride * each + j / stride * n;
        let taps: Vec<_> = f.iter().enumerate().map(|(j, f)| (place(j), *f)).collect();
        accumulate(out, &window, &taps);
    })
}
