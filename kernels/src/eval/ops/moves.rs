//! Ops that only move elements.

use crate::eval::Tensor;
use crate::eval::row_op::{Prepared, Setup, fresh};

/// The same elements in row-major order.
pub(crate) fn reshape<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (x, n) = (setup.input(0).tensor()?, setup.cols());
    fresh(move |panel, out| {
        let (mut at, width) = (panel.rows.start * n, x.cols());
        let mut out = out;
        while !out.is_empty() {
            let (row, column) = (at / width, at % width);
            let len = (width - column).min(out.len());
            let (run, rest) = out.split_at_mut(len);
            x.load(row, column..column + len, run);
            (out, at) = (rest, at + len);
        }
    })
}

/// Entries of one axis.
pub(crate) fn slice<'a>(setup: &Setup<'a, '_>, axis: usize, start: usize) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    let axes: Vec<usize> = (0..x.shape.len()).collect();
    let mut first = vec![0; axes.len()];
    first[axis] = start;
    strided(setup, x, &axes, &first)
}

/// Axis i of the result is axis `axes[i]` of x.
pub(crate) fn permute<'a>(setup: &Setup<'a, '_>, axes: &[usize]) -> Prepared<'a> {
    let x = setup.input(0).tensor()?;
    strided(setup, x, axes, &vec![0; axes.len()])
}

/// Place p of the result is place `first[axes[i]] + p[i]` on each axis `axes[i]` of x.
fn strided<'a>(setup: &Setup<'a, '_>, x: Tensor<'a>, axes: &[usize], first: &[usize]) -> Prepared<'a> {
    let last = x.shape.len() - 1;
    // Rows of x and places in a row that one place along each axis of x makes.
    let row_step =
        |axis: usize| if axis == last { 0 } else { x.shape[axis + 1..last].iter().product::<usize>() };
    let column_step = |axis: usize| usize::from(axis == last);
    let steps: Vec<[usize; 3]> =
        axes.iter().zip(setup.shape).map(|(a, extent)| [row_step(*a), column_step(*a), *extent]).collect();
    let origin =
        [0, 1].map(|i| (0..=last).map(|a| first[a] * [row_step(a), column_step(a)][i]).sum::<usize>());
    let n = setup.cols();
    fresh(move |panel, out| {
        let Some(([along_rows, _, _], outer)) = steps.split_last() else { return };
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            let (mut from, mut column, mut rest) = (origin[0], origin[1], row);
            for [rows, columns, extent] in outer.iter().rev() {
                from += rest % extent * rows;
                column += rest % extent * columns;
                rest /= extent;
            }
            if outer.iter().all(|[_, columns, _]| *columns == 0) {
                // The last axis stays the last.
                x.load(from, column..column + n, out);
                continue;
            }
            for (i, out) in out.chunks_exact_mut(1).enumerate() {
                x.load(from + i * along_rows, column..column + 1, out);
            }
        }
    })
}

/// One after the other along the first axis.
pub(crate) fn concat<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let pieces: Vec<Tensor<'a>> = setup.inputs.iter().map(|i| i.tensor()).collect::<Result<_, _>>()?;
    let n = setup.cols();
    if setup.shape.len() == 1 {
        // All pieces are in one row.
        return fresh(move |_, out| {
            let mut out = out;
            for piece in &pieces {
                let (here, rest) = out.split_at_mut(piece.cols());
                piece.load(0, 0..piece.cols(), here);
                out = rest;
            }
        });
    }
    fresh(move |panel, out| {
        let mut first = 0;
        for piece in &pieces {
            let (start, end) = (panel.rows.start.max(first), panel.rows.end.min(first + piece.rows()));
            if start < end {
                let at = (start - panel.rows.start) * n;
                piece.load_rows(start - first..end - first, &mut out[at..at + (end - start) * n]);
            }
            first += piece.rows();
        }
    })
}
