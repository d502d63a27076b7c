//! The values that exist between sweeps, and how the ops of a sweep find them.

use zoetrope_model_spec::lang::{Dtype, Op};

use super::panel::{Link, RowInput};
use super::row_op::{Input, Setup};
use super::sweeps::{Kind, Order, Sweep, reads_rows};
use super::{Data, DataMut, EvalError, Operand, Packed, Tensor, TensorMut, ops, rows};
use crate::{Meaning, Ref};

/// A value between two sweeps, or saved from the result's memory.
pub(crate) enum Temporary {
    F32(Vec<f32>, Vec<usize>),
    I32(Vec<i32>, Vec<usize>),
}

impl Temporary {
    pub fn new(kind: &Kind) -> Temporary {
        let n = kind.shape.iter().product();
        match kind.dtype {
            Dtype::I32 | Dtype::U8 => Temporary::I32(vec![0; n], kind.shape.clone()),
            Dtype::F32 | Dtype::Bf16 => Temporary::F32(vec![0.0; n], kind.shape.clone()),
        }
    }

    pub fn copy_of(out: &TensorMut<'_>) -> Temporary {
        let tensor = Tensor { data: out.data.as_data(), shape: out.shape, row_stride: rows::cols(out.shape) };
        match out.data {
            DataMut::I32(_) => Temporary::I32(tensor.to_ints(), out.shape.to_vec()),
            _ => Temporary::F32(tensor.to_f32().into_owned(), out.shape.to_vec()),
        }
    }

    fn tensor(&self) -> Tensor<'_> {
        let (data, shape) = match self {
            Temporary::F32(d, shape) => (Data::F32(d), shape),
            Temporary::I32(d, shape) => (Data::I32(d), shape),
        };
        Tensor { data, shape, row_stride: rows::cols(shape) }
    }

    pub fn data_mut(&mut self) -> DataMut<'_> {
        match self {
            Temporary::F32(d, _) => DataMut::F32(d),
            Temporary::I32(d, _) => DataMut::I32(d),
        }
    }
}

/// Everything that exists when a sweep begins.
pub(crate) struct Values<'a> {
    pub operands: &'a [Operand<'a>],
    pub packed: &'a [Option<&'a Packed>],
    pub saved: &'a [Option<Temporary>],
    pub made: &'a [Option<Temporary>],
    pub order: &'a Order,
}

/// Of an op that decodes an operand: that operand laid out for products, where it is.
pub(crate) fn packed_operand<'a>(
    meaning: &Meaning,
    op: usize,
    packed: &[Option<&'a Packed>],
) -> Option<&'a Packed> {
    match (&meaning.ops[op].op, meaning.ops[op].inputs.as_slice()) {
        (Op::Decode { .. }, [Ref::Operand(operand)]) => packed.get(*operand).copied().flatten(),
        _ => None,
    }
}

impl<'a> Values<'a> {
    /// A value's tensor; `None` for what is in the result's memory or not made yet.
    fn tensor(&self, r: Ref) -> Option<Tensor<'a>> {
        match r {
            Ref::Inner(i) => self.made[i].as_ref().map(Temporary::tensor),
            Ref::Operand(i) => match &self.operands[i] {
                Operand::Tensor(t) => Some(*t),
                Operand::InPlace => self.saved[i].as_ref().map(Temporary::tensor),
            },
        }
    }

    pub fn links(&self, meaning: &'a Meaning, sweep: &Sweep) -> Result<Vec<Link<'a>>, EvalError> {
        sweep.ops.iter().enumerate().map(|(place, op)| self.link(meaning, sweep, place, *op)).collect()
    }

    fn link(
        &self,
        meaning: &'a Meaning,
        sweep: &Sweep,
        place: usize,
        op: usize,
    ) -> Result<Link<'a>, EvalError> {
        let this = &meaning.ops[op];
        let kinds: Vec<&'a Kind> = this.inputs.iter().map(|r| self.order.kind(*r)).collect();
        let shapes: Vec<&[usize]> = kinds.iter().map(|k| k.shape.as_slice()).collect();
        let mut inputs = Vec::with_capacity(kinds.len());
        let mut row_inputs = Vec::with_capacity(kinds.len());
        for (i, r) in this.inputs.iter().enumerate() {
            let whole = !reads_rows(&this.op, i, &shapes);
            let tensor = self.tensor(*r);
            let packed = match r {
                Ref::Operand(o) => self.packed.get(*o).copied().flatten(),
                Ref::Inner(op) => packed_operand(meaning, *op, self.packed),
            };
            row_inputs.push(match (r, tensor) {
                _ if whole => RowInput::Whole,
                (_, Some(tensor)) => RowInput::Tensor(tensor),
                (Ref::Operand(_), None) => RowInput::InResult,
                (Ref::Inner(i), None) => {
                    sweep.ops.iter().position(|o| o == i).map_or(RowInput::Whole, RowInput::Made)
                }
            });
            let (dtype, shape) = (kinds[i].dtype, kinds[i].shape.as_slice());
            inputs.push(Input { dtype, shape, whole: tensor.filter(|_| whole), packed });
        }
        let result = &self.order.results[op];
        let (dtype, shape) = (result.dtype, result.shape.as_slice());
        let ready = ops::prepare(&Setup { op: &this.op, inputs: &inputs, dtype, shape })?;
        // Its buffer may be changed when this is the last look at it.
        let readers = (0..meaning.ops.len()).filter(|o| !sweep.ops[..place].contains(o));
        let looks =
            readers.flat_map(|o| &meaning.ops[o].inputs).filter(|r| this.inputs.first() == Some(r)).count();
        let made_here = matches!(row_inputs.first(), Some(RowInput::Made(_)));
        Ok(Link {
            takes_over: ready.in_place() && made_here && looks == 1,
            op: ready,
            inputs: row_inputs,
            widths: shapes.iter().map(|s| rows::cols(s)).collect(),
            width: rows::cols(&result.shape),
        })
    }
}
