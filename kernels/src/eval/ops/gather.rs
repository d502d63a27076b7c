//! Rows of a table by number.

use crate::eval::row_op::{Prepared, Setup, fresh};

/// Entry i of the first axis of the result is entry `index[i]` of the table, read from its storage: a table of
/// embeddings is far larger than what is taken from it.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (table, index) = (setup.input(0).tensor()?, setup.input(1).ints()?);
    setup.check_index(&index, table.shape[0])?;
    if table.shape.len() == 1 {
        // Entries are single elements, and the whole result is one row.
        return fresh(move |_, out| {
            for (out, i) in out.chunks_exact_mut(1).zip(&index) {
                table.load(0, *i as usize..*i as usize + 1, out);
            }
        });
    }
    let inner = table.rows() / table.shape[0];
    let n = setup.cols();
    fresh(move |panel, out| {
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            table.load(index[row / inner] as usize * inner + row % inner, 0..n, out);
        }
    })
}
