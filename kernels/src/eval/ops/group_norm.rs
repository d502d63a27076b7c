//! Statistics over all positions: the norm of groups of channels, and the standard deviation of everything.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::eval::Tensor;
use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;

/// Rows whose sums are taken together; the sums of runs are added in order, so no result depends on threads.
const RUN: usize = 256;

/// (x − mean)/sqrt(variance + eps)·w + b, the statistics over all positions and the channels of a group. Sums are
/// kept in f64: they have up to 1e8 terms.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, groups: usize, eps: f32) -> Prepared<'a> {
    let (x, n) = (setup.input(0).tensor()?, setup.cols());
    let (w, b) = (setup.input(1).values()?, setup.input(2).values()?);
    let size = n / groups;
    let (mean, variance) = statistics(&x, n, size);
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

/// The standard deviation of all elements, by their number less one: one number.
pub(crate) fn deviation<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (x, n) = (setup.input(0).tensor()?, setup.input(0).cols());
    let count = (x.rows() * n) as f64;
    let (_, variance) = statistics(&x, n, n);
    let deviation = (variance[0] * count / (count - 1.0)).sqrt() as f32;
    fresh(move |_, out| out.fill(deviation))
}

/// Of rows of `n` channels: the mean of each channel's group of `size`, and the mean square of what is apart from it, by
/// group.
fn statistics(x: &Tensor<'_>, n: usize, size: usize) -> (Vec<f32>, Vec<f64>) {
    let mean = means(x, size, &vec![0.0; n], add);
    let mean: Vec<f32> = (0..n).map(|c| mean[c / size] as f32).collect();
    let variance = means(x, size, &mean, add_square);
    (mean, variance)
}

/// The mean over all rows and `size` channels of what `add` makes of a row and `center`.
fn means(x: &Tensor<'_>, size: usize, center: &[f32], add: fn(&mut [f64], &[f32], &[f32])) -> Vec<f64> {
    let (rows, n) = (x.rows(), center.len());
    let runs: Vec<Vec<f64>> = (0..rows.div_ceil(RUN))
        .into_par_iter()
        .map(|run| {
            let mut row = Scratch::new(n);
            let mut sums = vec![0.0; n];
            for r in run * RUN..rows.min((run + 1) * RUN) {
                x.load(r, 0..n, &mut row);
                add(&mut sums, &row, center);
            }
            sums
        })
        .collect();
    let mut channels = vec![0.0; n];
    for run in runs {
        channels.iter_mut().zip(run).for_each(|(all, run)| *all += run);
    }
    channels.chunks(size).map(|group| group.iter().sum::<f64>() / (rows * size) as f64).collect()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn add(sums: &mut [f64], row: &[f32], center: &[f32]) {
    for ((sum, x), center) in sums.iter_mut().zip(row).zip(center) {
        *sum += f64::from(x - center);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn add_square(sums: &mut [f64], row: &[f32], center: &[f32]) {
    for ((sum, x), center) in sums.iter_mut().zip(row).zip(center) {
        let difference = f64::from(x - center);
        *sum += difference * difference;
    }
}
