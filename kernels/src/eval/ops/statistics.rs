//! Mean and deviation over all positions: of everything, and of groups of channels.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::scratch::Scratch;
use crate::eval::{EvalError, Tensor};

/// Rows whose sums are taken together; the sums of runs are added in order, so no result depends on threads.
const RUN: usize = 256;

/// The standard deviation of all elements of visible rows, by their number less one: one number.
pub(crate) fn deviation<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (_, deviation) = of_all(setup)?;
    fresh(move |_, out| out.fill(deviation))
}

/// x less the mean of visible rows, over their deviation; zeros where that is 0.
pub(crate) fn standardize<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (mean, deviation) = of_all(setup)?;
    let x = setup.input(0).tensor()?;
    fresh(move |panel, out| {
        x.load_rows(panel.rows.clone(), out);
        let standard = |x: f32| if deviation == 0.0 { 0.0 } else { (x - mean) / deviation };
        out.iter_mut().for_each(|x| *x = standard(*x));
    })
}

/// Mean and deviation of input 0: of all rows, or of those for which input 1 is over a half.
fn of_all(setup: &Setup<'_, '_>) -> Result<(f32, f32), EvalError> {
    let (x, n) = (setup.input(0).tensor()?, setup.input(0).cols());
    let visible = match setup.inputs.get(1) {
        Some(visible) => Some(visible.values()?),
        None => None,
    };
    let visible = visible.as_deref();
    let rows = visible.map_or(x.rows(), |visible| visible.iter().filter(|v| is_visible(**v)).count());
    let count = (rows * n) as f64;
    if count < 2.0 {
        return Ok((0.0, 0.0));
    }
    let (mean, variance) = statistics(&x, n, n, visible);
    Ok((mean[0], (variance[0] * count / (count - 1.0)).sqrt() as f32))
}

fn is_visible(visible: f32) -> bool {
    visible > 0.5
}

/// Of rows of `n` channels, where some are not `visible` of the others: the mean of each channel's group of `size`, and
/// the mean square of what is apart from it, by group.
pub(super) fn statistics(
    x: &Tensor<'_>,
    n: usize,
    size: usize,
    visible: Option<&[f32]>,
) -> (Vec<f32>, Vec<f64>) {
    let mean = means(x, size, &vec![0.0; n], visible, add);
    let mean: Vec<f32> = (0..n).map(|c| mean[c / size] as f32).collect();
    let variance = means(x, size, &mean, visible, add_square);
    (mean, variance)
}

/// The mean over visible rows and `size` channels of what `add` makes of a row and `center`.
fn means(
    x: &Tensor<'_>,
    size: usize,
    center: &[f32],
    visible: Option<&[f32]>,
    add: fn(&mut [f64], &[f32], &[f32]),
) -> Vec<f64> {
    let (rows, n) = (x.rows(), center.len());
    let sees = |row: usize| visible.is_none_or(|visible| is_visible(visible[row]));
    let runs: Vec<Vec<f64>> = (0..rows.div_ceil(RUN))
        .into_par_iter()
        .map(|run| {
            let mut row = Scratch::new(n);
            let mut sums = vec![0.0; n];
            for r in (run * RUN..rows.min((run + 1) * RUN)).filter(|r| sees(*r)) {
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
    let seen = (0..rows).filter(|row| sees(*row)).count();
    channels.chunks(size).map(|group| group.iter().sum::<f64>() / (seen * size) as f64).collect()
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
