//! A depthwise filter over height and width.

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

/// y\[t, p, q\] = Σ x\[t, p·stride + i − k/2, q·stride + j − k/2\]·w\[i, j\], with zeros around.
pub(crate) fn down<'a>(setup: &Setup<'a, '_>, stride: usize) -> Prepared<'a> {
    let (x, filter, n) = (setup.input(0).tensor()?, setup.input(1).tensor()?, setup.cols());
    let (taps, [rows, columns]) = (filter.cols(), [setup.shape[1], setup.shape[2]]);
    let mut weights = vec![0.0; taps * taps];
    for (i, weights) in weights.chunks_exact_mut(taps).enumerate() {
        filter.load(i, 0..taps, weights);
    }
    fresh(move |panel, out| {
        let mut pixel = Scratch::new(n);
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            let (frame, corner) = (row / columns / rows, [row / columns % rows, row % columns]);
            out.fill(0.0);
            for (tap, weight) in weights.iter().enumerate() {
                let [line, column] = [0, 1].map(|axis| {
                    let at = corner[axis] * stride + [tap / taps, tap % taps][axis];
                    at.checked_sub(taps / 2).filter(|at| *at < x.shape[1 + axis])
                });
                let (Some(line), Some(column)) = (line, column) else { continue };
                x.load((frame * x.shape[1] + line) * x.shape[2] + column, 0..n, &mut pixel);
                out.iter_mut().zip(&pixel[..]).for_each(|(sum, x)| *sum = x.mul_add(*weight, *sum));
            }
        }
    })
}
