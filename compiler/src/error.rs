//! What can go wrong while a program is compiled.

use thiserror::Error as ThisError;
use zoetrope_runtime::plan::{bytes_text, memory_text};

/// An error of the compiler. A failed verifier is our mistake, not the user's.
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
        "the verifier of {level} found a broken rule: {rule}\n  where {what}\n  help  this is a mistake in the compiler; please report it with the target file"
    )]
    Verifier { level: &'static str, rule: &'static str, what: String },
    #[error(
        "target {target} does not fit into {}\n  have  phase {phase} takes {} at least: arena {}, weights {}, tables {}; the driver keeps {}\n  help  the smallest budget that does is {smallest_gib} GiB",
        memory_text(*vram), bytes_text(arena + weights + tables), bytes_text(*arena), bytes_text(*weights),
        bytes_text(*tables), bytes_text(*reserve)
    )]
    Budget {
        target: String,
        vram: u64,
        /// The phase that is farthest from the budget, and what it takes, in bytes, with as much streamed as can be.
        phase: String,
        arena: u64,
        weights: u64,
        tables: u64,
        reserve: u64,
        smallest_gib: u64,
    },
    #[error("no CUDA kernel for the launch at {path}: {message}")]
    Select { path: String, message: String },
    #[error("the emitted table is not Rust: {0}")]
    Emit(String),
}

pub type Result<T> = std::result::Result<T, Error>;
