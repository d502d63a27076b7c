//! The CUDA executor on a stand-in for the driver, with the kernels under emulation: what runs on a card, whole, on a
//! machine without one. Without a C++ compiler this is a skip that says so.

#![cfg(feature = "cuda")]

mod adapters;
#[path = "../budget/plans.rs"]
mod budget;
mod encode;
mod enhance;
mod executor;
mod faults;
mod guided;
mod hopper;
mod kept;
mod launches;
mod phase;
mod run;
mod selftest;
mod standin;
mod streamed;
mod suite;
mod variants;
