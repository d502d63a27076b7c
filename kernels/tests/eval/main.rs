//! The evaluator against f64 loops.

mod cases;
mod catalog;
mod meanings;
mod naive;
mod ops;
