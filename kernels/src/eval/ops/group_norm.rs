//! The norm of groups of channels over all positions.

use super::statistics::statistics;
use crate::eval::row_op::{Prepared, Setup, fresh};

/// (x − mean)/sqrt(variance + eps)·w + b, the statistics over all positions and the channels of a group. Sums are
/// kept in f64: they have up to 1e8 terms.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, groups: usize, eps: f32) -> Prepared<'a> {
    let (x, n) = (setup.input(0).tensor()?, setup.cols());
    let (w, b) = (setup.input(1).values()?, setup.input(2).values()?);
    let size = n / groups;
    let (mean, variance) = statistics(&x, n, size, None);
    let inverse = |c: usize| 1.0 / (variance[c / size] + f64::from(eps)).sqrt();
    let factor: Vec<f32> = (0..n).map(|c| (inverse(c) * f64::from(w[c])) as f32).collect();
    fresh(move |panel, out| {
        x.load_rows(panel.rows.clone(), out);
        for out in out.chunks_exact_mut(n) {
            for (((x, mean), factor), b) in out.iter_mut().zip(&mean).zip(&factor).zip(&*b) {
                *x = (*x - mean) * factor + b;
            }
        }
    })
}
