//! Where the left operand of a product comes from.

use std::ops::Range;

use crate::eval::rows::Rows;

/// A left operand that shows its rows.
pub(crate) trait Source: Sync {
    /// Places `k`, a block of the weight, of `count` rows from `first`: one slice for each row, where it lies or in
    /// `scratch`, which has room for all of them.
    fn rows<'a>(
        &'a self,
        first: usize,
        count: usize,
        k: Range<usize>,
        scratch: &'a mut [f32],
    ) -> Vec<&'a [f32]>;
}

impl Source for Rows<'_> {
    fn rows<'a>(&'a self, first: usize, count: usize, k: Range<usize>, _: &'a mut [f32]) -> Vec<&'a [f32]> {
        (first..first + count).map(|row| &self.data[row * self.stride..][k.clone()]).collect()
    }
}
