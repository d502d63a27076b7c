//! Products of matrices, by the `gemm` library.
//!
//! The library is given at most [`DEPTH`] places of k at a time, and such a sum it makes in one chain in the order of
//! k; the blocks are added in order. They are a matter of the weight's shape alone, so the bits of an element depend
//! neither on how many rows are evaluated together, nor on the threads. Left to itself the library would choose the
//! blocks by the machine's caches.

#[allow(unsafe_code)]
mod gemm;
mod image;
mod matrix;

use gemm::VECTOR;
pub(crate) use gemm::{Left, Right, product};
pub(crate) use image::{Image, unit};
pub use matrix::Packed;
pub(crate) use matrix::{Elements, Matrix, Stored};

/// Places of k given to the library at once, at most; below this it never divides a sum.
pub(crate) const DEPTH: usize = 512;

/// Columns of a weight that are multiplied together, at most: the left operand is read once for them.
pub(crate) const COLUMNS: usize = 256;

/// Columns of a weight that lie together, at most.
pub(crate) const STRIP: usize = 64;
