//! The kernels: each declared once, in a folder of its own, with its meaning.
//!
//! A kernel's *meaning* is a small graph in the spec's own vocabulary. From that one value come the pattern that the
//! compiler looks for, the result on a CPU ([`eval`]), and the tests. [`catalog`] lists them all, largest first.

mod decl;
pub mod eval;
mod meaning;

pub use decl::{Axes, IntRange, Kernel, OperandDecl};
pub use meaning::{Meaning, MeaningOp, Ref};
