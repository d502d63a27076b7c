//! What each op means on a CPU: the definition that every other executor is held against.

mod tensor;

pub use tensor::{Data, DataMut, Operand, Tensor, TensorMut};
