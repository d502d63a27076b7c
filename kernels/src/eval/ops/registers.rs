//! Valid rows first, registers after them.

use crate::eval::row_op::{Prepared, Setup, fresh};

/// The rows with mask ≠ 0 first, in order; place p after them holds `registers[p % r]` (docs/model/text.md 4).
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (x, registers) = (setup.input(0).tensor()?, setup.input(2).tensor()?);
    let mask = setup.input(1).ints()?;
    let valid: Vec<usize> = (0..mask.len()).filter(|i| mask[*i] != 0).collect();
    let n = setup.cols();
    fresh(move |panel, out| {
        for (place, out) in panel.rows.clone().zip(out.chunks_exact_mut(n)) {
            match valid.get(place) {
                Some(row) => x.load(*row, 0..n, out),
                None => registers.load(place % registers.rows(), 0..n, out),
            }
        }
    })
}
