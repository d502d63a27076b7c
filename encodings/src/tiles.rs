//! The order of block scales in tiles of 128 x 4, as tensor cores read them.

const ROWS: usize = 128;
const COLUMNS: usize = 4;

/// Where the scale of (row, column) lies among those of a matrix of scales with so many columns.
pub const fn tile_place(row: usize, column: usize, columns: usize) -> usize {
    TileRow::new(row, columns).place(column)
}

/// The scales of a row.
#[derive(Clone, Copy)]
pub(crate) struct TileRow {
    /// Where that of column 0 lies.
    first: usize,
}

impl TileRow {
    /// Those of `row` in a matrix of scales with so many columns.
    #[inline(always)]
    pub(crate) const fn new(row: usize, columns: usize) -> TileRow {
        let tile = row / ROWS * columns.div_ceil(COLUMNS);
        TileRow { first: tile * ROWS * COLUMNS + row % 32 * 16 + row % ROWS / 32 * 4 }
    }

    #[inline(always)]
    pub(crate) const fn place(self, column: usize) -> usize {
        self.first + column / COLUMNS * ROWS * COLUMNS + column % COLUMNS
    }
}

/// Rows and columns of a matrix of scales when it is filled up to whole tiles; `None` where a machine cannot count them.
pub fn tiled(rows: usize, columns: usize) -> Option<[usize; 2]> {
    let shape = [rows.checked_next_multiple_of(ROWS)?, columns.checked_next_multiple_of(COLUMNS)?];
    shape[0].checked_mul(shape[1]).map(|_| shape)
}
