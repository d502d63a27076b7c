//! What can go wrong while a plan is loaded or replayed.

#[cfg(feature = "cuda")]
mod device;

#[cfg(feature = "cuda")]
pub use device::DeviceError;

use thiserror::Error as ThisError;

use crate::files::FileError;

/// An error of the runtime. Messages are lower case and carry what, where, and what was wanted.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error("the plan has no phase {0}")]
    NoPhase(String),
    #[error("phase {phase} has no input or output {name} (it has {known})")]
    NoPort { phase: String, name: String, known: String },
    #[error("{name} has {have} bytes, the plan wants {want}")]
    PortSize { name: String, have: usize, want: u64 },
    #[error("kernel {kernel} at {path}: {message}")]
    Kernel { kernel: String, path: String, message: String },
    #[error("constant {name}: {message}")]
    Constant { name: String, message: String },
    /// A model file is not what it was when it was opened.
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{output} of phase {phase} is not finite\n  have  {count} of {elements} values that are NaN or infinite\n  help  damaged weights make such values: zoetrope verify --deep looks for them"
    )]
    NotFinite { phase: String, output: String, count: usize, elements: usize },
    #[error("the arena needs {bytes} bytes of memory, and the system does not give them")]
    Memory { bytes: u64 },
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "this program was built without CUDA\n  help  build it with the feature cuda, or use --device cpu"
    )]
    WithoutCuda,
    #[error("{0}")]
    Host(String),
    #[error("stopped")]
    Stopped,
}

pub type Result<T> = std::result::Result<T, Error>;
