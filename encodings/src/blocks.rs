//! Which elements of a matrix share an f32 scale.

use std::fmt;

/// Blocks of a matrix that have a scale each. Scales are stored row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocks {
    /// One for the whole matrix.
    Tensor,
    /// One for each row.
    Row,
    /// One for so many rows and columns; those at the edges may be smaller.
    Of {
        /// Rows of a block, at least 1.
        rows: usize,
        /// Columns of a block, at least 1.
        columns: usize,
    },
}

impl Blocks {
    /// How many blocks a matrix has, along rows and along columns.
    pub const fn counts(self, rows: usize, columns: usize) -> [usize; 2] {
        match self {
            Blocks::Tensor => [1, 1],
            Blocks::Row => [rows, 1],
            Blocks::Of { rows: r, columns: c } => {
                [rows.div_ceil(at_least_1(r)), columns.div_ceil(at_least_1(c))]
            }
        }
    }

    /// The number of the scale of an element, and how many columns from there on share it.
    pub(crate) const fn place(self, row: usize, column: usize, columns: usize) -> (usize, usize) {
        match self {
            Blocks::Tensor => (0, columns - column),
            Blocks::Row => (row, columns - column),
            Blocks::Of { rows: r, columns: c } => {
                let (r, c) = (at_least_1(r), at_least_1(c));
                (row / r * columns.div_ceil(c) + column / c, c - column % c)
            }
        }
    }
}

const fn at_least_1(n: usize) -> usize {
    if n == 0 { 1 } else { n }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocks::Tensor => f.write_str("for the tensor"),
            Blocks::Row => f.write_str("for each row"),
            Blocks::Of { rows, columns } => write!(f, "for each {rows} x {columns}"),
        }
    }
}
