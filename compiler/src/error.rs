//! What can go wrong while a program is compiled.

use thiserror::Error as ThisError;

/// An error of the compiler. A failed gate is our mistake, not the user's.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error(
        "no kernel computes {op} at {path}\n  help  add one to kernels/src/catalog.rs, or record other ops there"
    )]
    NoKernel { op: String, path: String },
    #[error("cannot read {what} of {path} without a copy: {why}")]
    View { what: String, path: String, why: String },
    #[error("phase {phase}: {message}")]
    Wiring { phase: String, message: String },
    #[error("cannot fold {op} at {path}: {message}")]
    Fold { op: String, path: String, message: String },
    #[error("{op} at {path} does not go frame by frame, so its phase cannot be cut into chunks of time")]
    Chunk { op: String, path: String },
    #[error(
        "the gate after {level} found a broken rule: {rule}\n  where {what}\n  help  this is a mistake in the compiler; please report it with the target file"
    )]
    Gate { level: &'static str, rule: &'static str, what: String },
    #[error("the emitted table is not Rust: {0}")]
    Emit(String),
}

pub type Result<T> = std::result::Result<T, Error>;
