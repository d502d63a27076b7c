//! What each op means on a CPU: the definition that every other executor is held against.
//!
//! Arithmetic is f32 whatever the storage: bf16 operands are widened on load, and results are rounded to nearest even
//! only where the kernel writes. A meaning falls into sweeps; a sweep goes through its rows in panels, all its ops on one
//! panel, the panels on all threads.
//!
//! A row of a result has the same bits however many rows are evaluated with it, and on however many threads: no sum's
//! order depends on either. Products are those of the `gemm` library (`product`).

mod error;
mod math;
mod ops;
mod panel;
mod product;
mod row_op;
mod rows;
mod scratch;
mod sweeps;
mod tensor;
mod values;

use zoetrope_model_spec::lang::{Dtype, Op};

pub use error::EvalError;
pub use product::Packed;
pub use tensor::{Data, DataMut, Operand, Tensor, TensorMut};

use crate::{Meaning, Ref};
use panel::Output;
use sweeps::{Kind, Order, reads_rows};
use values::{Temporary, Values};

/// The result of `meaning` on `operands`, written to `out`.
///
/// `packed` holds, per operand, what [`pack`] made of it; where it holds nothing (or is shorter than `operands`), a
/// weight is packed for this call, to the same bits. An operand [`Operand::InPlace`] has the shape and the dtype of
/// `out`.
///
/// # Errors
/// The operands do not fit the meaning or `out`, or an operand of indices points outside.
pub fn evaluate(
    meaning: &Meaning,
    operands: &[Operand<'_>],
    packed: &[Option<&Packed>],
    mut out: TensorMut<'_>,
) -> Result<(), EvalError> {
    let last = meaning.ops.len().checked_sub(1).ok_or(EvalError::Empty)?;
    // What is laid out for products is decoded already.
    let decoded = |op: usize| values::packed_operand(meaning, op, packed).is_some();
    let order = Order::new(meaning, kinds(operands, &out)?)?.without(decoded);
    check_result(&order.results[last], &out)?;

    // Memory of the result that is not only read where it is about to be written has to be copied first.
    let saved: Vec<Option<Temporary>> = operands
        .iter()
        .enumerate()
        .map(|(i, o)| {
            let copies = matches!(o, Operand::InPlace) && !only_read_in_place(meaning, &order, i);
            copies.then(|| Temporary::copy_of(&out))
        })
        .collect();

    let mut made: Vec<Option<Temporary>> = meaning.ops.iter().map(|_| None).collect();
    for (place, sweep) in order.sweeps.iter().enumerate().filter(|(_, sweep)| !sweep.ops.is_empty()) {
        let read_later = |made: usize| {
            let mut readers = meaning.ops.iter().zip(&order.sweep_of);
            readers.any(|(op, sweep)| *sweep > place && op.inputs.contains(&Ref::Inner(made)))
        };
        let kept = sweep.ops.iter().enumerate().filter(|(_, op)| read_later(**op));
        let mut temporaries: Vec<(usize, Temporary)> =
            kept.map(|(place, op)| (place, Temporary::new(&order.results[*op]))).collect();
        let values = Values { operands, packed, saved: &saved, made: &made, order: &order };
        let links = values.links(meaning, sweep)?;
        let products = sweep.ops.iter().any(|op| panel::is_product(&meaning.ops[*op].op));
        let mut outputs: Vec<Output<'_>> =
            temporaries.iter_mut().map(|(place, t)| Output { op: *place, data: t.data_mut() }).collect();
        if sweep.ops.last() == Some(&last) {
            outputs.push(Output { op: sweep.ops.len() - 1, data: out.data.reborrow() });
        }
        panel::run(&links, sweep.rows, products, outputs);
        drop(links);
        temporaries.into_iter().for_each(|(place, t)| made[sweep.ops[place]] = Some(t));
        made.iter_mut().enumerate().filter(|(op, _)| !read_later(*op)).for_each(|(_, t)| *t = None);
    }
    Ok(())
}

/// The result of `meaning` on `operands`, which has this shape, as real numbers before a rounding to its storage: what a
/// kernel elsewhere is held against.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_unrounded(
    meaning: &Meaning,
    operands: &[Operand<'_>],
    shape: &[usize],
) -> Result<Vec<f32>, EvalError> {
    let count = shape.iter().product();
    if meaning.stores(Dtype::F32).is_float() {
        let mut out = vec![0.0; count];
        evaluate(meaning, operands, &[], TensorMut { data: DataMut::F32(&mut out), shape })?;
        return Ok(out);
    }
    let mut out = vec![0; count];
    evaluate(meaning, operands, &[], TensorMut { data: DataMut::I32(&mut out), shape })?;
    Ok(out.into_iter().map(|x| x as f32).collect())
}

/// `weight` laid out for the products of `op`, whose input `input` it is; `None` where the op reads it as it is.
pub fn pack(op: &Op, input: usize, weight: &Tensor<'_>) -> Option<Packed> {
    match (op, input) {
        (Op::Linear {}, 1) => ops::linear::pack(weight),
        (Op::Decode { kept, columns }, 0) => ops::decode::pack(weight, *kept, *columns),
        (Op::Conv { dilation, .. }, 1) => ops::conv::pack(weight, *dilation),
        (Op::ConvTranspose { stride, .. }, 1) => ops::conv_transpose::pack(weight, *stride),
        _ => None,
    }
}

/// Dtypes and shapes of the operands, each checked against its storage.
fn kinds(operands: &[Operand<'_>], out: &TensorMut<'_>) -> Result<Vec<Kind>, EvalError> {
    let kind = |(index, operand): (usize, &Operand<'_>)| match operand {
        Operand::InPlace => Ok(Kind { dtype: out.data.dtype(), shape: out.shape.to_vec() }),
        Operand::Tensor(t) => {
            let (rows, cols) = (t.rows(), t.cols());
            let needed = if rows * cols == 0 { 0 } else { (rows - 1) * t.row_stride + cols };
            if t.data.len() < needed || (rows > 1 && t.row_stride < cols) {
                let (elements, shape) = (t.data.len(), t.shape.to_vec());
                return Err(EvalError::Storage { index, elements, shape, stride: t.row_stride });
            }
            Ok(Kind { dtype: t.data.dtype(), shape: t.shape.to_vec() })
        }
    };
    operands.iter().enumerate().map(kind).collect()
}

fn check_result(kind: &Kind, out: &TensorMut<'_>) -> Result<(), EvalError> {
    let dtype = out.data.dtype();
    let holds = out.shape.iter().product::<usize>() == out.data.len();
    if kind.shape == out.shape && holds && kind.dtype.is_float() == dtype.is_float() {
        return Ok(());
    }
    Err(EvalError::Result { found: out.shape.to_vec(), dtype, shape: kind.shape.clone(), made: kind.dtype })
}

/// True when every op that reads operand `i` is in the last sweep and reads it by rows.
fn only_read_in_place(meaning: &Meaning, order: &Order, i: usize) -> bool {
    let last = order.sweep_of.last();
    meaning.ops.iter().zip(&order.sweep_of).all(|(op, sweep)| {
        let shapes: Vec<&[usize]> = op.inputs.iter().map(|r| order.kind(*r).shape.as_slice()).collect();
        let reads = op.inputs.iter().enumerate().filter(|(_, r)| **r == Ref::Operand(i));
        reads.into_iter().all(|(input, _)| Some(sweep) == last && reads_rows(&op.op, input, &shapes))
    })
}
