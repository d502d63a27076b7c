//! The order of evaluation: ops fall into sweeps, and a sweep goes through its rows panel by panel.
//!
//! Every op computes a row of its result from the same row of some inputs and from the whole of others. Ops of one
//! sweep have the same number of rows and find what they read whole in operands and earlier sweeps.

use zoetrope_model_spec::lang::{Dtype, Op, infer};

use super::rows::rows;
use super::{EvalError, Meaning, Ref};

/// Dtype and shape of a value.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// Ops that are evaluated together, by place in the meaning, in order.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub ops: Vec<usize>,
    /// Rows of every result of the sweep.
    pub rows: usize,
}

/// A meaning with the shapes of a call.
#[derive(Debug)]
pub(crate) struct Order {
    pub operands: Vec<Kind>,
    /// The results of the ops.
    pub results: Vec<Kind>,
    pub sweeps: Vec<Sweep>,
    /// The sweep of every op.
    pub sweep_of: Vec<usize>,
}

impl Order {
    pub fn new(meaning: &Meaning, operands: Vec<Kind>) -> Result<Order, EvalError> {
        operands.iter().try_for_each(not_empty)?;
        let mut results: Vec<Kind> = Vec::with_capacity(meaning.ops.len());
        for op in &meaning.ops {
            let inputs: Vec<&Kind> =
                op.inputs.iter().map(|r| kind(&operands, &results, *r)).collect::<Result<_, _>>()?;
            check_dtypes(&op.op, &inputs)?;
            let of: Vec<_> = inputs.iter().map(|k| (k.dtype, k.shape.as_slice())).collect();
            let (dtype, shape) = infer(&op.op, &of)?;
            let kind = Kind { dtype, shape };
            not_empty(&kind)?;
            results.push(kind);
        }
        // As late as possible: an op stands in the sweep of its reader if that reads it by rows, else before it.
        let mut depth = vec![0; meaning.ops.len()];
        for (reader, op) in meaning.ops.iter().enumerate().rev() {
            let shapes: Vec<&[usize]> = op
                .inputs
                .iter()
                .map(|r| kind(&operands, &results, *r).map(|k| k.shape.as_slice()))
                .collect::<Result<_, _>>()?;
            for (input, r) in op.inputs.iter().enumerate() {
                let Ref::Inner(made) = *r else { continue };
                let together =
                    reads_rows(&op.op, input, &shapes) && rows(shapes[input]) == rows(&results[reader].shape);
                depth[made] = depth[made].max(depth[reader] + usize::from(!together));
            }
        }
        let mut sweeps: Vec<Sweep> = Vec::new();
        let mut sweep_of = vec![0; depth.len()];
        for level in (0..=depth.iter().max().copied().unwrap_or(0)).rev() {
            let first = sweeps.len();
            for op in (0..depth.len()).filter(|op| depth[*op] == level) {
                let rows = rows(&results[op].shape);
                let place = (first..sweeps.len()).find(|s| sweeps[*s].rows == rows).unwrap_or(sweeps.len());
                if place == sweeps.len() {
                    sweeps.push(Sweep { ops: Vec::new(), rows });
                }
                sweeps[place].ops.push(op);
                sweep_of[op] = place;
            }
        }
        Ok(Order { operands, results, sweeps, sweep_of })
    }

    /// Leaves out ops whose results nobody asks for.
    pub fn without(mut self, unasked: impl Fn(usize) -> bool) -> Order {
        self.sweeps.iter_mut().for_each(|sweep| sweep.ops.retain(|op| !unasked(*op)));
        self
    }

    pub fn kind(&self, r: Ref) -> &Kind {
        match r {
            Ref::Operand(i) => &self.operands[i],
            Ref::Inner(i) => &self.results[i],
        }
    }
}

/// Every value has elements, so that no op has to ask.
fn not_empty(kind: &Kind) -> Result<(), EvalError> {
    if kind.shape.contains(&0) {
        Err(EvalError::Shape(format!("{:?} has no elements", kind.shape)))
    } else {
        Ok(())
    }
}

fn kind<'a>(operands: &'a [Kind], results: &'a [Kind], r: Ref) -> Result<&'a Kind, EvalError> {
    match r {
        Ref::Operand(index) => {
            operands.get(index).ok_or(EvalError::MissingOperand { index, given: operands.len() })
        }
        Ref::Inner(i) => {
            results.get(i).ok_or_else(|| EvalError::Shape(format!("op {i} is read before it is made")))
        }
    }
}

/// True when the op reads row i of this input for row i of its result; false when it reads the whole.
pub(crate) fn reads_rows(op: &Op, input: usize, shapes: &[&[usize]]) -> bool {
    match op {
        Op::Binary { .. } => input == 0 || rows(shapes[1]) == rows(shapes[0]),
        Op::HeadScale { .. } => true,
        Op::Attention { causal, .. } => {
            input == 0 || (input == 3 && !causal && rows(shapes[3]) == rows(shapes[0]))
        }
        Op::Unary { .. }
        | Op::Affine { .. }
        | Op::Clamp { .. }
        | Op::Cast { .. }
        | Op::Linear {}
        | Op::RmsNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Rope { .. }
        | Op::MaskRows {}
        | Op::GroupMean { .. }
        | Op::Snake {}
        | Op::PutRow {}
        | Op::Copy {} => input == 0,
        Op::GroupNorm { .. }
        | Op::Decode { .. }
        | Op::Deviation {}
        | Op::Standardize {}
        | Op::Gather {}
        | Op::Sinusoid { .. }
        | Op::PlaceRegisters {}
        | Op::Conv { .. }
        | Op::ConvTranspose { .. }
        | Op::DepthToSpace { .. }
        | Op::Unpatchify { .. }
        | Op::SpaceToDepth { .. }
        | Op::Patchify { .. }
        | Op::Yuv420 {}
        | Op::Upsample {}
        | Op::FilterUp { .. }
        | Op::FilterDown { .. }
        | Op::BlurDown { .. }
        | Op::Normal { .. }
        | Op::Reshape { .. }
        | Op::Slice { .. }
        | Op::Iteration {}
        | Op::OuterAdd {}
        | Op::Permute { .. }
        | Op::Concat {} => false,
    }
}

/// Integers where the op counts or points, real numbers where it computes; moves take both.
fn check_dtypes(op: &Op, inputs: &[&Kind]) -> Result<(), EvalError> {
    for (input, kind) in inputs.iter().enumerate() {
        let fits = match (op, input) {
            (
                Op::Copy {} | Op::Cast { .. } | Op::Reshape { .. } | Op::Slice { .. } | Op::Permute { .. },
                _,
            ) => true,
            (Op::Gather {}, 0) => true,
            (Op::Decode { .. }, _) => kind.dtype == Dtype::U8,
            (Op::Concat {}, _) => kind.dtype.is_float() == inputs[0].dtype.is_float(),
            (Op::Gather {} | Op::MaskRows {} | Op::PlaceRegisters {}, 1)
            | (Op::Rope { .. }, 3)
            | (Op::Attention { causal: true, .. }, 3..=5)
            | (Op::PutRow {}, 2 | 3)
            | (Op::Normal { .. }, _) => kind.dtype == Dtype::I32,
            _ => kind.dtype.is_float(),
        };
        if !fits {
            return Err(EvalError::InputDtype { op: op.name(), input, found: kind.dtype });
        }
    }
    Ok(())
}
