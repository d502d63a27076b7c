//! The evaluator against f64 loops.

mod cases;
mod meanings;
mod naive;
mod ops;
