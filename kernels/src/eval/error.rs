//! What can be wrong with a call of the evaluator.

use zoetrope_model_spec::lang::{Dtype, ShapeError};

/// The operands do not fit the meaning, or an operand's integers point outside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("the meaning has no ops")]
    Empty,
    #[error("the meaning reads operand {index}, and {given} are given")]
    MissingOperand { index: usize, given: usize },
    #[error("{0}")]
    Shape(String),
    #[error("operand {index}: {elements} elements do not hold the shape {shape:?} with rows {stride} apart")]
    Storage { index: usize, elements: usize, shape: Vec<usize>, stride: usize },
    #[error("{op}: input {input} is {found}")]
    InputDtype { op: &'static str, input: usize, found: Dtype },
    #[error("the result is {found:?} {dtype}, and {shape:?} {made} was evaluated")]
    Result { found: Vec<usize>, dtype: Dtype, shape: Vec<usize>, made: Dtype },
    #[error("{op}: index {index} is outside 0..{rows}")]
    Index { op: &'static str, index: i32, rows: usize },
    #[error("the packed weight does not fit {op}")]
    Packed { op: &'static str },
}

impl From<ShapeError> for EvalError {
    fn from(error: ShapeError) -> EvalError {
        EvalError::Shape(error.0)
    }
}
