//! The numbers of rows that stay encoded.

use zoetrope_model_spec::lang::Kept;

use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::{Data, EvalError, Packed, Tensor};

/// Row i of the result is row i of the bytes.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>, kept: Kept) -> Prepared<'a> {
    let (rows, columns) = (setup.input(0).tensor()?, setup.cols());
    let Data::U8(bytes) = rows.data else {
        return Err(EvalError::InputDtype { op: setup.op.name(), input: 0, found: setup.input(0).dtype });
    };
    fresh(move |panel, out| {
        for (row, out) in panel.rows.clone().zip(out.chunks_exact_mut(columns)) {
            kept.decode(&bytes[row * rows.row_stride..][..rows.cols()], out);
        }
    })
}

/// The decoded rows laid out as the weight of a product; `None` for what is no bytes.
pub(crate) fn pack(weight: &Tensor<'_>, kept: Kept, columns: usize) -> Option<Packed> {
    let (Data::U8(bytes), true) = (weight.data, kept.row_bytes(columns) == Some(weight.cols())) else {
        return None;
    };
    let mut values = vec![0.0; weight.rows() * columns];
    for (row, out) in values.chunks_exact_mut(columns).enumerate() {
        kept.decode(&bytes[row * weight.row_stride..][..weight.cols()], out);
    }
    let shape = [weight.rows(), columns];
    super::linear::pack(&Tensor { data: Data::F32(&values), shape: &shape, row_stride: columns })
}
