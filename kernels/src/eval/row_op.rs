//! An op made ready to compute rows of its result.

use std::borrow::Cow;
use std::ops::Range;

use zoetrope_model_spec::lang::{Dtype, Op};

use super::rows::{Rows, cols, rows};
use super::{EvalError, Packed, Tensor};

/// What is known of one input before any row is computed.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub dtype: Dtype,
    pub shape: &'a [usize],
    /// All of it, where the op reads it as a whole; row by row it comes with the [`Panel`].
    pub whole: Option<Tensor<'a>>,
    pub packed: Option<&'a Packed>,
}

impl<'a> Input<'a> {
    pub fn rows(&self) -> usize {
        rows(self.shape)
    }

    pub fn cols(&self) -> usize {
        cols(self.shape)
    }

    /// The tensor of an input that [`super::sweeps::reads_rows`] calls whole.
    pub fn tensor(&self) -> Result<Tensor<'a>, EvalError> {
        self.whole
            .ok_or_else(|| EvalError::Shape("an input that is read as a whole came by rows".to_string()))
    }

    /// All elements as f32.
    pub fn values(&self) -> Result<Cow<'a, [f32]>, EvalError> {
        Ok(self.tensor()?.to_f32())
    }

    /// All elements of an input of integers.
    pub fn ints(&self) -> Result<Vec<i32>, EvalError> {
        Ok(self.tensor()?.to_ints())
    }
}

/// An op, its inputs and the shape of its result.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a, 's> {
    pub op: &'a Op,
    pub inputs: &'s [Input<'a>],
    /// Dtype and shape of the result.
    pub dtype: Dtype,
    pub shape: &'a [usize],
}

impl<'a> Setup<'a, '_> {
    /// Input `i`, which the op has: [`zoetrope_model_spec::lang::infer`] counted them.
    pub fn input(&self, i: usize) -> Input<'a> {
        self.inputs[i]
    }

    pub fn cols(&self) -> usize {
        cols(self.shape)
    }

    /// An error when an index is not a row number below `rows`.
    pub fn check_index(&self, index: &[i32], rows: usize) -> Result<(), EvalError> {
        let outside = index.iter().find(|i| usize::try_from(**i).map_or(true, |i| i >= rows));
        outside.map_or(Ok(()), |i| Err(EvalError::Index { op: self.op.name(), index: *i, rows }))
    }
}

/// The rows being computed.
pub(crate) struct Panel<'a> {
    pub rows: Range<usize>,
    /// The same rows of the inputs that are read by rows; nothing for the others.
    pub inputs: &'a [Rows<'a>],
    /// There are fewer panels than threads: the op may share out its own work.
    pub wide: bool,
}

impl Panel<'_> {
    /// Row `i` of the panel, of input `input`.
    pub fn row(&self, input: usize, i: usize, cols: usize) -> &[f32] {
        let rows = &self.inputs[input];
        &rows.data[i * rows.stride..][..cols]
    }
}

/// An op made ready.
pub(crate) trait RowOp: Send + Sync {
    /// True when `out` of [`RowOp::run`] holds the rows of input 0 on entry.
    fn in_place(&self) -> bool;

    /// False where these rows of the result are those of input 0, of an op that is in place.
    fn changes(&self, _rows: &Range<usize>) -> bool {
        true
    }

    /// Writes the panel's rows of the result to `out`, one after the other.
    fn run(&self, panel: &Panel<'_>, out: &mut [f32]);
}

/// An op that changes the rows of input 0 where they lie.
pub(crate) struct InPlace<F>(pub F);

/// An op that writes rows which it does not read.
pub(crate) struct Fresh<F>(pub F);

impl<F: Fn(&Panel<'_>, &mut [f32]) + Send + Sync> RowOp for InPlace<F> {
    fn in_place(&self) -> bool {
        true
    }
    fn run(&self, panel: &Panel<'_>, out: &mut [f32]) {
        self.0(panel, out);
    }
}

impl<F: Fn(&Panel<'_>, &mut [f32]) + Send + Sync> RowOp for Fresh<F> {
    fn in_place(&self) -> bool {
        false
    }
    fn run(&self, panel: &Panel<'_>, out: &mut [f32]) {
        self.0(panel, out);
    }
}

pub(crate) type BoxedRowOp<'a> = Box<dyn RowOp + 'a>;

/// What preparing an op gives.
pub(crate) type Prepared<'a> = Result<BoxedRowOp<'a>, EvalError>;

pub(crate) fn in_place<'a>(f: impl Fn(&Panel<'_>, &mut [f32]) + Send + Sync + 'a) -> Prepared<'a> {
    Ok(Box::new(InPlace(f)))
}

pub(crate) fn fresh<'a>(f: impl Fn(&Panel<'_>, &mut [f32]) + Send + Sync + 'a) -> Prepared<'a> {
    Ok(Box::new(Fresh(f)))
}
