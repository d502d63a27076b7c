//! What the tests share: the small model files, the reference values, and how the two are compared.
//!
//! [`recipe`] builds the model files of `tests/fixtures/gamma` bit for bit, [`golden`] loads what the
//! official code computes on them and compares a candidate with it, [`yuv420`] is its way to frames of
//! 8 bit, [`tensor`] reads and writes the tensor files of both. [`asks_for_long`] tells which tests run.
//! `tests/fixtures/gamma/README.md` says where the numbers come from.

pub mod golden;
#[cfg(feature = "clips")]
pub mod mp4;
pub mod recipe;
#[cfg(feature = "clips")]
pub mod seen;
pub mod tensor;
pub mod yuv420;

use std::path::{Path, PathBuf};

/// Why a fixture could not be read, built or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model file was built, but is not the one that the recipe names.
    #[error("{file}: sha256 {found}, but the recipe says {expected}")]
    Sha256 {
        /// The file's path inside the models folder.
        file: String,
        /// The hash of what was built.
        found: String,
        /// The hash in the recipe.
        expected: String,
    },
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    fn format(path: &Path, reason: impl ToString) -> Error {
        Error::Format { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Whether tests that take long run: with ZOETROPE_TESTS=long, as `.ci/run` has it. Says that `what` is skipped otherwise.
pub fn asks_for_long(what: &str) -> bool {
    let long = std::env::var("ZOETROPE_TESTS").is_ok_and(|value| value == "long");
    if !long {
        println!("skipped: {what}, which takes long: ZOETROPE_TESTS=long");
    }
    long
}

/// The folder of the reference values: `tests/fixtures/gamma`.
pub fn gamma_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/gamma")
}

/// The prompts of `prompts.json`; `p<i>` in a tensor's name is the prompt with index i.
pub fn prompts() -> Result<Vec<String>, Error> {
    let path = gamma_dir().join("prompts.json");
    serde_json::from_slice(&read(&path)?).map_err(|e| Error::format(&path, e))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(Error::io(path))
}
