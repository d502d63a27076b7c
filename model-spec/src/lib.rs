//! LTX-2.3, declared.
//!
//! [`lang`] is the vocabulary: dtypes, shapes, ops, and the recording [`lang::Builder`].
//! [`ltx`] is the model, written in it; reading it should feel like reading the paper.
//! [`target`] is what one plan is compiled for: a size, a pipeline, a dtype, a model. [`limits`] is what the encoders of clips take.
//!
//! This crate does not know that GPUs exist.

pub mod lang;
pub mod limits;
pub mod ltx;
pub mod program;
pub mod target;
