//! Norms of single rows.

use multiversion::multiversion;

use crate::eval::math::{sum, sum_of_squares};
use crate::eval::row_op::{Prepared, Setup, in_place};

/// Each of `groups` slices of a row: x / sqrt(mean(x²) + eps)·(w + offset).
pub(crate) fn rms<'a>(setup: &Setup<'a, '_>, eps: f32, offset: f32, groups: usize) -> Prepared<'a> {
    let slice = setup.cols() / groups;
    let weight: Option<Vec<f32>> = match setup.inputs.get(1) {
        Some(w) => Some(w.values()?.iter().map(|w| w + offset).collect()),
        // Without a weight the factor is 1, whatever the offset.
        None => None,
    };
    in_place(move |_, x| rms_slices(x, slice, eps, weight.as_deref()))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn rms_slices(x: &mut [f32], slice: usize, eps: f32, weight: Option<&[f32]>) {
    for x in x.chunks_exact_mut(slice) {
        let inverse = 1.0 / (sum_of_squares(x) / slice as f32 + eps).sqrt();
        match weight {
            Some(w) => x.iter_mut().zip(w).for_each(|(x, w)| *x = *x * inverse * w),
            None => x.iter_mut().for_each(|x| *x *= inverse),
        }
    }
}

/// (x − mean) / sqrt(variance + eps), the variance from the differences.
pub(crate) fn layer<'a>(setup: &Setup<'a, '_>, eps: f32) -> Prepared<'a> {
    let n = setup.cols();
    in_place(move |_, x| layer_rows(x, n, eps))
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn layer_rows(x: &mut [f32], n: usize, eps: f32) {
    for x in x.chunks_exact_mut(n) {
        let mean = sum(x) / n as f32;
        x.iter_mut().for_each(|x| *x -= mean);
        let inverse = 1.0 / (sum_of_squares(x) / n as f32 + eps).sqrt();
        x.iter_mut().for_each(|x| *x *= inverse);
    }
}
