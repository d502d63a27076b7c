//! The kernels: each declared once, in a family's folder, with its meaning.
//!
//! A kernel's *meaning* is a small graph in the spec's own vocabulary. From that one value come the pattern that the
//! compiler looks for, the result on a CPU ([`eval`]), and the tests. [`catalog()`] lists them all. Beside its meaning a
//! declaration can have a CUDA kernel ([`cuda`]).

#![deny(unsafe_code)]

mod attention;
mod audio;
mod blur;
pub mod cache;
mod catalog;
mod convolution;
pub mod cuda;
mod decl;
mod elementwise;
pub mod eval;
mod frames;
mod group_norm;
mod linear;
mod meaning;
mod movement;
mod rms_norm;
mod sampler;
mod text;
pub mod threads;

pub use catalog::catalog;
pub use decl::{Axes, Hidden, IntRange, Kernel, KernelDraft, OperandDecl, Sample};
pub use meaning::{Meaning, MeaningOp, Ref};
