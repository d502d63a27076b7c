//! The plan contract and its replay.
//!
//! A [`plan::Plan`] is a static list of launches in which everything is decided. [`replay`] runs one phase of it
//! on an [`Executor`]: one loop, no dispatch, no allocation. The runtime does not know LTX; with the feature `cpu`
//! off it does not know the kernels either.

mod error;
mod executor;
pub mod null;
pub mod plan;
mod replay;

pub use error::{Error, Result};
pub use executor::{Executor, Observer, Silent};
pub use replay::replay;
