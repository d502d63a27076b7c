//! Views of operands, as an executor hands them to a kernel.

use half::bf16;

/// Elements as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    I32(&'a [i32]),
    U8(&'a [u8]),
}

/// Elements to be written.
#[derive(Debug)]
pub enum DataMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
    I32(&'a mut [i32]),
    U8(&'a mut [u8]),
}

/// An operand that is read: `shape` with the last axis contiguous, rows `row_stride` elements apart
/// (the leading axes are one list of rows).
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    pub data: Data<'a>,
    pub shape: &'a [usize],
    pub row_stride: usize,
}

/// The result: contiguous.
#[derive(Debug)]
pub struct TensorMut<'a> {
    pub data: DataMut<'a>,
    pub shape: &'a [usize],
}

/// What a kernel reads at one place.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    Tensor(Tensor<'a>),
    /// The result's memory holds this operand until it is overwritten.
    InPlace,
}
