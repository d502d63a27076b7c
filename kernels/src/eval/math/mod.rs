//! Functions of f32 numbers as code that vectorises: no branches, no tables, no calls.
//!
//! Every step is an IEEE operation or a fused multiply-add, so the result has the same bits on every machine and at
//! every vector width.

mod activation;
mod exp;
mod sine;
mod sums;

pub(crate) use activation::{gelu, sigmoid, silu};
pub(crate) use exp::{exp, exp_down};
pub(crate) use sine::sin_squared;
pub(crate) use sums::{sum, sum_of_squares};
