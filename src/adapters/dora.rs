//! DoRA: a change that also sets the length of every row of a weight.

use std::ops::Range;

use rayon::prelude::*;
use zoetrope_runtime::files::{FileError, Tensor};

use super::change::read_rows;

/// The lengths that rows get.
#[derive(Clone, Copy, Debug)]
pub struct Dora<'a> {
    /// \[out\] or [out, 1].
    pub magnitude: Tensor<'a>,
    /// How far weights go the way to what the adapter makes of them: 1 is all of it.
    pub strength: f32,
}

/// Of which weight rows have the length that they are divided by. Files do not say which was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// The one before the change, as in ComfyUI.
    Original,
    /// The one after it, as in PEFT.
    Changed,
}

impl Dora<'_> {
    /// Whether there is a length for each of so many rows.
    pub fn fits(&self, out: usize) -> bool {
        self.magnitude.shape == [out] || self.magnitude.shape == [out, 1]
    }

    /// Makes of `values`, rows of a weight, and of the same rows after the change what the adapter makes of them.
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
            let scale = magnitude / (square.sqrt() as f32 + f32::EPSILON);
            for (value, changed) in values.iter_mut().zip(changed) {
                *value += self.strength * (changed * scale - *value);
            }
        });
        Ok(())
    }
}
