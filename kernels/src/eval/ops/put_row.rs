//! A row of a stack that is replaced.

use std::ops::Range;

use crate::eval::row_op::{Panel, Prepared, RowOp, Setup};
use crate::eval::{EvalError, Tensor};

struct PutRow<'a> {
    y: Tensor<'a>,
    /// The row of x that y replaces, counted through all entries.
    row: usize,
}

/// x with a row of an entry replaced.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let [entries, rows, _] = setup.shape[..] else {
        return Err(EvalError::Shape(format!("{:?} is no stack of rows", setup.shape)));
    };
    let place = |input: usize, below: usize| {
        let place = setup.input(input).ints()?;
        setup.check_index(&place, below)?;
        Ok::<usize, EvalError>(place.first().map_or(0, |place| *place as usize))
    };
    let row = place(2, entries)? * rows + place(3, rows)?;
    Ok(Box::new(PutRow { y: setup.input(1).tensor()?, row }))
}

impl RowOp for PutRow<'_> {
    fn in_place(&self) -> bool {
        true
    }

    fn changes(&self, rows: &Range<usize>) -> bool {
        rows.contains(&self.row)
    }

    fn run(&self, panel: &Panel<'_>, out: &mut [f32]) {
        let n = self.y.cols();
        if let Some(out) =
            self.row.checked_sub(panel.rows.start).and_then(|at| out.get_mut(at * n..(at + 1) * n))
        {
            self.y.load_rows(0..1, out);
        }
    }
}
