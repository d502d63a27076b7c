//! DoRA: a change that also sets the length of every row, or of every column, of a weight.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use zoetrope_runtime::files::{FileError, Tensor};

use super::change::read_rows;

/// The lengths that rows or columns get.
#[derive(Clone, Copy, Debug)]
pub struct Dora<'a> {
    /// \[out\] or [out, 1] for rows, [1, in] for columns.
    pub magnitude: Tensor<'a>,
    /// What has these lengths.
    pub axis: Axis,
    /// How far weights go the way to what the adapter makes of them: 1 is all of it.
    pub strength: f32,
}

/// What of a weight has a length each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Rows,
    Columns,
}

/// Of which weight rows have the length that they are divided by. Files do not say which was meant. That of columns is
/// always the one after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// The one before the change, as in ComfyUI.
    Original,
    /// The one after it, as in PEFT.
    Changed,
}

/// Lengths that rows alone do not tell.
#[derive(Debug, Default)]
pub struct Lengths {
    /// Those of the columns of a changed weight, by the place of the change with DoRA among those of its parameter.
    pub of_columns: BTreeMap<usize, Vec<f32>>,
}

impl<'a> Dora<'a> {
    /// Lengths for a weight of this shape; `None` where `magnitude` has another one.
    pub fn new(magnitude: Tensor<'a>, strength: f32, [out, inner]: [usize; 2]) -> Option<Dora<'a>> {
        let axis = match magnitude.shape {
            [n] | [n, 1] if *n == out => Axis::Rows,
            [1, n] if *n == inner => Axis::Columns,
            _ => return None,
        };
        Some(Dora { magnitude, axis, strength })
    }

    /// Makes of `values`, rows of a weight, and of the same rows after the change what the adapter makes of them, where it
    /// sets lengths of rows.
    ///
    /// # Errors
    /// A file that was changed since it was opened.
    pub fn apply(
        &self,
        norms: Norms,
        rows: Range<usize>,
        columns: usize,
        values: &mut [f32],
        changed: &[f32],
    ) -> Result<(), FileError> {
        let magnitudes = read_rows(&self.magnitude, rows)?;
        let (values, changed) = (values.par_chunks_exact_mut(columns), changed.par_chunks_exact(columns));
        values.zip(changed).zip(&magnitudes).for_each(|((values, changed), magnitude)| {
            let measured: &[f32] = if norms == Norms::Original { values } else { changed };
            let square: f64 = measured.iter().map(|x| f64::from(*x).powi(2)).sum();
            let scale = scale(*magnitude, square.sqrt() as f32);
            for (value, changed) in values.iter_mut().zip(changed) {
                *value += self.strength * (changed * scale - *value);
            }
        });
        Ok(())
    }

    /// The same where it sets lengths of columns, which have these `lengths` now.
    ///
    /// # Errors
    /// As [`Dora::apply`].
    pub fn apply_to_columns(
        &self,
        lengths: &[f32],
        values: &mut [f32],
        changed: &[f32],
    ) -> Result<(), FileError> {
        let magnitudes = read_rows(&self.magnitude, 0..1)?;
        let scales: Vec<f32> = magnitudes.iter().zip(lengths).map(|(m, length)| scale(*m, *length)).collect();
        let columns = scales.len().max(1);
        let (values, changed) = (values.par_chunks_exact_mut(columns), changed.par_chunks_exact(columns));
        values.zip(changed).for_each(|(values, changed)| {
            for ((value, changed), scale) in values.iter_mut().zip(changed).zip(&scales) {
                *value += self.strength * (changed * scale - *value);
            }
        });
        Ok(())
    }
}

/// What makes a length `magnitude`.
fn scale(magnitude: f32, length: f32) -> f32 {
    magnitude / (length + f32::EPSILON)
}
