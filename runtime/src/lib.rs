//! The plan contract and its replay.
//!
//! A [`plan::Plan`] is a static list of launches in which everything is decided. [`replay()`] runs one phase of it
//! on an [`Executor`]: one loop, no dispatch, no allocation. [`files`] are where weights come from. The runtime does
//! not know LTX; with the feature `cpu` off it does not know the kernels either.

#![deny(unsafe_code)]

#[cfg(unix)]
mod ahead;
mod arena;
mod constants;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod executor;
pub mod files;
#[allow(unsafe_code)]
mod map;
pub mod null;
pub mod plan;
mod pool;
mod replay;

pub use arena::Arena;
pub use constants::{Store, Weights, file_dtype};
#[cfg(feature = "cpu")]
pub use cpu::Cpu;
pub use error::{Error, Result};
pub use executor::{Executor, Observer, Silent};
pub use map::file_at;
pub use pool::Pool;
pub use replay::replay;
