//! CUDA kernels under the emulation of `kernels/cuda/host`, against their meanings.
//!
//! Every kernel with CUDA, on its declared cases and on random shapes: as f32, bf16 and mixed; rows apart, and so far
//! apart that offsets need more than 32 bits; several parts; over an operand in place; threads in order and in random
//! orders. What lies around operands is NaN before and must be untouched behind. With ZOETROPE_SANITIZE=1 those of these
//! launches that differ in what they access run once more, nothing lies around operands, and sanitizers watch.
//! ZOETROPE_EMULATE=nightly draws more shapes, other widths among them, and more orders, for both. Without a C++ compiler
//! this is a skip that says so.

mod cases;
mod catalog;
mod faults;
mod memory;
mod planted;
mod program;
mod random;
mod sanitize;
mod shapes;
mod verdicts;
