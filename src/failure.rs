//! Errors as the commands report them: a message, and the exit code that says whose turn it is.

use std::fmt;
use std::process::ExitCode;

use zoetrope_compiler::Error as CompilerError;
use zoetrope_compiler::frontend::CompileError;
use zoetrope_runtime::Error as RuntimeError;
use zoetrope_runtime::files::FileError;

use crate::adapters::AdapterError;
use crate::demo::DemoError;
use crate::eval::EvalError;
use crate::media::{ImageError, MediaError, SourceError};
use crate::output::OutputError;
use crate::terminal;
use crate::tokenize::TokenizeError;

/// What kind of failure it is; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something failed while running.
    Failure = 1,
    /// The request makes no sense.
    Usage = 2,
    /// The model files are missing, damaged or of another model.
    ModelFiles = 3,
    /// There is no card, or it cannot run this.
    Device = 4,
}

/// A failure of a command.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// Lower case, no full stop; further lines begin with what, want, have or help.
    pub message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, message)
    }

    /// Prints the message and gives the exit code.
    pub fn report(&self) -> ExitCode {
        terminal::line(&format!("error: {self}"));
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Failure {
        let kind = match error {
            RuntimeError::Constant { .. } | RuntimeError::File(_) => Kind::ModelFiles,
            RuntimeError::WithoutCuda => Kind::Device,
            #[cfg(feature = "cuda")]
            RuntimeError::Device(_) => Kind::Device,
            _ => Kind::Failure,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<CompileError> for Failure {
    fn from(error: CompileError) -> Failure {
        let kind = match &error {
            CompileError::Compiler(CompilerError::Budget { .. }) => Kind::Usage,
            CompileError::Compiler(_) => Kind::Failure,
            other if other.is_about_files() => Kind::ModelFiles,
            _ => Kind::Usage,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Failure {
        match error {
            EvalError::Compile(error) => error.into(),
            EvalError::Runtime(error) => error.into(),
            other => Failure::usage(other.to_string()),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        Failure::new(Kind::ModelFiles, error.to_string())
    }
}

impl From<AdapterError> for Failure {
    fn from(error: AdapterError) -> Failure {
        Failure::new(Kind::ModelFiles, error.to_string())
    }
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Failure {
        match error {
            DemoError::Output(error) => error.into(),
            other => Failure::new(Kind::Failure, other.to_string()),
        }
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Failure {
        let kind = match error {
            MediaError::Size { .. } | MediaError::FrameRate(_) | MediaError::NoAudioEncoder => Kind::Usage,
            _ => Kind::Failure,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Failure {
        // All others are known before the work.
        let kind = if matches!(error, OutputError::Write { .. }) { Kind::Failure } else { Kind::Usage };
        Failure::new(kind, error.to_string())
    }
}

impl From<TokenizeError> for Failure {
    fn from(error: TokenizeError) -> Failure {
        let kind = match error {
            TokenizeError::Encode(_) => Kind::Failure,
            _ => Kind::ModelFiles,
        };
        Failure::new(kind, error.to_string())
    }
}
