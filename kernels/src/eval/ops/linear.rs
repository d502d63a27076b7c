//! Linear layers.

use std::borrow::Cow;
use std::ops::Range;

use crate::eval::product::{Elements, Left, Matrix, Packed, Stored};
use crate::eval::row_op::{Prepared, Setup, fresh};
use crate::eval::{Data, EvalError, Tensor};

/// A packed weight, given or made for this call.
pub(crate) enum Weight<'a> {
    Given(&'a Packed),
    Made(Packed),
}

impl Weight<'_> {
    /// The packed form of input 1, in so many matrices with k rows together and n columns, in units of `unit` places.
    pub fn of<'a>(
        setup: &Setup<'a, '_>,
        (matrices, k, n): (usize, usize, usize),
        unit: impl Fn(usize) -> usize,
        pack: impl Fn(&Tensor<'a>) -> Option<Packed>,
    ) -> Result<Weight<'a>, EvalError> {
        let input = setup.input(1);
        let weight = match input.packed {
            Some(packed) => Weight::Given(packed),
            None => {
                pack(&input.tensor()?).map(Weight::Made).ok_or(EvalError::Packed { op: setup.op.name() })?
            }
        };
        let fits = weight.matrices().len() == matrices
            && weight.matrices().iter().map(|m| m.k).sum::<usize>() == k
            && weight.matrices().iter().enumerate().all(|(number, m)| m.n == n && m.unit == unit(number));
        if fits { Ok(weight) } else { Err(EvalError::Packed { op: setup.op.name() }) }
    }

    pub fn matrices(&self) -> &[Matrix] {
        match self {
            Weight::Given(packed) => &packed.matrices,
            Weight::Made(packed) => &packed.matrices,
        }
    }
}

/// All elements of a weight, contiguous, in its own dtype; `None` for integers.
pub(crate) fn elements<'a>(weight: &Tensor<'a>) -> Option<Stored<'a>> {
    fn joined<'a, T: Copy>(data: &'a [T], t: &Tensor<'_>) -> Cow<'a, [T]> {
        let (rows, cols) = (t.rows(), t.cols());
        if t.row_stride == cols || rows <= 1 {
            return Cow::Borrowed(&data[..rows * cols]);
        }
        Cow::Owned((0..rows).flat_map(|r| &data[r * t.row_stride..][..cols]).copied().collect())
    }
    match weight.data {
        Data::F32(d) => Some(Elements::F32(joined(d, weight))),
        Data::Bf16(d) => Some(Elements::Bf16(joined(d, weight))),
        Data::I32(_) | Data::U8(_) => None,
    }
}

/// `[n, k]` laid out as `[k, n]`.
pub(crate) fn pack(weight: &Tensor<'_>) -> Option<Packed> {
    let (n, k) = (weight.rows(), weight.cols());
    let order: Vec<usize> = (0..k).collect();
    let matrix = Matrix::pack(&elements(weight)?, n, k, &order, k);
    Some(Packed { matrices: vec![matrix] })
}

/// Adds a bias to every row.
pub(crate) fn add_bias(out: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias.filter(|b| !b.is_empty()) {
        for out in out.chunks_exact_mut(bias.len()) {
            out.iter_mut().zip(bias).for_each(|(out, b)| *out += b);
        }
    }
}

/// x·wᵀ + bias; the bias is added to the finished sum.
pub(crate) fn prepare<'a>(setup: &Setup<'a, '_>) -> Prepared<'a> {
    let (k, n) = (setup.input(0).cols(), setup.cols());
    let weight = Weight::of(setup, (1, k, n), |_| k, pack)?;
    let bias = setup.inputs.get(2).map(|b| b.values()).transpose()?;
    fresh(move |panel, out| {
        let x = panel.inputs[0];
        let left = |k: &Range<usize>| Left { data: &x.data[k.start..], row: x.stride, depth: 1 };
        weight.matrices()[0].multiply(&left, panel.rows.len(), out, panel.wide);
        add_bias(out, bias.as_deref());
    })
}
