//! The norm over all positions and a group of channels.

use rayon::prelude::*;

use crate::eval::step::{Prepared, Setup, fresh};

/// Rows whose sums are taken together; the sums of runs are added in order, so no result depends on threads.
const RUN: usize = 1024;

/// (x − mean)/sqrt(variance + eps)·w + b, the statistics over all positions and the channels of a group. Sums of f32
/// terms are kept in f64: there are up to 1e8 of them.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, groups: usize, eps: f32) -> Prepared<'a> {
    let (x, n) = (setup.input(0).tensor()?, setup.cols().max(1));
    let (w, b) = (setup.input(1).values()?, setup.input(2).values()?);
    let rows = x.rows();
    let sums = |term: &(dyn Fn(usize, f32) -> f64 + Sync)| -> Vec<f64> {
        let runs: Vec<Vec<f64>> = (0..rows.div_ceil(RUN))
            .into_par_iter()
            .map(|run| {
                let mut row = vec![0.0; n];
                let mut sums = vec![0.0; n];
                for r in run * RUN..rows.min((run + 1) * RUN) {
                    x.load(r, 0..n, &mut row);
                    sums.iter_mut().zip(&row).enumerate().for_each(|(c, (sum, x))| *sum += term(c, *x));
                }
                sums
            })
            .collect();
        let per_channel = runs.iter().fold(vec![0.0; n], |mut all, run| {
            all.iter_mut().zip(run).for_each(|(all, run)| *all += run);
            all
        });
        let size = n / groups;
        let count = (rows * size) as f64;
        per_channel.chunks_exact(size.max(1)).map(|group| group.iter().sum::<f64>() / count).collect()
    };
    let size = (n / groups).max(1);
    let mean = sums(&|_, x| f64::from(x));
    let variance = sums(&|c, x| (f64::from(x) - mean[c / size]).powi(2));
    let inverse: Vec<f64> = variance.iter().map(|v| 1.0 / (v + f64::from(eps)).sqrt()).collect();
    let factor: Vec<f32> = (0..n).map(|c| (inverse[c / size] * f64::from(w[c])) as f32).collect();
    let mean: Vec<f32> = (0..n).map(|c| mean[c / size] as f32).collect();
    fresh(move |panel, out| {
        x.load_rows(panel.rows.clone(), out);
        for out in out.chunks_exact_mut(n) {
            for c in 0..n {
                out[c] = (out[c] - mean[c]) * factor[c] + b[c];
            }
        }
    })
}
