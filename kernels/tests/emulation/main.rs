//! CUDA kernels under the emulation of `kernels/cuda/host`, against their meanings.
//!
//! Every kernel with CUDA, on its declared cases and on random numbers of rows: as f32, bf16 and mixed; rows apart;
//! several parts; over an operand in place; threads in order and in random orders. What lies around operands is NaN
//! before and must be untouched behind; with ZOETROPE_SANITIZE=1 nothing lies there, and sanitizers watch. Without a C++
//! compiler this is a skip that says so.

mod cases;
mod catalog;
mod faults;
mod memory;
mod planted;
mod program;
mod random;
mod sanitize;
mod shapes;
